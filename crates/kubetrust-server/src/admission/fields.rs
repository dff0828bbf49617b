//! Reading and writing the fields of an object that may have any shape: admission stands before validation.

use serde_json::{Map, Value};

/// The elements of a field that is a list; none where it is not there.
pub(super) fn each<'a>(value: &'a Value, field: &str) -> std::slice::Iter<'a, Value> {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// A field that is text; empty where it is not there.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// `spec`, made if it is not there. `None` where it is something else, which validation refuses.
pub(super) fn spec_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let spec = object.as_object_mut()?.entry("spec").or_insert(Value::Null);
    if spec.is_null() {
        *spec = Value::Object(Map::new());
    }
    spec.as_object_mut()
}

/// A list, made if it is not there. `None` where it is something else.
pub(super) fn list_mut<'a>(fields: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Vec<Value>> {
    let list = fields.entry(field).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
}

/// Whether two fields are the same: an empty list or map is as good as none. All within counts, unlike in
/// `strategy::same`, to which a label with an empty value is none.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    one == other || (is_nothing(one) && is_nothing(other))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_shape_of_an_object_is_a_panic() {
        for mut object in [
            json!(null),
            json!(1),
            json!("x"),
            json!([]),
            json!({"spec": 1}),
            json!({"spec": []}),
        ] {
            assert!(spec_mut(&mut object).is_none(), "{object}");
        }
        for mut object in [json!({}), json!({"spec": null}), json!({"spec": {}})] {
            let spec = spec_mut(&mut object).unwrap();
            list_mut(spec, "list").unwrap().push(json!(1));
            assert_eq!(object, json!({"spec": {"list": [1]}}));
        }
        let mut other = json!({"list": "x"});
        assert!(list_mut(other.as_object_mut().unwrap(), "list").is_none());
        assert_eq!((each(&other, "list").len(), each(&json!(3), "list").len()), (0, 0));
    }

    #[test]
    fn what_is_empty_is_as_good_as_absent() {
        for (one, other, equal) in [
            (json!(null), json!([]), true),
            (json!({}), json!(null), true),
            (json!([1]), json!([1]), true),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), true),
            (json!([1, 2]), json!([2, 1]), false),
            (json!(null), json!([1]), false),
            (json!(""), json!(null), false),
            (json!({"a": ""}), json!({}), false),
        ] {
            assert_eq!(same(&one, &other), equal, "{one} {other}");
        }
    }
}
