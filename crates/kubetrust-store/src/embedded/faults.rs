//! What a disk can do to a store, a line a case: full, read-only, failing, slow and torn; files that are cut, foreign or
//! have a flipped bit; a power cut between any two writes; two processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use parking_lot::{Condvar, Mutex};
use redb::{ReadableDatabase, StorageBackend};

use super::disk::{Between, Disk};
use super::tests::{PATIENCE, committed, eventually, filled, put, value};
use super::{Embedded, OpenError, Options, check};
use crate::{Error, NO_END, Outcome, Range, Revision, Store, Watched, Write};

/// An operation on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    Read,
    Write { offset: u64, data: &'a [u8] },
    Grow(u64),
    Sync,
}

impl Operation<'_> {
    fn kind(self) -> Kind {
        match self {
            Operation::Read => Kind::Read,
            Operation::Write { .. } => Kind::Write,
            Operation::Grow(_) => Kind::Grow,
            Operation::Sync => Kind::Sync,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Grow,
    Sync,
}

/// What becomes of an operation.
pub(super) enum Fate {
    Succeeds,
    Fails(ErrorKind),
    /// Half of what is written gets there.
    Torn(ErrorKind),
}

type Judge = Arc<dyn Fn(Operation<'_>) -> Fate + Send + Sync>;

/// A disk of which a test decides.
struct Faulty {
    disk: Disk,
    judge: Judge,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(formatter)
    }
}

/// Puts a judge between a store and its disk.
pub(super) fn judged(judge: impl Fn(Operation<'_>) -> Fate + Send + Sync + 'static) -> Between {
    let judge: Judge = Arc::new(judge);
    Arc::new(move |disk| {
        let judge = Arc::clone(&judge);
        Arc::new(Faulty { disk, judge })
    })
}

impl Faulty {
    fn may(&self, operation: Operation<'_>) -> io::Result<()> {
        match (self.judge)(operation) {
            Fate::Succeeds => Ok(()),
            Fate::Fails(kind) => Err(kind.into()),
            Fate::Torn(kind) => {
                if let Operation::Write { offset, data } = operation {
                    self.disk.write(offset, &data[..data.len() / 2])?;
                }
                Err(kind.into())
            }
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.may(Operation::Read)?;
        self.disk.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.may(Operation::Grow(length))?;
        self.disk.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.may(Operation::Sync)?;
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.may(Operation::Write { offset, data })?;
        self.disk.write(offset, data)
    }
}

/// Both sides of a pair come in one transaction.
const SIDES: [&str; 2] = ["left", "right"];

fn pair(name: &str, value: &Bytes) -> Vec<Write> {
    let sides = SIDES.map(|side| put(&format!("{name}/{side}"), value.clone(), None));
    sides.into_iter().flatten().collect()
}

/// The revisions of a pair's sides, with their values checked.
async fn sides(store: &Embedded, name: &str, value: &Bytes) -> [Option<Revision>; 2] {
    let mut found = [None; 2];
    for (side, found) in SIDES.iter().zip(&mut found) {
        let kv = store.get(format!("{name}/{side}").as_bytes()).await.unwrap().0;
        assert!(kv.as_ref().is_none_or(|kv| kv.value == value), "{name}/{side}");
        *found = kv.map(|kv| kv.modified);
    }
    found
}

/// From the `nth` operation of a kind on, all of them fail like this, until there is an end to it.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    kind: Kind,
    nth: usize,
    error: ErrorKind,
    torn: bool,
}

#[rustfmt::skip]
const TROUBLES: &[Trouble] = &[
    Trouble { kind: Kind::Write, nth: 0, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 1, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 2, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 3, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 7, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 20, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Write, nth: 0, error: ErrorKind::StorageFull, torn: true },
    Trouble { kind: Kind::Write, nth: 1, error: ErrorKind::StorageFull, torn: true },
    Trouble { kind: Kind::Write, nth: 2, error: ErrorKind::StorageFull, torn: true },
    Trouble { kind: Kind::Write, nth: 3, error: ErrorKind::Other, torn: true },
    Trouble { kind: Kind::Write, nth: 7, error: ErrorKind::Other, torn: true },
    Trouble { kind: Kind::Write, nth: 20, error: ErrorKind::Other, torn: true },
    Trouble { kind: Kind::Grow, nth: 0, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Grow, nth: 1, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Grow, nth: 0, error: ErrorKind::FileTooLarge, torn: false },
    Trouble { kind: Kind::Grow, nth: 0, error: ErrorKind::QuotaExceeded, torn: false },
    Trouble { kind: Kind::Sync, nth: 0, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Sync, nth: 1, error: ErrorKind::StorageFull, torn: false },
    Trouble { kind: Kind::Sync, nth: 2, error: ErrorKind::Other, torn: false },
    Trouble { kind: Kind::Sync, nth: 5, error: ErrorKind::Other, torn: false },
    Trouble { kind: Kind::Write, nth: 0, error: ErrorKind::ReadOnlyFilesystem, torn: false },
    Trouble { kind: Kind::Grow, nth: 0, error: ErrorKind::ReadOnlyFilesystem, torn: false },
    Trouble { kind: Kind::Sync, nth: 0, error: ErrorKind::ReadOnlyFilesystem, torn: false },
    Trouble { kind: Kind::Write, nth: 0, error: ErrorKind::PermissionDenied, torn: false },
    Trouble { kind: Kind::Read, nth: 0, error: ErrorKind::Other, torn: false },
    Trouble { kind: Kind::Read, nth: 3, error: ErrorKind::Other, torn: false },
];

#[tokio::test(flavor = "multi_thread")]
async fn no_trouble_of_the_disk_leaves_half_a_write_and_none_needs_a_restart() {
    // Side by side: each waits for the store to try again.
    join_all(TROUBLES.iter().map(|trouble| survive(*trouble))).await;
}

async fn survive(trouble: Trouble) {
    let folder = tempfile::tempdir().unwrap();
    let (armed, seen) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let judge = {
        let armed = Arc::clone(&armed);
        move |operation: Operation<'_>| {
            if !armed.load(Ordering::SeqCst)
                || operation.kind() != trouble.kind
                || seen.fetch_add(1, Ordering::SeqCst) < trouble.nth
            {
                Fate::Succeeds
            } else if trouble.torn {
                Fate::Torn(trouble.error)
            } else {
                Fate::Fails(trouble.error)
            }
        }
    };
    // Without a cache, so that reads reach the disk.
    let options = Options {
        cache: 0,
        ..Options::default()
    };
    let store = Embedded::open_with(folder.path(), options, Some(judged(judge))).unwrap();
    let begin = store.revision_now().unwrap();
    let mut watch = store
        .watch(Bytes::from_static(b"\0"), Bytes::from_static(NO_END), begin)
        .await
        .unwrap();
    // Big enough that the file has to grow.
    let value = Bytes::from(vec![7; 300 << 10]);
    let mut acknowledged = BTreeMap::new();
    acknowledged.insert("before".to_owned(), committed(&store, pair("before", &value)).await);
    armed.store(true, Ordering::SeqCst);
    let (mut refused, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..60 {
        let name = format!("amid/{number}");
        match store.commit(pair(&name, &value)).await {
            Ok(Outcome::Committed(revision)) => _ = acknowledged.insert(name, revision),
            Err(Error::Unavailable(reason)) => {
                assert!(!reason.is_empty());
                refused.insert(name);
            }
            Err(Error::Unknown(_)) => _ = unknown.insert(name),
            other => panic!("{trouble:?}: {other:?}"),
        }
        if refused.len() > 3 {
            break;
        }
    }
    assert!(!refused.is_empty(), "{trouble:?} failed nothing");
    let unwell = store.health().await.unwrap_err();
    assert!(matches!(unwell, Error::Unavailable(_)), "{trouble:?}: {unwell}");

    armed.store(false, Ordering::SeqCst);
    let last = eventually(async || match store.commit(pair("after", &value)).await {
        Ok(Outcome::Committed(revision)) => Some(revision),
        _ => None,
    })
    .await;
    acknowledged.insert("after".to_owned(), last);
    store.health().await.unwrap();
    assert_eq!(
        events(&mut watch, begin, last).await,
        (begin + 1..=last).collect::<Vec<_>>()
    );
    drop(watch);
    drop(store);

    let report = check(folder.path(), |_| {}).unwrap();
    assert!(report.is_good(), "{trouble:?}: {:?}", report.faults);
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    assert_eq!(store.revision_now(), Some(last));
    for (name, revision) in &acknowledged {
        assert_eq!(
            sides(&store, name, &value).await,
            [Some(*revision); 2],
            "{trouble:?}: {name}"
        );
    }
    for name in &refused {
        assert_eq!(sides(&store, name, &value).await, [None; 2], "{trouble:?}: {name}");
    }
    for name in &unknown {
        let [left, right] = sides(&store, name, &value).await;
        assert_eq!(left, right, "{trouble:?}: {name}");
    }
}

/// The revision of each transaction that a watch has up to `last`.
async fn events(
    watch: &mut (impl futures_util::Stream<Item = crate::Result<Watched>> + Unpin),
    after: Revision,
    last: Revision,
) -> Vec<Revision> {
    let mut found = Vec::new();
    let mut reached = after;
    while reached < last {
        let watched = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
        match watched.unwrap().unwrap() {
            Watched::Events { events, revision } => {
                for one in events.chunk_by(|one, next| one.revision() == next.revision()) {
                    assert_eq!(one.len(), SIDES.len());
                    found.push(one[0].revision());
                }
                reached = revision;
            }
            Watched::Progress(revision) => reached = revision,
        }
    }
    found
}

/// More operations than making a small store takes.
const OPERATIONS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_made_as_a_whole_and_opened_as_it_was_whatever_fails() {
    for exists in [false, true] {
        let mut nth = 0;
        loop {
            assert!(nth < OPERATIONS, "it never opened");
            let folder = tempfile::tempdir().unwrap();
            let keys = if exists { 20 } else { 0 };
            if exists {
                filled(folder.path(), keys).await;
            }
            let seen = AtomicUsize::new(0);
            let judge = move |_: Operation<'_>| {
                if seen.fetch_add(1, Ordering::SeqCst) < nth {
                    Fate::Succeeds
                } else {
                    Fate::Fails(ErrorKind::StorageFull)
                }
            };
            let opened = Embedded::open_with(folder.path(), Options::default(), Some(judged(judge)));
            let failed = match opened.map(drop) {
                Ok(()) => false,
                Err(OpenError::Io { .. }) => true,
                Err(other) => panic!("operation {nth}: {other}"),
            };
            assert!(exists || !failed || !folder.path().join("store.redb").exists());
            let store = Embedded::open(folder.path(), Options::default()).unwrap();
            assert_eq!(store.range(Range::prefix("key/")).await.unwrap().items.len(), keys);
            if !failed {
                assert!(nth > 2, "nothing was tried");
                break;
            }
            nth += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_slow_writers_wait_together_and_reads_go_on() {
    const WRITERS: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate {
        open: Mutex::new(true),
        opened: Condvar::new(),
    });
    let syncs = Arc::new(AtomicUsize::new(0));
    let judge = {
        let (gate, syncs) = (Arc::clone(&gate), Arc::clone(&syncs));
        move |operation: Operation<'_>| {
            if operation.kind() == Kind::Sync {
                syncs.fetch_add(1, Ordering::SeqCst);
                gate.pass();
            }
            Fate::Succeeds
        }
    };
    let store = Embedded::open_with(folder.path(), Options::default(), Some(judged(judge))).unwrap();
    let store = Arc::new(store);
    // A test that fails ends: its store is dropped after this.
    let _at_the_end = OpenAtTheEnd(Arc::clone(&gate));
    let before = committed(&store, put("before", "x", None)).await;
    let mut watch = store.watch("a".into(), "z".into(), before).await.unwrap();

    *gate.open.lock() = false;
    let begun = syncs.load(Ordering::SeqCst);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { committed(&store, put(&format!("amid/{number}"), "x", None)).await })
        })
        .collect();
    eventually(async || (syncs.load(Ordering::SeqCst) > begun).then_some(())).await;
    // One stands at the disk; nothing of it is seen, and nobody else waits for it.
    for _ in 0..100 {
        assert_eq!(store.get(b"before").await.unwrap().1, before);
        assert_eq!(store.range(Range::prefix("amid/")).await.unwrap().count, 0);
        assert_eq!(store.revision().await.unwrap(), before);
        store.health().await.unwrap();
    }
    assert!(watch.next().now_or_never().is_none());
    assert!(writers.iter().all(|writer| !writer.is_finished()));

    gate.open();
    let revisions = join_all(writers).await.into_iter().map(|writer| writer.unwrap());
    assert_eq!(revisions.collect::<BTreeSet<_>>().len(), WRITERS);
    let made = syncs.load(Ordering::SeqCst) - begun;
    assert!(
        made < WRITERS,
        "{made} waits for the disk, instead of one for all that waited"
    );
}

