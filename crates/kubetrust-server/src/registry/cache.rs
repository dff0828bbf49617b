//! The watch cache: every stored object in memory, kept current by one watch of the store, and ahead of it by what this
//! server writes itself.
//!
//! Reads are consistent because they wait until the cache has reached the store's newest revision. Watches are fed
//! from a ring of recent events per resource; a watcher that does not read is dropped, never waited for.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use kubetrust_api::status::{Cause, Status};
use kubetrust_store::{self as store, Event, KeyValue, Range, Revision, Store, Watched, prefix_end};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::{error, warn};

use super::early::Early;
use super::events::{Feed, Keys, Ring, Watcher};
use super::object::Object;
use super::values::Values;
use crate::aside;

/// How long a read waits for the cache to reach the revision that it needs.
const FRESH: Duration = Duration::from_secs(3);
/// How far back the history is replayed at the start, so that watches resume over a restart.
const REPLAY: Revision = 10_000;
/// Bytes of that history that are held at once, about; where it is more, it is read by and by.
const REPLAY_BYTES: usize = 64 << 20;
/// Keys that are read from the store at once.
const PAGE: usize = 1_024;
/// How long to wait before the store is watched again after it failed.
const RETRY: Duration = Duration::from_millis(200);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was created, or begins to match a selector.
    Added,
    /// It was changed.
    Modified,
    /// It was removed, or no longer matches a selector.
    Deleted,
}

impl Kind {
    /// The `type` of a watch event.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One event of a resource.
#[derive(Debug)]
pub struct Change {
    /// The whole key.
    pub key: Bytes,
    /// What happened.
    pub kind: Kind,
    /// The object after it; the last state, at the revision of its removal, for one that is deleted.
    pub object: Arc<Object>,
    /// The object before it.
    pub previous: Option<Arc<Object>>,
    frame: OnceLock<Bytes>,
}

impl Change {
    pub(super) fn new(key: Bytes, kind: Kind, object: Arc<Object>, previous: Option<Arc<Object>>) -> Self {
        Self {
            key,
            kind,
            object,
            previous,
            frame: OnceLock::new(),
        }
    }

    /// Bytes that it holds, at most about: the object, its line, which is as long, and the object before it, although
    /// another change may hold that one too.
    pub(super) fn size(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |previous| previous.json.len());
        size_of::<Self>() + self.key.len() + 2 * self.object.json.len() + previous
    }

    /// The line that a JSON watch sends for it, made once for all watchers.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame(self.kind, &self.object.json)).clone()
    }
}

/// `{"type":…,"object":…}` and a line feed.
#[must_use]
pub fn frame(kind: Kind, json: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(json.len() + 32);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.name().as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(json);
    out.put_slice(b"}\n");
    out.freeze()
}

/// All objects under one storage path, as `pods`.
#[derive(Debug)]
pub struct Table {
    /// `/registry/pods/`.
    prefix: Bytes,
    /// The revision that the whole cache has reached, shared by all tables.
    reached: Arc<AtomicU64>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Bytes, Arc<Object>>,
    ring: Ring,
    /// The revision of the last change of this table.
    changed: Revision,
    watchers: Vec<Watcher>,
    next_watcher: u64,
}

/// A change as the store reports it, or as it was written: the object, or its absence, at a revision.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) key: Bytes,
    pub(super) revision: Revision,
    pub(super) object: Option<Arc<Object>>,
}

impl Applied {
    /// Bytes that it holds, about.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.object.as_ref().map_or(0, |object| object.json.len())
    }
}

impl State {
    fn begin_anew(&mut self, objects: BTreeMap<Bytes, Arc<Object>>, revision: Revision) {
        self.objects = objects;
        self.ring.begin_at(revision);
        self.watchers.clear();
        self.changed = revision;
    }

    /// The objects whose keys begin with `prefix`, from `start` on.
    fn under(&self, prefix: &[u8], start: &[u8]) -> impl Iterator<Item = (&Bytes, &Arc<Object>)> {
        let end = prefix_end(prefix);
        let from = start.max(prefix);
        // A range that ends before it begins is none.
        let range = (from < end.as_ref()).then(|| {
            let bounds = (Bound::Included(from), Bound::Excluded(end.as_ref()));
            self.objects.range::<[u8], _>(bounds)
        });
        range.into_iter().flatten()
    }

