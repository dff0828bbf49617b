//! The resource registry: one set of functions for every resource of the table.

pub mod cache;
pub mod continue_token;
pub mod convert;
pub mod create;
pub mod delete;
mod early;
pub(crate) mod events;
pub mod list;
pub mod object;
pub mod options;
pub mod parts;
pub mod read;
pub mod select;
pub mod services;
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
use services::{Held, Ranges};
use target::Target;

use crate::metrics::StoreTimes;

/// The objects of the cluster: reads go to the cache, writes to the store.
#[derive(Clone, Debug)]
pub struct Registry {
    cache: Arc<Cache>,
    root: Bytes,
    times: StoreTimes,
    /// What services are given; nothing without it.
    ranges: Option<Arc<Ranges>>,
    held: Arc<Held>,
}

impl Registry {
    /// Over a cache whose keys begin with `root` (`/registry/`).
    pub fn new(cache: Arc<Cache>, root: Bytes) -> Self {
        Self {
            cache,
            root,
            times: StoreTimes::default(),
            ranges: None,
            held: Arc::default(),
        }
    }

    /// Gives services addresses and ports of these ranges; `held` has what those of the cache hold.
    #[must_use]
    pub fn with_services(self, ranges: Ranges, held: Arc<Held>) -> Self {
        Self {
            ranges: Some(Arc::new(ranges)),
            held,
            ..self
        }
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

    /// Where all keys begin.
    pub fn root(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.root)
    }

    /// What services are given.
    pub fn ranges(&self) -> Option<&Ranges> {
        self.ranges.as_deref()
    }

    fn table(&self, target: &Target) -> Result<&Arc<Table>, Status> {
        self.cache
            .table(target.resource.storage)
            .ok_or_else(Status::no_such_path)
    }

    /// Whether a list of the target has more objects than so many.
    pub fn has_more_than(&self, many: usize, target: &Target) -> bool {
        let prefix = self.prefix(target);
        self.table(target).is_ok_and(|table| table.has_more_than(many, &prefix))
    }

    /// The key of an object in the store.
    pub fn key(&self, target: &Target) -> Bytes {
        target.key(&self.root)
    }

    fn prefix(&self, target: &Target) -> Vec<u8> {
        target.prefix(&self.root)
    }
}
