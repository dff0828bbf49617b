//! The tables of the file, and what is read from them, by a writer in its transaction or by a reader in its snapshot.
//!
//! | table | key | value |
//! |---|---|---|
//! | `history` | key, revision | a version of the key, or that it was removed |
//! | `log` | revision | its time and the keys that it changed; the last line is where the store stands |
//! | `leases` | lease | deadline and length in ms, checksum |
//! | `lease_keys` | lease, key | – |
//! | `numbers` | name | a number and its checksum |
//!
//! A value is stored once, in `history`, where the versions of a key lie side by side: a list of what is current is one
//! walk in the order of the disk.

use bytes::Bytes;
use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::disk::Fault;
use super::record::{self, Line};
use crate::limits::shown;
use crate::{EVENT_COST, Event, KeyValue, LeaseId, NO_END, Range, Revision};

type HistoryKey = (&'static [u8], u64);
type Stored = &'static [u8];
type LeaseRow = (u64, u64, u32);
type LeaseKey = (i64, &'static [u8]);

const HISTORY: TableDefinition<'_, HistoryKey, Stored> = TableDefinition::new("history");
const LOG: TableDefinition<'_, u64, Stored> = TableDefinition::new("log");
const LEASES: TableDefinition<'_, i64, LeaseRow> = TableDefinition::new("leases");
const LEASE_KEYS: TableDefinition<'_, LeaseKey, ()> = TableDefinition::new("lease_keys");
const NUMBERS: TableDefinition<'_, &str, (u64, u32)> = TableDefinition::new("numbers");

/// Up to and including this revision only what is current is kept.
pub(super) const COMPACTED: &str = "compacted";
/// How the file is laid out.
pub(super) const FORMAT: &str = "format";

/// The layout that this code reads and writes.
pub(super) const FORMAT_NOW: u64 = 2;

/// Makes the tables of a new store, whose first revision is 1 as etcd's is: 0 means "any" to clients of Kubernetes.
pub(super) fn initialize(database: &Database, time: u64) -> Result<(), Fault> {
    initialize_at(database, 1, time)
}

/// Makes the tables of a new store that stands at a revision and has no history before it.
pub(super) fn initialize_at(database: &Database, revision: Revision, time: u64) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Writable::open(&transaction)?;
        tables.set_number(FORMAT, FORMAT_NOW)?;
        tables.set_number(COMPACTED, revision)?;
        tables.append(revision, time, &[])?;
    }
    Ok(transaction.commit()?)
}

/// A reader's consistent view.
pub(super) struct Snapshot {
    history: ReadOnlyTable<HistoryKey, Stored>,
    log: ReadOnlyTable<u64, Stored>,
    leases: ReadOnlyTable<i64, LeaseRow>,
    lease_keys: ReadOnlyTable<LeaseKey, ()>,
    numbers: ReadOnlyTable<&'static str, (u64, u32)>,
    _transaction: ReadTransaction,
}