/// What a disk waits at.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
    }

    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

struct OpenAtTheEnd(Arc<Gate>);

impl Drop for OpenAtTheEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Writes since the last sync, which a power cut may or may not leave on the disk.
#[derive(Default)]
struct Platter {
    durable: Vec<u8>,
    pending: Vec<Pending>,
    cuts: Vec<Cut>,
    random: u64,
}

enum Pending {
    Grow(usize),
    Write(usize, Vec<u8>),
}

/// What a power cut left, and what had been acknowledged before it.
struct Cut {
    image: Vec<u8>,
    acknowledged: BTreeMap<String, Revision>,
}

/// What a disk writes as a whole.
const SECTOR: usize = 512;

impl Platter {
    /// A number that is the same in every run (xorshift64).
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn apply(image: &mut Vec<u8>, pending: &Pending, mut kept: impl FnMut() -> bool) {
        match pending {
            Pending::Grow(length) => {
                if kept() {
                    image.resize(*length, 0);
                }
            }
            Pending::Write(offset, data) => {
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    let start = offset + index * SECTOR;
                    if kept()
                        && let Some(place) = image.get_mut(start..start + sector.len())
                    {
                        place.copy_from_slice(sector);
                    }
                }
            }
        }
    }

    /// The power goes: of every 8 sectors about `kept` got there, in any order.
    fn cut(&mut self, kept: u64, acknowledged: &BTreeMap<String, Revision>) {
        let mut image = self.durable.clone();
        let pending = std::mem::take(&mut self.pending);
        for one in &pending {
            // The size of the file is not among what is lost: a journal keeps it before the data.
            let all = matches!(one, Pending::Grow(_));
            Self::apply(&mut image, one, || all || self.draw() % 8 < kept);
        }
        self.pending = pending;
        let acknowledged = acknowledged.clone();
        self.cuts.push(Cut { image, acknowledged });
    }

    fn sync(&mut self) {
        for one in std::mem::take(&mut self.pending) {
            Self::apply(&mut self.durable, &one, || true);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_moment_leaves_whole_transactions_and_all_that_was_acknowledged() {
    const PAIRS: usize = 24;
    let folder = tempfile::tempdir().unwrap();
    let value = Bytes::from(vec![9; 3000]);
    let acknowledged: Arc<Mutex<BTreeMap<String, Revision>>> = Arc::default();
    let platter = Arc::new(Mutex::new(Platter {
        random: 0x9e37_79b9_7f4a_7c15,
        ..Platter::default()
    }));
    drop(Embedded::open(folder.path(), Options::default()).unwrap());
    platter.lock().durable = fs::read(folder.path().join("store.redb")).unwrap();
    let judge = {
        let (platter, acknowledged) = (Arc::clone(&platter), Arc::clone(&acknowledged));
        move |operation: Operation<'_>| {
            let platter = &mut *platter.lock();
            match operation {
                Operation::Read => {}
                Operation::Grow(length) => platter.pending.push(Pending::Grow(usize::try_from(length).unwrap())),
                Operation::Write { offset, data } => {
                    let offset = usize::try_from(offset).unwrap();
                    platter.pending.push(Pending::Write(offset, data.to_vec()));
                }
                Operation::Sync => {
                    let kept = platter.draw() % 9;
                    platter.cut(kept, &acknowledged.lock());
                    platter.sync();
                }
            }
            Fate::Succeeds
        }
    };
    let store = Embedded::open_with(folder.path(), Options::default(), Some(judged(judge))).unwrap();
    for number in 0..PAIRS {
        let name = format!("pair/{number:03}");
        let revision = committed(&store, pair(&name, &value)).await;
        acknowledged.lock().insert(name, revision);
    }
    drop(store);

    let cuts = std::mem::take(&mut platter.lock().cuts);
    assert!(cuts.len() > PAIRS, "{}", cuts.len());
    for (number, cut) in cuts.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store.redb"), cut.image).unwrap();
        let store =
            Embedded::open(folder.path(), Options::default()).unwrap_or_else(|error| panic!("cut {number}: {error}"));
        for pair in 0..PAIRS {
            let name = format!("pair/{pair:03}");
            let found = sides(&store, &name, &value).await;
            assert_eq!(found[0], found[1], "cut {number}: half of {name}");
            if let Some(revision) = cut.acknowledged.get(&name) {
                assert_eq!(found[0], Some(*revision), "cut {number}: {name}");
            }
        }
        committed(&store, put("after", "x", None)).await;
    }
}

