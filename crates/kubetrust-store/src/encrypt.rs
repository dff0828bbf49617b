//! Encryption at rest: `EncryptionConfiguration` (apiserver.config.k8s.io/v1), and values as kube-apiserver stores them,
//! so that either server reads what the other wrote.
//!
//! Sources: `staging/src/k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go`,
//! `…/apis/apiserver/validation/validation_encryption.go`, `…/storage/value/encrypt/aes/aes.go`,
//! `…/storage/value/encrypt/secretbox/secretbox.go`.

mod cipher;
mod config;
mod secretbox;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use self::cipher::Cipher;

/// What encrypted values begin with, and no other.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// The group and the resource of a rule; `*` stands for all.
type Rule = (String, String);

const ANY: &str = "*";

/// Says for every resource how its values are stored.
#[derive(Clone, Debug, Default)]
pub struct Encryption {
    rules: HashMap<Rule, Transformer>,
}

impl Encryption {
    /// Reads the file of `--encryption-provider-config`.
    pub fn parse(yaml: &str) -> Result<Self, EncryptionConfigError> {
        config::parse(yaml)
    }

    /// How values of a resource are stored: by the rule for it, for its group, or for everything. Without a rule they
    /// are stored as they are.
    #[must_use]
    pub fn transformer(&self, group: &str, resource: &str) -> Transformer {
        let places = [(group, resource), (group, ANY), (ANY, ANY)];
        let mut found = places.iter().filter_map(|(group, resource)| {
            let rule = ((*group).to_owned(), (*resource).to_owned());
            self.rules.get(&rule)
        });
        found.next().cloned().unwrap_or_default()
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct EncryptionConfigError {
    /// At least one.
    pub faults: Vec<ConfigFault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where: `resources[0].providers[1].aescbc.keys[0].secret`; empty for the text as a whole.
    pub path: String,
    /// What; never a secret.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.path, self.message)
        }
    }
}

/// Why a value can't be stored or read. It does not say more: what exactly is wrong with a value is what an attacker
/// would ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// No provider of the configuration wrote it.
    #[error("no provider of the encryption configuration matches the stored value")]
    NoProvider,
    /// No key of its provider fits.
    #[error("the stored value can't be decrypted with any key of its provider")]
    NoKey,
    /// The cipher failed to encrypt.
    #[error("the value can't be encrypted")]
    Encrypt,
}

/// How values of one resource are stored. The first provider, by its first key, writes; all read.
#[derive(Clone)]
pub struct Transformer {
    providers: Arc<[Provider]>,
}

/// One provider.
#[derive(Clone)]
enum Provider {
    /// As it is.
    Identity,
    /// Encrypted; keys by their names.
    Keys {
        /// `k8s:enc:aescbc:v1:`
        prefix: &'static str,
        keys: Arc<[(String, Cipher)]>,
    },
}

impl Default for Transformer {
    fn default() -> Self {
        Self {
            providers: Arc::new([Provider::Identity]),
        }
    }
}

impl fmt::Debug for Transformer {
    /// Names, and no keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = formatter.debug_list();
        for provider in self.providers.iter() {
            match provider {
                Provider::Identity => list.entry(&"identity"),
                Provider::Keys { prefix, keys } => {
                    list.entries(keys.iter().map(|(name, _)| format!("{prefix}{name}:")))
                }
            };
        }
        list.finish()
    }
}

impl Transformer {
    /// What is stored under a key (the whole one, with its prefix) for a value.
    pub fn to_storage(&self, key: &[u8], plain: Bytes) -> Result<Bytes, TransformError> {
        match self.providers.first() {
            None | Some(Provider::Identity) => Ok(plain),
            Some(Provider::Keys { prefix, keys }) => {
                let (name, cipher) = keys.first().ok_or(TransformError::Encrypt)?;
                let head = [prefix.as_bytes(), name.as_bytes(), b":"].concat();
                cipher
                    .seal(head, key, &plain)
                    .map(Bytes::from)
                    .ok_or(TransformError::Encrypt)
            }
        }
    }

    /// The value that is stored under a key, and whether it is stale: not as it would be written now.
    pub fn from_storage(&self, key: &[u8], stored: Bytes) -> Result<(Bytes, bool), TransformError> {
        let mut error = TransformError::NoProvider;
        for (index, provider) in self.providers.iter().enumerate() {
            match provider {
                // It may stand before the provider that wrote the value, to turn encryption off.
                Provider::Identity if stored.starts_with(ENCRYPTED) => {}
                Provider::Identity => return Ok((stored, index > 0)),
                Provider::Keys { prefix, keys } => {
                    let Some(rest) = stored.strip_prefix(prefix.as_bytes()) else {
                        continue;
                    };
                    error = TransformError::NoKey;
                    // Another provider of the same kind may have it, and another key of the same name.
                    if let Some((plain, stale)) = open(keys, key, rest) {
                        return Ok((plain, stale || index > 0));
                    }
                }
            }
        }
        Err(error)
    }
}

fn open(keys: &[(String, Cipher)], key: &[u8], stored: &[u8]) -> Option<(Bytes, bool)> {
    keys.iter().enumerate().find_map(|(index, (name, cipher))| {
        let body = stored.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some((cipher.open(key, body)?.into(), index > 0))
    })
}

#[cfg(test)]
mod tests;
