//! Claims of volumes: the kubelet reports that one has grown.

use std::collections::BTreeSet;

use kubetrust_api::status::Status;
use serde_json::Value;

use super::Asked;
use crate::admission::Verb;
use crate::admission::fields::same;

/// What may differ, and what does not count.
const FREE: [(&str, &str); 6] = [
    ("metadata", "managedFields"),
    ("metadata", "resourceVersion"),
    ("status", "allocatedResourceStatuses"),
    ("status", "allocatedResources"),
    ("status", "capacity"),
    ("status", "conditions"),
];

pub(super) fn status(asked: Asked<'_>) -> Result<(), Status> {
    let (Verb::Update, Some(old)) = (asked.operation.verb, asked.operation.old) else {
        return Err(asked.unexpected());
    };
    let changed = changes(old, &asked.operation.object);
    if changed.is_empty() {
        return Ok(());
    }
    let node = asked.quoted();
    let why = format!("node {node} is not allowed to update fields other than status.quantity and status.conditions");
    Err(asked.forbidden(&format!("{why}: {}", changed.join(", "))))
}

/// The fields that differ, two levels deep.
fn changes(old: &Value, new: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    for part in names(old, new) {
        let (old, new) = (&old[part], &new[part]);
        if !(old.is_object() || old.is_null()) || !(new.is_object() || new.is_null()) {
            changed.extend((old != new).then(|| part.to_owned()));
            continue;
        }
        let counted = names(old, new)
            .into_iter()
            .filter(|field| !FREE.contains(&(part, field)));
        changed.extend(
            counted
                .filter(|field| !same(&old[*field], &new[*field]))
                .map(|field| format!("{part}.{field}")),
        );
    }
    changed
}

fn names<'a>(one: &'a Value, other: &'a Value) -> BTreeSet<&'a str> {
    let fields = [one, other].into_iter().filter_map(Value::as_object);
    fields.flat_map(serde_json::Map::keys).map(String::as_str).collect()
}