/// Where a bit is flipped: this many places, spread over the whole file.
const FLIPS: usize = 300;
const KEYS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_is_harmless_or_found_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), KEYS).await;
    let good = fs::read(folder.path().join("store.redb")).unwrap();
    let written: Vec<usize> = (0..good.len()).filter(|index| good[*index] != 0).collect();
    // Most in what is written, some in what is not.
    let places = (0..FLIPS).map(|step| match step % 5 {
        0 => step * good.len() / FLIPS,
        _ => written[step * written.len() / FLIPS],
    });
    let mut found = 0;
    for (step, place) in places.enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let mut bad = good.clone();
        bad[place] ^= 1 << (step % 8);
        fs::write(&path, &bad).unwrap();
        let verdict = serves(folder.path()).await;
        fs::write(&path, &bad).unwrap();
        let report = check(folder.path(), |_| {});
        let named = match &report {
            Ok(report) => !report.is_good() && report.faults.iter().all(|fault| !fault.is_empty()),
            Err(OpenError::Damaged { reason, .. }) => !reason.is_empty(),
            Err(other) => panic!("byte {place}: {other}"),
        };
        match verdict {
            Served::All => {}
            Served::Refused => {
                found += 1;
                assert!(named, "byte {place}: it is refused, and the check finds nothing");
            }
            Served::Wrong(what) => panic!("byte {place}: {what}, and the check says {report:?}"),
        }
    }
    assert!(found > FLIPS / 10, "only {found} were found");
}

