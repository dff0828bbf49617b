//! `kill -9` under 32 writers, two hundred times: what was acknowledged is there, nothing is there by half, and a watch
//! goes on from any revision that was seen.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use kubetrust_store::embedded::{Embedded, Options, check};
use kubetrust_store::{Change, Event, NO_END, Outcome, Range, Revision, Store, Watched, Write};

/// Stores that are killed side by side, and one after the other.
const SIDE_BY_SIDE: usize = 4;
const ROUNDS: usize = 5;
/// Deaths of one store: what is verified after each grows with them.
const KILLS_OF_ONE: usize = 10;
const KILLS: usize = SIDE_BY_SIDE * ROUNDS * KILLS_OF_ONE;
const WRITERS: usize = 32;

/// Tells the test binary that it is the victim, and where.
const VICTIM: &str = "KUBETRUST_CRASH_VICTIM";

/// How long the victim lives after its first write, at most: a prime number of microseconds apart, so that it is hit
/// at every point of a commit.
const STEP: Duration = Duration::from_micros(317);

/// How long a test may take that has a limit of 90 s in the field.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both sides of a pair have the same value, in one transaction; a half one would be seen.
const SIDES: [&str; 2] = ["left", "right"];

#[test]
fn a_killed_server_keeps_what_it_acknowledged() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        live(&PathBuf::from(folder));
        return;
    }
    assert_eq!(KILLS, 200);
    std::thread::scope(|scope| {
        for lane in 0..SIDE_BY_SIDE {
            scope.spawn(move || (0..ROUNDS).for_each(|round| kill_a_store(round * SIDE_BY_SIDE + lane)));
        }
    });
}

fn kill_a_store(store: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<String, Revision> = BTreeMap::new();
    let mut seen: Vec<Revision> = Vec::new();
    for kill in 0..KILLS_OF_ONE {
        let written = kill_one(folder.path(), kill * KILLS / KILLS_OF_ONE + store);
        seen.extend(written.values().copied().max());
        acknowledged.extend(written);
        runtime.block_on(verify(folder.path(), &acknowledged, &seen));
    }
    assert!(acknowledged.len() > KILLS_OF_ONE, "only {} writes", acknowledged.len());
    let report = check(folder.path(), |_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.faults);
}

/// Starts a victim, reads what it acknowledges, and kills it.
fn kill_one(folder: &Path, kill: usize) -> BTreeMap<String, Revision> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_server_keeps_what_it_acknowledged", "--nocapture"])
        .env(VICTIM, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let first = next_acknowledgement(&mut lines).expect("the victim wrote nothing");
    // The rest is read from the pipe after its death: what it acknowledged is in there.
    std::thread::sleep(STEP * u32::try_from(kill).unwrap());
    end(&mut victim);
    let rest = std::iter::from_fn(|| next_acknowledgement(&mut lines));
    std::iter::once(first).chain(rest).collect()
}

fn end(victim: &mut Child) {
    victim.kill().unwrap();
    victim.wait().unwrap();
}

/// A line `ack NAME REVISION`; the last one may be cut off.
fn next_acknowledgement(lines: &mut impl BufRead) -> Option<(String, Revision)> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some((_, acknowledgement)) = line.split_once("ack ")
            && line.ends_with('\n')
        {
            let (name, revision) = acknowledgement.trim_end().split_once(' ')?;
            return Some((name.to_owned(), revision.parse().unwrap()));
        }
    }
}

/// The victim: writes pairs from all sides, and says which were acknowledged.
fn live(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(Embedded::open(folder, Options::default()).unwrap());
        let begin = store.revision_now().unwrap();
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = Arc::clone(&store);
            writers.push(tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{begin}-{writer}-{number}");
                    let pair = SIDES.map(|side| put(&format!("{name}/{side}"), name.clone()));
                    // A key that all write to has a history.
                    let shared = put("shared", name.clone());
                    let all = pair.into_iter().chain([shared]).collect();
                    if let Outcome::Committed(revision) = store.commit(all).await.unwrap() {
                        let line = format!("ack {name} {revision}\n");
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                }
            }));
        }
        futures_util::future::join_all(writers).await;
    });
}

fn put(key: &str, value: impl Into<Bytes>) -> Write {
    Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: None,
        change: Some(Change::Put {
            value: value.into(),
            lease: None,
        }),
    }
}

async fn verify(folder: &Path, acknowledged: &BTreeMap<String, Revision>, seen: &[Revision]) {
    let store = Embedded::open(folder, Options::default()).unwrap();
    let page = store.range(Range::prefix("")).await.unwrap();
    let mut pairs: BTreeMap<&str, Vec<Revision>> = BTreeMap::new();
    for kv in &page.items {
        let key = std::str::from_utf8(&kv.key).unwrap();
        if let Some((name, _)) = key.split_once('/') {
            assert_eq!(kv.value, name);
            pairs.entry(name).or_default().push(kv.modified);
        }
    }
    for (name, revisions) in &pairs {
        assert_eq!(revisions.len(), SIDES.len(), "half of {name} is there");
        assert_eq!(revisions[0], revisions[1], "{name} is of two revisions");
    }
    for (name, revision) in acknowledged {
        let found = pairs.get(name.as_str()).and_then(|revisions| revisions.first());
        assert_eq!(found, Some(revision), "{name} was acknowledged");
    }
    // From revisions that were seen: the last ones, and an old one.
    let recent = seen.iter().rev().take(2).chain(seen.get(seen.len() / 2));
    for after in recent {
        watch_from(&store, *after, page.revision).await;
    }
}

/// Every revision after this one comes once, in order, whole.
async fn watch_from(store: &Embedded, after: Revision, newest: Revision) {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = store
        .watch(Bytes::from_static(b"\0"), Bytes::from_static(NO_END), after)
        .await
        .unwrap();
    let mut expected = after;
    while expected < newest {
        assert!(Instant::now() < deadline, "the watch hangs");
        let Watched::Events { events, .. } = stream.next().await.unwrap().unwrap() else {
            continue;
        };
        for revision in events.chunk_by(|one, next| one.revision() == next.revision()) {
            expected += 1;
            assert_eq!(revision[0].revision(), expected);
            assert_eq!(revision.len(), SIDES.len() + 1);
            assert!(revision.iter().all(|event| matches!(event, Event::Put(_))));
        }
    }
}
