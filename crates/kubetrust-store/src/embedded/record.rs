//! How a version of a key, a line of the log, and a number are written, each under a checksum of its own.
//!
//! redb's checksums cover pages, and are looked at after a crash only. A flipped bit has to be found when the record is
//! read, and named by its key.

use bytes::Bytes;

use super::disk::Fault;
use crate::limits::shown;
use crate::{KeyValue, LeaseId, Revision};

/// A version of a key as it lies on disk: checksum, checksum of its key and revision alone, kind, created, version,
/// lease, value.
const HEADER: usize = 4 + 4 + 1 + 8 + 8 + 8;
const KEY_SUM: usize = 4;
const KIND: usize = 8;
const PUT: u8 = 1;
const TOMBSTONE: u8 = 0;

/// Writes a version of a key.
pub(super) fn put(kv: &KeyValue) -> Vec<u8> {
    let lease = kv.lease.map_or(0, |lease| lease.0);
    version(&kv.key, kv.modified, PUT, [kv.created, kv.version], lease, &kv.value)
}

/// Writes that a key was removed.
pub(super) fn tombstone(key: &[u8], revision: Revision) -> Vec<u8> {
    version(key, revision, TOMBSTONE, [0, 0], 0, &[])
}

fn version(key: &[u8], revision: Revision, kind: u8, numbers: [u64; 2], lease: i64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + value.len());
    bytes.extend_from_slice(&[0; KEY_SUM]);
    bytes.extend_from_slice(&sum(key, revision, &[]).to_le_bytes());
    bytes.push(kind);
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&lease.to_le_bytes());
    bytes.extend_from_slice(value);
    let sum = sum(key, revision, &bytes[KEY_SUM..]);
    bytes[..KEY_SUM].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The key and the revision are under the checksum, so that a record found at the wrong place is found out too.
fn sum(key: &[u8], revision: Revision, rest: &[u8]) -> u32 {
    let length = (key.len() as u64).to_le_bytes();
    sum_of([length.as_slice(), key, &revision.to_le_bytes(), rest])
}

/// Whether this is the key of a version, whatever else is wrong with it: what others that are searched for rest on.
pub(super) fn verify_key(key: &[u8], revision: Revision, bytes: &[u8]) -> Result<(), Fault> {
    let stated = bytes.get(KEY_SUM..).and_then(|rest| rest.first_chunk());
    if stated.map(|stated| u32::from_le_bytes(*stated)) == Some(sum(key, revision, &[])) {
        Ok(())
    } else {
        Err(damaged(key, revision))
    }
}

fn damaged(key: &[u8], revision: Revision) -> Fault {
    Fault::Damaged(format!(
        "the record of {} at revision {revision} does not match its checksum",
        shown(key)
    ))
}

/// A version of a key as it was read, its value where it lies.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    revision: Revision,
    created: u64,
    version: u64,
    lease: i64,
    pub(super) value: &'a [u8],
}

impl Read<'_> {
    /// The same for itself, with a copy of the value or a share in one.
    pub(super) fn with_value(self, key: &[u8], value: Bytes) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(key),
            value,
            created: self.created,
            modified: self.revision,
            version: self.version,
            lease: (self.lease != 0).then_some(LeaseId(self.lease)),
        }
    }
}

/// Reads a version of a key; `None` says that it was removed.
pub(super) fn read_version(key: &[u8], revision: Revision, bytes: &[u8]) -> Result<Option<KeyValue>, Fault> {
    let read = read_in_place(key, revision, bytes)?;
    Ok(read.map(|read| read.with_value(key, Bytes::copy_from_slice(read.value))))
}

/// The same, without a copy of the value.
pub(super) fn read_in_place<'a>(key: &[u8], revision: Revision, bytes: &'a [u8]) -> Result<Option<Read<'a>>, Fault> {
    let damaged = || damaged(key, revision);
    let mut reader = Reader(bytes);
    let stated = u32::from_le_bytes(reader.array().ok_or_else(damaged)?);
    if stated != sum(key, revision, reader.0) {
        return Err(damaged());
    }
    let [_, _, _, _] = reader.array().ok_or_else(damaged)?;
    let [kind] = reader.array().ok_or_else(damaged)?;
    let created = u64::from_le_bytes(reader.array().ok_or_else(damaged)?);
    let version = u64::from_le_bytes(reader.array().ok_or_else(damaged)?);
    let lease = i64::from_le_bytes(reader.array().ok_or_else(damaged)?);
    Ok((kind == PUT).then_some(Read {
        revision,
        created,
        version,
        lease,
        value: reader.0,
    }))
}

