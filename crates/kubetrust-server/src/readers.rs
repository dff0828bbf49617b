//! What authentication looks up in the cluster's state: the watch cache, read without waiting.

use std::sync::Arc;

use kubetrust_auth::authn::Lookup;
use serde_json::Value;

use crate::registry::Registry;

impl Registry {
    /// The object under a storage path, as the cache has it.
    pub(crate) fn find(&self, storage: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let table = self.cache().table(storage)?;
        let prefix = table.prefix();
        let mut key = Vec::with_capacity(prefix.len() + namespace.len() + 1 + name.len());
        key.extend_from_slice(prefix);
        if !namespace.is_empty() {
            key.extend_from_slice(namespace.as_bytes());
            key.push(b'/');
        }
        key.extend_from_slice(name.as_bytes());
        Some(table.get(&key)?.value())
    }
}

impl Lookup for Registry {
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find("secrets", namespace, name)
    }

    fn service_account(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find("serviceaccounts", namespace, name)
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find("pods", namespace, name)
    }

    fn node(&self, name: &str) -> Option<Arc<Value>> {
        self.find("minions", "", name)
    }
}
