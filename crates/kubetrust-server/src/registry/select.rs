//! Which objects a list or a watch is about: its label and field selectors.

use kubetrust_api::resource::Resource;
use kubetrust_api::select::{Fields, Labels};
use kubetrust_api::status::Status;
use serde_json::Value;

use super::object::Object;
use crate::http::query::Query;

/// The selectors of a request.
#[derive(Debug)]
pub struct Selection {
    resource: &'static Resource,
    labels: Labels,
    fields: Fields,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub fn of(resource: &'static Resource, query: &Query) -> Result<Self, Status> {
        Ok(Self {
            resource,
            labels: Labels::parse(query.get("labelSelector"))?,
            fields: Fields::parse(query.get("fieldSelector"), resource)?,
        })
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether this object is selected.
    pub fn has(&self, object: &Object) -> bool {
        self.is_everything() || self.has_value(&object.parse())
    }

    /// Whether this object is selected.
    pub fn has_value(&self, value: &Value) -> bool {
        self.labels.matches(&value["metadata"]["labels"]) && self.fields.matches(self.resource, value)
    }
}
