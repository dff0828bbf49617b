//! Which objects a list or a watch is about: its label and field selectors, or the one name of its path.

use kubetrust_api::meta;
use kubetrust_api::resource::Resource;
use kubetrust_api::select::{field, label};
use kubetrust_api::status::Status;
use serde_json::Value;

use super::object::Object;
use crate::http::query::Query;

/// The selectors of a request.
#[derive(Debug)]
pub struct Selection {
    fields: &'static [field::Field],
    by_label: label::Selector,
    by_field: field::Selector,
    name: String,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`; `name` is that of a path which names one object, or empty.
    pub fn of(resource: &'static Resource, query: &Query, name: &str) -> Result<Self, Status> {
        let fields = field::fields(resource);
        Ok(Self {
            fields,
            by_label: label::Selector::parse(query.get("labelSelector"))?,
            by_field: field::Selector::parse(query.get("fieldSelector"), fields)?,
            name: name.to_owned(),
        })
    }

    /// Whether every object is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.by_label.is_everything() && self.by_field.is_everything() && self.name.is_empty()
    }

    /// Whether this object is selected.
    pub fn has(&self, object: &Object) -> bool {
        self.is_everything() || self.has_value(&object.parse())
    }

    /// Whether this object is selected.
    #[must_use]
    pub fn has_value(&self, value: &Value) -> bool {
        (self.name.is_empty() || meta::name(value) == self.name)
            && self.by_label.matches_object(value)
            && self.by_field.matches(value, self.fields)
    }
}
