//! What was committed, on its way to those who watch: the last of it in memory, all that is kept from the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Shared;
use super::tables::COMPACTED;
use crate::{Error, Event, NO_END, Result, Revision, Watched};

/// Bytes of values that one read of the log delivers at most, about.
const REPLAY: usize = 1 << 20;

/// Events that one batch of a watch has at most, about: a revision is never split.
const BATCH: usize = 512;

/// What one transaction of the disk changed.
struct Published {
    last: Revision,
    events: Vec<Event>,
    size: usize,
}

/// The last commits. A watcher that falls behind them is cut off.
pub(super) struct Feed {
    ring: Mutex<Ring>,
    newest: watch::Sender<Revision>,
    /// What a watch can't start before, although the ring may still have it.
    compacted: AtomicU64,
}

struct Ring {
    batches: VecDeque<Arc<Published>>,
    /// All later revisions are here.
    floor: Revision,
    size: usize,
    limit: usize,
}

enum Taken {
    Batches(Vec<Arc<Published>>),
    Behind,
}

impl Feed {
    /// Starts after a revision, and keeps about `limit` bytes.
    pub(super) fn new(revision: Revision, compacted: Revision, limit: usize) -> Self {
        let ring = Ring {
            batches: VecDeque::new(),
            floor: revision,
            size: 0,
            limit,
        };
        Self {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(revision),
            compacted: AtomicU64::new(compacted),
        }
    }

    /// The newest revision that can be seen.
    pub(super) fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Says that a reader saw a revision on the disk, so that nobody is told an older one from now on.
    pub(super) fn seen(&self, revision: Revision) {
        self.newest.send_if_modified(|newest| {
            *newest = revision.max(*newest);
            false
        });
    }

    /// Says what was compacted.
    pub(super) fn compacted(&self, revision: Revision) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    /// Delivers what was committed.
    pub(super) fn publish(&self, last: Revision, events: Vec<Event>) {
        let size = events.iter().map(Event::size).sum();
        self.ring.lock().push(Published { last, events, size });
        self.newest.send_modify(|newest| *newest = last.max(*newest));
    }

    /// Wakes every watcher, to see that the store is closed.
    pub(super) fn wake(&self) {
        self.newest.send_modify(|_| {});
    }
}

impl Ring {
    fn push(&mut self, published: Published) {
        self.size += published.size;
        self.batches.push_back(Arc::new(published));
        // The newest stays, however big: those who are awake have not seen it.
        while self.size > self.limit && self.batches.len() > 1 {
            if let Some(gone) = self.batches.pop_front() {
                self.size -= gone.size;
                self.floor = gone.last;
            }
        }
    }

    fn take(&self, after: Revision) -> Taken {
        if after < self.floor {
            return Taken::Behind;
        }
        let start = self.batches.partition_point(|batch| batch.last <= after);
        let mut taken = Vec::new();
        let mut events = 0;
        for batch in self.batches.range(start..) {
            events += batch.events.len();
            taken.push(Arc::clone(batch));
            if events >= BATCH {
                break;
            }
        }
        Taken::Batches(taken)
    }
}

/// All changes of a range after a revision.
pub(super) fn watch(
    shared: Arc<Shared>,
    start: Bytes,
    end: Bytes,
    after: Revision,
) -> BoxStream<'static, Result<Watched>> {
    let watcher = Watcher {
        wake: shared.feed.newest.subscribe(),
        shared,
        start,
        end,
        after,
        live: false,
        ended: false,
    };
    stream::unfold(watcher, Watcher::next).boxed()
}

struct Watcher {
    shared: Arc<Shared>,
    wake: watch::Receiver<Revision>,
    start: Bytes,
    end: Bytes,
    /// All up to here was delivered.
    after: Revision,
    /// Whether it has caught up with the ring once: falling behind it from then on is its own fault.
    live: bool,
    ended: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Watched>, Self)> {
        if self.ended {
            return None;
        }
        let result = self.watched().await;
        self.ended = result.is_err();
        Some((result, self))
    }

    async fn watched(&mut self) -> Result<Watched> {
        loop {
            self.wake.borrow_and_update();
            if self.shared.is_closed() {
                return Err(Error::Unavailable("the store is closed".to_owned()));
            }
            let oldest = self.shared.feed.compacted.load(Ordering::Acquire);
            if !self.live && self.after < oldest {
                return Err(Error::Compacted {
                    asked: self.after,
                    oldest,
                });
            }
            let taken = self.shared.feed.ring.lock().take(self.after);
            match taken {
                Taken::Behind if self.live => return Err(Error::Slow),
                Taken::Behind => {
                    let (events, reached) = self.replay().await?;
                    if reached > self.after {
                        return Ok(self.deliver(events.iter(), reached));
                    }
                }
                Taken::Batches(batches) => {
                    self.live = true;
                    if let Some(last) = batches.last() {
                        return Ok(self.deliver(batches.iter().flat_map(|batch| &batch.events), last.last));
                    }
                    // The sender lives in what this watcher holds.
                    let _ = self.wake.changed().await;
                }
            }
        }
    }

    async fn replay(&self) -> Result<(Vec<Event>, Revision)> {
        let after = self.after;
        self.shared
            .read_aside(move |snapshot| {
                let compacted = snapshot.number(COMPACTED)?;
                if after < compacted {
                    return Ok(Err(Error::Compacted {
                        asked: after,
                        oldest: compacted,
                    }));
                }
                snapshot.replay(after, REPLAY).map(Ok)
            })
            .await?
    }

    fn deliver<'a>(&mut self, events: impl Iterator<Item = &'a Event>, revision: Revision) -> Watched {
        let after = self.after;
        let events: Vec<Event> = events
            .filter(|event| event.revision() > after && self.covers(event.key()))
            .cloned()
            .collect();
        self.after = revision;
        if events.is_empty() {
            Watched::Progress(revision)
        } else {
            Watched::Events { events, revision }
        }
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.start.as_ref() <= key && (self.end.as_ref() == NO_END || key < self.end.as_ref())
    }
}
