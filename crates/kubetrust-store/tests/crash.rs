//! `kill -9` under 32 writers, two hundred times: what was acknowledged is there, nothing is there by half, and every
//! watch goes on where it was, over all deaths, with each event once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use kubetrust_store::embedded::{Embedded, Options, check};
use kubetrust_store::{Change, Event, Outcome, Range, Revision, Store, Watched, Write};

/// Stores that are killed side by side, and one after the other.
const SIDE_BY_SIDE: usize = 4;
const ROUNDS: usize = 5;
/// Deaths of one store: what is verified after each grows with them.
const KILLS_OF_ONE: usize = 10;
const KILLS: usize = SIDE_BY_SIDE * ROUNDS * KILLS_OF_ONE;
const WRITERS: usize = 32;

/// Tells the test binary that it is the victim, and where.
const VICTIM: &str = "KUBETRUST_CRASH_VICTIM";
/// And how far each of its watchers was before.
const REACHED: &str = "KUBETRUST_CRASH_REACHED";

/// What is watched all the time: everything, the key that all write to, and the keys of one writer.
const WATCHED: [&str; 3] = ["", "shared", "7-"];

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
        live(&PathBuf::from(folder), &reached());
        return;
    }
    assert_eq!(KILLS, 200);
    std::thread::scope(|scope| {
        for lane in 0..SIDE_BY_SIDE {
            scope.spawn(move || (0..ROUNDS).for_each(|round| kill_a_store(round * SIDE_BY_SIDE + lane)));
        }
    });
}

/// What the parent knows of a store from what its victims said.
#[derive(Default)]
struct Told {
    /// Every write that was acknowledged.
    acknowledged: BTreeMap<String, Revision>,
    /// What each watcher saw, in the order in which it did.
    saw: [Vec<Revision>; WATCHED.len()],
}

impl Told {
    /// How far each watcher got.
    fn reached(&self) -> [Revision; WATCHED.len()] {
        self.saw.each_ref().map(|saw| saw.last().copied().unwrap_or(BEGIN))
    }

    /// A line `ack NAME REVISION` or `saw WATCHER REVISION …`; the last one may be cut off.
    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else { return };
        if let Some((_, acknowledgement)) = line.split_once("ack ") {
            let (name, revision) = acknowledgement.split_once(' ').unwrap();
            self.acknowledged.insert(name.to_owned(), revision.parse().unwrap());
        } else if let Some((_, seen)) = line.split_once("saw ") {
            let (watcher, revisions) = seen.split_once(' ').unwrap();
            let watcher: usize = watcher.parse().unwrap();
            self.saw[watcher].extend(
                revisions
                    .split(' ')
                    .map(|revision| revision.parse::<Revision>().unwrap()),
            );
        }
    }
}

/// The revision of a store in which nothing was written.
const BEGIN: Revision = 1;

fn kill_a_store(store: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    for kill in 0..KILLS_OF_ONE {
        kill_one(folder.path(), &mut told, kill * KILLS / KILLS_OF_ONE + store);
        runtime.block_on(verify(folder.path(), &told));
    }
    assert!(
        told.acknowledged.len() > KILLS_OF_ONE,
        "only {} writes",
        told.acknowledged.len()
    );
    assert!(
        told.saw.iter().all(|saw| !saw.is_empty()),
        "a watcher never saw anything"
    );
    let report = check(folder.path(), |_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.faults);
}

/// Starts a victim, hears what it says, and kills it.
fn kill_one(folder: &Path, told: &mut Told, kill: usize) {
    let reached = told.reached().map(|revision| revision.to_string()).join(",");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_server_keeps_what_it_acknowledged", "--nocapture"])
        .env(VICTIM, folder)
        .env(REACHED, reached)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let before = told.acknowledged.len();
    while told.acknowledged.len() == before {
        assert!(hear_one(&mut lines, told), "the victim wrote nothing");
    }
    // The rest is read from the pipe after its death: what it said is in there.
    std::thread::sleep(STEP * u32::try_from(kill).unwrap());
    end(&mut victim);
    while hear_one(&mut lines, told) {}
}

fn hear_one(lines: &mut impl BufRead, told: &mut Told) -> bool {
    let mut line = String::new();
    let read = lines.read_line(&mut line).unwrap();
    told.hear(&line);
    read > 0
}

fn end(victim: &mut Child) {
    victim.kill().unwrap();
    victim.wait().unwrap();
}