enum Served {
    /// Everything, as it was written.
    All,
    /// Something was refused, and all else is as it was written.
    Refused,
    Wrong(String),
}

async fn serves(folder: &Path) -> Served {
    let store = match Embedded::open(folder, Options::default()) {
        Ok(store) => store,
        Err(OpenError::Damaged { reason, .. }) if !reason.is_empty() => return Served::Refused,
        Err(other) => return Served::Wrong(other.to_string()),
    };
    let mut refused = false;
    let damaged = |error: &Error| matches!(error, Error::Corrupt(_) | Error::Unavailable(_));
    for number in 0..KEYS {
        let name = format!("key/{number:04}");
        match store.get(name.as_bytes()).await {
            Ok((Some(kv), _)) if kv.value == value(number) => {}
            Err(error) if damaged(&error) => refused = true,
            other => return Served::Wrong(format!("{name} is {other:?}")),
        }
    }
    match store.range(Range::prefix("key/")).await {
        Ok(page) => {
            let right = |(number, kv): (usize, &crate::KeyValue)| {
                kv.key == format!("key/{number:04}") && kv.value == value(number)
            };
            if page.count != KEYS || page.items.len() != KEYS || !page.items.iter().enumerate().all(right) {
                return Served::Wrong(format!("the list has {} keys", page.items.len()));
            }
        }
        Err(error) if damaged(&error) => refused = true,
        Err(other) => return Served::Wrong(format!("the list is {other:?}")),
    }
    // All that happened, from the log.
    let (first, last) = (1, store.revision_now().unwrap_or(0));
    if last != first + KEYS as Revision {
        return Served::Wrong(format!("it stands at {last}"));
    }
    let Ok(mut watch) = store.watch("key/".into(), "key0".into(), first).await else {
        return Served::Refused;
    };
    let mut reached = first;
    while reached < last {
        match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap() {
            Some(Ok(Watched::Progress(revision))) => reached = revision,
            Some(Ok(Watched::Events { events, .. })) => {
                for event in events {
                    let number = usize::try_from(reached - first).unwrap();
                    reached += 1;
                    let right = matches!(&event, crate::Event::Put(kv) if kv.value == value(number));
                    if !right || event.revision() != reached {
                        return Served::Wrong(format!("the watch has {event:?}"));
                    }
                }
            }
            Some(Err(error)) if damaged(&error) => return Served::Refused,
            other => return Served::Wrong(format!("the watch has {other:?}")),
        }
    }
    if refused { Served::Refused } else { Served::All }
}

