//! Makes a value what the schema says: what Go's decoder into the kind's struct would make of it. Unknown fields and
//! nulls are dropped, quantities and times are written canonically, and what has the wrong type is refused.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    quantity::Quantity,
    tree::{DEPTH_MAX, STRICT_FAULTS_MAX},
};
use crate::{
    meta,
    schema::{self, Format, Schema, Type},
    validate::field::go_quoted,
};

/// Drops what the schema does not know and tells it: `unknown field "spec.foo"`. The error is worded as Go's decoder
/// words it.
pub fn conform(value: &mut Value, schema: &Schema) -> Result<Vec<String>, String> {
    let mut walk = Walk {
        path: Vec::new(),
        unknown: Vec::new(),
        owner: None,
    };
    walk.value(value, schema)?;
    Ok(walk.unknown)
}

struct Walk<'s> {
    path: Vec<Part>,
    unknown: Vec<String>,
    /// The object that has the field that is looked at.
    owner: Option<&'s Schema>,
}

enum Part {
    Field(String),
    Index(usize),
}

impl<'s> Walk<'s> {
    fn value(&mut self, value: &mut Value, schema: &'s Schema) -> Result<(), String> {
        if self.path.len() > DEPTH_MAX {
            return Err("exceeded max depth".into());
        }
        match schema.kind {
            Type::Any => Ok(()),
            Type::Object => self.object(value, schema),
            Type::Array => self.array(value, schema),
            Type::String => self.string(value, schema),
            Type::Integer => self.integer(value, schema),
            Type::Number => self.expect(value.is_number(), value, schema),
            Type::Boolean => self.expect(value.is_boolean(), value, schema),
            Type::IntOrString => int_or_string(value),
            Type::Quantity => quantity(value),
        }
    }

    fn object(&mut self, value: &mut Value, schema: &'s Schema) -> Result<(), String> {
        self.expect(value.is_object(), value, schema)?;
        let Value::Object(map) = value else { return Ok(()) };
        if let Some(values) = schema.values_of_map() {
            return self.map(map, values);
        }
        let keeps_unknown = schema.is_open();
        let before = self.owner.replace(schema);
        let dropped = |value: &Value, field: &Schema| value.is_null() && !field.nullable && field.kind != Type::Any;
        let mut all_kept = true;
        for (name, value) in map.iter_mut() {
            match schema.property(name) {
                None if keeps_unknown => {}
                None => {
                    all_kept = false;
                    if self.unknown.len() < STRICT_FAULTS_MAX {
                        let path = self.strict_path(name);
                        self.unknown.push(format!("unknown field {}", go_quoted(&path)));
                    }
                }
                Some(field) if dropped(value, field) => all_kept = false,
                Some(field) => {
                    self.path.push(Part::Field(name.clone()));
                    self.value(value, field)?;
                    self.path.pop();
                }
            }
        }
        self.owner = before;
        if !all_kept {
            map.retain(|name, value| {
                schema
                    .property(name)
                    .map_or(keeps_unknown, |field| !dropped(value, field))
            });
        }
        Ok(())
    }

    fn map(&mut self, map: &mut Map<String, Value>, values: &'s Schema) -> Result<(), String> {
        for (key, value) in map.iter_mut() {
            self.path.push(Part::Field(key.clone()));
            self.item(value, values)?;
            self.path.pop();
        }
        Ok(())
    }

    fn array(&mut self, value: &mut Value, schema: &'s Schema) -> Result<(), String> {
        self.expect(value.is_array(), value, schema)?;
        let (Value::Array(items), Some(of)) = (value, schema.items()) else {
            return Ok(());
        };
        for (index, item) in items.iter_mut().enumerate() {
            self.path.push(Part::Index(index));
            self.item(item, of)?;
            self.path.pop();
        }
        Ok(())
    }

    /// A null item of a list or map is Go's zero value.
    fn item(&mut self, value: &mut Value, schema: &'s Schema) -> Result<(), String> {
        // The zero value of a time is null.
        if value.is_null() && matches!(schema.format, Format::DateTime | Format::MicroTime) {
            return Ok(());
        }
        if value.is_null() && !schema.nullable {
            *value = match schema.kind {
                Type::Object => Value::Object(Map::new()),
                Type::Array => Value::Array(Vec::new()),
                Type::String => Value::String(String::new()),
                Type::Integer | Type::Number | Type::IntOrString => Value::from(0),
                Type::Boolean => Value::Bool(false),
                Type::Quantity => Value::from("0"),
                Type::Any => Value::Null,
            };
        }
        self.value(value, schema)
    }

