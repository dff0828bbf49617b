//! The envelope of an object, `runtime.Unknown`: `k8s\0`, then its API version and kind beside the message itself.

use super::MAGIC;
use super::fault::{Cause, Fault};
use super::wire::{LENGTH, Reader, Writer};

/// Fields of `runtime.Unknown`.
const TYPE_META: u32 = 1;
const RAW: u32 = 2;
const CONTENT_ENCODING: u32 = 3;
const CONTENT_TYPE: u32 = 4;

/// Fields of `runtime.TypeMeta`.
const API_VERSION: u32 = 1;
const KIND: u32 = 2;

pub(super) struct Envelope<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    /// The message.
    pub(super) raw: Reader<'a>,
}

pub(super) fn read(mut reader: Reader<'_>) -> Result<Envelope<'_>, Fault> {
    if !reader.bytes().starts_with(MAGIC) {
        return Err(reader.fault(Cause::Prefix));
    }
    reader.take(MAGIC.len())?;
    let mut envelope = Envelope {
        api_version: "",
        kind: "",
        raw: reader.nothing(),
    };
    while let Some((number, wire)) = reader.tag()? {
        let field = match (number, wire) {
            (TYPE_META..=CONTENT_TYPE, LENGTH) => reader.piece()?,
            (TYPE_META..=CONTENT_TYPE, other) => return Err(reader.fault(Cause::WireType(other))),
            (_, other) => {
                reader.skip(other)?;
                continue;
            }
        };
        match number {
            TYPE_META => (envelope.api_version, envelope.kind) = type_meta(field)?,
            RAW => envelope.raw = field,
            CONTENT_TYPE if field.bytes() == super::CONTENT_TYPE.as_bytes() => {}
            _ if field.is_empty() => {}
            _ => return Err(field.fault(Cause::Content)),
        }
    }
    Ok(envelope)
}

fn type_meta(mut reader: Reader<'_>) -> Result<(&str, &str), Fault> {
    let (mut api_version, mut kind) = ("", "");
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (API_VERSION, LENGTH) => api_version = reader.piece()?.text()?,
            (KIND, LENGTH) => kind = reader.piece()?.text()?,
            (API_VERSION | KIND, other) => return Err(reader.fault(Cause::WireType(other))),
            (_, other) => reader.skip(other)?,
        }
    }
    Ok((api_version, kind))
}

/// Writes the envelope around what `raw` writes.
pub(super) fn write(
    to: &mut Writer,
    api_version: &str,
    kind: &str,
    raw: impl FnOnce(&mut Writer) -> Result<(), Fault>,
) -> Result<(), Fault> {
    to.piece(CONTENT_TYPE, b"");
    to.piece(CONTENT_ENCODING, b"");
    let since = to.len();
    raw(to)?;
    to.close(RAW, since);
    let since = to.len();
    to.piece(KIND, kind.as_bytes());
    to.piece(API_VERSION, api_version.as_bytes());
    to.close(TYPE_META, since);
    to.bytes(MAGIC);
    Ok(())
}
