//! From JSON to messages, byte for byte as Go writes what it read from the JSON: fields by number, maps by key, and
//! zeros for what is not there and no pointer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::MAX_DEPTH;
use super::fault::{Cause, Fault};
use super::table::{self, Codec, Field, Kind, Message, Shape};
use super::wire::{FIXED64, Writer};
use crate::decode::quantity::Quantity;
use crate::meta;

/// Nanoseconds of a second, and of the millionth that `MicroTime` counts.
const NANO: i128 = 1_000_000_000;
const MICRO: i128 = 1000;

/// Type of an `IntOrString` that is text; a number is 0.
const IS_TEXT: u64 = 1;

/// Writes the fields of a message.
pub(super) fn message(to: &mut Writer, message: &Message, value: &Value, depth: usize) -> Result<(), Fault> {
    if depth == MAX_DEPTH {
        return Err(Cause::Depth.into());
    }
    if let Some(codec) = message.codec {
        return coded(to, codec, message, value, depth);
    }
    let nothing = Map::new();
    let object = match value {
        Value::Null => &nothing,
        Value::Object(object) => object,
        _ => return Err(Cause::Type("object").into()),
    };
    for of in message.fields.iter().rev() {
        if of.inline {
            let since = to.len();
            if let Kind::Message(number) = of.kind {
                self::message(to, table::message(number), value, depth + 1)?;
            }
            to.close(of.number, since);
        } else {
            field(to, of, object.get(of.name), depth).map_err(|fault| fault.in_field(of.name))?;
        }
    }
    Ok(())
}

fn field(to: &mut Writer, field: &Field, value: Option<&Value>, depth: usize) -> Result<(), Fault> {
    let nil = field.pointer || field.kind == Kind::Bytes || field.shape != Shape::Single;
    let value = match value {
        None | Some(Value::Null) if nil => return Ok(()),
        other => other.unwrap_or(&Value::Null),
    };
    match (field.shape, value) {
        (Shape::Single, value) => one(to, field.number, field.kind, value, depth),
        (Shape::Repeated, Value::Array(items)) => list(to, field, items, depth),
        (Shape::Map, Value::Object(entries)) => map(to, field, entries, depth),
        (Shape::Repeated, _) => Err(Cause::Type("array").into()),
        (Shape::Map, _) => Err(Cause::Type("object").into()),
    }
}

fn list(to: &mut Writer, field: &Field, items: &[Value], depth: usize) -> Result<(), Fault> {
    for (index, item) in items.iter().enumerate().rev() {
        one(to, field.number, field.kind, item, depth).map_err(|fault| fault.in_item(index))?;
    }
    Ok(())
}

fn map(to: &mut Writer, field: &Field, entries: &Map<String, Value>, depth: usize) -> Result<(), Fault> {
    let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in sorted.into_iter().rev() {
        let since = to.len();
        if !(field.kind == Kind::Bytes && value.is_null()) {
            one(to, 2, field.kind, value, depth).map_err(|fault| fault.in_field(&format!("[{key}]")))?;
        }
        to.piece(1, key.as_bytes());
        to.close(field.number, since);
    }
    Ok(())
}

/// A value; null is its zero.
fn one(to: &mut Writer, number: u32, kind: Kind, value: &Value, depth: usize) -> Result<(), Fault> {
    let null = value.is_null();
    match kind {
        Kind::String => to.piece(number, text(value)?.as_bytes()),
        Kind::Bytes => {
            let bytes = STANDARD.decode(text(value)?).map_err(|_| Cause::Base64)?;
            to.piece(number, &bytes);
        }
        Kind::Json => to.piece(number, &serde_json::to_vec(value).map_err(|_| Cause::Json)?),
        Kind::Bool | Kind::Int32 | Kind::Int64 if null => to.number(number, 0),
        Kind::Bool => to.number(number, u64::from(value.as_bool().ok_or(Cause::Type("boolean"))?)),
        Kind::Int32 | Kind::Int64 => {
            let wide = value.as_i64().ok_or(Cause::Type("integer"))?;
            if kind == Kind::Int32 && i32::try_from(wide).is_err() {
                return Err(Cause::Range.into());
            }
            to.number(number, wide.cast_unsigned());
        }
        Kind::Double => {
            let double = if null { Some(0.0) } else { value.as_f64() };
            to.bytes(&double.ok_or(Cause::Type("number"))?.to_bits().to_le_bytes());
            to.tag(number, FIXED64);
        }
        Kind::Message(of) => {
            let since = to.len();
            message(to, table::message(of), value, depth + 1)?;
            to.close(number, since);
        }
    }
    Ok(())
}

