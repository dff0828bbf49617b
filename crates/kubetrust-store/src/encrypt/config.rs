//! Reads an `EncryptionConfiguration`, and says everything that is wrong with it, in the words of kube-apiserver.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::cipher::{self, Kind};
use super::{ANY, ConfigFault, Encryption, EncryptionConfigError, Provider, Rule, Transformer};

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";

/// Most bytes of the file.
const TEXT_LIMIT: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Choice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    aescbc: Option<Keys>,
    aesgcm: Option<Keys>,
    secretbox: Option<Keys>,
    kms: Option<serde::de::IgnoredAny>,
    identity: Option<Nothing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

/// What kube-apiserver can and this server can't, with what to do.
const NO_KMS: &str = "kms is not supported; let kube-apiserver write the objects again with secretbox or aesgcm first";

/// A rule for what no REST API serves (`nonRESTAPIResourceErr`).
const NOT_SERVED: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

pub(super) fn parse(yaml: &str) -> Result<Encryption, EncryptionConfigError> {
    let mut reader = Reader { faults: Vec::new() };
    let encryption = reader.document(yaml);
    match encryption {
        Some(encryption) if reader.faults.is_empty() => Ok(encryption),
        _ => Err(EncryptionConfigError { faults: reader.faults }),
    }
}

struct Reader {
    faults: Vec<ConfigFault>,
}

impl Reader {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(ConfigFault {
            path: path.into(),
            message: message.into(),
        });
    }

    fn document(&mut self, yaml: &str) -> Option<Encryption> {
        if yaml.len() > TEXT_LIMIT {
            self.fault(
                "",
                format!("the text has {} bytes; at most {TEXT_LIMIT} are read", yaml.len()),
            );
            return None;
        }
        let document: Document = match serde_saphyr::from_str(yaml) {
            Ok(document) => document,
            Err(error) => {
                self.fault("", place(&error));
                return None;
            }
        };
        for (path, found, expected) in [
            ("apiVersion", &document.api_version, API_VERSION),
            ("kind", &document.kind, KIND),
        ] {
            if found != expected {
                self.fault(path, format!("\"{found}\" is not known; write {expected}"));
            }
        }
        if document.resources.is_empty() {
            self.fault("resources", "at least one resources is required");
        }
        let mut rules: HashMap<Rule, Vec<Provider>> = HashMap::new();
        for (index, entry) in document.resources.iter().enumerate() {
            self.entry(&format!("resources[{index}]"), entry, &mut rules);
        }
        let transformer = |(rule, providers): (Rule, Vec<Provider>)| {
            let providers = Arc::from(providers);
            (rule, Transformer { providers })
        };
        Some(Encryption {
            rules: rules.into_iter().map(transformer).collect(),
        })
    }

    fn entry(&mut self, path: &str, entry: &Entry, rules: &mut HashMap<Rule, Vec<Provider>>) {
        if entry.resources.is_empty() {
            self.fault(format!("{path}.resources"), "at least one resource is required");
        }
        if entry.providers.is_empty() {
            self.fault(format!("{path}.providers"), "at least one provider is required");
        }
        let mut providers = Vec::new();
        for (index, choice) in entry.providers.iter().enumerate() {
            providers.extend(self.choice(&format!("{path}.providers[{index}]"), choice));
        }
        let parsed: Vec<Rule> = entry.resources.iter().map(|resource| rule(resource)).collect();
        self.overlap(&format!("{path}.resources"), &parsed);
        // Rules of one entry do not mask one another; that is an overlap.
        let before: HashSet<Rule> = rules.keys().cloned().collect();
        for (index, (text, rule)) in entry.resources.iter().zip(parsed).enumerate() {
            let path = format!("{path}.resources[{index}]");
            if let Some(message) = bad_name(text, &rule) {
                self.fault(path, format!("\"{text}\": {message}"));
                continue;
            }
            let masks = [(rule.0.clone(), ANY.to_owned()), (ANY.to_owned(), ANY.to_owned())];
            if let Some(mask) = masks.iter().find(|mask| before.contains(*mask)) {
                self.fault(
                    path,
                    format!("resource \"{text}\" is masked by earlier rule \"{}\"", spelled(mask)),
                );
                continue;
            }
            rules.entry(rule).or_default().extend(providers.iter().cloned());
        }
    }

    fn overlap(&mut self, path: &str, rules: &[Rule]) {
        let distinct: HashSet<&Rule> = rules.iter().collect();
        if distinct.len() < rules.len() {
            self.fault(path, "the same resource cannot be specified multiple times");
        }
        let masked = |rule: &&Rule| {
            let all = (ANY.to_owned(), ANY.to_owned());
            let group = (rule.0.clone(), ANY.to_owned());
            [all, group].iter().any(|mask| mask != *rule && distinct.contains(mask))
        };
        if distinct.iter().copied().any(|rule| masked(&rule)) {
            self.fault(
                path,
                "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they \
                 will be masked",
            );
        }
    }

    fn choice(&mut self, path: &str, choice: &Choice) -> Option<Provider> {
        let given = [
            choice.aescbc.is_some(),
            choice.aesgcm.is_some(),
            choice.secretbox.is_some(),
            choice.kms.is_some(),
            choice.identity.is_some(),
        ];
        match given.into_iter().filter(|given| *given).count() {
            0 => {
                self.fault(
                    path,
                    "no provider in it; write aescbc, aesgcm, secretbox or identity: {}",
                );
                return None;
            }
            1 => {}
            _ => {
                self.fault(
                    path,
                    "more than one provider specified in a single element, should split into different list elements",
                );
                return None;
            }
        }
        if choice.kms.is_some() {
            self.fault(format!("{path}.kms"), NO_KMS);
        }
        let keyed = [
            (&cipher::AESCBC, &choice.aescbc),
            (&cipher::AESGCM, &choice.aesgcm),
            (&cipher::SECRETBOX, &choice.secretbox),
        ];
        for (kind, keys) in keyed {
            if let Some(keys) = keys {
                return self.keys(path, kind, keys);
            }
        }
        choice.identity.as_ref().map(|Nothing {}| Provider::Identity)
    }

    fn keys(&mut self, path: &str, kind: &Kind, given: &Keys) -> Option<Provider> {
        let path = format!("{path}.{}.keys", kind.name);
        if given.keys.is_empty() {
            self.fault(path, "at least one keys is required");
            return None;
        }
        let mut keys = Vec::new();
        for (index, key) in given.keys.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if key.name.is_empty() {
                self.fault(format!("{path}.name"), "name is a mandatory field for a key");
            }
            if key.secret.is_empty() {
                self.fault(format!("{path}.secret"), "secret is a mandatory field for a key");
                continue;
            }
            let Ok(secret) = STANDARD.decode(&key.secret).map(Zeroizing::new) else {
                self.fault(format!("{path}.secret"), "secrets must be base64 encoded");
                continue;
            };
            match (kind.make)(&secret) {
                Some(cipher) => keys.push((key.name.clone(), cipher)),
                None => self.fault(
                    format!("{path}.secret"),
                    format!(
                        "secret is not of the expected length, got {}, expected one of {:?}",
                        secret.len(),
                        kind.key_lengths
                    ),
                ),
            }
        }
        Some(Provider::Keys {
            prefix: kind.prefix,
            keys: keys.into(),
        })
    }
}

