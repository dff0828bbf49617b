//! From messages to JSON, as Go's `encoding/json` would write what it read from the message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fault::{Cause, Fault};
use super::table::{self, Codec, Field, Kind, Message, Shape};
use super::wire::{FIXED64, LENGTH, Reader, VARINT};
use super::{MAGIC, MAX_DEPTH, envelope};
use crate::decode::quantity::Quantity;
use crate::meta;

/// Most values of one body. Few bytes of a message can be many of JSON: it names fields that the message leaves out.
/// 1 MiB values, some 100 MiB of memory, are more than a body of 3 MiB has that is written in earnest.
pub(super) const MAX_VALUES: usize = 1 << 20;

/// 0000-01-01T00:00:00Z, in seconds.
const YEAR_0: i64 = -62_167_219_200;
/// Go's zero time, 0001-01-01T00:00:00Z, in seconds. JSON shows it as null.
const ZERO_TIME: i64 = -62_135_596_800;
/// Nanoseconds of a second.
const NANO: i64 = 1_000_000_000;

/// Reads one body.
#[derive(Default)]
pub(super) struct Decoder {
    depth: usize,
    values: usize,
}

/// What was read of a message: for each field of its table the value, if it is there.
type Slots = Vec<Option<Value>>;

impl Decoder {
    /// An object in its envelope.
    pub(super) fn object(&mut self, reader: Reader<'_>) -> Result<Value, Fault> {
        let envelope = envelope::read(reader)?;
        let message = table::of_kind(envelope.api_version, envelope.kind).ok_or_else(|| {
            reader.fault(Cause::Kind {
                api_version: envelope.api_version.to_owned(),
                kind: envelope.kind.to_owned(),
            })
        })?;
        let mut object = Map::new();
        object.insert("kind".to_owned(), envelope.kind.into());
        object.insert("apiVersion".to_owned(), envelope.api_version.into());
        if let Value::Object(fields) = self.message(message, envelope.raw)? {
            object.extend(fields);
        }
        Ok(Value::Object(object))
    }

