//! An object's `metadata`, read and written in place: no copy of the object, no types in between.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value};

/// `metadata`, if the object has one.
#[must_use]
pub fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    of_few(object.as_object()?, "metadata")?.as_object()
}

/// A field of the metadata.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    of_few(metadata(object)?, name)
}

/// An object and its metadata have a handful of fields: to compare them all is faster than a hash.
fn of_few<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields
        .iter()
        .find_map(|(field, value)| (field == name).then_some(value))
}

/// `metadata`, made if it is not there. `None` if the object is none, or its metadata is no object.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let fields = object.as_object_mut()?;
    let metadata = fields.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut()
}

/// A field of the metadata that is text; empty if it is not there.
#[must_use]
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    self::field(object, field).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, or empty.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`, or empty.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`, or empty.
#[must_use]
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, or empty.
#[must_use]
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.deletionTimestamp`: set while finalizers or the grace period hold the object.
#[must_use]
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    field(object, "deletionTimestamp")?.as_str()
}

/// `metadata.generation`, or 0.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    field(object, "generation").and_then(Value::as_i64).unwrap_or_default()
}

/// `metadata.labels`.
#[must_use]
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    field(object, "labels")?.as_object()
}

/// `metadata.annotations`.
#[must_use]
pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    field(object, "annotations")?.as_object()
}

/// The annotation of this name.
#[must_use]
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    annotations(object)?.get(name)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "finalizers").iter().filter_map(Value::as_str)
}

/// `metadata.ownerReferences`.
#[must_use]
pub fn owner_references(object: &Value) -> &[Value] {
    list(object, "ownerReferences")
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    self::field(object, field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Writes a field of the metadata.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.insert(field.to_owned(), value.into());
    }
}

/// Takes a field out of the metadata, keeping the order of the others.
pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove(field)
}

/// Takes these fields out of the metadata, keeping the order of the others.
pub fn remove_all(object: &mut Value, fields: &[&str]) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !fields.contains(&field.as_str()));
    }
}

/// Gives a field of the metadata the value that it has in `from`: absent if it is absent there.
pub fn copy_field(object: &mut Value, from: &Value, field: &str) {
    match self::field(from, field) {
        Some(value) => set(object, field, value.clone()),
        None => drop(remove(object, field)),
    }
}

/// Replaces the list of finalizers; an empty one goes away.
pub fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    if finalizers.is_empty() {
        remove(object, "finalizers");
    } else {
        set(object, "finalizers", finalizers);
    }
}

/// `meta/v1 Time`: RFC 3339 in UTC, whole seconds.
#[must_use]
pub fn time(at: Timestamp) -> String {
    const SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    SECONDS.timestamp_to_string(&at)
}

/// `meta/v1 MicroTime`: RFC 3339 in UTC, six digits of a second.
#[must_use]
pub fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads `meta/v1 Time` as Go does: RFC 3339 with capital `T` and `Z`, a fraction allowed.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let (date_time, _) = split_rfc3339(text)?;
    (date_time.len() == 19 || date_time.as_bytes().get(19) == Some(&b'.')).then(|| text.parse().ok())?
}

/// Reads `meta/v1 MicroTime`: as [`parse_time`], but with exactly six digits of a second.
#[must_use]
pub fn parse_micro_time(text: &str) -> Option<Timestamp> {
    let (date_time, _) = split_rfc3339(text)?;
    (date_time.len() == 26 && date_time.as_bytes().get(19) == Some(&b'.')).then(|| text.parse().ok())?
}

/// Into `2006-01-02T15:04:05[.999]` and `Z` or `+07:00`. The shape only; jiff checks the numbers.
fn split_rfc3339(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let zone = match bytes.last()? {
        b'Z' => 1,
        _ if matches!(bytes.get(bytes.len().checked_sub(6)?)?, b'+' | b'-') && bytes.get(bytes.len() - 3)? == &b':' => {
            6
        }
        _ => return None,
    };
    let (date_time, zone) = text.split_at_checked(bytes.len() - zone)?;
    let shape = b"0000-00-00T00:00:00";
    let head = date_time.as_bytes().get(..shape.len())?;
    let tail = date_time.as_bytes().get(shape.len()..)?;
    let fits = head.iter().zip(shape).all(|(byte, like)| {
        if *like == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == like
        }
    });
    let fraction = match tail {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (fits && fraction).then_some((date_time, zone))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_written_where_they_are_read() {
        let mut object = json!({"kind": "Pod", "metadata": null});
        set(&mut object, "name", "a");
        set(&mut object, "generation", 3);
        set_finalizers(&mut object, vec!["x/y".into()]);
        assert_eq!(name(&object), "a");
        assert_eq!(generation(&object), 3);
        assert_eq!(finalizers(&object).collect::<Vec<_>>(), ["x/y"]);
        set_finalizers(&mut object, Vec::new());
        copy_field(&mut object, &json!({"metadata": {"uid": "u"}}), "uid");
        copy_field(&mut object, &json!({"metadata": {"uid": "u"}}), "generation");
        assert_eq!(object, json!({"kind": "Pod", "metadata": {"name": "a", "uid": "u"}}));
    }

    #[test]
    fn what_is_no_object_has_no_metadata() {
        for mut object in [json!(null), json!([]), json!("x"), json!({"metadata": "x"})] {
            let before = object.clone();
            set(&mut object, "name", "a");
            assert_eq!(object, before);
            assert_eq!(name(&object), "");
            assert_eq!(owner_references(&object), &[] as &[Value]);
        }
    }

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, second, micro) in [
            ("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05Z"), None),
            ("2024-01-02T03:04:05+01:00", Some("2024-01-02T02:04:05Z"), None),
            ("2024-01-02T03:04:05.5Z", Some("2024-01-02T03:04:05Z"), None),
            (
                "2024-01-02T03:04:05.123456Z",
                Some("2024-01-02T03:04:05Z"),
                Some("2024-01-02T03:04:05.123456Z"),
            ),
            ("2024-01-02t03:04:05Z", None, None),
            ("2024-01-02T03:04:05z", None, None),
            ("2024-01-02 03:04:05Z", None, None),
            ("2024-01-02T03:04Z", None, None),
            ("2024-13-02T03:04:05Z", None, None),
            ("2024-01-02T03:04:05", None, None),
            ("2024-01-02T03:04:05+0100", None, None),
            ("2024-01-02", None, None),
            ("", None, None),
            ("é", None, None),
        ] {
            assert_eq!(parse_time(text).map(time).as_deref(), second, "{text}");
            assert_eq!(parse_micro_time(text).map(micro_time).as_deref(), micro, "{text}");
        }
    }
}