/// What stands in the place of a store's file, and what becomes of it.
type Foreign = (&'static str, fn(&[u8]) -> Vec<u8>);

#[rustfmt::skip]
const FOREIGN: &[Foreign] = &[
    ("an empty file", |_| Vec::new()),
    ("text", |_| b"no store".to_vec()),
    ("zeros", |_| vec![0; 10_000]),
    ("a whole page of zeros before the store", |good| [&[0; 4096], good].concat()),
    ("another database", |_| [b"SQLite format 3\0".as_slice(), &[7; 8192]].concat()),
    ("the head of a store alone", |good| good[..100].to_vec()),
    ("its first page alone", |good| good[..4096].to_vec()),
    ("half a store", |good| good[..good.len() / 2].to_vec()),
    ("a store cut in the middle of a page", |good| good[..good.len() * 2 / 3 + 77].to_vec()),
    ("a store that lacks its last page", |good| good[..good.len() - 4096].to_vec()),
    ("a store that lacks its last byte", |good| good[..good.len() - 1].to_vec()),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_store_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 100).await;
    let path = folder.path().join("store.redb");
    let good = fs::read(&path).unwrap();
    for (what, make) in FOREIGN {
        let bad = make(&good);
        fs::write(&path, &bad).unwrap();
        let error = Embedded::open(folder.path(), Options::default()).err().expect(what);
        let place = folder.path().display().to_string();
        assert!(error.to_string().starts_with(&place), "{what}: {error}");
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
        assert!(fs::read(&path).unwrap() == bad, "{what} was changed");
    }
    fs::write(&path, good).unwrap();
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    assert_eq!(store.range(Range::prefix("key/")).await.unwrap().count, 100);
}

