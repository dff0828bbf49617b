//! What `kubectl get` shows: objects as rows of a table (`meta.k8s.io/v1 Table`), or only their metadata.

mod age;
mod cells;
mod columns;
mod selector;
mod view;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::resource::Resource;
use columns::Column;
use view::View;

/// What a row carries of its object besides the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

const API_VERSION: &str = "meta.k8s.io/v1";

/// The objects of a resource as a table, with the columns that kube-apiserver has for it, wide ones too: clients leave
/// out those of priority 1. Ages are those at `now`.
///
/// Of one object, the table has its resource version; of a list, the caller adds the list's metadata.
#[must_use]
pub fn table(resource: &Resource, objects: &[&Value], now: Timestamp, include: Include) -> Value {
    table_of_kind(resource.group, resource.kind, objects, now, include)
}

/// As [`table`], for objects of a kind that no resource has, as a subresource's `Scale`.
#[must_use]
pub fn table_of_kind(group: &str, kind: &str, objects: &[&Value], now: Timestamp, include: Include) -> Value {
    let columns = columns::of_kind(group, kind);
    let definitions: Vec<Value> = columns.iter().map(definition).collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(columns, object, now, include))
        .collect();
    let version = match objects {
        [one] => one.get("metadata").and_then(|metadata| metadata.get("resourceVersion")),
        _ => None,
    };
    json!({
        "kind": "Table",
        "apiVersion": API_VERSION,
        "metadata": version.map_or_else(|| json!({}), |version| json!({"resourceVersion": version})),
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

/// The metadata of an object, as `PartialObjectMetadata`.
#[must_use]
pub fn partial(object: &Value) -> Value {
    let metadata = object
        .get("metadata")
        .cloned()
        .unwrap_or_else(|| Value::Object(Map::new()));
    json!({"kind": "PartialObjectMetadata", "apiVersion": API_VERSION, "metadata": metadata})
}

/// The metadata of objects, as `PartialObjectMetadataList`. The caller adds the list's own metadata.
#[must_use]
pub fn partial_list(objects: &[&Value]) -> Value {
    let items: Vec<Value> = objects.iter().map(|object| partial(object)).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": API_VERSION, "metadata": {}, "items": items})
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": column.description(),
        "priority": column.priority,
    })
}

fn row(columns: &[Column], object: &Value, now: Timestamp, include: Include) -> Value {
    let view = View { object, now };
    let cells: Vec<Value> = columns.iter().map(|column| column.cell.value(&view)).collect();
    let mut row = json!({"cells": cells});
    let conditions = cells::pod::conditions(&view);
    if !conditions.is_null() {
        row["conditions"] = conditions;
    }
    row["object"] = match include {
        Include::Metadata => partial(object),
        Include::Object => object.clone(),
        Include::None => Value::Null,
    };
    row
}

#[cfg(test)]
mod tests;
