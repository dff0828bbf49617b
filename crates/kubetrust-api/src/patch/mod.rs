//! Changes an object by a patch: RFC 6902, RFC 7386 or Kubernetes' strategic merge.

pub mod json;
pub mod merge;
pub mod strategic;

use serde_json::Value;

use crate::{decode::tree, schema::Schema, status::Status};

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
}

impl Kind {
    /// From a content type without its parameters.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        match content_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            _ => None,
        }
    }
}

/// A patch that has been read, to be applied to whatever the object is by then.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub value: Value,
    /// What Strict refuses and Warn tells: `duplicate field "a"`, `json patch unknown field "[0].x"`.
    pub strict_faults: Vec<String>,
}

/// Reads a patch. 400 if it is none, 413 if it has too many operations.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Patch, Status> {
    let refuse = |why: &str| Status::bad_request(format!("error decoding patch: {why}"));
    let tree = tree::json(bytes).map_err(|why| refuse(&why))?;
    let mut strict_faults: Vec<String> = tree
        .duplicates
        .iter()
        .map(|path| format!("duplicate field {}", crate::validate::field::go_quoted(path)))
        .collect();
    match kind {
        Kind::Json => {
            json::check(&tree.value, &mut strict_faults).map_err(|fault| match fault {
                json::Malformed::Shape(why) => refuse(&why),
                json::Malformed::TooMany(why) => Status::too_large(format!("Request entity is too large: {why}")),
            })?;
            for fault in &mut strict_faults {
                fault.insert_str(0, "json patch ");
            }
        }
        Kind::Merge if tree.value.is_null() => return Err(Status::bad_request("Invalid JSON Patch")),
        Kind::Merge | Kind::Strategic => {
            if let Some(found) = not_a_map(&tree.value) {
                let why = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
                return Err(if kind == Kind::Merge {
                    refuse(&why)
                } else {
                    Status::bad_request(why)
                });
            }
        }
    }
    Ok(Patch {
        kind,
        value: tree.value,
        strict_faults,
    })
}

/// What JSON calls a value that is neither an object nor null.
fn not_a_map(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
    }
}

impl Patch {
    /// The object as changed by this patch. The result is as deep and large as [`tree`] allows, and is yet to be checked
    /// as [`crate::decode`] does. `schema` is that of the object's kind; it says how lists are merged.
    pub fn apply(&self, object: Value, schema: Option<&Schema>) -> Result<Value, Status> {
        match self.kind {
            Kind::Json => json::apply(object, &self.value).map_err(|fault| fault.status()),
            Kind::Merge => Ok(merge::apply(object, &self.value)),
            Kind::Strategic => strategic::apply(object, &self.value, schema).map_err(|fault| fault.status()),
        }
    }
}

/// 422, as upstream words it when a patch does not fit the object: it does not say why.
fn does_not_apply() -> Status {
    let mut status = Status::new(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    status.details = Some(Box::default());
    status
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_patch_is_refused_in_upstreams_words() {
        for (kind, text, code, message) in [
            (
                Kind::Json,
                "{}",
                400,
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            (
                Kind::Json,
                "[1]",
                400,
                "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
            ),
            (
                Kind::Json,
                "[",
                400,
                "error decoding patch: unexpected end of JSON input",
            ),
            (Kind::Merge, "null", 400, "Invalid JSON Patch"),
            (
                Kind::Merge,
                "[]",
                400,
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (
                Kind::Strategic,
                "1",
                400,
                "json: cannot unmarshal number into Go value of type map[string]interface {}",
            ),
        ] {
            let status = read(kind, text.as_bytes()).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (code, message), "{text}");
        }
        let many = format!("[{}{{}}]", "{},".repeat(json::OPERATIONS_MAX));
        let status = read(Kind::Json, many.as_bytes()).unwrap_err();
        assert_eq!(
            (status.code, status.message.as_str()),
            (
                413,
                "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
            )
        );
    }

    #[test]
    fn what_a_patch_says_twice_or_for_nothing_is_told() {
        for (kind, text, faults) in [
            (
                Kind::Json,
                r#"[{"op": "add", "op": "add", "path": "/a", "x": 1}]"#,
                vec![
                    "json patch duplicate field \"[0].op\"",
                    "json patch unknown field \"[0].x\"",
                ],
            ),
            (
                Kind::Merge,
                r#"{"a": {"b": 1, "b": 2}}"#,
                vec!["duplicate field \"a.b\""],
            ),
        ] {
            assert_eq!(read(kind, text.as_bytes()).unwrap().strict_faults, faults);
        }
    }

    #[test]
    fn large_patches_are_applied_one_step_a_member() {
        // One removal at a time would move all members behind it: this test would take a minute.
        const MEMBERS: usize = 100_000;
        let members = |value: &Value| Value::Object((0..MEMBERS).map(|n| (n.to_string(), value.clone())).collect());
        let orders: serde_json::Map<String, Value> = (0..MEMBERS)
            .map(|n| (format!("$setElementOrder/{n}"), json!([])))
            .collect();
        let nothing = members(&Value::Null);
        for (kind, patch, left) in [
            (Kind::Merge, nothing.clone(), 0),
            (Kind::Strategic, nothing, 0),
            (Kind::Strategic, Value::Object(orders), MEMBERS),
        ] {
            let object = members(&json!([]));
            let patched = read(kind, patch.to_string().as_bytes())
                .unwrap()
                .apply(object, None)
                .unwrap();
            assert_eq!(patched.as_object().map(serde_json::Map::len), Some(left));
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!(1)),
            Just(json!("a")),
            Just(json!("delete")),
            Just(json!("replace")),
            Just(json!("merge"))
        ];
        let key = prop_oneof![
            Just("a".to_owned()),
            Just("name".to_owned()),
            Just("spec".to_owned()),
            Just("containers".to_owned()),
            Just("finalizers".to_owned()),
            Just("metadata".to_owned()),
            Just("$patch".to_owned()),
            Just("$retainKeys".to_owned()),
            Just("$setElementOrder/containers".to_owned()),
            Just("$setElementOrder/finalizers".to_owned()),
            Just("$deleteFromPrimitiveList/finalizers".to_owned()),
        ];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((key.clone(), inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn any_operation() -> impl Strategy<Value = Value> {
        let pointer = "(/(a|name|0|1|-|-1|9|~1)){0,3}";
        ("add|remove|replace|move|copy|test|x", pointer, pointer, any_value())
            .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
    }

    proptest! {
        #[test]
        fn no_patch_makes_the_appliers_panic(
            object in any_value(),
            patch in any_value(),
            operations in proptest::collection::vec(any_operation(), 0..6),
        ) {
            let schema = crate::schema::of_kind("", "v1", "Pod");
            for kind in [Kind::Merge, Kind::Strategic] {
                if let Ok(patch) = read(kind, patch.to_string().as_bytes()) {
                    let _ = patch.apply(object.clone(), schema);
                    let _ = patch.apply(object.clone(), None);
                }
            }
            let patch = read(Kind::Json, Value::Array(operations).to_string().as_bytes());
            let _ = patch.map(|patch| patch.apply(object, None));
        }
    }
}
