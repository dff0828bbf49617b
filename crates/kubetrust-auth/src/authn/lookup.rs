//! What the schemes look up in the cluster's state: synchronous, in memory, as fresh as the server's cache is.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

/// Objects by name, in their JSON form. `None` is "there is no such object", and whoever can't tell answers so:
/// what isn't found authenticates nobody.
pub trait Lookup {
    /// `v1 Secret`.
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// `v1 ServiceAccount`.
    fn service_account(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// `v1 Pod`.
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// `v1 Node`.
    fn node(&self, name: &str) -> Option<Arc<Value>>;
}

/// A cluster without objects: for servers that know certificates and token files only.
pub struct Nothing;

impl Lookup for Nothing {
    fn secret(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }

    fn service_account(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }

    fn pod(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }

    fn node(&self, _name: &str) -> Option<Arc<Value>> {
        None
    }
}

/// `metadata.uid`, or nothing.
pub(super) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// The text at a path of names, or nothing.
pub(super) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    path.iter()
        .try_fold(object, |object, name| object.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// When the object was asked to go. A time that can't be read is long ago.
pub(super) fn deleted(object: &Value) -> Option<Timestamp> {
    match object.get("metadata")?.get("deletionTimestamp")? {
        Value::Null => None,
        Value::String(time) => Some(time.parse().unwrap_or(Timestamp::MIN)),
        _ => Some(Timestamp::MIN),
    }
}

/// The bytes of one key of a Secret. A value that is no base64 is no value.
pub(super) fn secret_data(secret: &Value, key: &str) -> Option<Vec<u8>> {
    let encoded = secret.get("data")?.get(key)?.as_str()?;
    STANDARD.decode(encoded).ok()
}
