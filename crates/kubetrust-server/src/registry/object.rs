//! One stored object, ready to be sent.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use kubetrust_api::resource::Resource;
use kubetrust_store::Revision;
use memchr::memmem::Finder;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::convert;

/// An object at one revision, as clients get it: JSON with its `resourceVersion`.
///
/// The bytes are made once and shared by every answer and every watch.
#[derive(Debug)]
pub struct Object {
    /// Its `resourceVersion`: the revision of its last write, or of its removal for one that a watch reports deleted.
    pub revision: Revision,
    /// The whole JSON text.
    pub json: Bytes,
    /// Where `"metadata"` begins: all before it is `{"apiVersion":…,"kind":…,`, which items of a list leave out.
    body: usize,
    parsed: OnceLock<Option<Arc<Value>>>,
}

impl Object {
    /// From what is stored, which has no `resourceVersion`, or one that means nothing.
    ///
    /// `None` if it is no JSON object with metadata.
    #[must_use]
    pub fn from_stored(stored: &[u8], revision: Revision) -> Option<Self> {
        if let Some(at) = canonical_metadata(stored) {
            return Some(Self::spliced(stored, at, revision));
        }
        let mut value: Value = serde_json::from_slice(stored).ok()?;
        value
            .get_mut("metadata")?
            .as_object_mut()?
            .shift_remove("resourceVersion");
        let text = to_stored(&value)?;
        let at = canonical_metadata(&text)?;
        Some(Self::spliced(&text, at, revision))
    }

    /// Puts the revision first into the metadata, whose brace opens just before `at`.
    fn spliced(stored: &[u8], at: usize, revision: Revision) -> Self {
        let mut json = BytesMut::with_capacity(stored.len() + 42);
        json.put_slice(&stored[..at]);
        json.put_slice(b"\"resourceVersion\":\"");
        json.put_slice(revision.to_string().as_bytes());
        json.put_slice(if stored.get(at) == Some(&b'}') { b"\"" } else { b"\"," });
        json.put_slice(&stored[at..]);
        Self {
            revision,
            json: json.freeze(),
            body: at - METADATA.len(),
            parsed: OnceLock::new(),
        }
    }

    /// An object that was not stored, for the answer to a dry run: it has no revision.
    #[must_use]
    pub fn unstored(text: Vec<u8>) -> Self {
        let body = canonical_metadata(&text).map_or(0, |at| at - METADATA.len());
        Self {
            revision: 0,
            json: text.into(),
            body,
            parsed: OnceLock::new(),
        }
    }

    /// The same object, at the revision of its removal.
    #[must_use]
    pub fn removed_at(&self, revision: Revision) -> Self {
        let mut value = self.value().as_ref().clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("resourceVersion");
        }
        to_stored(&value)
            .and_then(|text| Self::from_stored(&text, revision))
            .unwrap_or(Self {
                revision,
                json: self.json.clone(),
                body: self.body,
                parsed: OnceLock::new(),
            })
    }

    /// The object as a resource shows it, where it is stored in another group version.
    pub fn shown_as(self: &Arc<Self>, resource: &Resource) -> Arc<Self> {
        if !convert::is_converted(resource) {
            return Arc::clone(self);
        }
        let shown = to_stored(&convert::from_stored(resource, &self.value()));
        shown
            .and_then(|text| Self::from_stored(&text, self.revision))
            .map_or_else(|| Arc::clone(self), Arc::new)
    }

    /// What stands in a list: the object without `apiVersion` and `kind`, and without its opening brace.
    pub fn item(&self) -> Bytes {
        self.json.slice(self.body..)
    }

    /// The object, parsed at the first call.
    pub fn value(&self) -> Arc<Value> {
        let parsed = self
            .parsed
            .get_or_init(|| serde_json::from_slice(&self.json).ok().map(Arc::new));
        parsed.clone().unwrap_or_default()
    }

    /// What controllers that look at every object need of it, read and not kept.
    pub fn metadata(&self) -> Metadata {
        // The text goes on behind the metadata; only its first value is read.
        let text = self.json.get(self.body + METADATA.len() - 1..).unwrap_or_default();
        Metadata::deserialize(&mut serde_json::Deserializer::from_slice(text)).unwrap_or_default()
    }

    /// Whether its text has a word, anywhere. Most objects lack most fields, and that is seen sooner than the metadata is
    /// read.
    pub fn mentions(&self, word: &Finder<'_>) -> bool {
        word.find(&self.json).is_some()
    }

    /// The object, parsed and not kept: for passing over many.
    pub fn parse(&self) -> Value {
        match self.parsed.get() {
            Some(Some(value)) => value.as_ref().clone(),
            _ => serde_json::from_slice(&self.json).unwrap_or_default(),
        }
    }
}

/// The part of an object's metadata that says where it is, who owns it, and whether it goes.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Empty for what is in none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its UID.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// When it was asked to go, or is to be gone.
    pub deletion_timestamp: Option<String>,
    /// What has to be done before it goes.
    #[serde(deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
    /// Who owns it.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
}

/// An owner, as those who depend on it name it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its UID.
    pub uid: String,
}

/// `null` is nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

const METADATA: &[u8] = b"\"metadata\":{";