    /// `None` if nothing changed.
    fn apply(&mut self, Applied { key, revision, object }: Applied) -> Option<Arc<Change>> {
        let previous = match &object {
            Some(object) => self.objects.insert(key.clone(), Arc::clone(object)),
            None => self.objects.remove(&key),
        };
        self.changed = self.changed.max(revision);
        let (kind, object) = match (object, &previous) {
            (Some(object), None) => (Kind::Added, object),
            (Some(object), Some(_)) => (Kind::Modified, object),
            (None, Some(previous)) => (Kind::Deleted, Arc::new(previous.removed_at(revision))),
            (None, None) => return None,
        };
        let change = Arc::new(Change::new(key, kind, object, previous));
        self.ring.push(Arc::clone(&change));
        self.watchers.retain(|watcher| watcher.tell(&change));
        Some(change)
    }
}

/// A view of a table at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Keys and objects in order.
    pub items: Vec<(Bytes, Arc<Object>)>,
    /// How many more there are after the last.
    pub remaining: usize,
    /// The revision that it shows.
    pub revision: Revision,
}

/// A running watch of a table; dropping it ends the watch.
#[derive(Debug)]
pub struct Subscription {
    /// The events that had happened already.
    pub backlog: VecDeque<Arc<Change>>,
    /// Those to come. It ends when the watcher was too slow, or the cache began anew.
    pub feed: Feed,
    /// Where the feed begins.
    pub revision: Revision,
    table: Arc<Table>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.table
            .state
            .write()
            .watchers
            .retain(|watcher| watcher.id != self.id);
    }
}

impl Subscription {
    /// The revision up to which everything has been taken out of the feed: a bookmark. `None` while something waits in
    /// it, and once it has ended, since nobody knows what it would have had.
    #[must_use]
    pub fn caught_up(&self) -> Option<Revision> {
        // Read first: what comes meanwhile is in the feed, and one that ends meanwhile is closed.
        let reached = self.table.revision();
        (self.feed.is_empty() && !self.feed.is_closed()).then_some(reached)
    }
}

impl Table {
    fn new(prefix: Bytes, reached: Arc<AtomicU64>) -> Self {
        Self {
            prefix,
            reached,
            state: RwLock::default(),
        }
    }