#[test]
fn what_another_program_keeps_in_redb_is_no_store() {
    const THEIRS: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let theirs = redb::Database::create(&path).unwrap();
    let transaction = theirs.begin_write().unwrap();
    transaction.open_table(THEIRS).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(theirs);
    let error = Embedded::open(folder.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let theirs = redb::Database::open(&path).unwrap();
    let table = theirs.begin_read().unwrap().open_table(THEIRS).unwrap();
    assert_eq!(table.get(1).unwrap().unwrap().value(), 2);
}

/// Tells a process of this very test what it is there for, and where.
const CHILD: &str = "KUBETRUST_FAULTS_CHILD";

/// This test once more, as a process of its own, behind some commands of the shell.
fn again(test: &str, before: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("{before} \"$0\" --exact embedded::faults::{test} --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, folder);
    command
}

fn child() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

fn said(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr]
        .concat()
        .escape_ascii()
        .to_string()
}

/// A disk that is really full: how it is had, and how there is room again.
const FULL: &[(&str, &str)] = &[
    (
        "a file system of 6 MiB",
        "exec unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=6m none \"$KUBETRUST_FAULTS_CHILD\" && exec \"$@\"' sh",
    ),
    ("a limit of 4 MiB for a file", "trap '' XFSZ; ulimit -S -f 8192; exec"),
];

/// What the machine answers where it lets nobody have a file system of his own.
const NO_MOUNTS: &[&str] = &["Operation not permitted", "permission denied", "Permission denied"];

#[cfg(target_os = "linux")]
#[test]
fn a_store_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    const TEST: &str = "a_store_on_a_full_disk_says_so_and_goes_on_when_there_is_room";
    if let Some(folder) = child() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(fill_up(&folder));
        println!("it went on");
        return;
    }
    let mut full = 0;
    for (what, before) in FULL {
        let folder = tempfile::tempdir().unwrap();
        let output = again(TEST, before, folder.path()).output().unwrap();
        let said = said(&output);
        if what.contains("file system") && NO_MOUNTS.iter().any(|refusal| said.contains(refusal)) {
            continue;
        }
        assert!(output.status.success() && said.contains("it went on"), "{what}: {said}");
        full += 1;
    }
    assert!(full > 0);
}

