//! Protobuf's wire format: numbers of seven bits a byte, and pieces of known length.

use super::fault::{Cause, Fault};

/// Wire types.
pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// Bits that a tag has for the wire type.
const TYPE_BITS: u32 = 3;

/// Reads a part of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Where the rest begins in the whole.
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Nothing to read, at the same place.
    pub(super) fn nothing(self) -> Self {
        Self {
            rest: &[],
            offset: self.offset,
        }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn fault(self, cause: impl Into<Cause>) -> Fault {
        Fault::at(self.offset, cause)
    }

    pub(super) fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.rest).map_err(|_| self.fault(Cause::Utf8))
    }

    /// Number and wire type of the next field, if there is one.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, u8)>, Fault> {
        if self.is_empty() {
            return Ok(None);
        }
        let start = *self;
        let tag = self.varint()?;
        let number = tag >> TYPE_BITS;
        let wire = u8::try_from(tag & ((1 << TYPE_BITS) - 1)).unwrap_or_default();
        match u32::try_from(number) {
            Ok(number @ 1..) => Ok(Some((number, wire))),
            _ => Err(start.fault(Cause::Number(number))),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let start = *self;
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.take(1)?.rest.first().copied().unwrap_or_default();
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(start.fault(Cause::Overflow));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(start.fault(Cause::Overflow))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        let piece = self.take(8)?;
        let bytes = piece.rest.try_into().map_err(|_| piece.fault(Cause::Truncated))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// What stands behind its length.
    pub(super) fn piece(&mut self) -> Result<Self, Fault> {
        let start = *self;
        let length = usize::try_from(self.varint()?).map_err(|_| start.fault(Cause::Truncated))?;
        self.take(length)
    }

    /// The next bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<Self, Fault> {
        let (piece, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.fault(Cause::Truncated))?;
        let taken = Self {
            rest: piece,
            offset: self.offset,
        };
        self.rest = rest;
        self.offset += length;
        Ok(taken)
    }

    /// Passes over a value of this wire type.
    pub(super) fn skip(&mut self, wire: u8) -> Result<(), Fault> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            LENGTH => self.piece().map(drop),
            FIXED32 => self.take(4).map(drop),
            other => Err(self.fault(Cause::WireType(other))),
        }
    }
}

/// Writes from the end to the beginning: so the length of what stands behind it is known, and nothing is copied.
#[derive(Default)]
pub(super) struct Writer {
    backwards: Vec<u8>,
}

impl Writer {
    /// What was written, in its order.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.backwards.reverse();
        self.backwards
    }

    pub(super) fn len(&self) -> usize {
        self.backwards.len()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.backwards.extend(bytes.iter().rev());
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        let mut bytes = [0; 10];
        let mut length = 0;
        for byte in &mut bytes {
            *byte = u8::try_from(value & 0x7f).unwrap_or_default();
            length += 1;
            value >>= 7;
            if value == 0 {
                break;
            }
            *byte |= 0x80;
        }
        self.bytes(bytes.get(..length).unwrap_or_default());
    }

    pub(super) fn tag(&mut self, number: u32, wire: u8) {
        self.varint(u64::from(number) << TYPE_BITS | u64::from(wire));
    }

    /// A field that is a number.
    pub(super) fn number(&mut self, number: u32, value: u64) {
        self.varint(value);
        self.tag(number, VARINT);
    }

    /// A field that is text or bytes.
    pub(super) fn piece(&mut self, number: u32, bytes: &[u8]) {
        self.bytes(bytes);
        self.varint(bytes.len() as u64);
        self.tag(number, LENGTH);
    }

    /// A field that was written since, as what stood here before grew from that length.
    pub(super) fn close(&mut self, number: u32, since: usize) {
        self.varint(self.len().saturating_sub(since) as u64);
        self.tag(number, LENGTH);
    }
}