impl Snapshot {
    pub(super) fn take(database: &Database) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        Ok(Self {
            history: transaction.open_table(HISTORY)?,
            log: transaction.open_table(LOG)?,
            leases: transaction.open_table(LEASES)?,
            lease_keys: transaction.open_table(LEASE_KEYS)?,
            numbers: transaction.open_table(NUMBERS)?,
            _transaction: transaction,
        })
    }

    pub(super) fn revision(&self) -> Result<Revision, Fault> {
        last_revision(&self.log)
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, Fault> {
        number(&self.numbers, name)
    }

    /// The newest version of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Fault> {
        newest(&self.history, key)
    }

    /// The keys of a range at a revision, how many there are, and what happened to them since.
    pub(super) fn range(&self, range: &Range, at: Revision) -> Result<Found, Fault> {
        let mut found = Found {
            items: Vec::new(),
            count: 0,
            limit: range.limit,
            later: (range.later > 0).then(Vec::new),
            room: range.later,
            values: Values::default(),
            later_values: Values::default(),
        };
        // The newest version so far of the key that the walk is at.
        let mut candidate: Option<Version> = None;
        for entry in self.walk(&range.start, &range.end)? {
            if !range.count && found.is_full() {
                found.finish();
                return Ok(found);
            }
            let version = entry?;
            if version.0.value().1 > at {
                found.take_later(&version)?;
                continue;
            }
            if let Some(before) = pass(&mut candidate, version)? {
                found.take(&before)?;
            }
        }
        if let Some(last) = candidate {
            found.take(&last)?;
        }
        found.finish();
        Ok(found)
    }

    /// The first keys of a range now, without a count of the others.
    pub(super) fn page(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyValue>, Fault> {
        let mut items = Vec::new();
        let mut candidate: Option<Version> = None;
        for entry in self.walk(start, end)? {
            if let Some(before) = pass(&mut candidate, entry?)? {
                items.extend(current(&before)?);
                if items.len() >= limit {
                    return Ok(items);
                }
            }
        }
        if let Some(last) = candidate {
            items.extend(current(&last)?);
        }
        Ok(items)
    }

    /// The records of a range, after a look at the one before it.
    fn walk(&self, start: &[u8], end: &[u8]) -> Result<Walk, Fault> {
        beside(below(&self.history, start, 0)?.as_ref(), |name| name < start)?;
        Ok(Walk {
            records: self.history.range::<(&[u8], u64)>((start, 0)..)?,
            end: (end != NO_END).then(|| end.to_vec()),
        })
    }

    /// The events after a revision, in order, and the revision up to which that is all: at least one line of the log
    /// if there is one, and not many more than `bytes` of values.
    pub(super) fn replay(&self, after: Revision, bytes: usize) -> Result<(Vec<Event>, Revision), Fault> {
        let mut events = Vec::new();
        let mut reached = after;
        let mut size = 0;
        for entry in self.log.range(after.saturating_add(1)..)? {
            let (revision, line) = entry?;
            if revision.value() != reached + 1 {
                return Err(Fault::Damaged(format!(
                    "the log goes from revision {reached} to {}",
                    revision.value()
                )));
            }
            reached += 1;
            for key in record::read_line(reached, line.value())?.keys {
                let event = self.event(&key, reached)?;
                size += event.size();
                events.push(event);
            }
            size += LINE_COST;
            if size >= bytes {
                break;
            }
        }
        Ok((events, reached))
    }

    fn event(&self, key: &[u8], revision: Revision) -> Result<Event, Fault> {
        let stored = self.history.get((key, revision))?;
        let stored = stored.ok_or_else(|| {
            Fault::Damaged(format!(
                "the log names {} at revision {revision}, which is not there",
                shown(key)
            ))
        })?;
        let version = record::read_version(key, revision, stored.value())?;
        Ok(version.map_or_else(|| gone(key, revision), Event::Put))
    }

    /// Every lease with its deadline and its length in ms.
    pub(super) fn leases(&self) -> Result<Vec<(LeaseId, u64, u64)>, Fault> {
        let rows = self.leases.iter()?;
        rows.map(|row| {
            let (id, row) = row?;
            let lease = LeaseId(id.value());
            let (deadline, length) = lease_row(lease, row.value())?;
            Ok((lease, deadline, length))
        })
        .collect()
    }

    pub(super) fn lease_deadline(&self, lease: LeaseId) -> Result<Option<u64>, Fault> {
        let row = self.leases.get(lease.0)?;
        row.map(|row| lease_row(lease, row.value()).map(|(deadline, _)| deadline))
            .transpose()
    }

    /// Every record of every key, in order, as it lies there; for those who check.
    pub(super) fn versions(&self) -> Result<redb::Range<'static, HistoryKey, Stored>, Fault> {
        Ok(self.history.range::<(&[u8], u64)>(..)?)
    }

    pub(super) fn has_version(&self, key: &[u8], revision: Revision) -> Result<bool, Fault> {
        Ok(self.history.get((key, revision))?.is_some())
    }

    pub(super) fn lines(&self) -> Result<redb::Range<'static, u64, Stored>, Fault> {
        Ok(self.log.range::<u64>(..)?)
    }

    pub(super) fn line(&self, revision: Revision) -> Result<Option<Line>, Fault> {
        let stored = self.log.get(revision)?;
        stored
            .map(|stored| record::read_line(revision, stored.value()))
            .transpose()
    }

    pub(super) fn lease_keys(&self) -> Result<redb::Range<'static, LeaseKey, ()>, Fault> {
        Ok(self.lease_keys.range::<(i64, &[u8])>(..)?)
    }

    pub(super) fn has_lease_key(&self, lease: LeaseId, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.lease_keys.get((lease.0, key))?.is_some())
    }
}

/// What a line of the log costs a replay beside its values, so that empty ones end too.
const LINE_COST: usize = 64;

type Version<'t> = (AccessGuard<'t, HistoryKey>, AccessGuard<'t, Stored>);

/// Records in order, up to the first whose key is at the end or after it: where that key is another than was written,
/// there would be more.
struct Walk {
    records: redb::Range<'static, HistoryKey, Stored>,
    end: Option<Vec<u8>>,
}