async fn fill_up(folder: &Path) {
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let data = folder.join("data");
    let store = Embedded::open(&data, Options::default()).unwrap();
    let value = Bytes::from(vec![7; 100 << 10]);
    let mut whole = BTreeMap::new();
    let refusal = loop {
        assert!(whole.len() < 100, "it never was full");
        let name = format!("pair/{}", whole.len());
        match store.commit(pair(&name, &value)).await {
            Ok(Outcome::Committed(revision)) => _ = whole.insert(name, revision),
            Err(error @ (Error::Unavailable(_) | Error::Unknown(_))) => break error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(
        refusal.contains("No space left on device") || refusal.contains("File too large"),
        "{refusal}"
    );
    // As long as it is full, nothing is taken, and nothing is taken by half.
    for _ in 0..20 {
        let error = store.commit(pair("amid", &value)).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_) | Error::Unknown(_)), "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    fs::remove_file(&ballast).unwrap();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &std::process::id().to_string()])
        .status()
        .unwrap();
    assert!(lifted.success());
    let last = eventually(async || match store.commit(pair("after", &value)).await {
        Ok(Outcome::Committed(revision)) => Some(revision),
        _ => None,
    })
    .await;
    whole.insert("after".to_owned(), last);
    for (name, revision) in &whole {
        assert_eq!(sides(&store, name, &value).await, [Some(*revision); 2], "{name}");
    }
    let [left, right] = sides(&store, "amid", &value).await;
    assert_eq!(left, right);
    drop(store);
    assert!(check(&data, |_| {}).unwrap().is_good());
}

/// What may not be written, and what the store says to it; nothing where it does not mind.
type ReadOnly = (&'static str, &'static [(&'static str, u32)], Option<&'static str>);

#[rustfmt::skip]
const READ_ONLY: &[ReadOnly] = &[
    ("the file", &[("store.redb", 0o400)], Some("store.redb: Permission denied")),
    ("the file, also for reading", &[("store.redb", 0o000)], Some("store.redb: Permission denied")),
    ("the lock", &[("lock", 0o400)], Some("lock: Permission denied")),
    ("the folder, with a store in it", &[(".", 0o500)], None),
    ("the folder, which can't be entered", &[(".", 0o000)], Some("lock: Permission denied")),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_only_is_named_and_left_as_it_is() {
    const TEST: &str = "what_is_read_only_is_named_and_left_as_it_is";
    if let Some(folder) = child() {
        match Embedded::open(&folder, Options::default()) {
            Ok(store) => println!("opened at {}", committed(&store, put("a", "x", None)).await),
            Err(error) => println!("refused: {error}"),
        }
        return;
    }
    // Root writes to what is read-only, unless it gives that up.
    let probe = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(probe.path(), Permissions::from_mode(0o400)).unwrap();
    let before = match OpenOptions::new().write(true).open(probe.path()) {
        Ok(_) => "exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search",
        Err(_) => "exec",
    };
    for (what, modes, expected) in READ_ONLY {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        filled(&data, 10).await;
        let path = data.join("store.redb");
        let content = fs::read(&path).unwrap();
        for (name, mode) in *modes {
            fs::set_permissions(data.join(name), Permissions::from_mode(*mode)).unwrap();
        }
        let output = again(TEST, before, &data).output().unwrap();
        for name in [".", "lock", "store.redb"] {
            fs::set_permissions(data.join(name), Permissions::from_mode(0o700)).unwrap();
        }
        let said = said(&output);
        assert!(output.status.success(), "{what}: {said}");
        let keys = if let Some(expected) = expected {
            let refusal = format!("refused: {}: {expected}", data.display());
            assert!(said.contains(&refusal), "{what}: {said}");
            assert!(fs::read(&path).unwrap() == content, "{what} was written");
            10
        } else {
            assert!(said.contains("opened at 12"), "{what}: {said}");
            11
        };
        let store = Embedded::open(&data, Options::default()).unwrap();
        assert_eq!(store.range(Range::prefix("")).await.unwrap().count, keys, "{what}");
    }
    // A folder in which none can be made.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
    for (name, expected) in [("", "lock: Permission denied"), ("new", "Permission denied")] {
        let place = if name.is_empty() {
            folder.path().to_owned()
        } else {
            folder.path().join(name)
        };
        let said = said(&again(TEST, before, &place).output().unwrap());
        assert!(
            said.contains(&format!("refused: {}: {expected}", place.display())),
            "{said}"
        );
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_have_one_store() {
    const TEST: &str = "two_processes_never_have_one_store";
    if let Some(folder) = child() {
        let store = Embedded::open(&folder, Options::default()).unwrap();
        println!("\nmine at {}", committed(&store, put("theirs", "x", None)).await);
        // Until it is killed.
        let _ = io::stdin().read_line(&mut String::new());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10).await;
    let mut other = again(TEST, "exec", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("mine at 12")));
    let content = fs::read(folder.path().join("store.redb")).unwrap();
    for attempt in [
        Embedded::open(folder.path(), Options::default()).err(),
        check(folder.path(), |_| {}).err(),
    ] {
        let error = attempt.expect("it is in use");
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(
            error.to_string().contains(&folder.path().display().to_string()),
            "{error}"
        );
    }
    assert!(fs::read(folder.path().join("store.redb")).unwrap() == content);
    other.kill().unwrap();
    other.wait().unwrap();
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    assert_eq!(store.get(b"theirs").await.unwrap().0.unwrap().modified, 12);
    committed(&store, put("ours", "x", None)).await;
}
