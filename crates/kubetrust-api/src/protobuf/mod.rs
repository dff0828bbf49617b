//! Kubernetes' protobuf: objects as messages in an envelope, and back to JSON
//! (`apimachinery/pkg/runtime/serializer/protobuf`). One table of messages and their fields, no generated code.
//!
//! The table, `messages.txt`, lists facts of the public API: number and type of each field as the `generated.proto`
//! files of `k8s.io/api`, `apimachinery`, `apiextensions-apiserver` and `kube-aggregator` have them
//! (v0.36.3), its JSON name, `omitempty`, `omitzero`, inline and pointer as the tags of the Go types say; for each kind
//! of [`crate::resource::TABLE`] and its list, for what is only answered, and for the kinds of `meta/v1`, with all that
//! these refer to. The tests show that no field of the schemas is missing.

mod decode;
mod encode;
mod envelope;
mod fault;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use serde_json::Value;

pub use fault::{Cause, Fault};

use decode::Decoder;
use wire::{Reader, Writer};

/// The media type.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The media type of a watch.
pub const WATCH_CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// What an envelope begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Most messages in each other. The deepest are schemas of custom resources.
const MAX_DEPTH: usize = 64;

/// Fields of `meta/v1 WatchEvent`, and of the `RawExtension` in it.
const EVENT_TYPE: u32 = 1;
const EVENT_OBJECT: u32 = 2;
const EXTENSION_RAW: u32 = 1;

/// Whether a kind has a protobuf form here. Custom resources never have one.
#[must_use]
pub fn knows(api_version: &str, kind: &str) -> bool {
    table::of_kind(api_version, kind).is_some()
}

/// Reads an object, with the `apiVersion` and `kind` of its envelope, in the JSON that Go would write for it: a zero
/// stays away where the field has `omitempty` and stands there where it has not; a list that is not there is null
/// where it has not.
pub fn decode(bytes: &[u8]) -> Result<Value, Fault> {
    Decoder::default().object(Reader::new(bytes))
}

/// Writes an object, or a list of them, in its envelope. Fields that the kind does not have are left out, as the
/// `apiVersion` and `kind` of a list's items are.
pub fn encode(object: &Value) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer::default();
    enveloped(&mut writer, object)?;
    Ok(writer.finish())
}

/// Writes a frame of a watch: four bytes of length, the most significant first, and a `WatchEvent` without an
/// envelope, whose object has one. `event` is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
pub fn watch_frame(event: &str, object: &Value) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer::default();
    enveloped(&mut writer, object).map_err(|fault| fault.in_field("object"))?;
    writer.close(EXTENSION_RAW, 0);
    writer.close(EVENT_OBJECT, 0);
    writer.piece(EVENT_TYPE, event.as_bytes());
    let length = u32::try_from(writer.len()).map_err(|_| Cause::Range)?;
    writer.bytes(&length.to_be_bytes());
    Ok(writer.finish())
}

fn enveloped(to: &mut Writer, object: &Value) -> Result<(), Fault> {
    let text = |field| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = table::of_kind(api_version, kind).ok_or_else(|| Cause::Kind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    })?;
    envelope::write(to, api_version, kind, |to| encode::message(to, message, object, 0))
}
