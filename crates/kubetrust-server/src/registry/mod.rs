//! The resource registry: one set of functions for every resource of the table.

pub mod cache;
pub mod continue_token;
pub mod convert;
pub mod create;
pub mod delete;
mod events;
pub mod list;
pub mod object;
pub mod options;
pub mod parts;
pub mod read;
pub mod select;
pub mod target;
pub mod update;
pub mod values;
pub mod watch;
pub mod write;

use std::sync::Arc;

use bytes::Bytes;
use kubetrust_api::status::Status;
use kubetrust_store::Store;

use cache::{Cache, Table};
use target::Target;

use crate::metrics::StoreTimes;

/// The objects of the cluster: reads go to the cache, writes to the store.
#[derive(Clone, Debug)]
pub struct Registry {
    cache: Arc<Cache>,
    root: Bytes,
    times: StoreTimes,
}

impl Registry {
    /// Over a cache whose keys begin with `root` (`/registry/`).
    pub fn new(cache: Arc<Cache>, root: Bytes) -> Self {
        let times = StoreTimes::default();
        Self { cache, root, times }
    }

    /// How long the store takes.
    pub fn times(&self) -> &StoreTimes {
        &self.times
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        self.cache.store()
    }

    fn table(&self, target: &Target) -> Result<&Arc<Table>, Status> {
        self.cache
            .table(target.resource.storage)
            .ok_or_else(Status::no_such_path)
    }

    /// The key of an object in the store.
    pub fn key(&self, target: &Target) -> Bytes {
        target.key(&self.root)
    }

    fn prefix(&self, target: &Target) -> Vec<u8> {
        target.prefix(&self.root)
    }
}
