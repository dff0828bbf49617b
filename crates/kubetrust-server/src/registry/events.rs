//! Events on their way to those who watch: the last ones of a resource, for watches that start in the past, and what
//! waits for one watcher. Both are bounded by their number and by their bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use kubetrust_store::Revision;
use tokio::sync::mpsc;

use super::cache::Change;

/// Events kept per resource.
const RING: usize = 4096;
/// Bytes of them, about (see [`Change::size`]): as much as four thousand objects of 5 KiB, or some twenty of the largest.
const RING_BYTES: usize = 64 << 20;
/// Events that may wait for one watcher before it is dropped.
const WATCHER_QUEUE: usize = 1024;
/// Bytes of them, about: no watcher holds on to more than the ring does.
const WATCHER_BYTES: usize = RING_BYTES;

/// The last events of a resource, in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// Watches may start after this revision or any later one.
    oldest: Revision,
}

impl Ring {
    /// Nothing before this revision is known any more.
    pub(super) fn begin_at(&mut self, revision: Revision) {
        self.changes.clear();
        self.bytes = 0;
        self.oldest = revision;
    }

    pub(super) fn push(&mut self, change: Arc<Change>) {
        self.bytes += change.size();
        self.changes.push_back(change);
        while (self.changes.len() > RING || self.bytes > RING_BYTES)
            && let Some(dropped) = self.changes.pop_front()
        {
            self.bytes -= dropped.size();
            self.oldest = dropped.object.revision;
        }
    }

    /// What happened after a revision; `Err` with the oldest that can be asked for where that is too long ago.
    pub(super) fn after(&self, revision: Revision) -> Result<impl Iterator<Item = &Arc<Change>>, Revision> {
        if revision < self.oldest {
            return Err(self.oldest);
        }
        let first = self
            .changes
            .partition_point(|change| change.object.revision <= revision);
        Ok(self.changes.iter().skip(first))
    }
}

/// Which keys of a table somebody watches.
#[derive(Clone, Debug)]
pub struct Keys {
    /// How they begin.
    pub prefix: Bytes,
    /// Only the objects of this name, in whatever namespace.
    pub name: Option<&'static str>,
}

impl Keys {
    /// All that begin so.
    pub fn with_prefix(prefix: impl Into<Bytes>) -> Self {
        Self {
            prefix: prefix.into(),
            name: None,
        }
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contain(&self, key: &[u8]) -> bool {
        let is_named = |name: &str| {
            let rest = key.strip_suffix(name.as_bytes());
            rest.is_some_and(|rest| rest.ends_with(b"/"))
        };
        key.starts_with(&self.prefix) && self.name.is_none_or(is_named)
    }
}

/// Where a watcher is told what happens.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) id: u64,
    /// Only changes of these.
    keys: Keys,
    sender: mpsc::Sender<Arc<Change>>,
    waiting: Arc<AtomicUsize>,
}

impl Watcher {
    pub(super) fn new(id: u64, keys: Keys) -> (Self, Feed) {
        let (sender, receiver) = mpsc::channel(WATCHER_QUEUE);
        let waiting = Arc::default();
        let feed = Feed {
            receiver,
            waiting: Arc::clone(&waiting),
        };
        let watcher = Self {
            id,
            keys,
            sender,
            waiting,
        };
        (watcher, feed)
    }

    /// `false` where it does not read, or is gone.
    pub(super) fn tell(&self, change: &Arc<Change>) -> bool {
        if !self.keys.contain(&change.key) {
            return true;
        }
        let waiting = self.waiting.fetch_add(change.size(), Ordering::Relaxed) + change.size();
        waiting <= WATCHER_BYTES && self.sender.try_send(Arc::clone(change)).is_ok()
    }
}

/// What waits for a watcher. It ends when the watcher was too slow, or the cache began anew.
#[derive(Debug)]
pub struct Feed {
    receiver: mpsc::Receiver<Arc<Change>>,
    /// Bytes in it.
    waiting: Arc<AtomicUsize>,
}