    /// Where the keys of its objects begin: `/registry/pods/`.
    pub fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// The object at a key, as the cache has it now.
    pub fn get(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.state.read().objects.get(key).cloned()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are more objects than so many whose keys begin with `prefix`.
    pub fn has_more_than(&self, many: usize, prefix: &[u8]) -> bool {
        self.state.read().under(prefix, prefix).nth(many).is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many watches are open.
    pub fn watchers(&self) -> usize {
        self.state.read().watchers.len()
    }

    /// The revision that this table shows.
    pub fn revision(&self) -> Revision {
        // First what all tables have reached: reading the table's own after it can only add changes of this table.
        let reached = self.reached.load(Ordering::Acquire);
        self.state.read().changed.max(reached)
    }

    /// Up to `limit` objects (0: all) whose keys begin with `prefix`, from `start` on.
    pub fn snapshot(&self, prefix: &[u8], start: Option<&[u8]>, limit: usize) -> Snapshot {
        let reached = self.reached.load(Ordering::Acquire);
        let state = self.state.read();
        let mut range = state.under(prefix, start.unwrap_or(prefix));
        let take = if limit == 0 { usize::MAX } else { limit };
        let items: Vec<_> = range
            .by_ref()
            .take(take)
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        let remaining = if limit == 0 { 0 } else { range.count() };
        Snapshot {
            items,
            remaining,
            revision: state.changed.max(reached),
        }
    }

    /// All changes of these keys after `after`, as they happen; 410 where that is too long ago.
    pub fn subscribe(self: &Arc<Self>, keys: Keys, after: Revision) -> Result<Subscription, Status> {
        let mut state = self.state.write();
        let recent = state
            .ring
            .after(after)
            .map_err(|oldest| Status::expired(format!("too old resource version: {after} ({oldest})")))?;
        let backlog = recent.filter(|change| keys.contain(&change.key)).cloned().collect();
        Ok(self.attach(&mut state, keys, backlog))
    }

    /// All objects at these keys now, and every change after.
    pub fn snapshot_and_subscribe(self: &Arc<Self>, keys: Keys) -> (Snapshot, Subscription) {
        let mut state = self.state.write();
        let items = state
            .under(&keys.prefix, &keys.prefix)
            .filter(|(key, _)| keys.contain(key))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        let subscription = self.attach(&mut state, keys, VecDeque::new());
        (
            Snapshot {
                items,
                remaining: 0,
                revision: subscription.revision,
            },
            subscription,
        )
    }

    fn attach(self: &Arc<Self>, state: &mut State, keys: Keys, backlog: VecDeque<Arc<Change>>) -> Subscription {
        let id = state.next_watcher;
        state.next_watcher += 1;
        let (watcher, feed) = Watcher::new(id, keys);
        state.watchers.push(watcher);
        let revision = state.changed.max(self.reached.load(Ordering::Acquire));
        Subscription {
            backlog,
            feed,
            revision,
            table: Arc::clone(self),
            id,
        }
    }

    /// Takes changes over and feeds them to the watchers. All that one transaction changed comes in one call: nobody
    /// sees a part of it.
    fn apply(&self, changes: Vec<Applied>) -> Vec<Arc<Change>> {
        let mut state = self.state.write();
        let before = state.watchers.len();
        let applied: Vec<_> = changes.into_iter().filter_map(|change| state.apply(change)).collect();
        if state.watchers.len() < before {
            let dropped = before - state.watchers.len();
            warn!(resource = %String::from_utf8_lossy(&self.prefix), dropped, "watchers that did not read were cut off");
        }
        applied
    }

    /// Begins anew with what a whole read found. Watches end, since nobody knows what happened in between; what is
    /// told to the hooks is the difference.
    fn replace(&self, found: BTreeMap<Bytes, Arc<Object>>, revision: Revision) -> Vec<Change> {
        let mut state = self.state.write();
        let mut changes = Vec::new();
        for (key, object) in &found {
            let previous = state.objects.remove(key);
            if previous
                .as_ref()
                .is_some_and(|previous| previous.revision == object.revision)
            {
                continue;
            }
            let kind = if previous.is_some() {
                Kind::Modified
            } else {
                Kind::Added
            };
            changes.push(Change::new(key.clone(), kind, Arc::clone(object), previous));
        }
        for (key, previous) in std::mem::take(&mut state.objects) {
            let object = Arc::new(previous.removed_at(revision));
            let previous = Some(previous);
            changes.push(Change::new(key, Kind::Deleted, object, previous));
        }
        state.begin_anew(found, revision);
        changes
    }

    /// The same, where nobody wants to know the difference.
    fn put_in_place(&self, found: BTreeMap<Bytes, Arc<Object>>, revision: Revision) {
        self.state.write().begin_anew(found, revision);
    }
}

/// Who is told of each change of some tables, in order, before [`Cache::fresh`] lets readers of that revision go on.
pub struct Hook {
    /// The tables, by their storage paths.
    pub storages: Vec<&'static str>,
    /// Told of a change of the table with this storage path.
    pub tell: Box<Tell>,
}

/// What a [`Hook`] is told.
pub type Tell = dyn Fn(&'static str, &Change) + Send + Sync;

/// Every table, and how far they are.
pub struct Cache {
    store: Arc<dyn Store>,
    values: Arc<Values>,
    /// `/registry/`.
    root: Bytes,
    tables: HashMap<&'static str, Arc<Table>>,
    reached: Arc<AtomicU64>,
    published: watch::Sender<Revision>,
    early: Mutex<Early>,
    hooks: Vec<Hook>,
    /// The store is going to be closed: its watch ends, and that is no failure.
    ended: AtomicBool,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cache")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache of the objects under `root` (`/registry/`), filled from the store.
    pub async fn load(
        store: Arc<dyn Store>,
        values: Arc<Values>,
        root: Bytes,
        storages: impl IntoIterator<Item = &'static str>,
        hooks: Vec<Hook>,
    ) -> store::Result<Arc<Self>> {
        let reached = Arc::new(AtomicU64::new(0));
        let tables = storages
            .into_iter()
            .map(|storage| {
                let prefix = Bytes::from([root.as_ref(), storage.as_bytes(), b"/"].concat());
                (storage, Arc::new(Table::new(prefix, Arc::clone(&reached))))
            })
            .collect();
        let cache = Arc::new(Self {
            store,
            values,
            root,
            tables,
            reached,
            published: watch::Sender::new(0),
            early: Mutex::default(),
            hooks,
            ended: AtomicBool::new(false),
        });
        let newest = cache.store.revision().await?;
        let from = match cache.read_all(newest.saturating_sub(REPLAY).max(1).min(newest)).await {
            Err(store::Error::Compacted { oldest, .. }) => cache.read_all(oldest.max(1)).await?,
            other => other?,
        };
        let mut watched = cache.watch(from).await?;
        while cache.reached.load(Ordering::Acquire) < newest {
            match watched.next().await {
                Some(delivered) => cache.take(delivered?),
                None => {
                    return Err(store::Error::Unavailable(
                        "the watch ended while the cache was filled".into(),
                    ));
                }
            }
        }
        tokio::spawn(follow(Arc::downgrade(&cache), watched));
        Ok(cache)
    }

    /// Follows the store no longer: it is closed next.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The table at a storage path.
    pub fn table(&self, storage: &str) -> Option<&Arc<Table>> {
        self.tables.get(storage)
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Every table by its storage path.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, &Arc<Table>)> {
        self.tables.iter().map(|(storage, table)| (*storage, table))
    }

    /// The revision that every table shows at least.
    pub fn reached(&self) -> Revision {
        self.reached.load(Ordering::Acquire)
    }

    /// Waits until the cache shows everything that was written before the call.
    pub async fn fresh(&self) -> Result<(), Status> {
        let needed = match self.store.revision_now() {
            Some(revision) => revision,
            None => self.store.revision().await.map_err(|error| status_of(&error))?,
        };
        self.wait_for(needed).await
    }

    /// Waits until the cache has reached a revision; 504 with a hint to try again where it takes too long.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), Status> {
        if self.reached() >= revision {
            return Ok(());
        }
        let mut published = self.published.subscribe();
        let reached = tokio::time::timeout(FRESH, published.wait_for(|reached| *reached >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(too_large_revision(revision, self.reached())),
        }
    }

    /// Reads everything as of a revision and puts it in place of what is there, then takes what happened since, if the
    /// store tells that too. The revision that is shown now.
    async fn read_all(&self, at: Revision) -> store::Result<Revision> {
        let mut found: HashMap<&'static str, Vec<(Bytes, Arc<Object>)>> = HashMap::new();
        let mut later = (at > 0).then(Later::default);
        if at > 0 {
            let mut range = Range::prefix(self.root.clone());
            range.limit = PAGE;
            range.at = Some(at);
            range.later = REPLAY_BYTES;
            let read = |range: Range| {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move { store.range(range).await })
            };
            // One page is read while the one before is taken in.
            let mut reading = Some(read(range.clone()));
            let mut place: Option<(&'static str, &Arc<Table>)> = None;
            while let Some(page) = reading.take() {
                let lost = |error: JoinError| store::Error::Unavailable(error.to_string());
                let page = page.await.map_err(lost)??;
                later = later
                    .zip(page.later)
                    .and_then(|(later, more)| later.and(more, page.revision));
                range.later = later.as_ref().map_or(0, |later| REPLAY_BYTES - later.size);
                if page.items.len() == PAGE
                    && let Some(last) = page.items.last()
                {
                    range.start = [last.key.as_ref(), b"\0"].concat().into();
                    reading = Some(read(range.clone()));
                }
                for kv in page.items {
                    // Most lie in the same table as the one before.
                    if place.is_none_or(|(_, table)| !kv.key.starts_with(&table.prefix)) {
                        place = self.place_of(&kv.key);
                    }
                    let Some((storage, _)) = place else { continue };
                    let key = kv.key.clone();
                    if let Some(object) = self.object_of(storage, kv) {
                        found.entry(storage).or_default().push((key, Arc::new(object)));
                    }
                }
            }
        }
        for (storage, table) in &self.tables {
            let objects = found.remove(storage).unwrap_or_default().into_iter().collect();
            if self.hooks(storage).next().is_some() {
                self.tell(storage, &table.replace(objects, at));
            } else {
                table.put_in_place(objects, at);
            }
        }
        self.publish(at);
        let Some(later) = later else { return Ok(at) };
        let reached = later.reached;
        self.take(later.in_order());
        Ok(reached)
    }

    async fn watch(&self, after: Revision) -> store::Result<Stream> {
        self.store.watch(self.root.clone(), prefix_end(&self.root), after).await
    }

    /// Takes over what this server has written itself, as soon as everything before it is known. When the store's watch
    /// tells it too, that is left out.
    ///
    /// The revision has to be this change's own, with nothing else in its transaction: a part would be shown of what
    /// belongs together, and the rest left out.
    pub fn wrote(&self, storage: &'static str, key: Bytes, revision: Revision, object: Option<Arc<Object>>) {
        let mut early = self.early.lock();
        early.put(storage, Applied { key, revision, object });
        self.take_early(&mut early);
    }

    fn take_early(&self, early: &mut Early) {
        while let Some((storage, write)) = early.after(self.reached()) {
            let revision = write.revision;
            if let Some(table) = self.table(storage) {
                self.tell(storage, &table.apply(vec![write]));
            }
            self.publish(revision);
        }
    }

    /// Takes over what the store tells.
    fn take(&self, watched: Watched) {
        let (events, revision) = match watched {
            Watched::Events { events, revision } => (events, revision),
            Watched::Progress(revision) => (Vec::new(), revision),
        };
        // What is shown already is not even decrypted.
        let shown = self.reached();
        let mut by_table: Vec<(&'static str, &Arc<Table>, Vec<Applied>)> = Vec::new();
        for event in events.into_iter().filter(|event| event.revision() > shown) {
            let Some((storage, table)) = self.place_of(event.key()) else {
                continue;
            };
            let (key, revision, object) = match event {
                Event::Put(kv) => {
                    let (key, revision) = (kv.key.clone(), kv.modified);
                    match self.object_of(storage, kv) {
                        Some(object) => (key, revision, Some(Arc::new(object))),
                        None => continue,
                    }
                }
                Event::Delete { key, revision } => (key, revision, None),
            };
            let applied = Applied { key, revision, object };
            match by_table.iter_mut().find(|(known, ..)| *known == storage) {
                Some((.., changes)) => changes.push(applied),
                None => by_table.push((storage, table, vec![applied])),
            }
        }
        let mut early = self.early.lock();
        let shown = self.reached();
        for (storage, table, mut changes) in by_table {
            changes.retain(|change| change.revision > shown);
            self.tell(storage, &table.apply(changes));
        }
        self.publish(revision);
        self.take_early(&mut early);
    }

    /// Reads everything anew, as of now. What is written meanwhile waits until that is in place.
    async fn read_anew(&self) -> store::Result<Revision> {
        self.early.lock().on_hold = true;
        let revision = self.store.revision().await?;
        let reached = aside::when(true, pin!(self.read_all(revision))).await?;
        let mut early = self.early.lock();
        early.on_hold = false;
        self.take_early(&mut early);
        Ok(reached)
    }

    fn hooks(&self, storage: &'static str) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(move |hook| hook.storages.contains(&storage))
    }

    fn tell(&self, storage: &'static str, changes: &[impl Borrow<Change>]) {
        for hook in self.hooks(storage) {
            for change in changes {
                (hook.tell)(storage, change.borrow());
            }
        }
    }

    fn publish(&self, revision: Revision) {
        self.reached.fetch_max(revision, Ordering::AcqRel);
        self.published.send_if_modified(|published| {
            let is_news = *published < revision;
            *published = revision.max(*published);
            is_news
        });
    }

    /// What a stored value says; `None`, and a line in the log, if it is no object or can't be decrypted.
    pub fn object_of(&self, storage: &str, kv: KeyValue) -> Option<Object> {
        let key = || String::from_utf8_lossy(&kv.key);
        match self.values.open(storage, &kv.key, kv.value) {
            Ok(plain) => {
                let object = Object::from_stored(&plain, kv.modified);
                if object.is_none() {
                    error!(key = %key(), "what is stored here is no object; it is not served");
                }
                object
            }
            Err(failure) => {
                error!(key = %key(), %failure, "what is stored here can't be decrypted; it is not served");
                None
            }
        }
    }

    /// The value to store for an object.
    pub fn seal(&self, storage: &str, key: &[u8], plain: Bytes) -> Result<Bytes, Status> {
        self.values.seal(storage, key, plain)
    }

    /// `pods` of `/registry/pods/…`, `services/specs` of `/registry/services/specs/…`.
    fn place_of(&self, key: &[u8]) -> Option<(&'static str, &Arc<Table>)> {
        let rest = std::str::from_utf8(key.strip_prefix(self.root.as_ref())?).ok()?;
        let first = rest.find('/')?;
        let two = rest[first + 1..].find('/').map(|second| &rest[..first + 1 + second]);
        let known = two.and_then(|two| self.tables.get_key_value(two));
        known
            .or_else(|| self.tables.get_key_value(&rest[..first]))
            .map(|(storage, table)| (*storage, table))
    }
}

/// What happened after the revision that is read, as far as the store tells it with the pages.
struct Later {
    events: Vec<Event>,
    /// Each page is of its own moment: this is what all of them show.
    reached: Revision,
    size: usize,
}

impl Default for Later {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            reached: Revision::MAX,
            size: 0,
        }
    }
}

impl Later {
    /// With those of one more page; `None` if that is too much to be held.
    fn and(mut self, more: Vec<Event>, reached: Revision) -> Option<Self> {
        self.size += more.iter().map(Event::size).sum::<usize>();
        self.events.extend(more);
        self.reached = self.reached.min(reached);
        (self.size <= REPLAY_BYTES).then_some(self)
    }

    fn in_order(mut self) -> Watched {
        self.events.retain(|event| event.revision() <= self.reached);
        self.events.sort_by_key(Event::revision);
        Watched::Events {
            events: self.events,
            revision: self.reached,
        }
    }
}

type Stream = futures_util::stream::BoxStream<'static, store::Result<Watched>>;

/// Keeps the cache current for as long as someone holds it.
async fn follow(cache: Weak<Cache>, mut watched: Stream) {
    loop {
        let failure = loop {
            let delivered = watched.next().await;
            let Some(cache) = cache.upgrade() else { return };
            match delivered {
                Some(Ok(delivered)) => cache.take(delivered),
                Some(Err(failure)) => break Some(failure),
                None => break None,
            }
        };
        if cache.upgrade().is_none_or(|cache| cache.has_ended()) {
            return;
        }
        let mut from_scratch = matches!(failure, Some(store::Error::Compacted { .. }));
        warn!(reason = ?failure, "the watch of the store ended; it is taken up again");
        watched = loop {
            let Some(cache) = cache.upgrade().filter(|cache| !cache.has_ended()) else {
                return;
            };
            match take_up(&cache, from_scratch).await {
                Ok(stream) => break stream,
                Err(failure) => {
                    from_scratch |= matches!(failure, store::Error::Compacted { .. });
                    drop(cache);
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
    }
}

async fn take_up(cache: &Cache, from_scratch: bool) -> store::Result<Stream> {
    let mut from = cache.reached();
    if from_scratch {
        from = cache.read_anew().await?;
    }
    cache.watch(from).await
}

/// 504 for a revision that has not happened yet (`storage.NewTooLargeResourceVersionError`).
fn too_large_revision(asked: Revision, reached: Revision) -> Status {
    let cause = Cause {
        reason: "ResourceVersionTooLarge",
        message: "Too large resource version".into(),
        ..Cause::default()
    };
    Status::timeout(format!(
        "Timeout: Too large resource version: {asked}, current: {reached}"
    ))
    .causes(vec![cause])
    .retry_after(1)
}

/// What a client is told of a failure of the store.
pub fn status_of(error: &store::Error) -> Status {
    match error {
        store::Error::Compacted { .. } => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        ),
        store::Error::Future { asked, newest } => too_large_revision(*asked, *newest),
        store::Error::TooLarge { .. } => Status::too_large("etcdserver: request is too large"),
        store::Error::Slow | store::Error::Unavailable(_) => {
            Status::unavailable("the store is unavailable, try again").retry_after(1)
        }
        // Clients repeat by themselves whatever is answered with a time to wait, and this may have happened.
        store::Error::Unknown(_) => Status::timeout("the store did not answer in time, the change may have happened"),
        store::Error::Corrupt(_) => {
            error!(%error, "the store is damaged");
            Status::internal("the stored object is damaged")
        }
        store::Error::Invalid(_) => {
            error!(%error, "the server asked the store for something that makes no sense");
            Status::internal("the store refused the request")
        }
        store::Error::NoLease => Status::internal("the lease of the object has ended"),
    }
}

#[cfg(test)]
mod tests {
    use kubetrust_store::embedded::{Embedded, Options};

    use super::*;

    #[test]
    fn of_what_came_later_counts_what_every_page_shows() {
        let event = |key: &'static str, revision| Event::Delete {
            key: key.into(),
            revision,
        };
        let first = vec![event("a", 4), event("a", 9), event("b", 3)];
        let later = Later::default().and(first, 10).unwrap();
        // Read before the other, or after a write to a key of that.
        let later = later.and(vec![event("c", 3), event("c", 8)], 8).unwrap();
        let Watched::Events { events, revision } = later.in_order() else {
            panic!("no events")
        };
        assert_eq!(revision, 8);
        assert_eq!(events, [event("b", 3), event("c", 3), event("a", 4), event("c", 8)]);

        let large = |revision| {
            Event::Put(KeyValue {
                key: "a".into(),
                value: vec![b'x'; REPLAY_BYTES / 2].into(),
                created: 1,
                modified: revision,
                version: 1,
                lease: None,
            })
        };
        let later = Later::default().and(vec![large(2)], 4).unwrap();
        assert!(later.and(vec![large(3), large(4)], 4).is_none());
    }

    #[test]
    fn of_a_prefix_is_known_whether_there_are_more_than_so_many() {
        let table = Table::new("/registry/pods/".into(), Arc::default());
        for name in ["a/1", "b/1", "b/2", "b/3", "c/1"] {
            let text = format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}}}}"#);
            let object = Object::from_stored(text.as_bytes(), 1).map(Arc::new);
            let key = format!("/registry/pods/{name}").into();
            table.apply(vec![Applied {
                key,
                revision: 1,
                object,
            }]);
        }
        for (many, prefix, is_so) in [
            (4, "", true),
            (5, "", false),
            (2, "b/", true),
            (3, "b/", false),
            (0, "c/", true),
            (1, "c/", false),
            (0, "d/", false),
        ] {
            let found = table.has_more_than(many, format!("/registry/pods/{prefix}").as_bytes());
            assert_eq!(found, is_so, "{many} {prefix}");
        }
    }

    /// A cache of config maps over a real store that nobody writes to.
    async fn cache(folder: &std::path::Path) -> (Arc<Cache>, Arc<Embedded>) {
        let store = Arc::new(Embedded::open(folder, Options::default()).unwrap());
        let (of, root) = (Arc::clone(&store), Bytes::from_static(b"/registry/"));
        let cache = Cache::load(of, Arc::default(), root, ["configmaps"], Vec::new());
        (cache.await.unwrap(), store)
    }

    fn key(name: &str) -> Bytes {
        format!("/registry/configmaps/default/{name}").into()
    }

    fn text(said: &str) -> String {
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{}},"data":{{"said":"{said}"}}}}"#)
    }

    /// What the server wrote itself: a name is its revision's.
    fn write(cache: &Cache, revision: Revision) {
        let object = Object::from_stored(text("written").as_bytes(), revision).map(Arc::new);
        cache.wrote("configmaps", key(&revision.to_string()), revision, object);
    }

    /// What the store tells of the same names.
    fn tell(cache: &Cache, revisions: std::ops::RangeInclusive<Revision>) {
        let event = |revision: Revision| {
            Event::Put(KeyValue {
                key: key(&revision.to_string()),
                value: text("told").into(),
                created: revision,
                modified: revision,
                version: 1,
                lease: None,
            })
        };
        let revision = *revisions.end();
        let events = revisions.map(event).collect();
        cache.take(Watched::Events { events, revision });
    }

    /// What happens, after a revision, and how many more revisions are shown then.
    type Step = (&'static str, fn(&Cache, Revision), Revision);

    #[tokio::test]
    async fn own_writes_are_shown_in_their_turn_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _store) = cache(folder.path()).await;
        let (table, from) = (cache.table("configmaps").unwrap(), cache.reached());
        let mut watch = table
            .subscribe(Keys::with_prefix("/registry/configmaps/"), from)
            .unwrap();
        let steps: [Step; 8] = [
            ("one is missing before it", |cache, from| write(cache, from + 2), 0),
            ("and is there", |cache, from| write(cache, from + 1), 2),
            ("both are told again", |cache, from| tell(cache, from + 1..=from + 2), 2),
            ("two are missing before it", |cache, from| write(cache, from + 5), 2),
            (
                "another server's are told",
                |cache, from| tell(cache, from + 3..=from + 4),
                5,
            ),
            (
                "old ones are told again",
                |cache, from| tell(cache, from + 1..=from + 4),
                5,
            ),
            ("one that was told first", |cache, from| write(cache, from + 4), 5),
            (
                "one that is removed",
                |cache, from| cache.wrote("configmaps", key(&(from + 1).to_string()), from + 6, None),
                6,
            ),
        ];
        for (what, step, shown) in steps {
            step(&cache, from);
            assert_eq!(cache.reached() - from, shown, "{what}");
            // Who waits is told no older one afterwards.
            assert_eq!(*cache.published.borrow(), cache.reached(), "{what}");
        }
        let mut told = Vec::new();
        while !watch.feed.is_empty() {
            let change = watch.feed.recv().await.unwrap();
            let said = change.object.value()["data"]["said"].as_str().unwrap().to_owned();
            told.push((change.object.revision - from, change.kind.name(), said));
        }
        let told: Vec<_> = told
            .iter()
            .map(|(revision, kind, said)| (*revision, *kind, said.as_str()))
            .collect();
        let want = [
            (1, "ADDED", "written"),
            (2, "ADDED", "written"),
            (3, "ADDED", "told"),
            (4, "ADDED", "told"),
            (5, "ADDED", "written"),
            (6, "DELETED", "written"),
        ];
        assert_eq!(told, want);
    }

    #[tokio::test]
    async fn what_is_written_while_everything_is_read_anew_is_shown_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _store) = cache(folder.path()).await;
        let (table, from) = (cache.table("configmaps").unwrap(), cache.reached());
        cache.early.lock().on_hold = true;
        write(&cache, from + 1);
        assert_eq!((cache.reached(), table.len()), (from, 0));
        // The store is read as of before the write.
        assert_eq!(cache.read_anew().await.unwrap(), from);
        assert_eq!((cache.reached(), table.len()), (from + 1, 1));
    }

    #[tokio::test]
    async fn after_a_read_that_failed_nothing_is_shown_until_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, store) = cache(folder.path()).await;
        let (table, from) = (cache.table("configmaps").unwrap(), cache.reached());
        store.close();
        cache.read_anew().await.unwrap_err();
        write(&cache, from + 1);
        assert_eq!((cache.reached(), table.len()), (from, 0));
    }

    #[test]
    fn a_watch_that_ended_over_a_gap_is_caught_up_with_nothing() {
        let reached = Arc::new(AtomicU64::new(7));
        let table = Arc::new(Table::new("/registry/pods/".into(), Arc::clone(&reached)));
        let pods = || Keys::with_prefix("/registry/pods/");
        let watch = table.subscribe(pods(), 7).unwrap();
        assert_eq!(watch.caught_up(), Some(7));
        table.replace(BTreeMap::new(), 20);
        reached.store(20, Ordering::Release);
        assert_eq!(watch.caught_up(), None);
        assert_eq!(table.subscribe(pods(), 7).err().unwrap().code, 410);
        assert_eq!(table.subscribe(pods(), 20).unwrap().caught_up(), Some(20));
    }
}
