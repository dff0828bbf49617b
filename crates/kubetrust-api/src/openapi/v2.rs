//! `OpenAPI` v2, one document for all.

use serde_json::{Map, Value, json};

use super::operations::{self, Body, Operation, Path};
use super::parameters::{self, EVERYWHERE, INLINE, Parameter, QUERY};
use crate::resource::GROUPS;
use crate::schema;

/// Where schemas refer to each other in this version.
const REFERENCE: &str = "#/definitions/";

/// Media types of patches.
pub(super) const PATCHES: [&str; 3] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
/// Media types of objects.
pub(super) const OBJECTS: [&str; 2] = ["application/json", "application/yaml"];
/// Media type of a watch.
pub(super) const WATCH: &str = "application/json;stream=watch";

/// The document. The definitions are the schemas as they are kept, so they are not parsed.
pub(super) fn json() -> String {
    let paths: Map<String, Value> = GROUPS
        .iter()
        .flat_map(|group| group.versions.iter().map(|(version, _)| (group.name, *version)))
        .flat_map(|(group, version)| {
            let tag = operations::tag(group, version);
            operations::of(group, version)
                .into_iter()
                .map(move |path| (path.pattern.clone(), path_item(&path, &tag)))
        })
        .collect();
    let shared: Map<String, Value> = QUERY
        .iter()
        .map(|parameter| (parameter.name.to_owned(), query_parameter(parameter)))
        .collect();
    let token = json!({
        "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
    });
    format!(
        "{{\"swagger\":\"2.0\",\"info\":{},\"paths\":{},\"definitions\":{},\"parameters\":{},\
         \"securityDefinitions\":{},\"security\":[{{\"BearerToken\":[]}}]}}",
        super::info(),
        Value::Object(paths),
        schema::document().replace(schema::REFERENCE, REFERENCE),
        Value::Object(shared),
        json!({"BearerToken": token}),
    )
}

fn path_item(path: &Path, tag: &str) -> Value {
    let mut item: Map<String, Value> = path
        .operations
        .iter()
        .map(|it| (it.method.to_owned(), operation(it, tag)))
        .collect();
    let names = parameters::PATH.iter().filter(|(name, _)| path.names.contains(name)).map(|(name, description)| {
        json!({
            "name": name, "in": "path", "description": description, "required": true, "type": "string", "uniqueItems": true,
        })
    });
    let shared = EVERYWHERE.iter().map(|name| parameter(name));
    item.insert("parameters".into(), names.chain(shared).collect());
    Value::Object(item)
}

fn operation(operation: &Operation, tag: &str) -> Value {
    let body = body(operation.body);
    let parameters: Vec<Value> = body
        .into_iter()
        .chain(operation.parameters.iter().map(|name| parameter(name)))
        .collect();
    let mut produces = OBJECTS.to_vec();
    if operation.action == "list" {
        produces.push(WATCH);
    }
    let consumes = match operation.body {
        Body::Patch => PATCHES.as_slice(),
        _ => &["*/*"],
    };
    let answer = match operation.answer {
        Some(name) => reference(name),
        None => json!({"type": "string"}),
    };
    let (group, version, kind) = operation.kind;
    json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [tag],
        "schemes": ["https"],
        "consumes": consumes,
        "produces": produces,
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "schema": answer},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    })
}

fn body(body: Body) -> Option<Value> {
    let schema = reference(body.definition()?);
    let mut parameter = json!({"name": "body", "in": "body", "schema": schema});
    if !matches!(body, Body::Optional(_)) {
        parameter["required"] = true.into();
    }
    Some(parameter)
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{REFERENCE}{name}")})
}

fn parameter(name: &str) -> Value {
    match parameters::query(name) {
        Some(parameter) if INLINE.contains(&name) => query_parameter(parameter),
        _ => json!({"$ref": format!("#/parameters/{name}")}),
    }
}

fn query_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": "query", "description": parameter.description, "type": parameter.kind,
        "uniqueItems": true,
    })
}
