//! A value with a flipped bit; a clock that is set; a history that ends. What else a disk can do is in `faults`.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::{Embedded, History, OpenError, Options};
use crate::{Change, Error, Expect, LeaseId, Outcome, Range, Revision, Store, Write};

/// How long anything may take that has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn put(key: &str, value: impl Into<Bytes>, lease: Option<LeaseId>) -> Vec<Write> {
    vec![Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: None,
        change: Some(Change::Put {
            value: value.into(),
            lease,
        }),
    }]
}

pub(super) async fn committed(store: &Embedded, writes: Vec<Write>) -> Revision {
    match store.commit(writes).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict { .. } => panic!("a conflict"),
    }
}

/// Waits until it holds.
pub(super) async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A store with some keys in a folder, closed.
pub(super) async fn filled(folder: &Path, keys: usize) {
    let store = Embedded::open(folder, Options::default()).unwrap();
    for number in 0..keys {
        committed(&store, put(&format!("key/{number:04}"), value(number), None)).await;
    }
}

/// A value that stands out.
pub(super) fn value(number: usize) -> Bytes {
    format!("<value of {number:04}:{}>", "v".repeat(200)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_value_is_found_and_named_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 100).await;
    let path = folder.path().join("store.redb");
    let content = fs::read(&path).unwrap();
    let wanted = value(42);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Old pages have it too.
    for (offset, window) in content.windows(wanted.len()).enumerate() {
        if window == wanted {
            file.write_all_at(&[window[20] ^ 4], offset as u64 + 20).unwrap();
        }
    }
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    let error = store.get(b"key/0042").await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt(reason) if reason.contains("key/0042")),
        "{error}"
    );
    let error = store.range(Range::prefix("key/")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt(reason) if reason.contains("key/0042")),
        "{error}"
    );
    let update = Write {
        expect: Some(Expect::Modified(1)),
        ..put("key/0042", "new", None).remove(0)
    };
    let error = store.commit(vec![update]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    // The others are as good as before.
    assert_eq!(store.get(b"key/0041").await.unwrap().0.unwrap().value, value(41));
    committed(&store, put("key/0041", "new", None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    let error = Embedded::open(folder.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()));
    let mut watch = store.watch("a".into(), "b".into(), 1).await.unwrap();
    store.close();
    let ended = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert!(matches!(ended.unwrap_err(), Error::Unavailable(_)));
    assert!(matches!(
        store.commit(put("a", "x", None)).await.unwrap_err(),
        Error::Unavailable(_)
    ));
    assert!(matches!(store.get(b"a").await.unwrap_err(), Error::Unavailable(_)));
    Embedded::open(folder.path(), Options::default()).unwrap();
}

#[test]
fn a_start_that_was_killed_half_way_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.redb.new"), [1; 5000]).unwrap();
    drop(Embedded::open(folder.path(), Options::default()).unwrap());
    assert!(!folder.path().join("store.redb.new").exists());
    let mode = fs::metadata(folder.path().join("store.redb"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A clock that is set by hand.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn options(&self, history: History) -> Options {
        let hand = self.clone();
        let start = Timestamp::new(1_700_000_000, 0).unwrap();
        Options {
            history,
            clock: Arc::new(move || start + SignedDuration::from_secs(hand.0.load(Ordering::Relaxed))),
            ..Options::default()
        }
    }

    fn turn(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_at_its_time_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let open = || Embedded::open(folder.path(), hand.options(History::default())).unwrap();
    let store = open();
    let [short, long] = [100, 200].map(Duration::from_secs);
    let (short, long) = (store.grant(short).await.unwrap(), store.grant(long).await.unwrap());
    committed(&store, put("short", "x", Some(short))).await;
    let before = committed(&store, put("long", "x", Some(long))).await;
    hand.turn(99);
    drop(store);
    let store = open();
    assert_eq!(store.time_to_live(short).await.unwrap(), Duration::from_secs(1));
    assert!(store.get(b"short").await.unwrap().0.is_some());
    hand.turn(1);
    eventually(async || store.get(b"short").await.unwrap().0.is_none().then_some(())).await;
    assert_eq!(store.revision_now(), Some(before + 1));
    drop(store);
    hand.turn(1000);
    let store = open();
    eventually(async || store.get(b"long").await.unwrap().0.is_none().then_some(())).await;
    let again = store.grant(Duration::from_secs(1)).await.unwrap();
    assert!(again > long);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_ends_by_itself_and_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let history = History {
        time: Duration::from_secs(100),
        ..History::default()
    };
    let store = Embedded::open(folder.path(), hand.options(history)).unwrap();
    let first = committed(&store, put("a", "0", None)).await;
    for number in 0..600 {
        committed(&store, put("a", number.to_string(), None)).await;
    }
    committed(&store, put("gone", "x", None)).await;
    let delete = Write {
        change: Some(Change::Delete),
        ..put("gone", "", None).remove(0)
    };
    let last = committed(&store, vec![delete]).await;
    let at = |revision| Range {
        at: Some(revision),
        ..Range::prefix("a")
    };
    for (bytes, later) in [(1 << 20, Some(600)), (1 << 10, None), (0, None)] {
        let range = Range {
            later: bytes,
            ..at(first)
        };
        let page = store.range(range).await.unwrap();
        assert_eq!(page.later.map(|later| later.len()), later, "in {bytes} bytes");
    }
    hand.turn(60);
    committed(&store, put("b", "x", None)).await;
    store.range(at(first)).await.unwrap();
    hand.turn(60);
    committed(&store, put("b", "y", None)).await;
    hand.turn(60);
    let swept = eventually(async || {
        let records = store.shared.read(|snapshot| Ok(snapshot.versions()?.count())).unwrap();
        (records <= 4).then_some(records)
    })
    .await;
    assert!(swept >= 2);
    assert!(matches!(
        store.range(at(first)).await.unwrap_err(),
        Error::Compacted { .. }
    ));
    store.range(at(last - 1)).await.unwrap_err();
    assert_eq!(store.get(b"a").await.unwrap().0.unwrap().value, "599");
    let lines = store.shared.read(|snapshot| Ok(snapshot.lines()?.count())).unwrap();
    assert!(lines <= 3, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_has_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let history = History {
        revisions: 50,
        ..History::default()
    };
    let options = Options {
        history,
        ..Options::default()
    };
    let store = Embedded::open(folder.path(), options).unwrap();
    for number in 0..300 {
        committed(&store, put("a", number.to_string(), None)).await;
    }
    let lines = eventually(async || {
        let lines = store.shared.read(|snapshot| Ok(snapshot.lines()?.count())).unwrap();
        (lines <= 60).then_some(lines)
    })
    .await;
    assert!(lines >= 50);
}
