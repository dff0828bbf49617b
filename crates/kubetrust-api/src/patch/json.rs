//! JSON patch (RFC 6902), as `evanphx/json-patch` v4 understands it: `replace` also adds, negative indices count from
//! the end, a missing member of an object equals null. Bounded, because `copy` doubles what is there each time.

use serde_json::{Map, Value};

use crate::{decode::tree::DEPTH_MAX, status::Status};

/// Most operations of one patch (`maxJSONPatchOperations`).
pub const OPERATIONS_MAX: usize = 10_000;
/// How much the `copy` operations of a patch may add, in bytes (`JSONPatchMaxCopyBytes`).
pub const COPY_MAX: usize = 3 * 1024 * 1024;
/// How many items of lists and objects the operations of a patch may move aside, all together: some 100 ms.
pub const SHIFTS_MAX: usize = 50_000_000;

/// Why some JSON is no JSON patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a list of operations.
    #[error("{0}")]
    Shape(String),
    /// Too many operations.
    #[error("{0}")]
    TooMany(String),
}

/// Why a patch does not apply. Clients are not told: see [`Fault::status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No operation of this name.
    #[error("Unexpected kind: {0}")]
    UnknownOperation(String),
    /// The operation has no `path` or `from`, or it is not text.
    #[error("{operation} operation failed to decode {field}: missing value")]
    NoPath {
        /// `add`, `remove`…
        operation: &'static str,
        /// `path` or `from`.
        field: &'static str,
    },
    /// Nothing holds what the path leads to.
    #[error("{operation} operation does not apply: doc is missing path: {path:?}: missing value")]
    MissingPath {
        /// `add`, `remove`…
        operation: &'static str,
        /// The path.
        path: String,
    },
    /// The object has no such member.
    #[error("error in {operation} for path: '{path}': missing value")]
    MissingValue {
        /// `add`, `remove`…
        operation: &'static str,
        /// The path.
        path: String,
    },
    /// The list has no such index.
    #[error("error in {operation} for path: '{path}': invalid index referenced")]
    InvalidIndex {
        /// `add`, `remove`…
        operation: &'static str,
        /// The path.
        path: String,
    },
    /// `test` found another value.
    #[error("testing value {0} failed: test failed")]
    TestFailed(String),
    /// The whole can only be replaced by an object or a list.
    #[error("replace operation value must be object or array")]
    NotAContainer,
    /// Copies add up to too much.
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy operations exceeds the limit {COPY_MAX}"
    )]
    CopyTooLarge,
    /// The result would nest too deep.
    #[error("the patched object would be nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// The operations are too much work.
    #[error("the operations of the patch move more than {SHIFTS_MAX} items")]
    TooMuchWork,
}

impl Fault {
    /// The answer.
    #[must_use]
    pub fn status(&self) -> Status {
        super::does_not_apply()
    }
}

const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Whether the value is a list of operations. Members that operations don't have are added to `strict_faults`.
pub fn check(patch: &Value, strict_faults: &mut Vec<String>) -> Result<(), Malformed> {
    let name = |value: &Value| match value {
        Value::Object(_) => "object",
        other => super::not_a_map(other).unwrap_or("null"),
    };
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => {
            let found = name(other);
            return Err(Malformed::Shape(format!(
                "json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
            )));
        }
    };
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        return Err(Malformed::TooMany(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}"
        )));
    }
    for (index, operation) in operations.iter().enumerate() {
        let Value::Object(members) = operation else {
            let found = name(operation);
            return Err(Malformed::Shape(format!(
                "json: cannot unmarshal {found} into Go value of type handlers.jsonPatchOp"
            )));
        };
        for member in members.keys().filter(|member| !MEMBERS.contains(&member.as_str())) {
            if strict_faults.len() < crate::decode::tree::STRICT_FAULTS_MAX {
                strict_faults.push(format!("unknown field \"[{index}].{member}\""));
            }
        }
    }
    Ok(())
}

/// The object as changed by these operations. All apply, or none.
pub fn apply(object: Value, patch: &Value) -> Result<Value, Fault> {
    let mut state = State {
        document: object,
        copied: 0,
        shifted: 0,
    };
    for operation in patch.as_array().into_iter().flatten() {
        state.operation(operation)?;
    }
    Ok(state.document)
}

struct State {
    document: Value,
    copied: usize,
    shifted: usize,
}

/// A path, split: `/a/b` are the parts `a` and the key `b`.
struct Pointer<'a> {
    text: &'a str,
    parts: Vec<String>,
    key: String,
}

impl<'a> Pointer<'a> {
    /// `None` for the whole document.
    fn new(text: &'a str) -> Option<Self> {
        // What stands before the first slash is ignored, as upstream does.
        let mut parts: Vec<String> = text
            .split('/')
            .skip(1)
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect();
        let key = parts.pop()?;
        Some(Self { text, parts, key })
    }
}

