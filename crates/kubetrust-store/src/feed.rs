//! What was committed, on its way to those who watch: the last of it from memory, what was before from where it is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Error, Event, NO_END, Result, Revision, Watched};

/// Events that one batch of a watch has at most, about: a revision is never split.
const BATCH: usize = 512;

/// What one transaction of the disk changed.
struct Published {
    last: Revision,
    events: Vec<Event>,
    size: usize,
}

/// The last commits. A watcher that falls behind them is cut off.
pub(crate) struct Feed {
    ring: Mutex<Ring>,
    newest: watch::Sender<Revision>,
    /// What a watch can't start before, although the ring may still have it.
    compacted: AtomicU64,
    closed: AtomicBool,
}

struct Ring {
    batches: VecDeque<Arc<Published>>,
    /// All later revisions are here.
    floor: Revision,
    /// How often the ring had to begin anew, after a gap that no watcher is to blame for.
    gap: u64,
    size: usize,
    limit: usize,
}

enum Taken {
    Batches(Vec<Arc<Published>>),
    /// The ring does not reach back that far, after so many gaps.
    Behind(u64),
}

impl Feed {
    /// Starts after a revision, and keeps about `limit` bytes.
    pub(crate) fn new(revision: Revision, compacted: Revision, limit: usize) -> Self {
        let ring = Ring {
            batches: VecDeque::new(),
            floor: revision,
            gap: 0,
            size: 0,
            limit,
        };
        Self {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(revision),
            compacted: AtomicU64::new(compacted),
            closed: AtomicBool::new(false),
        }
    }

    /// The newest revision that can be seen.
    pub(crate) fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Says that a reader saw a revision on the disk, so that nobody is told an older one from now on.
    pub(crate) fn seen(&self, revision: Revision) {
        self.newest.send_if_modified(|newest| {
            *newest = revision.max(*newest);
            false
        });
    }

    /// Says what was compacted.
    pub(crate) fn compacted(&self, revision: Revision) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    /// Delivers what was committed.
    pub(crate) fn publish(&self, last: Revision, events: Vec<Event>) {
        let size = events.iter().map(Event::size).sum();
        self.ring.lock().push(Published { last, events, size });
        self.newest.send_modify(|newest| *newest = last.max(*newest));
    }

    /// Begins anew after a revision: what was before has to come from where it is kept.
    pub(crate) fn restart(&self, revision: Revision) {
        {
            let mut ring = self.ring.lock();
            ring.batches.clear();
            ring.size = 0;
            ring.floor = revision;
            ring.gap += 1;
        }
        self.newest.send_modify(|newest| *newest = revision.max(*newest));
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.newest.send_modify(|_| {});
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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
            return Taken::Behind(self.gap);
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

/// Where what is not in the ring any more is kept.
pub(crate) trait Past: Send + 'static {
    /// The events after a revision, in order, and the revision up to which that is all; it waits until there are some.
    fn after(&mut self, revision: Revision) -> BoxFuture<'_, Result<(Vec<Event>, Revision)>>;

    /// The watch has caught up with the ring, and may never come back.
    fn caught_up(&mut self) {}
}

/// All changes of a range after a revision.
pub(crate) fn watch(
    feed: Arc<Feed>,
    past: impl Past,
    start: Bytes,
    end: Bytes,
    after: Revision,
) -> BoxStream<'static, Result<Watched>> {
    let watcher = Watcher {
        wake: feed.newest.subscribe(),
        feed,
        past,
        start,
        end,
        after,
        live: None,
        ended: false,
    };
    stream::unfold(watcher, Watcher::next).boxed()
}

struct Watcher<P> {
    feed: Arc<Feed>,
    past: P,
    wake: watch::Receiver<Revision>,
    start: Bytes,
    end: Bytes,
    /// All up to here was delivered.
    after: Revision,
    /// The gap of the ring when it caught up with it: falling behind the same ring is its own fault.
    live: Option<u64>,
    ended: bool,
}

impl<P: Past> Watcher<P> {
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
            if self.feed.is_closed() {
                return Err(Error::Unavailable("the store is closed".to_owned()));
            }
            let oldest = self.feed.compacted.load(Ordering::Acquire);
            if self.live.is_none() && self.after < oldest {
                return Err(Error::Compacted {
                    asked: self.after,
                    oldest,
                });
            }
            let (taken, gap) = {
                let ring = self.feed.ring.lock();
                (ring.take(self.after), ring.gap)
            };
            match taken {
                Taken::Behind(gap) if self.live == Some(gap) => return Err(Error::Slow),
                Taken::Behind(_) => {
                    let (events, reached) = self.past.after(self.after).await?;
                    if reached > self.after {
                        return Ok(self.deliver(events.iter(), reached));
                    }
                }
                Taken::Batches(batches) => {
                    self.live = Some(gap);
                    self.past.caught_up();
                    if let Some(last) = batches.last() {
                        return Ok(self.deliver(batches.iter().flat_map(|batch| &batch.events), last.last));
                    }
                    // The sender lives in the feed that this watcher holds.
                    let _ = self.wake.changed().await;
                }
            }
        }
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
