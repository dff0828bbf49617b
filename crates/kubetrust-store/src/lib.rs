//! Revisions, transactions and watches: what the API server keeps its objects in.
//!
//! Two engines stand behind one trait: [`Store`]. What it promises is what etcd promises Kubernetes, and one
//! conformance suite holds both to it.

mod copy;
pub mod embedded;
pub mod encrypt;
mod error;
pub mod etcd;
mod feed;
mod limits;

pub use copy::{Copied, CopyError, copy};
pub use error::{Error, Result};
pub use limits::{KEY_LIMIT, REQUEST_LIMIT, WRITES_LIMIT};

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A point in the store's history. 0 is "before everything"; the first write makes 1 or more, and it only grows.
pub type Revision = u64;

/// One key at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The whole key, with its prefix.
    pub key: Bytes,
    /// The value, as it was put.
    pub value: Bytes,
    /// Revision of the put that made the key.
    pub created: Revision,
    /// Revision of the last put.
    pub modified: Revision,
    /// How many puts since it was made, from 1.
    pub version: u64,
    /// The lease that it ends with.
    pub lease: Option<LeaseId>,
}

/// Identifies a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// What has to be true of a key for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key is not there.
    Absent,
    /// The key was last modified at this revision.
    Modified(Revision),
}

/// The change of one key.
#[derive(Clone, Debug)]
pub enum Change {
    /// Write a value.
    Put {
        /// The value.
        value: Bytes,
        /// The lease that the key ends with.
        lease: Option<LeaseId>,
    },
    /// Remove the key.
    Delete,
}

/// One key of a transaction: the check and the change.
#[derive(Clone, Debug)]
pub struct Write {
    /// The whole key.
    pub key: Bytes,
    /// What must hold, if anything.
    pub expect: Option<Expect>,
    /// What to do; `None` only checks.
    pub change: Option<Change>,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All checks held, and all changes happened at this one revision; the newest one, where nothing was to be changed.
    Committed(Revision),
    /// A check failed and nothing happened. The current state of each key, in the order of the writes.
    Conflict {
        /// The revision that this was seen at.
        revision: Revision,
        /// What is there.
        current: Vec<Option<KeyValue>>,
    },
}

/// The end of a range that has none: everything from its start (etcd's convention).
pub const NO_END: &[u8] = &[0];

/// Which keys to read.
#[derive(Clone, Debug)]
pub struct Range {
    /// First key, included.
    pub start: Bytes,
    /// End, excluded; [`NO_END`] for all keys from the start.
    pub end: Bytes,
    /// At most so many; 0 is no limit.
    pub limit: usize,
    /// The revision to read at; `None` is now, linearizable.
    pub at: Option<Revision>,
    /// Whether [`Page::count`] is wanted: the embedded engine walks the keys behind the limit for it.
    pub count: bool,
    /// Bytes of changes up to which [`Page::later`] is wanted; 0 is not at all.
    pub later: usize,
}

impl Range {
    /// All keys that begin with this prefix, now.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start: Bytes = prefix.into();
        let end = prefix_end(&start);
        Self {
            start,
            end,
            limit: 0,
            at: None,
            count: false,
            later: 0,
        }
    }
}

/// The first key after all keys with this prefix (etcd's `GetPrefixRangeEnd`).
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(NO_END)
}

/// The answer to a [`Range`].
#[derive(Clone, Debug)]
pub struct Page {
    /// The keys, in order.
    pub items: Vec<KeyValue>,
    /// How many keys the whole range has at that revision; where that was not asked for, at least as many as there are
    /// items.
    pub count: usize,
    /// The revision of the store when it was read (with `at`: still the store's current one, as etcd's header is).
    pub revision: Revision,
    /// What happened after [`Range::at`], up to `revision`, to the keys from the range's start to the last item, or to its
    /// end where the limit was not reached: key by key, each in order. `None` where that was not asked for, is more than
    /// was asked for, or the engine does not know it (etcd); a watch does.
    pub later: Option<Vec<Event>>,
}

/// One change, as a watch sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was written.
    Put(KeyValue),
    /// A key was removed, by a delete or with its lease.
    Delete {
        /// Which.
        key: Bytes,
        /// When.
        revision: Revision,
    },
}

/// What an event costs in memory beside its key and value.
pub(crate) const EVENT_COST: usize = size_of::<Event>();

impl Event {
    /// Which key it is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision that it happened at.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(kv) => kv.modified,
            Self::Delete { revision, .. } => *revision,
        }
    }

    /// Bytes that it holds, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let value = match self {
            Self::Put(kv) => kv.value.len(),
            Self::Delete { .. } => 0,
        };
        EVENT_COST + self.key().len() + value
    }
}

/// What a watch delivers.
#[derive(Clone, Debug)]
pub enum Watched {
    /// All events of one or several revisions, in order; a revision is never split over two batches.
    Events {
        /// The events.
        events: Vec<Event>,
        /// Everything up to this revision has been delivered.
        revision: Revision,
    },
    /// No event, but everything up to this revision has been delivered.
    Progress(Revision),
}

/// Where objects are kept.
///
/// Promises: a committed write is durable before its future is ready; revisions grow by one a transaction that
/// changes something; a watch from a revision has every later change of its range once and in order; a read without a
/// revision sees every write that was acknowledged before it began.
pub trait Store: Send + Sync + 'static {
    /// One key, now.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<(Option<KeyValue>, Revision)>>;

    /// A range. Reading at a compacted revision is [`Error::Compacted`], at a future one [`Error::Future`].
    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page>>;

    /// Checks and changes, all or nothing. No key twice.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Outcome>>;

    /// All changes of keys in `[start, end)` after `after`, as they happen. Ends with [`Error::Compacted`] when what
    /// it still has to deliver is gone. A consumer that does not read is cut off with [`Error::Slow`].
    fn watch(
        &self,
        start: Bytes,
        end: Bytes,
        after: Revision,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Watched>>>>;

    /// The newest revision, linearizable: every write acknowledged before the call is at or below it. Cheap enough to
    /// be asked on every read: concurrent callers may share one answer that was asked for after each of them called.
    fn revision(&self) -> BoxFuture<'_, Result<Revision>>;

    /// The newest revision when it is known without waiting; `None` where it takes a round trip.
    fn revision_now(&self) -> Option<Revision>;

    /// A lease that ends after `ttl`, and all keys put with it.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId>>;

    /// How long a lease still has. [`Error::NoLease`] when it ended.
    fn time_to_live(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration>>;

    /// Ends a lease and its keys at once.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<()>>;

    /// Forgets history up to and including `revision`; what is current stays.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>>;

    /// Says whether the store can be written, for `/readyz`.
    fn health(&self) -> BoxFuture<'_, Result<()>>;

    /// Bytes that it takes on the disk; of several members, on that of one.
    fn size(&self) -> BoxFuture<'_, Result<u64>>;
}