impl State {
    fn operation(&mut self, operation: &Value) -> Result<(), Fault> {
        let value = || operation.get("value").cloned().unwrap_or(Value::Null);
        match operation.get("op").and_then(Value::as_str).unwrap_or("unknown") {
            "add" => self.add("add", text(operation, "add", "path")?, value()),
            "remove" => self.remove("remove", text(operation, "remove", "path")?).map(drop),
            "replace" => self.replace(text(operation, "replace", "path")?, value()),
            "move" => {
                let moved = self.remove("move", text(operation, "move", "from")?)?;
                self.add("move", text(operation, "move", "path")?, moved)
            }
            "copy" => self.copy(text(operation, "copy", "from")?, text(operation, "copy", "path")?),
            "test" => {
                let path = text(operation, "test", "path")?;
                let found = match Pointer::new(path) {
                    None => Some(&self.document),
                    Some(pointer) => self.get("test", &pointer)?,
                };
                let expected = operation.get("value").unwrap_or(&Value::Null);
                if equal(found.unwrap_or(&Value::Null), expected) {
                    Ok(())
                } else {
                    Err(Fault::TestFailed(path.into()))
                }
            }
            other => Err(Fault::UnknownOperation(other.into())),
        }
    }

    /// What holds the value that the pointer leads to.
    fn container(&mut self, operation: &'static str, pointer: &Pointer<'_>) -> Result<&mut Value, Fault> {
        let mut at = &mut self.document;
        for part in &pointer.parts {
            let next = match at {
                Value::Object(map) => map.get_mut(part),
                Value::Array(items) => index(part, items.len()).and_then(|index| items.get_mut(index)),
                _ => None,
            };
            at = next.ok_or_else(|| Fault::MissingPath {
                operation,
                path: pointer.text.into(),
            })?;
        }
        if at.is_object() || at.is_array() {
            Ok(at)
        } else {
            Err(Fault::MissingPath {
                operation,
                path: pointer.text.into(),
            })
        }
    }

    /// The value there. `None` where an object has no such member.
    fn get(&mut self, operation: &'static str, pointer: &Pointer<'_>) -> Result<Option<&Value>, Fault> {
        match self.container(operation, pointer)? {
            Value::Array(items) => index(&pointer.key, items.len())
                .and_then(|index| items.get(index))
                .map(Some)
                .ok_or_else(|| Fault::InvalidIndex {
                    operation,
                    path: pointer.text.into(),
                }),
            Value::Object(map) => Ok(map.get(&pointer.key)),
            _ => Ok(None),
        }
    }

    fn add(&mut self, operation: &'static str, path: &str, value: Value) -> Result<(), Fault> {
        let missing = || Fault::MissingPath {
            operation,
            path: path.into(),
        };
        let pointer = Pointer::new(path).ok_or_else(missing)?;
        if pointer.parts.len() + 1 + depth(&value) > DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let mut shifted = 0;
        match self.container(operation, &pointer)? {
            Value::Array(items) if pointer.key == "-" => items.push(value),
            Value::Array(items) => {
                // One more than there are: the index after the last is where to append.
                let at = index(&pointer.key, items.len() + 1).filter(|at| *at <= items.len());
                let at = at.ok_or_else(|| Fault::InvalidIndex {
                    operation,
                    path: path.into(),
                })?;
                shifted = items.len() - at;
                items.insert(at, value);
            }
            Value::Object(map) => drop(map.insert(pointer.key, value)),
            _ => return Err(missing()),
        }
        self.work(shifted)
    }

    fn remove(&mut self, operation: &'static str, path: &str) -> Result<Value, Fault> {
        let pointer = Pointer::new(path).ok_or_else(|| Fault::MissingPath {
            operation,
            path: path.into(),
        })?;
        let (shifted, removed) = match self.container(operation, &pointer)? {
            Value::Array(items) => {
                let at = index(&pointer.key, items.len()).filter(|at| *at < items.len());
                let at = at.ok_or_else(|| Fault::InvalidIndex {
                    operation,
                    path: path.into(),
                })?;
                (items.len() - at, Some(items.remove(at)))
            }
            Value::Object(map) => (map.len(), map.shift_remove(&pointer.key)),
            _ => (0, None),
        };
        self.work(shifted)?;
        removed.ok_or_else(|| Fault::MissingValue {
            operation,
            path: path.into(),
        })
    }

