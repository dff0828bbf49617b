//! Reading an object's fields as Go reads its structs: what is absent is empty, zero or false.

use serde_json::{Map, Value};

/// The value at a JSON pointer; null is none. The fields that are read have no `~` and no `/` in their names, which
/// pointers would have to escape.
pub fn get<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    debug_assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer}");
    let mut names = pointer.split('/').skip(1);
    let found = names.try_fold(object, |at, name| at.as_object()?.get(name));
    found.filter(|value| !value.is_null())
}

/// A text, or empty.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    get(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list, or empty.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    get(object, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A map, if it is there.
pub fn map<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    get(object, pointer)?.as_object()
}

/// A number, if it is there.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    get(object, pointer)?.as_i64()
}

/// A truth value, or false.
pub fn flag(object: &Value, pointer: &str) -> bool {
    get(object, pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// A map as Go prints it: keys sorted; `null` if there is none.
pub fn sorted(map: Option<&Map<String, Value>>) -> Value {
    let Some(map) = map else { return Value::Null };
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    Value::Object(
        entries
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}