fn reached() -> Vec<Revision> {
    let reached = std::env::var(REACHED).unwrap();
    reached.split(',').map(|revision| revision.parse().unwrap()).collect()
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// The victim: writes pairs from all sides, and says which were acknowledged; watches from where the watchers of those
/// before it were, and says what it sees.
fn live(folder: &Path, reached: &[Revision]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(Embedded::open(folder, Options::default()).unwrap());
        let begin = store.revision_now().unwrap();
        let watchers = reached.iter().enumerate().map(|(watcher, after)| {
            let (store, after) = (Arc::clone(&store), *after);
            tokio::spawn(async move {
                let mut stream = watch(&store, WATCHED[watcher], after).await;
                loop {
                    let revisions = next_revisions(&mut stream, WATCHED[watcher]).await;
                    let revisions: Vec<_> = revisions.iter().map(ToString::to_string).collect();
                    if !revisions.is_empty() {
                        say(&format!("saw {watcher} {}\n", revisions.join(" ")));
                    }
                }
            })
        });
        let writers = (0..WRITERS).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{writer}-{begin}-{number}");
                    let pair = SIDES.map(|side| put(&format!("{name}/{side}"), name.clone()));
                    // A key that all write to has a history.
                    let shared = put("shared", name.clone());
                    let all = pair.into_iter().chain([shared]).collect();
                    if let Outcome::Committed(revision) = store.commit(all).await.unwrap() {
                        say(&format!("ack {name} {revision}\n"));
                    }
                }
            })
        });
        let all: Vec<_> = watchers.chain(writers).collect();
        futures_util::future::select_all(all).await.0.unwrap();
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

async fn verify(folder: &Path, told: &Told) {
    let store = Embedded::open(folder, Options::default()).unwrap();
    let page = store.range(Range::prefix("")).await.unwrap();
    let mut pairs: BTreeMap<&str, Vec<Revision>> = BTreeMap::new();
    let mut shared = None;
    for kv in &page.items {
        let key = std::str::from_utf8(&kv.key).unwrap();
        match key.split_once('/') {
            Some((name, _)) => {
                assert_eq!(kv.value, name);
                pairs.entry(name).or_default().push(kv.modified);
            }
            None => shared = Some((std::str::from_utf8(&kv.value).unwrap(), kv.modified)),
        }
    }
    for (name, revisions) in &pairs {
        assert_eq!(revisions.len(), SIDES.len(), "half of {name} is there");
        assert_eq!(revisions[0], revisions[1], "{name} is of two revisions");
    }
    for (name, revision) in &told.acknowledged {
        let found = pairs.get(name.as_str()).and_then(|revisions| revisions.first());
        assert_eq!(found, Some(revision), "{name} was acknowledged");
    }
    let (last, revision) = shared.unwrap();
    assert_eq!(
        (revision, pairs[last][0]),
        (page.revision, page.revision),
        "{last} is there in part"
    );

    // What each watcher saw, and what it sees from there: every revision of its keys, once and in order.
    for (prefix, saw) in WATCHED.iter().zip(&told.saw) {
        let mut expected: Vec<Revision> = pairs
            .iter()
            .filter(|(name, _)| *prefix == "shared" || name.starts_with(prefix))
            .map(|(_, revisions)| revisions[0])
            .collect();
        expected.sort_unstable();
        let mut found = saw.clone();
        let mut stream = watch(&store, prefix, saw.last().copied().unwrap_or(BEGIN)).await;
        while found.len() < expected.len() {
            let next = tokio::time::timeout(PATIENCE, next_revisions(&mut stream, prefix)).await;
            found.extend(next.unwrap_or_else(|_| panic!("the watch of \"{prefix}\" hangs")));
        }
        assert_eq!(found, expected, "the watch of \"{prefix}\"");
    }
}

type Stream = futures_util::stream::BoxStream<'static, kubetrust_store::Result<Watched>>;

async fn watch(store: &Embedded, prefix: &str, after: Revision) -> Stream {
    let range = Range::prefix(prefix.to_owned());
    store.watch(range.start, range.end, after).await.unwrap()
}

/// The transactions of the next batch: each is whole.
async fn next_revisions(stream: &mut Stream, prefix: &str) -> Vec<Revision> {
    let Watched::Events { events, .. } = stream.next().await.unwrap().unwrap() else {
        return Vec::new();
    };
    let keys = match prefix {
        "" => SIDES.len() + 1,
        "shared" => 1,
        _ => SIDES.len(),
    };
    let transactions = events.chunk_by(|one, next| one.revision() == next.revision());
    transactions
        .map(|transaction| {
            assert_eq!(transaction.len(), keys);
            assert!(transaction.iter().all(|event| matches!(event, Event::Put(_))));
            transaction[0].revision()
        })
        .collect()
}