    fn string(&mut self, value: &mut Value, schema: &'s Schema) -> Result<(), String> {
        let Value::String(text) = value else {
            return self.expect(false, value, schema);
        };
        match schema.format {
            Format::Byte => {
                // Go's decoder skips line breaks.
                if text.contains(['\r', '\n']) {
                    text.retain(|character| !matches!(character, '\r' | '\n'));
                }
                STANDARD
                    .decode(text.as_bytes())
                    .map_err(|error| base64_fault(&error, text.len()))?;
            }
            Format::DateTime => {
                let time = meta::parse_time(text).ok_or_else(|| time_fault(text, "2006-01-02T15:04:05Z07:00"))?;
                *text = meta::time(time);
            }
            Format::MicroTime => {
                let layout = "2006-01-02T15:04:05.000000Z07:00";
                *text = meta::micro_time(meta::parse_micro_time(text).ok_or_else(|| time_fault(text, layout))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn integer(&mut self, value: &Value, schema: &'s Schema) -> Result<(), String> {
        let Value::Number(number) = value else {
            return self.expect(false, value, schema);
        };
        let fits = match (schema.format, number.as_i64()) {
            (_, None) => false,
            (Format::Int32, Some(number)) => i32::try_from(number).is_ok(),
            (_, Some(_)) => true,
        };
        if fits {
            return Ok(());
        }
        Err(self.mismatch(&format!("number {number}"), schema))
    }

    fn expect(&self, fits: bool, value: &Value, schema: &Schema) -> Result<(), String> {
        if fits {
            Ok(())
        } else {
            Err(self.mismatch(json_type(value), schema))
        }
    }

    /// `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`
    fn mismatch(&self, found: &str, schema: &Schema) -> String {
        let path: Vec<&str> = self
            .path
            .iter()
            .filter_map(|part| match part {
                Part::Field(name) => Some(name.as_str()),
                Part::Index(_) => None,
            })
            .collect();
        let owner = self
            .owner
            .and_then(definition_name)
            .map_or("", |name| name.rsplit('.').next().unwrap_or_default());
        let wanted = go_type(schema);
        if path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {wanted}");
        }
        format!(
            "json: cannot unmarshal {found} into Go struct field {owner}.{} of type {wanted}",
            path.join(".")
        )
    }

    fn strict_path(&self, name: &str) -> String {
        let mut path = String::new();
        for part in &self.path {
            match part {
                Part::Field(name) if path.is_empty() => path.push_str(name),
                Part::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Part::Index(index) => {
                    // Writing to a String does not fail.
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        path
    }
}

fn int_or_string(value: &Value) -> Result<(), String> {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => Ok(()),
        Value::Number(number) => Err(format!(
            "json: cannot unmarshal number {number} into Go value of type int32"
        )),
        other => Err(format!(
            "json: cannot unmarshal {} into Go value of type int32",
            json_type(other)
        )),
    }
}

fn quantity(value: &mut Value) -> Result<(), String> {
    let text = match &*value {
        Value::String(text) => text.trim().to_owned(),
        _ => value.to_string(),
    };
    let quantity = Quantity::parse(&text).map_err(|why| why.to_string())?;
    *value = Value::String(quantity.to_string());
    Ok(())
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The Go type that upstream has for a schema.
fn go_type(schema: &Schema) -> String {
    match (schema.kind, schema.format) {
        (Type::String, Format::Byte) => "[]uint8".into(),
        (Type::String, Format::DateTime) => "v1.Time".into(),
        (Type::String, Format::MicroTime) => "v1.MicroTime".into(),
        (Type::String, _) => "string".into(),
        (Type::Integer, Format::Int32) => "int32".into(),
        (Type::Integer, _) => "int64".into(),
        (Type::Number, _) => "float64".into(),
        (Type::Boolean, _) => "bool".into(),
        (Type::IntOrString, _) => "intstr.IntOrString".into(),
        (Type::Quantity, _) => "resource.Quantity".into(),
        (Type::Array, _) => format!("[]{}", schema.items().map_or("interface {}".into(), go_type)),
        (Type::Any, _) => "interface {}".into(),
        (Type::Object, _) => {
            if let Some(values) = schema.values_of_map() {
                return format!("map[string]{}", go_type(values));
            }
            let name = definition_name(schema).unwrap_or("map[string]interface {}");
            // `io.k8s.api.core.v1.PodSpec` is `v1.PodSpec`.
            let from = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
            name.get(from..).unwrap_or(name).to_owned()
        }
    }
}

/// The name of the definition that this schema is. Slow: for messages only.
fn definition_name(schema: &Schema) -> Option<&'static str> {
    schema::names().find(|name| schema::lookup(name).is_some_and(|known| std::ptr::eq(known, schema)))
}

fn base64_fault(error: &base64::DecodeError, length: usize) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => *at,
        _ => length,
    };
    format!("illegal base64 data at input byte {at}")
}

fn time_fault(text: &str, layout: &str) -> String {
    let text = go_quoted(text);
    format!(
        "parsing time {text} as {}: cannot parse {text} as \"2006\"",
        go_quoted(layout)
    )
}
