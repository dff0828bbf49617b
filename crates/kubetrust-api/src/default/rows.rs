//! Rows of defaults: where, which field, what.

use serde_json::{Map, Value, json};

/// A field that gets a value where it has none.
pub struct Row {
    /// The object that has the field: `spec.ports.*`, where `*` is every item of a list. Objects on the way that are not
    /// there are made only where the path ends in `!`.
    pub at: &'static str,
    /// The field.
    pub field: &'static str,
    /// What it gets.
    pub value: Default,
}

/// What a field gets.
#[derive(Clone, Copy)]
pub enum Default {
    /// A text, also where it is empty.
    Text(&'static str),
    /// A number.
    Int(i64),
    /// A number, also where it is 0.
    NonZero(i64),
    /// True or false.
    Bool(bool),
    /// An empty object.
    Object,
    /// A list of one text, also where it is empty.
    List(&'static str),
}

/// A row.
pub const fn row(at: &'static str, field: &'static str, value: Default) -> Row {
    Row { at, field, value }
}

/// Applies all rows, in their order.
pub fn apply(object: &mut Map<String, Value>, rows: &[Row]) {
    for row in rows {
        each(object, row.at, &mut |at| set(at, row.field, row.value));
    }
}

/// Fills the field if it is empty.
pub fn set(object: &mut Map<String, Value>, field: &str, default: Default) {
    let now = object.get(field).unwrap_or(&Value::Null);
    let empty = match default {
        Default::Text(_) => now.as_str().is_none_or(str::is_empty) && (now.is_null() || now.is_string()),
        Default::NonZero(_) => now.is_null() || now.as_i64() == Some(0),
        Default::List(_) => now.is_null() || now.as_array().is_some_and(Vec::is_empty),
        Default::Int(_) | Default::Bool(_) | Default::Object => now.is_null(),
    };
    if empty {
        let value = match default {
            Default::Text(text) => json!(text),
            Default::Int(number) | Default::NonZero(number) => json!(number),
            Default::Bool(flag) => json!(flag),
            Default::Object => json!({}),
            Default::List(text) => json!([text]),
        };
        object.insert(field.to_owned(), value);
    }
}

/// Every object at the path. The path has a fixed length, so the recursion has too.
pub fn each(object: &mut Map<String, Value>, path: &str, then: &mut dyn FnMut(&mut Map<String, Value>)) {
    if path.is_empty() {
        return then(object);
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let (name, make) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    if make && object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), json!({}));
    }
    match object.get_mut(name) {
        Some(Value::Object(below)) => match rest.strip_prefix("%") {
            // Every value of a map.
            Some(rest) => {
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                for value in below.values_mut().filter_map(Value::as_object_mut) {
                    each(value, rest, then);
                }
            }
            None => each(below, rest, then),
        },
        Some(Value::Array(items)) => {
            let Some(rest) = rest.strip_prefix('*') else { return };
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                each(item, rest, then);
            }
        }
        _ => {}
    }
}
