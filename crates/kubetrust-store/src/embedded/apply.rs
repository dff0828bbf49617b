//! What one request does to the tables, in the writer's transaction.

use std::time::Duration;

use redb::WriteTransaction;

use super::disk::Fault;
use super::tables::{COMPACTED, Writable};
use crate::{Change, Error, Event, Expect, KeyValue, LeaseId, Outcome, Result, Revision, Write};

/// Where the store stands in the middle of a transaction of the disk.
pub(super) struct Batch<'t> {
    tables: Writable<'t>,
    /// The newest revision, this transaction's own included.
    pub(super) revision: Revision,
    /// What was compacted, this transaction's own included.
    pub(super) compacted: Revision,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    /// All events so far.
    pub(super) events: Vec<Event>,
    /// Whether there is anything for the disk.
    pub(super) changed: bool,
    /// Leases that were granted (with their deadline) and that ended (without).
    pub(super) leases: Vec<(LeaseId, u64, Granted)>,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    Yes,
    Ended,
}

/// Why a request was not applied.
pub(super) enum Refusal {
    /// It alone gets this answer; nothing was changed for it.
    Answer(Error),
    /// The whole transaction is lost.
    Fatal(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fatal(fault)
    }
}

/// Before anything was changed, damage concerns the one who came upon it.
fn refuse(fault: Fault) -> Refusal {
    match fault {
        Fault::Damaged(reason) => Refusal::Answer(Error::Corrupt(reason)),
        Fault::Disk(_) => Refusal::Fatal(fault),
    }
}

impl<'t> Batch<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        revision: Revision,
        compacted: Revision,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self {
            tables: Writable::open(transaction)?,
            revision,
            compacted,
            now,
            events: Vec::new(),
            changed: false,
            leases: Vec::new(),
        })
    }

    /// Checks, then changes.
    pub(super) fn commit(&mut self, writes: Vec<Write>) -> Result<Outcome, Refusal> {
        let current = writes.iter().map(|write| self.tables.get(&write.key));
        let current: Vec<Option<KeyValue>> = current.collect::<Result<_, Fault>>().map_err(refuse)?;
        let holds = writes
            .iter()
            .zip(&current)
            .all(|(write, current)| holds(write.expect, current.as_ref()));
        if !holds {
            return Ok(Outcome::Conflict {
                revision: self.revision,
                current,
            });
        }
        for write in &writes {
            if let Some(Change::Put { lease: Some(lease), .. }) = write.change
                && !self.tables.has_lease(lease).map_err(refuse)?
            {
                return Err(Refusal::Answer(Error::NoLease));
            }
        }
        self.change(writes.into_iter().zip(current))?;
        Ok(Outcome::Committed(self.revision))
    }

    fn change(&mut self, writes: impl Iterator<Item = (Write, Option<KeyValue>)>) -> Result<(), Fault> {
        let revision = self.revision + 1;
        let mut keys = Vec::new();
        for (Write { key, change, .. }, current) in writes {
            let before = current.as_ref().and_then(|current| current.lease);
            let event = match change {
                None => continue,
                Some(Change::Delete) if current.is_none() => continue,
                Some(Change::Delete) => {
                    self.tables.delete(&key, revision, before)?;
                    Event::Delete {
                        key: key.clone(),
                        revision,
                    }
                }
                Some(Change::Put { value, lease }) => {
                    let kv = KeyValue {
                        key: key.clone(),
                        value,
                        created: current.as_ref().map_or(revision, |current| current.created),
                        modified: revision,
                        version: current.as_ref().map_or(0, |current| current.version) + 1,
                        lease,
                    };
                    self.tables.put(&kv, before)?;
                    Event::Put(kv)
                }
            };
            self.events.push(event);
            keys.push(key);
        }
        if !keys.is_empty() {
            self.tables.append(revision, self.now, &keys)?;
            self.revision = revision;
            self.changed = true;
        }
        Ok(())
    }

    pub(super) fn grant(&mut self, lease: LeaseId, ttl: Duration) -> Result<LeaseId, Refusal> {
        let length = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.now.saturating_add(length);
        self.tables.add_lease(lease, deadline, length)?;
        self.leases.push((lease, deadline, Granted::Yes));
        self.changed = true;
        Ok(lease)
    }

    /// Ends a lease; its keys go in one revision.
    pub(super) fn revoke(&mut self, lease: LeaseId) -> Result<(), Refusal> {
        let keys = self.tables.keys_of(lease).map_err(refuse)?;
        let current = keys.iter().map(|key| self.tables.get(key));
        let current: Vec<Option<KeyValue>> = current.collect::<Result<_, Fault>>().map_err(refuse)?;
        let Some(deadline) = self.tables.remove_lease(lease)? else {
            return Err(Refusal::Answer(Error::NoLease));
        };
        let delete = |key| Write {
            key,
            expect: None,
            change: Some(Change::Delete),
        };
        self.change(keys.into_iter().map(delete).zip(current))?;
        self.leases.push((lease, deadline, Granted::Ended));
        self.changed = true;
        Ok(())
    }

    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), Refusal> {
        if revision > self.revision {
            return Err(Refusal::Answer(Error::Future {
                asked: revision,
                newest: self.revision,
            }));
        }
        if revision <= self.compacted {
            return Err(Refusal::Answer(Error::Compacted {
                asked: revision,
                oldest: self.compacted,
            }));
        }
        self.tables.set_number(COMPACTED, revision)?;
        self.compacted = revision;
        self.changed = true;
        Ok(())
    }

    /// Removes what compaction left behind; says whether there may be more.
    pub(super) fn sweep(&mut self, lines: usize) -> Result<bool, Fault> {
        let swept = self.tables.sweep(self.compacted, self.revision, lines)?;
        self.changed |= swept > 0;
        Ok(swept == lines)
    }
}

fn holds(expect: Option<Expect>, current: Option<&KeyValue>) -> bool {
    match expect {
        None => true,
        // What was never modified is not there: etcd's `mod == 0`.
        Some(Expect::Absent | Expect::Modified(0)) => current.is_none(),
        Some(Expect::Modified(revision)) => current.is_some_and(|current| current.modified == revision),
    }
}