/// Text; null is the empty one.
fn text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(Cause::Type("string").into()),
    }
}

fn coded(to: &mut Writer, codec: Codec, message: &Message, value: &Value, depth: usize) -> Result<(), Fault> {
    let mut fields = message.fields.iter();
    let (first, second) = (fields.next(), fields.next());
    let write = |to: &mut Writer, to_field: Option<&Field>, value: &Value| match to_field {
        Some(to_field) => field(to, to_field, Some(value), depth),
        None => Ok(()),
    };
    match (codec, value) {
        (Codec::Time | Codec::MicroTime | Codec::Raw | Codec::Items, Value::Null) => Ok(()),
        (Codec::Time | Codec::MicroTime, value) => time(to, codec, text(value)?),
        (Codec::Quantity, value) => write(to, first, &quantity(value)?.into()),
        (Codec::IntOrString, Value::String(text)) => {
            int_or_text(to, IS_TEXT, 0, text);
            Ok(())
        }
        (Codec::IntOrString, Value::Null) => {
            int_or_text(to, 0, 0, "");
            Ok(())
        }
        (Codec::IntOrString, value) => {
            let number = value.as_i64().ok_or(Cause::Type("integer or string"))?;
            let number = i32::try_from(number).map_err(|_| Cause::Range)?;
            int_or_text(to, 0, i64::from(number).cast_unsigned(), "");
            Ok(())
        }
        (Codec::OrBool, Value::Object(_)) => {
            write(to, second, value)?;
            write(to, first, &true.into())
        }
        (Codec::OrList, Value::Array(_)) => write(to, second, value),
        (Codec::Raw | Codec::Items | Codec::OrBool | Codec::OrList, value) => write(to, first, value),
    }
}

/// Seconds and nanoseconds, as `meta/v1 Timestamp` has them.
fn time(to: &mut Writer, codec: Codec, text: &str) -> Result<(), Fault> {
    let micro = codec == Codec::MicroTime;
    // As well as with six digits, a MicroTime is read with none: Events that were made through the older API have it so.
    let at = meta::parse_time(text)
        .or_else(|| meta::parse_micro_time(text).filter(|_| micro))
        .ok_or(Cause::Time)?;
    let nanos = at.as_nanosecond();
    let fraction = if micro {
        nanos.rem_euclid(NANO) / MICRO * MICRO
    } else {
        0
    };
    let (seconds, fraction) = (i64::try_from(nanos.div_euclid(NANO)), u64::try_from(fraction));
    to.number(2, fraction.map_err(|_| Cause::Range)?);
    to.number(1, seconds.map_err(|_| Cause::Range)?.cast_unsigned());
    Ok(())
}

fn quantity(value: &Value) -> Result<String, Fault> {
    let text = match value {
        Value::Null => return Ok("0".to_owned()),
        Value::Number(number) => number.to_string(),
        value => text(value)?.trim().to_owned(),
    };
    Ok(Quantity::parse(&text).map_err(Cause::from)?.to_string())
}

fn int_or_text(to: &mut Writer, of: u64, number: u64, text: &str) {
    to.piece(3, text.as_bytes());
    to.number(2, number);
    to.number(1, of);
}
