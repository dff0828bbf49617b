//! The table as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::table::{Absence, Field, Kind, ROOT};
use super::yaml::{self, Data, Node};

/// The spec's JSON Schema (2020-12). Every valid spec whose scalars are strings matches it; what needs more than one
/// field to tell, only [`parse`](super::parse) tells.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kubetrust cluster spec",
    });
    merge(&mut schema, kind_schema(&ROOT, true));
    schema
}

/// `nullable`: where null stands for the default.
fn kind_schema(kind: &Kind, nullable: bool) -> Value {
    let kind_of = |name: &str| if nullable { json!([name, "null"]) } else { json!(name) };
    match kind {
        Kind::Object(fields) => {
            let properties: Map<_, _> = fields
                .iter()
                .map(|field| (field.name.to_owned(), field_schema(field)))
                .collect();
            let mut schema = json!({
                "type": kind_of("object"),
                "properties": properties,
                "additionalProperties": false,
            });
            let required: Vec<_> = fields
                .iter()
                .filter(|field| matches!(field.absence, Absence::Required))
                .map(|field| field.name)
                .collect();
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            schema
        }
        Kind::List { item, min, max } => {
            let mut schema = json!({ "type": kind_of("array"), "items": kind_schema(item, false) });
            if matches!(item, Kind::Text(_)) {
                schema["uniqueItems"] = json!(true);
            }
            if *min > 0 {
                schema["minItems"] = json!(min);
            }
            if *max < usize::MAX {
                schema["maxItems"] = json!(max);
            }
            schema
        }
        Kind::Text(format) => {
            let mut schema = json!({ "type": kind_of("string") });
            if !format.choices.is_empty() {
                let names = format.choices.iter().map(|choice| json!(choice.name));
                schema["enum"] = names.chain(nullable.then_some(Value::Null)).collect();
            }
            if let Some(pattern) = format.pattern {
                schema["pattern"] = json!(pattern);
            }
            schema
        }
    }
}

fn field_schema(field: &Field) -> Value {
    let mut schema = json!({ "description": description(field) });
    merge(
        &mut schema,
        kind_schema(&field.kind, !matches!(field.absence, Absence::Required)),
    );
    if let Absence::Default(yaml) = field.absence
        && let Ok(default) = yaml::read(yaml)
    {
        schema["default"] = json_value(&default);
    }
    schema
}

/// The field's doc, its values' docs, and what its absence means.
fn description(field: &Field) -> String {
    let mut text = field.doc.to_owned();
    if let Kind::Text(format)
    | Kind::List {
        item: Kind::Text(format),
        ..
    } = &field.kind
        && format.choices.len() > 1
    {
        for choice in format.choices {
            text.extend(["\n- `", choice.name, "`: ", choice.doc]);
        }
    }
    if let Absence::Means(meaning) = field.absence {
        text.extend(["\nDefault: ", meaning, "."]);
    }
    text
}

fn json_value(node: &Node) -> Value {
    match &node.data {
        Data::Null => Value::Null,
        Data::Text(text) => json!(text),
        Data::List(items) => items.iter().map(json_value).collect(),
        Data::Mapping(entries) => entries
            .iter()
            .map(|entry| (entry.name.to_string(), json_value(&entry.value)))
            .collect(),
    }
}

/// Appends the fields of `more` to those of `schema`.
fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}
