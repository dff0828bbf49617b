//! JSON merge patch (RFC 7386), with what `evanphx/json-patch` adds: nulls in new objects are dropped at any depth.

use serde_json::{Map, Value};

/// The object as changed by this patch.
#[must_use]
pub fn apply(object: Value, patch: &Value) -> Value {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => Value::Object(merge(object, patch)),
        (Value::Object(_), other) => other.clone(),
        (_, other) => pruned(other),
    }
}

fn merge(mut object: Map<String, Value>, patch: &Map<String, Value>) -> Map<String, Value> {
    let mut removes = false;
    for (key, value) in patch {
        if value.is_null() {
            removes = true;
            continue;
        }
        match object.get_mut(key) {
            Some(old) => *old = apply(old.take(), value),
            None => drop(object.insert(key.clone(), pruned(value))),
        }
    }
    if removes {
        // All at once: one removal moves all members behind it.
        object.retain(|key, _| !patch.get(key).is_some_and(Value::is_null));
    }
    object
}

/// Without the fields that are null. Items of lists stay.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), pruned(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches_do_what_rfc_7386_says() {
        for (object, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (
                json!({"a": 1}),
                json!({"a": {"b": null, "c": [{"d": null}, null]}}),
                json!({"a": {"c": [{}, null]}}),
            ),
        ] {
            assert_eq!(apply(object.clone(), &patch), result, "{object} {patch}");
        }
    }
}
