//! `OpenAPI` v3, a document for each group version.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Packed;
use super::operations::{self, Body, Operation, Path};
use super::parameters::{self, EVERYWHERE};
use super::v2::{OBJECTS, PATCHES, WATCH};
use crate::resource::GROUPS;
use crate::schema::{self, REFERENCE};

/// Types that may be written in two ways, and the JSON types of these (`OneOfOpenAPIDefinition` upstream).
const EITHER: [(&str, [&str; 2]); 2] = [
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", ["string", "number"]),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", ["integer", "string"]),
];

/// Every document, by its path.
pub(super) fn documents() -> BTreeMap<String, Packed> {
    let definitions: Map<String, Value> = serde_json::from_str(&schema::document()).unwrap_or_default();
    GROUPS
        .iter()
        .flat_map(|group| group.versions.iter().map(|(version, _)| (group.name, *version)))
        .map(|(group, version)| {
            let document = document(group, version, &definitions).to_string();
            (operations::prefix(group, version), Packed::of(document.as_bytes()))
        })
        .collect()
}

fn document(group: &str, version: &str, definitions: &Map<String, Value>) -> Value {
    let tag = operations::tag(group, version);
    let found = operations::of(group, version);
    let schemas: Map<String, Value> = needed(&found, definitions)
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), definition(name, definitions.get(name)?))))
        .collect();
    let paths: Map<String, Value> = found
        .iter()
        .map(|path| (path.pattern.clone(), path_item(path, &tag)))
        .collect();
    json!({"openapi": "3.0.0", "info": super::info(), "paths": paths, "components": {"schemas": schemas}})
}

/// The definitions that the operations refer to, and those that these refer to.
fn needed<'a>(paths: &[Path], definitions: &'a Map<String, Value>) -> BTreeSet<&'a str> {
    let operations = paths.iter().flat_map(|path| &path.operations);
    let mut left: Vec<&str> = operations
        .flat_map(|operation| operation.answer.into_iter().chain(operation.body.definition()))
        .collect();
    let mut needed = BTreeSet::new();
    while let Some(name) = left.pop() {
        if let Some((name, definition)) = definitions.get_key_value(name)
            && needed.insert(name.as_str())
        {
            references(definition, &mut left);
        }
    }
    needed
}

fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("$ref")
                    .and_then(Value::as_str)
                    .and_then(|to| to.strip_prefix(REFERENCE)),
            );
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn definition(name: &str, schema: &Value) -> Value {
    let mut schema = converted(schema);
    if let (Some((_, types)), Some(fields)) = (EITHER.iter().find(|(known, _)| *known == name), schema.as_object_mut())
    {
        fields.shift_remove("type");
        fields.insert("oneOf".into(), types.iter().map(|kind| json!({"type": kind})).collect());
    }
    schema
}

/// Nothing may stand beside a reference in this version.
fn converted(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let is_alone = fields.len() == 1;
            let convert = |(field, value): (&String, &Value)| match field.as_str() {
                "$ref" if !is_alone => ("allOf".to_owned(), json!([{"$ref": value}])),
                _ => (field.clone(), converted(value)),
            };
            Value::Object(fields.iter().map(convert).collect())
        }
        Value::Array(items) => items.iter().map(converted).collect(),
        other => other.clone(),
    }
}

fn path_item(path: &Path, tag: &str) -> Value {
    let mut item: Map<String, Value> = path
        .operations
        .iter()
        .map(|it| (it.method.to_owned(), operation(it, tag)))
        .collect();
    let names = parameters::PATH
        .iter()
        .filter(|(name, _)| path.names.contains(name))
        .map(|(name, description)| {
            json!({
                "name": name, "in": "path", "description": description, "required": true,
                "schema": {"type": "string", "uniqueItems": true},
            })
        });
    let shared = EVERYWHERE.iter().filter_map(|name| query_parameter(name));
    item.insert("parameters".into(), names.chain(shared).collect());
    Value::Object(item)
}

fn operation(operation: &Operation, tag: &str) -> Value {
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .filter_map(|name| query_parameter(name))
        .collect();
    let (group, version, kind) = operation.kind;
    let mut value = json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [tag],
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": answer(operation)}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    });
    if let Some(body) = body(operation.body) {
        value["requestBody"] = body;
    }
    value
}

fn answer(operation: &Operation) -> Value {
    let Some(name) = operation.answer else {
        return json!({"*/*": {"schema": {"type": "string"}}});
    };
    let watch = (operation.action == "list").then_some(WATCH);
    content(OBJECTS.into_iter().chain(watch), name)
}

fn body(body: Body) -> Option<Value> {
    let name = body.definition()?;
    Some(match body {
        Body::Patch => json!({"content": content(PATCHES.into_iter(), name), "required": true}),
        Body::Required(_) => json!({"content": content(["*/*"].into_iter(), name), "required": true}),
        Body::None | Body::Optional(_) => json!({"content": content(["*/*"].into_iter(), name)}),
    })
}

fn content(types: impl Iterator<Item = &'static str>, definition: &str) -> Value {
    let schema = json!({"schema": {"$ref": format!("{REFERENCE}{definition}")}});
    types
        .map(|media_type| (media_type.to_owned(), schema.clone()))
        .collect::<Map<String, Value>>()
        .into()
}

fn query_parameter(name: &str) -> Option<Value> {
    let parameter = parameters::query(name)?;
    Some(json!({
        "name": parameter.name, "in": "query", "description": parameter.description,
        "schema": {"type": parameter.kind, "uniqueItems": true},
    }))
}
