//! An object as cells read it: what is not there, or has another type, is empty.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use crate::meta;

/// What stands for a list or a text that is empty.
pub(super) const NONE: &str = "<none>";
/// What stands for an option that is not set.
pub(super) const UNSET: &str = "<unset>";

/// An object at a time.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub object: &'a Value,
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// The part of the object at a path, as `spec.containers`.
    pub(super) fn at(&self, path: &str) -> &'a Value {
        at(self.object, path)
    }

    /// The same time, another object.
    pub(super) fn of(&self, object: &'a Value) -> Self {
        Self { object, now: self.now }
    }

    pub(super) fn text(&self, path: &str) -> &'a str {
        text(self.object, path)
    }

    pub(super) fn text_or(&self, path: &str, otherwise: &'a str) -> &'a str {
        or(self.text(path), otherwise)
    }

    pub(super) fn number(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or_default()
    }

    pub(super) fn is(&self, path: &str) -> bool {
        self.at(path).as_bool().unwrap_or_default()
    }

    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        list(self.object, path)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&'a str> {
        self.at("metadata.annotations").get(name)?.as_str()
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.at("metadata.deletionTimestamp").is_string()
    }

    pub(super) fn time(&self, path: &str) -> Option<Timestamp> {
        time(self.object, path)
    }

    /// How long ago the time at a path was.
    pub(super) fn since(&self, path: &str) -> String {
        age::since(self.time(path), self.now)
    }

    /// The condition of a type.
    pub(super) fn condition(&self, kind: &str) -> Option<&'a Value> {
        self.list("status.conditions")
            .iter()
            .find(|condition| text(condition, "type") == kind)
    }

    /// Whether there is a condition of this type and it is true.
    pub(super) fn has_condition(&self, kind: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| text(condition, "status") == "True")
    }
}

/// The part of a value at a path.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .try_fold(value, |value, field| value.get(field))
        .unwrap_or(&Value::Null)
}

pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn time(value: &Value, path: &str) -> Option<Timestamp> {
    meta::parse_time(at(value, path).as_str()?)
}

pub(super) fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// A text, number or quantity as it is written.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The text of a field of each item.
pub(super) fn join(items: &[Value], field: &str, separator: &str) -> String {
    items
        .iter()
        .map(|item| text(item, field))
        .collect::<Vec<_>>()
        .join(separator)
}

/// The texts of a list.
pub(super) fn join_texts(items: &[Value]) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// `key=value,…`, sorted, or `<none>`.
pub(super) fn labels(map: &Value) -> String {
    let sorted: BTreeMap<&str, String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), plain(value)))
        .collect();
    let terms: Vec<String> = sorted
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    or(&terms.join(","), NONE).to_owned()
}

/// The first few, and how many more there are.
pub(super) fn first_of(all: &[String], most: usize, separator: &str) -> String {
    let shown = all.get(..most).unwrap_or(all).join(separator);
    match all.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}