impl Iterator for Walk {
    type Item = Result<Version<'static>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error.into())),
        };
        if self.end.as_deref().is_some_and(|end| record.0.value().0 >= end) {
            return verify_key(&record.0, &record.1).err().map(Err);
        }
        Some(Ok(record))
    }
}

/// What a range has.
pub(super) struct Found {
    pub(super) items: Vec<KeyValue>,
    pub(super) count: usize,
    pub(super) later: Option<Vec<Event>>,
    limit: usize,
    /// Bytes that `later` may still take.
    room: usize,
    values: Values,
    later_values: Values,
}

/// Bytes of values in one piece, about: what is freed in such pieces is taken again, and not given back to the system
/// and fetched anew for each page.
const PIECE: usize = 64 << 10;

/// Values in pieces: a few allocations for all. Whoever keeps one for long copies it.
#[derive(Default)]
struct Values {
    full: Vec<Bytes>,
    text: Vec<u8>,
    /// Of each value its piece, and where in that it is.
    places: Vec<(usize, std::ops::Range<usize>)>,
}

impl Values {
    /// Reads a version; its value comes with [`Self::give`].
    fn read(&mut self, (key, value): &Version<'_>) -> Result<Option<KeyValue>, Fault> {
        let (name, revision) = key.value();
        let read = record::read_in_place(name, revision, value.value())?;
        Ok(read.map(|read| {
            self.add(read.value);
            read.with_value(name, Bytes::new())
        }))
    }

    fn add(&mut self, value: &[u8]) {
        if self.text.capacity() - self.text.len() < value.len() {
            let next = Vec::with_capacity(PIECE.max(value.len()));
            self.full.push(std::mem::replace(&mut self.text, next).into());
        }
        let start = self.text.len();
        self.text.extend_from_slice(value);
        self.places.push((self.full.len(), start..self.text.len()));
    }

    /// Gives those that were read, in their order, their values.
    fn give<'a>(&mut self, read: impl Iterator<Item = &'a mut KeyValue>) {
        self.full.push(std::mem::take(&mut self.text).into());
        for (kv, (piece, place)) in read.zip(self.places.drain(..)) {
            kv.value = self.full[piece].slice(place);
        }
        self.full.clear();
    }
}

impl Found {
    fn is_full(&self) -> bool {
        self.limit != 0 && self.items.len() >= self.limit
    }

    /// Takes a version that the range is too early for.
    fn take_later(&mut self, version: &Version<'_>) -> Result<(), Fault> {
        let (name, revision) = version.0.value();
        let size = EVENT_COST + name.len() + version.1.value().len();
        if size > self.room {
            self.later = None;
        }
        let is_full = self.is_full();
        let Some(later) = self.later.as_mut().filter(|_| !is_full) else {
            return verify_key(&version.0, &version.1);
        };
        self.room -= size;
        let put = self.later_values.read(version)?;
        later.push(put.map_or_else(|| gone(name, revision), Event::Put));
        Ok(())
    }

    /// Gives all their values. What happened to keys behind the last item of a page is another page's.
    fn finish(&mut self) {
        if let (true, Some(later), Some(last)) = (self.is_full(), &mut self.later, self.items.last()) {
            later.truncate(later.partition_point(|event| *event.key() <= last.key));
        }
        self.values.give(self.items.iter_mut());
        let puts = self.later.iter_mut().flatten().filter_map(|event| match event {
            Event::Put(kv) => Some(kv),
            Event::Delete { .. } => None,
        });
        self.later_values.give(puts);
    }

    fn take(&mut self, version: &Version<'_>) -> Result<(), Fault> {
        if self.is_full() {
            self.count += usize::from(!record::is_tombstone(version.1.value()));
            return Ok(());
        }
        if let Some(kv) = self.values.read(version)? {
            self.items.push(kv);
            self.count += 1;
        }
        Ok(())
    }
}

/// Takes one record after the other, and gives the last version of each key. The keys of those between are verified: one
/// with a flipped bit is another key's.
fn pass<'t>(candidate: &mut Option<Version<'t>>, next: Version<'t>) -> Result<Option<Version<'t>>, Fault> {
    let name = next.0.value().0;
    let same = candidate.as_ref().is_some_and(|(before, _)| before.value().0 == name);
    let before = candidate.replace(next);
    if same && let Some((key, value)) = &before {
        verify_key(key, value)?;
        return Ok(None);
    }
    Ok(before)
}