impl Feed {
    /// The next change, when there is one; `None` at the end. Nothing is lost where it is not awaited to the end.
    pub async fn recv(&mut self) -> Option<Arc<Change>> {
        let change = self.receiver.recv().await?;
        self.took(&change);
        Some(change)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Whether nothing comes any more but what waits.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }

    /// Leaves out what waits.
    pub fn drain(&mut self) {
        while let Ok(change) = self.receiver.try_recv() {
            self.took(&change);
        }
    }

    fn took(&self, change: &Change) {
        self.waiting.fetch_sub(change.size(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::Kind;
    use super::super::object::Object;
    use super::*;

    /// Bytes of a big object: the ring holds a few of them.
    const BIG: usize = 1 << 20;

    fn change(revision: Revision, bytes: usize) -> Arc<Change> {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{}},"data":"{}"}}"#,
            "x".repeat(bytes)
        );
        let object = Arc::new(Object::from_stored(text.as_bytes(), revision).unwrap());
        Arc::new(Change::new("/registry/configmaps/a".into(), Kind::Added, object, None))
    }

    #[test]
    fn a_ring_has_a_largest_number_and_a_largest_size() {
        let cases = [("events", 10, 2 * RING), ("bytes", BIG, 100)];
        for (bound, bytes, count) in cases {
            let mut ring = Ring::default();
            ring.begin_at(100);
            let one = change(0, bytes).size();
            let last = 100 + count as Revision;
            for revision in 101..=last {
                ring.push(change(revision, bytes));
            }
            let kept = RING.min(RING_BYTES / one);
            assert!(kept < count, "{bound}");
            let held: usize = ring.changes.iter().map(|change| change.size()).sum();
            assert_eq!(ring.bytes, held, "{bound}");
            assert!(held <= RING_BYTES, "{bound}");
            assert!(
                ring.changes.len().abs_diff(kept) <= 1,
                "{bound}: {} of {kept}",
                ring.changes.len()
            );

            // From the oldest on every event is there once; before it, nobody is told that nothing happened.
            let oldest = ring.after(0).err().unwrap();
            assert!(ring.after(oldest - 1).is_err(), "{bound}");
            let found: Vec<_> = ring
                .after(oldest)
                .unwrap()
                .map(|change| change.object.revision)
                .collect();
            assert_eq!(found, (oldest + 1..=last).collect::<Vec<_>>(), "{bound}");
            assert_eq!(ring.after(last).unwrap().count(), 0, "{bound}");

            ring.begin_at(last);
            assert_eq!((ring.changes.len(), ring.bytes), (0, 0));
        }
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_read_is_dropped_by_number_and_by_bytes() {
        let cases = [("events", 10, 2 * WATCHER_QUEUE), ("bytes", BIG, 100)];
        for (bound, bytes, count) in cases {
            let fits = WATCHER_QUEUE.min(WATCHER_BYTES / change(1, bytes).size());
            assert!(fits < count, "{bound}");
            let change = change(1, bytes);
            let (watcher, mut feed) = Watcher::new(0, Keys::with_prefix("/registry/configmaps/"));
            let told = (0..count).take_while(|_| watcher.tell(&change)).count();
            assert_eq!(told, fits, "{bound}");

            // One that reads is told everything.
            let (watcher, mut reading) = Watcher::new(0, Keys::with_prefix("/registry/configmaps/"));
            for _ in 0..count {
                assert!(watcher.tell(&change), "{bound}");
                reading.recv().await.unwrap();
            }
            assert_eq!(reading.waiting.load(Ordering::Relaxed), 0);
            // What happens to others is no burden.
            let (watcher, _others) = Watcher::new(0, Keys::with_prefix("/registry/configmaps/b"));
            assert!((0..count).all(|_| watcher.tell(&change)), "{bound}");
            feed.drain();
            assert!(feed.is_empty());
        }
    }
}