    fn replace(&mut self, path: &str, value: Value) -> Result<(), Fault> {
        let operation = "replace";
        let Some(pointer) = Pointer::new(path) else {
            if !value.is_object() && !value.is_array() {
                return Err(Fault::NotAContainer);
            }
            self.document = value;
            return Ok(());
        };
        if pointer.parts.len() + 1 + depth(&value) > DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        match self.container(operation, &pointer)? {
            Value::Array(items) => {
                let slot = index(&pointer.key, items.len()).and_then(|index| items.get_mut(index));
                *slot.ok_or_else(|| Fault::InvalidIndex {
                    operation,
                    path: path.into(),
                })? = value;
            }
            Value::Object(map) => drop(map.insert(pointer.key, value)),
            _ => {
                return Err(Fault::MissingPath {
                    operation,
                    path: path.into(),
                });
            }
        }
        Ok(())
    }

    fn copy(&mut self, from: &str, path: &str) -> Result<(), Fault> {
        let pointer = Pointer::new(from).ok_or_else(|| Fault::MissingPath {
            operation: "copy",
            path: from.into(),
        })?;
        let room = COPY_MAX.saturating_sub(self.copied);
        let value = self.get("copy", &pointer)?.unwrap_or(&Value::Null);
        // Measured before it is made.
        let size = size(value, room).ok_or(Fault::CopyTooLarge)?;
        let value = value.clone();
        self.copied += size;
        self.add("copy", path, value)
    }

    fn work(&mut self, shifted: usize) -> Result<(), Fault> {
        self.shifted = self.shifted.saturating_add(shifted);
        if self.shifted > SHIFTS_MAX {
            Err(Fault::TooMuchWork)
        } else {
            Ok(())
        }
    }
}

fn text<'a>(of: &'a Value, operation: &'static str, field: &'static str) -> Result<&'a str, Fault> {
    of.get(field)
        .and_then(Value::as_str)
        .ok_or(Fault::NoPath { operation, field })
}

/// Reads an index as Go's `Atoi` does; a negative one counts from the end of `length`.
fn index(key: &str, length: usize) -> Option<usize> {
    let index: i64 = key.parse().ok()?;
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

/// How many levels of objects and lists the value has. Bounded, since all values are.
fn depth(value: &Value) -> usize {
    let below: Option<usize> = match value {
        Value::Array(items) => Some(items.iter().map(depth).max().unwrap_or_default()),
        Value::Object(map) => Some(map.values().map(depth).max().unwrap_or_default()),
        _ => None,
    };
    below.map_or(0, |below| below + 1)
}

/// About how many bytes the value is as JSON; `None` if it is more than `limit`.
fn size(value: &Value, limit: usize) -> Option<usize> {
    let within = |size: usize| (size <= limit).then_some(size);
    match value {
        Value::Null | Value::Bool(_) => within(5),
        Value::Number(number) => within(number.to_string().len()),
        Value::String(text) => within(text.len() + 2),
        Value::Array(items) => items.iter().try_fold(2_usize, |sum, item| {
            within(sum + 1 + size(item, limit.checked_sub(sum)?)?)
        }),
        Value::Object(map) => map.iter().try_fold(2_usize, |sum, (key, item): (&String, &Value)| {
            within(sum + key.len() + 4 + size(item, limit.checked_sub(sum)?)?)
        }),
    }
}

/// Whether two values are the same, where null and absent are (as upstream's `test`), and 1 is 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => same_members(a, b),
        _ => a == b,
    }
}