fn verify_key(key: &AccessGuard<'_, HistoryKey>, value: &AccessGuard<'_, Stored>) -> Result<(), Fault> {
    let (name, revision) = key.value();
    record::verify_key(name, revision, value.value())
}

/// A version, unless it says that the key was removed.
fn current((key, value): &Version<'_>) -> Result<Option<KeyValue>, Fault> {
    let (name, revision) = key.value();
    record::read_version(name, revision, value.value())
}

/// That a key was removed.
fn gone(key: &[u8], revision: Revision) -> Event {
    Event::Delete {
        key: Bytes::copy_from_slice(key),
        revision,
    }
}

/// The writer's tables.
pub(super) struct Writable<'t> {
    history: Table<'t, HistoryKey, Stored>,
    log: Table<'t, u64, Stored>,
    leases: Table<'t, i64, LeaseRow>,
    lease_keys: Table<'t, LeaseKey, ()>,
    numbers: Table<'t, &'static str, (u64, u32)>,
}

impl<'t> Writable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            history: transaction.open_table(HISTORY)?,
            log: transaction.open_table(LOG)?,
            leases: transaction.open_table(LEASES)?,
            lease_keys: transaction.open_table(LEASE_KEYS)?,
            numbers: transaction.open_table(NUMBERS)?,
        })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Fault> {
        newest(&self.history, key)
    }

    /// Adds a version, and moves the key from the lease of the version before to its own.
    pub(super) fn put(&mut self, kv: &KeyValue, before: Option<LeaseId>) -> Result<(), Fault> {
        self.history
            .insert((kv.key.as_ref(), kv.modified), record::put(kv).as_slice())?;
        self.move_lease(&kv.key, before, kv.lease)
    }

    /// Adds that a key is removed.
    pub(super) fn delete(&mut self, key: &[u8], revision: Revision, before: Option<LeaseId>) -> Result<(), Fault> {
        self.history
            .insert((key, revision), record::tombstone(key, revision).as_slice())?;
        self.move_lease(key, before, None)
    }

    fn move_lease(&mut self, key: &[u8], from: Option<LeaseId>, to: Option<LeaseId>) -> Result<(), Fault> {
        if from == to {
            return Ok(());
        }
        if let Some(lease) = from {
            self.lease_keys.remove((lease.0, key))?;
        }
        if let Some(lease) = to {
            self.lease_keys.insert((lease.0, key), ())?;
        }
        Ok(())
    }

    /// Ends a revision: the line that says what it changed.
    pub(super) fn append(&mut self, revision: Revision, time: u64, keys: &[Bytes]) -> Result<(), Fault> {
        self.log
            .insert(revision, record::line(revision, time, keys.iter()).as_slice())?;
        Ok(())
    }

    pub(super) fn set_number(&mut self, name: &'static str, value: u64) -> Result<(), Fault> {
        self.numbers.insert(name, (value, record::number_sum(name, &[value])))?;
        Ok(())
    }

    pub(super) fn add_lease(&mut self, lease: LeaseId, deadline: u64, length: u64) -> Result<(), Fault> {
        self.leases
            .insert(lease.0, (deadline, length, lease_sum(lease, deadline, length)))?;
        Ok(())
    }

    pub(super) fn has_lease(&self, lease: LeaseId) -> Result<bool, Fault> {
        Ok(self.leases.get(lease.0)?.is_some())
    }

    /// Removes a lease, and says when it would have ended.
    pub(super) fn remove_lease(&mut self, lease: LeaseId) -> Result<Option<u64>, Fault> {
        Ok(self.leases.remove(lease.0)?.map(|row| row.value().0))
    }

    pub(super) fn keys_of(&self, lease: LeaseId) -> Result<Vec<Bytes>, Fault> {
        // The identifiers grow, so that the next one starts where this one's keys end.
        let next = (lease.0.saturating_add(1), [].as_slice());
        let rows = self.lease_keys.range::<(i64, &[u8])>((lease.0, [].as_slice())..next)?;
        rows.map(|row| Ok(Bytes::copy_from_slice(row?.0.value().1))).collect()
    }

    /// Removes up to `lines` of the log up to a compacted revision, with the versions that they superseded. The last
    /// line of all stays: it says where the store stands. Says how many lines went.
    pub(super) fn sweep(&mut self, compacted: Revision, newest: Revision, lines: usize) -> Result<usize, Fault> {
        let last = compacted.min(newest.saturating_sub(1));
        let mut swept = Vec::new();
        for entry in self.log.range(..=last)?.take(lines) {
            let (revision, line) = entry?;
            let revision = revision.value();
            let keys = record::read_line(revision, line.value()).map(|line| line.keys);
            swept.push((revision, keys));
        }
        for (revision, keys) in &swept {
            match keys {
                Ok(keys) => keys.iter().try_for_each(|key| self.forget(key, compacted))?,
                // What it changed stays as waste; nobody reads it at a revision that is left.
                Err(fault) => tracing::error!(revision, %fault, "a damaged line of the log is dropped"),
            }
            self.log.remove(*revision)?;
        }
        Ok(swept.len())
    }

    /// Removes all versions of a key that are superseded at a revision, and the removal itself if it is removed there.
    fn forget(&mut self, key: &[u8], compacted: Revision) -> Result<(), Fault> {
        let mut old = Vec::new();
        for (index, entry) in self
            .history
            .range::<(&[u8], u64)>((key, 0)..=(key, compacted))?
            .rev()
            .enumerate()
        {
            let (name, value) = entry?;
            if index > 0 || record::is_tombstone(value.value()) {
                old.push(name.value().1);
            }
        }
        for revision in old {
            self.history.remove((key, revision))?;
        }
        Ok(())
    }
}

