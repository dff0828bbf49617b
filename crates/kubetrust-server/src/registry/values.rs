//! How values stand in the store: as they are, or encrypted (`--encryption-provider-config`), by resource.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use bytes::Bytes;
use kubetrust_api::resource::{Kept, TABLE};
use kubetrust_api::status::Status;
use kubetrust_store::encrypt::{Encryption, TransformError, Transformer};
use tracing::error;

/// The way between objects and stored values, for every storage path.
#[derive(Debug, Default)]
pub struct Values {
    by_storage: ArcSwap<HashMap<&'static str, Transformer>>,
}

impl Values {
    /// As a configuration says.
    #[must_use]
    pub fn new(encryption: &Encryption) -> Self {
        let values = Self::default();
        values.replace(encryption);
        values
    }

    /// Takes another configuration: the next write is by it, and reads are by either.
    pub fn replace(&self, encryption: &Encryption) {
        let stored = TABLE.iter().filter(|resource| resource.kept == Kept::Stored);
        let transformers = stored
            .map(|resource| {
                (
                    resource.storage,
                    encryption.transformer(resource.group, resource.plural),
                )
            })
            .collect();
        self.by_storage.store(std::sync::Arc::new(transformers));
    }

    /// The value to store.
    pub fn seal(&self, storage: &str, key: &[u8], plain: Bytes) -> Result<Bytes, Status> {
        let by_storage = self.by_storage.load();
        let Some(transformer) = by_storage.get(storage) else {
            return Ok(plain);
        };
        transformer.to_storage(key, plain).map_err(|failure| {
            error!(%failure, "a value can't be encrypted");
            Status::internal("the object can't be encrypted")
        })
    }

    /// What a stored value says.
    pub fn open(&self, storage: &str, key: &[u8], stored: Bytes) -> Result<Bytes, TransformError> {
        let by_storage = self.by_storage.load();
        match by_storage.get(storage) {
            Some(transformer) => transformer.from_storage(key, stored).map(|(plain, _)| plain),
            None => Ok(stored),
        }
    }
}