/// The bytes that are stored: `apiVersion`, `kind`, `metadata` without its `resourceVersion`, and then the rest.
///
/// `None` if the value is no object.
#[must_use]
pub fn to_stored(value: &Value) -> Option<Vec<u8>> {
    let fields = value.as_object()?;
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    for (index, name) in ["apiVersion", "kind"].into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(&mut out, name)?;
        out.push(b':');
        write_value(&mut out, fields.get(name)?)?;
    }
    out.extend_from_slice(b",\"metadata\":{");
    let metadata = fields.get("metadata")?.as_object()?;
    let mut first = true;
    for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
        write_field(&mut out, &mut first, name, value)?;
    }
    out.push(b'}');
    let mut first = false;
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        write_field(&mut out, &mut first, name, value)?;
    }
    out.push(b'}');
    Some(out)
}

fn write_field(out: &mut Vec<u8>, first: &mut bool, name: &str, value: &Value) -> Option<()> {
    if !std::mem::take(first) {
        out.push(b',');
    }
    write_text(out, name)?;
    out.push(b':');
    write_value(out, value)
}

fn write_value(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    match value {
        Value::String(text) => write_text(out, text)?,
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            let mut first = true;
            for (name, value) in fields {
                write_field(out, &mut first, name, value)?;
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => serde_json::to_writer(out, value).ok()?,
    }
    Some(())
}

/// A string. `serde_json` looks at one byte after the other; most texts have nothing to escape (RFC 8259, section 7), which
/// is seen many bytes at a time.
fn write_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        return serde_json::to_writer(out, text).ok();
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Some(())
}

/// Where the content of the metadata begins, if the text has the shape that [`to_stored`] gives it.
fn canonical_metadata(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"{\"apiVersion\":\"")?;
    let version = rest.iter().position(|byte| *byte == b'"')?;
    let rest = rest[version..].strip_prefix(b"\",\"kind\":\"")?;
    let kind = rest.iter().position(|byte| *byte == b'"')?;
    let rest = rest[kind..].strip_prefix(b"\",\"metadata\":{")?;
    // One that is stored with a revision of its own (another server wrote it) takes the slow way.
    (!rest.starts_with(b"\"resourceVersion\"")).then_some(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_carries_its_revision_whatever_way_it_was_stored() {
        for stored in [
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{}}"#,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"3","name":"p"},"spec":{}}"#,
            r#"{"kind":"Pod","metadata":{"name":"p","resourceVersion":"3"},"spec":{},"apiVersion":"v1"}"#,
        ] {
            let object = Object::from_stored(stored.as_bytes(), 17).unwrap();
            let want = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"17","name":"p"},"spec":{}}"#;
            assert_eq!(object.json, want, "{stored}");
            assert_eq!(
                object.item(),
                r#""metadata":{"resourceVersion":"17","name":"p"},"spec":{}}"#
            );
            let metadata = Metadata {
                name: "p".into(),
                ..Metadata::default()
            };
            assert_eq!(object.metadata(), metadata);
            assert_eq!(
                object.removed_at(18).value()["metadata"],
                json!({"resourceVersion": "18", "name": "p"})
            );
        }
        let empty = Object::from_stored(br#"{"apiVersion":"v1","kind":"X","metadata":{}}"#, 1).unwrap();
        assert_eq!(
            empty.json,
            r#"{"apiVersion":"v1","kind":"X","metadata":{"resourceVersion":"1"}}"#
        );
        for damaged in [
            "",
            "[]",
            "{}",
            r#"{"apiVersion":"v1","kind":"X"}"#,
            r#"{"apiVersion":"v1","kind":"X","metadata":[]}"#,
        ] {
            assert!(Object::from_stored(damaged.as_bytes(), 1).is_none(), "{damaged}");
        }
    }

    #[test]
    fn what_is_stored_is_the_json_that_serde_json_writes() {
        let mut texts: Vec<String> = (0..=0x7f_u8).map(|byte| format!("a{}b", char::from(byte))).collect();
        texts.extend(["", "\"", "\\", "é\u{2028}\u{1f600}", &"x".repeat(1_000)].map(str::to_owned));
        texts.push(format!("{}\n", "x".repeat(1_000)));
        let fields: Value = texts
            .iter()
            .map(|text| (text.clone(), Value::from(text.as_str())))
            .collect();
        let others = json!([null, true, false, 0, -1, 1.5, 1e300, u64::MAX, [], {}, [[{"a": [1]}], "b"], texts]);
        let object = json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"labels": fields}, "others": others, "none": {"a": {}},
        });
        let stored = to_stored(&object).unwrap();
        assert_eq!(String::from_utf8(stored).unwrap(), object.to_string());
    }

    #[test]
    fn of_the_metadata_is_read_what_controllers_need() {
        let whole = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"uid":"no"},"name":"p","namespace":"n","uid":"u","deletionTimestamp":"2026-11-24T00:00:00Z","finalizers":["a/b"],"ownerReferences":[{"kind":"X","uid":"o"},{"name":"y"}]},"spec":{"uid":"no"}}"#;
        let owner = |uid: &str| Owner { uid: uid.into() };
        let want = Metadata {
            namespace: "n".into(),
            name: "p".into(),
            uid: "u".into(),
            deletion_timestamp: Some("2026-11-24T00:00:00Z".into()),
            finalizers: vec!["a/b".into()],
            owner_references: vec![owner("o"), owner("")],
        };
        assert_eq!(Object::from_stored(whole.as_bytes(), 1).unwrap().metadata(), want);
        let nulls = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":null,"namespace":null,"uid":null,"deletionTimestamp":null,"finalizers":null,"ownerReferences":null}}"#;
        assert_eq!(
            Object::from_stored(nulls.as_bytes(), 1).unwrap().metadata(),
            Metadata::default()
        );
    }
}
