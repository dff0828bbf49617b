//! What a client leaves out is filled in as kube-apiserver does (`pkg/apis/*/*/defaults.go` and the `+default` markers of
//! the types). Most of it is tables: a place, a field, a value; the rest is a function for a kind.

mod kinds;
mod pod;
mod rows;

use serde_json::{Map, Value};

use crate::resource::Resource;
use rows::Row;

type Object = Map<String, Value>;

/// How the objects of one kind are completed.
struct Defaults {
    group: &'static str,
    kind: &'static str,
    /// Where its pod spec stands, if it has one: `spec.template.spec`.
    pod_spec: &'static str,
    rows: &'static [Row],
    /// What a table can't say.
    more: fn(&Resource, &mut Object),
}

/// Completes an object of this resource. Does nothing to what is no object.
pub fn apply(resource: &Resource, object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let defaults = kinds::TABLE
        .iter()
        .find(|row| row.group == resource.group && row.kind == resource.kind);
    let Some(defaults) = defaults else { return };
    rows::apply(object, defaults.rows);
    if !defaults.pod_spec.is_empty() {
        rows::each(object, defaults.pod_spec, &mut pod::spec);
    }
    (defaults.more)(resource, object);
}

#[cfg(test)]
mod tests;
