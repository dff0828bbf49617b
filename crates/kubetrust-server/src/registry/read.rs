//! Reading one object.

use std::sync::Arc;

use kubetrust_api::status::Status;

use super::Registry;
use super::object::Object;
use super::options::revision;
use super::target::Target;
use crate::http::query::Query;

impl Registry {
    /// The object, at least as new as `resourceVersion` asks; the newest where it asks for none.
    pub async fn get(&self, target: &Target, query: &Query) -> Result<Arc<Object>, Status> {
        match revision(query.get("resourceVersion"))? {
            None => self.cache.fresh().await?,
            Some(0) => {}
            Some(at_least) => self.cache.wait_for(at_least).await?,
        }
        self.cached(target).ok_or_else(|| target.not_found())
    }

    /// The object as the cache has it, which may lag behind the store by a moment.
    pub fn cached(&self, target: &Target) -> Option<Arc<Object>> {
        self.cache.table(target.resource.storage)?.get(&self.key(target))
    }
}