/// The newest version of a key.
///
/// A search follows keys, whose checksums it does not look at: a flipped bit in one of them could make a key look absent,
/// or an old version look like the newest. Whichever way it was led, it ended beside the one with the flipped bit, or
/// beside one that is out of order; so both neighbours of the place are looked at.
fn newest(history: &impl ReadableTable<HistoryKey, Stored>, key: &[u8]) -> Result<Option<KeyValue>, Fault> {
    beside(above(history, key, u64::MAX)?.as_ref(), |name| name > key)?;
    let Some((place, value)) = below(history, key, u64::MAX)? else {
        return Ok(None);
    };
    let (name, revision) = place.value();
    if name == key {
        return record::read_version(key, revision, value.value());
    }
    beside(Some(&(place, value)), |name| name < key)?;
    Ok(None)
}

/// The last record before a place.
fn below<'t>(
    history: &'t impl ReadableTable<HistoryKey, Stored>,
    key: &[u8],
    revision: u64,
) -> Result<Option<Version<'t>>, Fault> {
    let mut records = history.range::<(&[u8], u64)>(..(key, revision))?;
    Ok(records.next_back().transpose()?)
}

/// The first record from a place on.
fn above<'t>(
    history: &'t impl ReadableTable<HistoryKey, Stored>,
    key: &[u8],
    revision: u64,
) -> Result<Option<Version<'t>>, Fault> {
    let mut records = history.range::<(&[u8], u64)>((key, revision)..)?;
    Ok(records.next().transpose()?)
}

/// A neighbour, if there is one, has the key that it was written with, and is where it belongs.
fn beside(neighbour: Option<&Version<'_>>, belongs: impl FnOnce(&[u8]) -> bool) -> Result<(), Fault> {
    let Some((place, value)) = neighbour else {
        return Ok(());
    };
    verify_key(place, value)?;
    let (name, revision) = place.value();
    if belongs(name) {
        return Ok(());
    }
    Err(Fault::Damaged(format!(
        "the record of {} at revision {revision} is out of order",
        shown(name)
    )))
}

fn last_revision(log: &impl ReadableTable<u64, Stored>) -> Result<Revision, Fault> {
    let last = log.last()?;
    let (revision, line) = last.ok_or_else(|| Fault::Damaged("the log is empty".to_owned()))?;
    let revision = revision.value();
    record::read_line(revision, line.value()).map(|_| revision)
}

fn number(numbers: &impl ReadableTable<&'static str, (u64, u32)>, name: &str) -> Result<u64, Fault> {
    let row = numbers.get(name)?;
    let row = row.map(|row| row.value());
    row.filter(|(value, sum)| *sum == record::number_sum(name, &[*value]))
        .map(|(value, _)| value)
        .ok_or_else(|| Fault::Damaged(format!("the number `{name}` does not match its checksum")))
}

fn lease_sum(lease: LeaseId, deadline: u64, length: u64) -> u32 {
    record::number_sum("lease", &[lease.0.cast_unsigned(), deadline, length])
}

fn lease_row(lease: LeaseId, (deadline, length, sum): LeaseRow) -> Result<(u64, u64), Fault> {
    if sum == lease_sum(lease, deadline, length) {
        Ok((deadline, length))
    } else {
        Err(Fault::Damaged(format!("lease {} does not match its checksum", lease.0)))
    }
}
