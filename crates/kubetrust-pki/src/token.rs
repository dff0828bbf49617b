//! Bootstrap tokens and the static token file (S3, S12).

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::catalog::{BOOTSTRAP_GROUP, BOOTSTRAP_USER};
use crate::key::KeyError;

/// A bootstrap token, `ID.SECRET`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BootstrapToken {
    id: String,
    secret: String,
    #[zeroize(skip)]
    expires: Timestamp,
}

/// Why a text is no bootstrap token's Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no Secret of a bootstrap token: {0}")]
pub struct InvalidBootstrapToken(String);

impl BootstrapToken {
    /// Draws a token that expires after `validity`.
    pub fn generate(now: Timestamp, validity: SignedDuration) -> Result<Self, KeyError> {
        let expires = Timestamp::from_second((now + validity).as_second()).unwrap_or(now);
        Ok(Self {
            id: characters(6)?,
            secret: characters(16)?,
            expires,
        })
    }

    /// `ID.SECRET`, as a kubeconfig and `token.csv` carry it.
    #[must_use]
    pub fn value(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}.{}", self.id, self.secret))
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Until when the API server takes it as a bootstrap token. As a static token (S12) it has no end.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The Secret of it in kube-system.
    #[must_use]
    pub fn to_secret(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "apiVersion: v1\n\
             kind: Secret\n\
             metadata:\n  name: bootstrap-token-{id}\n  namespace: kube-system\n\
             type: bootstrap.kubernetes.io/token\n\
             stringData:\n  \
             description: \"Lets new kubelets ask for their client certificates.\"\n  \
             token-id: \"{id}\"\n  \
             token-secret: \"{secret}\"\n  \
             expiration: \"{expires}\"\n  \
             usage-bootstrap-authentication: \"true\"\n  \
             usage-bootstrap-signing: \"true\"\n",
            id = self.id,
            secret = self.secret,
            expires = self.expires,
        ))
    }

    /// Reads the Secret back.
    pub fn from_secret(text: &str) -> Result<Self, InvalidBootstrapToken> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Secret {
            string_data: Data,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Data {
            token_id: String,
            token_secret: String,
            expiration: String,
        }
        let secret: Secret = serde_saphyr::from_str(text)
            .map_err(|error| InvalidBootstrapToken(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
        let data = secret.string_data;
        let expires = data
            .expiration
            .parse()
            .map_err(|_| InvalidBootstrapToken("expiration is no RFC 3339 time".to_owned()))?;
        let valid = |text: &str, length| {
            text.len() == length
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if valid(&data.token_id, 6) && valid(&data.token_secret, 16) {
            Ok(Self {
                id: data.token_id,
                secret: data.token_secret,
                expires,
            })
        } else {
            Err(InvalidBootstrapToken(
                "token-id must be [a-z0-9]{6} and token-secret [a-z0-9]{16}".to_owned(),
            ))
        }
    }

    /// Its line in `token.csv`. The uid is the token's id, which names it without giving it away.
    #[must_use]
    pub fn to_static_line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{},{BOOTSTRAP_USER},{},\"{BOOTSTRAP_GROUP}\"\n",
            *self.value(),
            self.id
        ))
    }
}

impl std::fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootstrapToken({}.…, expires {})", self.id, self.expires)
    }
}

/// `token.csv` with the line of the bootstrap user in place, and every other line as it was.
#[must_use]
pub fn static_tokens(current: &str, token: &BootstrapToken) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(current.len() + 96));
    for line in current
        .lines()
        .filter(|line| line.split(',').nth(1).map(str::trim) != Some(BOOTSTRAP_USER))
    {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&token.to_static_line());
    text
}

/// Characters of `[a-z0-9]`, each equally likely.
fn characters(count: usize) -> Result<String, KeyError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| KeyError::Generation)?;
        // 252 is the largest multiple of 36 in a byte: the rest would favour the alphabet's start.
        if byte[0] < 252 {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(text)
}