fn same_members(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_do_what_rfc_6902_says() {
        for (object, patch, result) in [
            (
                json!({"foo": "bar"}),
                json!([{"op": "add", "path": "/baz", "value": "qux"}]),
                json!({"foo": "bar", "baz": "qux"}),
            ),
            (
                json!({"a": ["b"]}),
                json!([{"op": "add", "path": "/a/1", "value": "c"}]),
                json!({"a": ["b", "c"]}),
            ),
            (
                json!({"a": ["b"]}),
                json!([{"op": "add", "path": "/a/0", "value": "c"}]),
                json!({"a": ["c", "b"]}),
            ),
            (
                json!({"a": ["b"]}),
                json!([{"op": "add", "path": "/a/-", "value": "c"}]),
                json!({"a": ["b", "c"]}),
            ),
            (
                json!({"a": ["b"]}),
                json!([{"op": "add", "path": "/a/-1", "value": "c"}]),
                json!({"a": ["b", "c"]}),
            ),
            (
                json!({"a": ["b", "c"]}),
                json!([{"op": "remove", "path": "/a/-1"}]),
                json!({"a": ["b"]}),
            ),
            (
                json!({"a": 1, "b": 2}),
                json!([{"op": "remove", "path": "/a"}]),
                json!({"b": 2}),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "replace", "path": "/a", "value": [2]}]),
                json!({"a": [2]}),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "replace", "path": "/b", "value": 2}]),
                json!({"a": 1, "b": 2}),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "replace", "path": "", "value": {"c": 1}}]),
                json!({"c": 1}),
            ),
            (
                json!({"a": {"b": 1}, "c": {}}),
                json!([{"op": "move", "from": "/a/b", "path": "/c/d"}]),
                json!({"a": {}, "c": {"d": 1}}),
            ),
            (
                json!({"a": [1, 2, 3]}),
                json!([{"op": "move", "from": "/a/0", "path": "/a/2"}]),
                json!({"a": [2, 3, 1]}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!([{"op": "copy", "from": "/a", "path": "/c"}]),
                json!({"a": {"b": 1}, "c": {"b": 1}}),
            ),
            (
                json!({"a/b": 1, "m~n": 2}),
                json!([{"op": "remove", "path": "/a~1b"}, {"op": "test", "path": "/m~0n", "value": 2}]),
                json!({"m~n": 2}),
            ),
            (json!({"~1": 1}), json!([{"op": "remove", "path": "/~01"}]), json!({})),
            (
                json!({"a": null}),
                json!([{"op": "test", "path": "/a", "value": null}, {"op": "test", "path": "/b"}]),
                json!({"a": null}),
            ),
            (
                json!({"a": {"x": [1.0]}}),
                json!([{"op": "test", "path": "", "value": {"a": {"x": [1]}}}]),
                json!({"a": {"x": [1.0]}}),
            ),
            (json!({"": 1}), json!([{"op": "remove", "path": "/"}]), json!({})),
            (json!({}), json!(null), json!({})),
        ] {
            assert_eq!(apply(object.clone(), &patch), Ok(result), "{object} {patch}");
        }
    }

    #[test]
    fn operations_that_do_not_apply_change_nothing_and_say_why() {
        for (patch, message) in [
            (
                json!([{"op": "add", "path": "/x/y", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/s/y", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/s/y\": missing value",
            ),
            (
                json!([{"op": "add", "path": "", "value": 1}]),
                "add operation does not apply: doc is missing path: \"\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/a/9", "value": 1}]),
                "error in add for path: '/a/9': invalid index referenced",
            ),
            (
                json!([{"op": "add", "path": "/a/x", "value": 1}]),
                "error in add for path: '/a/x': invalid index referenced",
            ),
            (
                json!([{"op": "add", "path": "/a/-9", "value": 1}]),
                "error in add for path: '/a/-9': invalid index referenced",
            ),
            (
                json!([{"op": "remove", "path": "/x"}]),
                "error in remove for path: '/x': missing value",
            ),
            (
                json!([{"op": "remove", "path": "/a/1"}]),
                "error in remove for path: '/a/1': invalid index referenced",
            ),
            (
                json!([{"op": "replace", "path": "/a/1", "value": 1}]),
                "error in replace for path: '/a/1': invalid index referenced",
            ),
            (
                json!([{"op": "replace", "path": "", "value": 1}]),
                "replace operation value must be object or array",
            ),
            (
                json!([{"op": "test", "path": "/s", "value": 1}]),
                "testing value /s failed: test failed",
            ),
            (
                json!([{"op": "test", "path": "/x", "value": 1}]),
                "testing value /x failed: test failed",
            ),
            (
                json!([{"op": "move", "path": "/x"}]),
                "move operation failed to decode from: missing value",
            ),
            (
                json!([{"op": "add", "path": 1}]),
                "add operation failed to decode path: missing value",
            ),
            (json!([{"op": "turn", "path": "/x"}]), "Unexpected kind: turn"),
            (json!([{"path": "/x"}]), "Unexpected kind: unknown"),
        ] {
            let fault = apply(json!({"a": [1], "s": "t"}), &patch).unwrap_err();
            assert_eq!(fault.to_string(), message, "{patch}");
            assert_eq!(fault.status().code, 422);
        }
    }

    #[test]
    fn copies_can_not_blow_an_object_up() {
        let double = json!({"op": "copy", "from": "/a", "path": "/a/b"});
        let deep = Value::Array(vec![double; 100]);
        assert_eq!(apply(json!({"a": {}}), &deep), Err(Fault::TooDeep));
        let wide = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 100]);
        assert_eq!(apply(json!({"a": ["x"]}), &wide), Err(Fault::CopyTooLarge));
        let big = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/b"}); 100]);
        assert_eq!(apply(json!({"a": "x".repeat(100_000)}), &big), Err(Fault::CopyTooLarge));
    }

    #[test]
    fn moving_a_long_list_around_ends_early() {
        let long = json!({"a": vec![0; 200_000]});
        let patch = Value::Array(vec![json!({"op": "add", "path": "/a/0", "value": 1}); 1000]);
        assert_eq!(apply(long, &patch), Err(Fault::TooMuchWork));
    }
}
