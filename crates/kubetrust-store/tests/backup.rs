//! A backup of a running store, what is made from it, what is found in a damaged one, and a move to another engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/etcd.rs"]
mod peer;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kubetrust_store::embedded::{BackupError, Embedded, Options, check, check_backup, restore};
use kubetrust_store::etcd::Etcd;
use kubetrust_store::{Change, CopyError, Error, KeyValue, LeaseId, Outcome, Range, Revision, Store, Write, copy};

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder, Options::default()).unwrap()
}

fn put(key: &str, value: impl Into<Bytes>, lease: Option<LeaseId>) -> Write {
    Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: None,
        change: Some(Change::Put {
            value: value.into(),
            lease,
        }),
    }
}

async fn committed(store: &dyn Store, writes: Vec<Write>) -> Revision {
    match store.commit(writes).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict { .. } => panic!("a conflict"),
    }
}

async fn all(store: &dyn Store) -> Vec<KeyValue> {
    store.range(Range::prefix("")).await.unwrap().items
}

/// Keys with a past, a removed one, a big and an empty value, a lease.
async fn fill(store: &dyn Store) -> LeaseId {
    for number in 0..1200 {
        committed(
            store,
            vec![put(&format!("/registry/{number:05}"), format!("{number}"), None)],
        )
        .await;
    }
    committed(store, vec![put("/registry/00007", "again", None)]).await;
    let delete = Write {
        change: Some(Change::Delete),
        ..put("/registry/00008", "", None)
    };
    committed(store, vec![delete]).await;
    committed(
        store,
        vec![
            put("/registry/big", vec![9; 1 << 20], None),
            put("/registry/empty", "", None),
        ],
    )
    .await;
    let lease = store.grant(Duration::from_hours(1)).await.unwrap();
    committed(store, vec![put("/registry/leased", "x", Some(lease))]).await;
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_comes_back_from_its_backup_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (file, one, two) = (
        folder.path().join("backup"),
        folder.path().join("one"),
        folder.path().join("two"),
    );
    let store = open(&one);
    let lease = fill(&store).await;
    let before = all(&store).await;
    let mut told = Vec::new();
    let summary = store.backup(&file, |keys| told.push(keys)).unwrap();
    assert_eq!(summary.keys, before.len() as u64);
    assert_eq!((told.first(), told.last()), (Some(&1000), Some(&summary.keys)));
    assert!(
        matches!(store.backup(&file, |_| {}).unwrap_err(), BackupError::Io { .. }),
        "it replaced a file"
    );
    assert_eq!(check_backup(&file, |_| {}).unwrap(), summary);
    assert_eq!(restore(&file, &two, |_| {}).unwrap(), summary);
    assert!(matches!(
        restore(&file, &two, |_| {}).unwrap_err(),
        BackupError::Exists { .. }
    ));

    let restored = open(&two);
    assert_eq!(all(&restored).await, before);
    assert_eq!(restored.revision_now(), Some(summary.revision));
    // History is behind: who comes with an older revision is told so, and who has the last one goes on.
    let at = Range {
        at: Some(summary.revision - 1),
        ..Range::prefix("")
    };
    assert!(matches!(restored.range(at).await.unwrap_err(), Error::Compacted { .. }));
    assert_eq!(
        committed(&restored, vec![put("/registry/new", "x", None)]).await,
        summary.revision + 1
    );
    restored.revoke(lease).await.unwrap();
    assert_eq!(restored.get(b"/registry/leased").await.unwrap().0, None);
    drop(restored);
    let report = check(&two, |_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writers_is_of_one_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("one")));
    fill(store.as_ref()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    // The first and the last key: a backup that is not of one revision has them apart.
                    let pair = ["/a", "/z"].map(|side| put(&format!("{side}{writer}"), number.to_string(), None));
                    committed(store.as_ref(), pair.to_vec()).await;
                }
            })
        })
        .collect();
    for round in 0..5 {
        let (file, target) = (
            folder.path().join(format!("b{round}")),
            folder.path().join(format!("r{round}")),
        );
        let source = Arc::clone(&store);
        tokio::task::spawn_blocking(move || {
            source.backup(&file, |_| {}).unwrap();
            restore(&file, &target, |_| {}).unwrap();
        })
        .await
        .unwrap();
        let restored = open(&folder.path().join(format!("r{round}")));
        for writer in 0..4 {
            let first = restored.get(format!("/a{writer}").as_bytes()).await.unwrap().0;
            let last = restored.get(format!("/z{writer}").as_bytes()).await.unwrap().0;
            assert_eq!(
                first.map(|kv| (kv.modified, kv.value)),
                last.map(|kv| (kv.modified, kv.value))
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let store = open(&folder.path().join("one"));
    for number in 0..20 {
        committed(&store, vec![put(&format!("/{number}"), "value", None)]).await;
    }
    store.backup(&file, |_| {}).unwrap();
    let good = fs::read(&file).unwrap();
    let target = folder.path().join("two");
    let mut cases: Vec<Vec<u8>> = (0..good.len()).step_by(7).map(|cut| good[..cut].to_vec()).collect();
    for index in (0..good.len()).step_by(5) {
        let mut flipped = good.clone();
        flipped[index] ^= 1 << (index % 8);
        cases.push(flipped);
    }
    cases.push([good.as_slice(), b"x"].concat());
    for bad in cases {
        fs::write(&file, bad).unwrap();
        let error = restore(&file, &target, |_| {}).unwrap_err();
        assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&file.display().to_string()));
        assert!(!target.join("store.redb").exists());
    }
    fs::write(&file, good).unwrap();
    restore(&file, &target, |_| {}).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    assert!(check(folder.path(), |_| {}).is_err(), "it looked at a store in use");
    drop(store);
    let report = check(folder.path(), |_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.faults);
    assert_eq!(report.keys, 1202);
    let path = folder.path().join("store.redb");
    let mut content = fs::read(&path).unwrap();
    let wanted = b"/registry/00042";
    let places: Vec<usize> = content
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, found)| found == wanted)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        content[place + wanted.len() - 1] ^= 1;
    }
    fs::write(&path, content).unwrap();
    let report = check(folder.path(), |_| {}).unwrap();
    assert!(!report.is_good());
    assert!(
        report.faults.iter().any(|fault| fault.contains("/registry/0004")),
        "{:?}",
        report.faults
    );
    assert!(check(&folder.path().join("nowhere"), |_| {}).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves_from_one_engine_to_the_other_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(&folder.path().join("one"));
    fill(&one).await;
    let etcd = tokio::task::spawn_blocking(|| peer::Etcd::start(1)).await.unwrap();
    let middle = Etcd::new(etcd.options()).unwrap();
    let two = open(&folder.path().join("two"));
    let prefix = Bytes::from_static(b"/registry/");
    let there = copy(&one, &middle, prefix.clone(), |_| {}).await.unwrap();
    let back = copy(&middle, &two, prefix.clone(), |_| {}).await.unwrap();
    assert_eq!((there.keys, there.bytes), (back.keys, back.bytes));
    let values = |items: Vec<KeyValue>| items.into_iter().map(|kv| (kv.key, kv.value)).collect::<Vec<_>>();
    assert_eq!(values(all(&two).await), values(all(&one).await));
    let lease = two.get(b"/registry/leased").await.unwrap().0.unwrap().lease.unwrap();
    let left = two.time_to_live(lease).await.unwrap();
    assert!(
        left > Duration::from_secs(3500) && left <= Duration::from_hours(1),
        "{left:?}"
    );
    let error = copy(&one, &two, prefix, |_| {}).await.unwrap_err();
    assert!(matches!(error, CopyError::NotEmpty(_)), "{error}");
}
