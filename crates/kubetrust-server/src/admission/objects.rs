//! The objects of the cluster that plugins look up.

use std::sync::Arc;

use kubetrust_api::status::Status;
use serde_json::Value;

use crate::registry::Registry;

/// Looks objects up by the storage path of their resource.
#[derive(Clone, Debug)]
pub(super) struct Objects(Registry);

impl Objects {
    pub fn new(registry: &Registry) -> Self {
        Self(registry.clone())
    }

    /// The object, or `None` if there is none. Where the cache has none, it is first brought up to date: another
    /// server may have written it a moment ago.
    pub async fn find(&self, storage: &str, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        // A name with a slash is the key of something else.
        if name.is_empty() || name.contains('/') {
            return Ok(None);
        }
        if let Some(found) = self.0.find(storage, namespace, name) {
            return Ok(Some(found));
        }
        self.0.cache().fresh().await?;
        Ok(self.0.find(storage, namespace, name))
    }

    /// All objects of a resource, as the cache has them.
    pub fn all(&self, storage: &str) -> impl Iterator<Item = Arc<Value>> {
        let table = self.0.cache().table(storage);
        let items = table
            .map(|table| table.snapshot(table.prefix(), None, 0).items)
            .unwrap_or_default();
        items.into_iter().map(|(_, object)| object.value())
    }
}