    fn message(&mut self, message: &Message, reader: Reader<'_>) -> Result<Value, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(reader.fault(Cause::Depth));
        }
        self.depth += 1;
        let slots = self.slots(message, reader)?;
        let value = match message.codec {
            Some(codec) => coded(codec, slots, reader)?,
            None => Value::Object(self.fields(message, slots, reader)?),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn slots(&mut self, message: &Message, mut reader: Reader<'_>) -> Result<Slots, Fault> {
        let mut slots = vec![None; message.fields.len()];
        while let Some((number, wire)) = reader.tag()? {
            let Some((at, field)) = message.field(number) else {
                reader.skip(wire)?;
                continue;
            };
            let Some(slot) = slots.get_mut(at) else { continue };
            self.field(field, slot, wire, &mut reader)
                .map_err(|fault| fault.in_field(if field.inline { "" } else { field.name }))?;
        }
        Ok(slots)
    }

    fn field(
        &mut self,
        field: &Field,
        slot: &mut Option<Value>,
        wire: u8,
        reader: &mut Reader<'_>,
    ) -> Result<(), Fault> {
        match (field.shape, slot) {
            (Shape::Single, Some(_)) => Err(reader.fault(Cause::Twice)),
            (Shape::Single, slot) => {
                *slot = Some(self.value(field.kind, wire, reader)?);
                Ok(())
            }
            (Shape::Repeated, slot) => {
                if let Value::Array(items) = slot.get_or_insert_with(|| Value::Array(Vec::new())) {
                    self.items(field.kind, items, wire, reader)?;
                }
                Ok(())
            }
            (Shape::Map, slot) => {
                if let Value::Object(entries) = slot.get_or_insert_with(|| Value::Object(Map::new())) {
                    let (key, value) = self.entry(field.kind, wire, reader)?;
                    entries.insert(key, value);
                }
                Ok(())
            }
        }
    }

    /// One more item; or, of numbers, several in one piece.
    fn items(&mut self, kind: Kind, items: &mut Vec<Value>, wire: u8, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if wire == LENGTH && own_wire(kind) != LENGTH {
            let mut packed = reader.piece()?;
            while !packed.is_empty() {
                items.push(self.value(kind, own_wire(kind), &mut packed)?);
            }
            return Ok(());
        }
        let index = items.len();
        items.push(self.value(kind, wire, reader).map_err(|fault| fault.in_item(index))?);
        Ok(())
    }

    /// An entry of a map: a message of key and value, both of which can be missing.
    fn entry(&mut self, kind: Kind, wire: u8, reader: &mut Reader<'_>) -> Result<(String, Value), Fault> {
        if wire != LENGTH {
            return Err(reader.fault(Cause::WireType(wire)));
        }
        let mut entry = reader.piece()?;
        let (mut key, mut value) = ("", None);
        while let Some((number, wire)) = entry.tag()? {
            match (number, wire) {
                (1, LENGTH) => key = entry.piece()?.text()?,
                (1, other) => return Err(entry.fault(Cause::WireType(other))),
                (2, wire) => {
                    value = Some(
                        self.value(kind, wire, &mut entry)
                            .map_err(|fault| fault.in_field(&format!("[{key}]")))?,
                    );
                }
                (_, wire) => entry.skip(wire)?,
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.zero(kind, entry)?,
        };
        Ok((key.to_owned(), value))
    }

    fn value(&mut self, kind: Kind, wire: u8, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        self.count(*reader)?;
        if wire != own_wire(kind) {
            return Err(reader.fault(Cause::WireType(wire)));
        }
        let start = *reader;
        Ok(match kind {
            Kind::String => reader.piece()?.text()?.into(),
            Kind::Bytes => STANDARD.encode(reader.piece()?.bytes()).into(),
            Kind::Json => self.json(reader.piece()?)?,
            Kind::Bool => (reader.varint()? != 0).into(),
            Kind::Int64 => reader.varint()?.cast_signed().into(),
            Kind::Int32 => {
                let number = reader.varint()?.cast_signed();
                i32::try_from(number).map_err(|_| start.fault(Cause::Range))?.into()
            }
            Kind::Double => serde_json::Number::from_f64(f64::from_bits(reader.fixed64()?))
                .ok_or_else(|| start.fault(Cause::Range))?
                .into(),
            Kind::Message(number) => self.message(table::message(number), reader.piece()?)?,
        })
    }

    /// JSON as it is, or an object in an envelope.
    fn json(&mut self, reader: Reader<'_>) -> Result<Value, Fault> {
        match reader.bytes() {
            [] => Ok(Value::Null),
            bytes if bytes.starts_with(MAGIC) => {
                if self.depth == MAX_DEPTH {
                    return Err(reader.fault(Cause::Depth));
                }
                self.depth += 1;
                let object = self.object(reader)?;
                self.depth -= 1;
                Ok(object)
            }
            bytes => serde_json::from_slice(bytes).map_err(|_| reader.fault(Cause::Json)),
        }
    }

    /// What JSON has for a field of this kind that is no pointer and not there.
    fn zero(&mut self, kind: Kind, reader: Reader<'_>) -> Result<Value, Fault> {
        self.count(reader)?;
        Ok(match kind {
            Kind::String | Kind::Bytes => "".into(),
            Kind::Bool => false.into(),
            Kind::Int32 | Kind::Int64 => 0.into(),
            Kind::Double => 0.0.into(),
            Kind::Json => Value::Null,
            Kind::Message(number) => self.message(table::message(number), reader.nothing())?,
        })
    }

    fn count(&mut self, reader: Reader<'_>) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(reader.fault(Cause::TooMany));
        }
        Ok(())
    }

    fn fields(&mut self, message: &Message, slots: Slots, reader: Reader<'_>) -> Result<Map<String, Value>, Fault> {
        let mut object = Map::new();
        for (field, slot) in message.fields.iter().zip(slots) {
            let Some(value) = self.shown(field, slot, reader)? else {
                continue;
            };
            match value {
                Value::Object(inner) if field.inline => object.extend(inner),
                value => {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
        Ok(object)
    }

    /// What JSON has for a field, if it has it.
    fn shown(&mut self, field: &Field, slot: Option<Value>, reader: Reader<'_>) -> Result<Option<Value>, Fault> {
        let single = field.shape == Shape::Single;
        let nil = field.pointer || !single || field.kind == Kind::Bytes;
        let value = match slot {
            Some(value) if single && field.pointer => return Ok(Some(value)),
            None if nil => return Ok((!field.omit_empty).then_some(Value::Null)),
            None => self.zero(field.kind, reader)?,
            Some(value) => value,
        };
        let omitted = match field.kind {
            Kind::Message(_) if single => field.omit_zero && value == self.zero(field.kind, reader)?,
            _ => field.omit_empty && is_empty(&value),
        };
        Ok((!omitted).then_some(value))
    }
}

/// What JSON has for a message that is no object there.
fn coded(codec: Codec, slots: Slots, reader: Reader<'_>) -> Result<Value, Fault> {
    let mut slots = slots.into_iter();
    let mut next = || slots.next().flatten();
    let (first, second, third) = (next(), next(), next());
    Ok(match codec {
        Codec::Time => time(first.as_ref(), None).ok_or_else(|| reader.fault(Cause::Time))?,
        Codec::MicroTime => {
            let nanos = second.as_ref().and_then(Value::as_i64).unwrap_or_default();
            time(first.as_ref(), Some(nanos)).ok_or_else(|| reader.fault(Cause::Time))?
        }
        Codec::Quantity => match first.as_ref().and_then(Value::as_str) {
            Some(text) => Quantity::parse(text)
                .map_err(|why| reader.fault(why))?
                .to_string()
                .into(),
            None => "0".into(),
        },
        Codec::IntOrString => match first.as_ref().and_then(Value::as_i64) {
            None | Some(0) => second.unwrap_or_else(|| 0.into()),
            Some(1) => third.unwrap_or_else(|| "".into()),
            Some(_) => return Err(reader.fault(Cause::Range)),
        },
        Codec::Raw => first.unwrap_or_default(),
        Codec::Items => first.unwrap_or_else(|| Value::Array(Vec::new())),
        Codec::OrBool => second.or(first).unwrap_or(Value::Bool(false)),
        Codec::OrList => second.filter(|list| !is_empty(list)).or(first).unwrap_or_default(),
    })
}

/// The wire type of a kind's values.
fn own_wire(kind: Kind) -> u8 {
    match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 => VARINT,
        Kind::Double => FIXED64,
        Kind::String | Kind::Bytes | Kind::Json | Kind::Message(_) => LENGTH,
    }
}

/// As `omitempty` has it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(it) => !it,
        Value::Number(it) => it.as_f64() == Some(0.0),
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.is_empty(),
        Value::Object(it) => it.is_empty(),
    }
}

/// A time of whole seconds, or of nanoseconds. None if JSON cannot show it.
fn time(seconds: Option<&Value>, nanos: Option<i64>) -> Option<Value> {
    let Some(seconds) = seconds.and_then(Value::as_i64) else {
        // An empty message is Go's zero time; one with a fraction only is of 1970.
        return match nanos {
            None | Some(0) => Some(Value::Null),
            nanos => time(Some(&0.into()), nanos),
        };
    };
    if seconds == ZERO_TIME && nanos.unwrap_or_default() == 0 {
        return Some(Value::Null);
    }
    if seconds < YEAR_0 || !(0..NANO).contains(&nanos.unwrap_or_default()) {
        return None;
    }
    match nanos {
        None => Some(meta::time(Timestamp::from_second(seconds).ok()?).into()),
        Some(nanos) => {
            let at = i128::from(seconds) * i128::from(NANO) + i128::from(nanos);
            Some(meta::micro_time(Timestamp::from_nanosecond(at).ok()?).into())
        }
    }
}