/// Whether a record says that its key was removed, without a look at its checksum.
pub(super) fn is_tombstone(bytes: &[u8]) -> bool {
    bytes.get(KIND) == Some(&TOMBSTONE)
}

/// One revision in the log: when it was made, and the keys that it changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Milliseconds since 1970.
    pub(super) time: u64,
    pub(super) keys: Vec<Bytes>,
}

/// Writes a line of the log.
pub(super) fn line<'a>(revision: Revision, time: u64, keys: impl Iterator<Item = &'a Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&time.to_le_bytes());
    for key in keys {
        // A key is at most KEY_LIMIT long.
        bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(key);
    }
    let sum = sum(&[], revision, &bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads a line of the log.
pub(super) fn read_line(revision: Revision, bytes: &[u8]) -> Result<Line, Fault> {
    let damaged = || Fault::Damaged(format!("the log of revision {revision} does not match its checksum"));
    let mut reader = Reader(bytes);
    let stated = u32::from_le_bytes(reader.array().ok_or_else(damaged)?);
    if stated != sum(&[], revision, reader.0) {
        return Err(damaged());
    }
    let time = u64::from_le_bytes(reader.array().ok_or_else(damaged)?);
    let mut keys = Vec::new();
    while !reader.0.is_empty() {
        let length = u32::from_le_bytes(reader.array().ok_or_else(damaged)?);
        let key = usize::try_from(length).ok().and_then(|length| reader.take(length));
        keys.push(Bytes::copy_from_slice(key.ok_or_else(damaged)?));
    }
    Ok(Line { time, keys })
}

/// The checksum beside a number that stands alone.
pub(super) fn number_sum(name: &str, numbers: &[u64]) -> u32 {
    let start = crc32c::crc32c(name.as_bytes());
    numbers
        .iter()
        .fold(start, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()))
}

/// CRC-32C (Castagnoli, RFC 3720, B.4): finds every flipped bit and every burst up to 32 bits in a record.
fn sum_of<const N: usize>(parts: [&[u8]; N]) -> u32 {
    parts.into_iter().fold(0, crc32c::crc32c_append)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> KeyValue {
        KeyValue {
            key: Bytes::from_static(b"/registry/a"),
            value: Bytes::from_static(b"value"),
            created: 3,
            modified: 9,
            version: 4,
            lease: Some(LeaseId(77)),
        }
    }

    #[test]
    fn a_version_reads_as_it_was_written() {
        let kv = sample();
        assert_eq!(read_version(&kv.key, 9, &put(&kv)).unwrap(), Some(kv.clone()));
        assert_eq!(read_version(&kv.key, 9, &tombstone(&kv.key, 9)).unwrap(), None);
        let keys = [kv.key, Bytes::from_static(b"\0")];
        let read = read_line(5, &line(5, 42, keys.iter())).unwrap();
        assert_eq!(
            read,
            Line {
                time: 42,
                keys: keys.to_vec()
            }
        );
    }

    type Read = fn(&[u8]) -> bool;

    #[test]
    fn no_flipped_bit_and_no_cut_is_read_as_a_record() {
        let kv = sample();
        let keys = [kv.key.clone()];
        let readers: [(Vec<u8>, Read); 3] = [
            (put(&kv), |bytes| read_version(b"/registry/a", 9, bytes).is_err()),
            (tombstone(&kv.key, 9), |bytes| {
                read_version(b"/registry/a", 9, bytes).is_err()
            }),
            (line(5, 42, keys.iter()), |bytes| read_line(5, bytes).is_err()),
        ];
        for (good, refused) in readers {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(refused(&bad), "bit {bit}");
            }
            for cut in 0..good.len() {
                assert!(refused(&good[..cut]), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_record_at_another_key_or_revision_is_damage() {
        let kv = sample();
        for (key, revision) in [(b"/registry/b".as_slice(), 9), (&kv.key, 8)] {
            read_version(key, revision, &put(&kv)).unwrap_err();
            verify_key(key, revision, &put(&kv)).unwrap_err();
        }
        verify_key(&kv.key, 9, &put(&kv)).unwrap();
        verify_key(&kv.key, 9, &tombstone(&kv.key, 9)).unwrap();
    }

    #[test]
    fn a_damaged_value_does_not_make_its_key_doubtful() {
        let kv = sample();
        let mut bad = put(&kv);
        *bad.last_mut().unwrap() ^= 1;
        verify_key(&kv.key, 9, &bad).unwrap();
        read_version(&kv.key, 9, &bad).unwrap_err();
        for cut in 0..KIND {
            verify_key(&kv.key, 9, &bad[..cut]).unwrap_err();
        }
    }
}