/// What the parser says, with the place, and without what stands there: it may be a secret.
fn place(error: &serde_saphyr::Error) -> String {
    let reason = error.without_snippet().to_string();
    let known = ["unknown field", "missing field", "duplicate"];
    let reason = match reason.rsplit_once(", expected ") {
        // It begins with what was found.
        Some((_, expected)) if !known.iter().any(|known| reason.contains(known)) => format!("expected {expected}"),
        Some(_) => reason,
        None if known.iter().any(|known| reason.contains(known)) => reason,
        None => "this is no YAML that can be read".to_owned(),
    };
    match error.location() {
        Some(location) => format!("{}:{}: {reason}", location.line(), location.column()),
        None => reason,
    }
}

/// `secrets` → core group, `deployments.apps`, `*.apps`, `*.`, `*.*` (`schema.ParseGroupResource`).
fn rule(text: &str) -> Rule {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    (group.to_owned(), resource.to_owned())
}

fn spelled((group, resource): &Rule) -> String {
    match (group.as_str(), resource.as_str()) {
        ("", ANY) => "*.".to_owned(),
        ("", resource) => resource.to_owned(),
        (group, resource) => format!("{resource}.{group}"),
    }
}

fn bad_name(text: &str, (group, resource): &Rule) -> Option<&'static str> {
    if text.is_empty() || resource.is_empty() {
        return Some("it names no resource");
    }
    if text.chars().any(char::is_uppercase) {
        return Some("resource name should not contain capital letters");
    }
    if text == ANY {
        return Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources");
    }
    if NOT_SERVED.contains(&text) {
        return Some("resources which do not have REST API/s cannot be encrypted");
    }
    match group.as_str() {
        "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the \
             config file",
        ),
        "extensions" => Some("'extensions' group has been removed and cannot be used for encryption"),
        ANY if resource != ANY => Some("encrypting the same resource across groups is not supported"),
        _ => None,
    }
}
