//! What a durable write costs beside the disk, redb beside fjall; our client of etcd beside a bare one; and a start beside
//! reading the file.
//!
//! `cargo bench -p kubetrust-store`. Every row stands beside its limit, measured in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench may stop, and its output is its result"
)]

#[path = "bare/mod.rs"]
mod bare;
#[path = "../tests/support/etcd.rs"]
mod peer;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kubetrust_store::embedded::{Embedded, Options};
use kubetrust_store::etcd::Etcd;
use kubetrust_store::{Change, Expect, Outcome, Range, Store, Write};
use redb::TableDefinition;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const WRITERS: usize = 32;
/// Creates of one run, and runs of which the best counts: others use the disk too.
const CREATES: usize = 8000;
const RUNS: usize = 3;
const VALUE: usize = 1024;
const OBJECTS: usize = 50_000;
const PER_TRANSACTION: usize = 128;

fn main() {
    // `cargo test --benches` passes a flag that only asks whether it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    writes(&runtime);
    on_etcd(&runtime);
    start(&runtime);
}

fn key(number: usize) -> String {
    // As names with random ends are spread in their namespace.
    format!(
        "/registry/configmaps/default/{:08x}",
        number.wrapping_mul(2_654_435_761) & 0xffff_ffff
    )
}

fn value(number: usize) -> Bytes {
    let mut value = vec![0; VALUE];
    for (index, byte) in value.iter_mut().enumerate() {
        *byte = u8::try_from((number + index * 7) % 251).unwrap();
    }
    value.into()
}

fn create(number: usize) -> Write {
    Write {
        key: key(number).into(),
        expect: Some(Expect::Absent),
        change: Some(Change::Put {
            value: value(number),
            lease: None,
        }),
    }
}

/// A run in a folder of its own.
type Run<'a> = &'a dyn Fn(&Path) -> Duration;

/// The best of several rounds of each: others use the machine too, and not all the time.
fn best<const N: usize>(runs: [Run<'_>; N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..RUNS {
        for (best, run) in best.iter_mut().zip(runs) {
            let folder = tempfile::tempdir().unwrap();
            *best = run(folder.path()).min(*best);
        }
    }
    best
}

fn writes(runtime: &Runtime) {
    println!("durable creates of {VALUE} bytes, {WRITERS} writers, {CREATES} in all, best of {RUNS}");
    let engine = |folder: &Path| {
        let store = Arc::new(Embedded::open(folder, Options::default()).unwrap());
        runtime.block_on(all_writers(|number| {
            let store = Arc::clone(&store);
            async move {
                let outcome = store.commit(vec![create(number)]).await.unwrap();
                assert!(matches!(outcome, Outcome::Committed(_)));
            }
        }))
    };
    let plain_redb = |folder: &Path| grouped(runtime, Redb::open(folder, false));
    let our_redb = |folder: &Path| grouped(runtime, Redb::open(folder, true));
    let our_fjall = |folder: &Path| grouped(runtime, Fjall::open(folder));
    let times = best([&plain_redb, &our_redb, &our_fjall, &engine]);
    let names = [
        "redb, one table, the same bytes (the limit)",
        "redb, our pattern: key by revision, and a log",
        "fjall, our pattern",
        "the embedded engine (goal: 60 %)",
    ];
    for (name, time) in names.into_iter().zip(times) {
        row(name, time, times[0]);
    }
}

fn on_etcd(runtime: &Runtime) {
    println!("the same creates on etcd, one member, mutual TLS");
    let peer = peer::Etcd::start_durable(1);
    let bare = runtime.block_on(bare::Bare::connect(&peer.options()));
    let store = {
        let _inside = runtime.enter();
        Arc::new(Etcd::new(peer.options()).unwrap())
    };
    runtime.block_on(store.revision()).unwrap();
    // Every run has keys of its own, all in one etcd.
    let next = Cell::new(0);
    let keys = || next.replace(next.get() + CREATES);
    let alone = |_: &Path| {
        let first = keys();
        runtime.block_on(all_writers(|number| {
            bare.clone().create(key(first + number), value(first + number))
        }))
    };
    let ours = |_: &Path| {
        let first = keys();
        runtime.block_on(all_writers(|number| {
            let store = Arc::clone(&store);
            async move {
                let outcome = store.commit(vec![create(first + number)]).await.unwrap();
                assert!(matches!(outcome, Outcome::Committed(_)));
            }
        }))
    };
    let times = best([&alone, &ours]);
    row("the etcd client alone (the limit)", times[0], times[0]);
    row("the store on etcd (goal: 80 %)", times[1], times[0]);
}

fn row(name: &str, time: Duration, limit: Duration) {
    let rate = f64::from(u32::try_from(CREATES).unwrap()) / time.as_secs_f64();
    let share = 100.0 * limit.as_secs_f64() / time.as_secs_f64();
    println!("  {name:<48} {rate:>9.0} /s {share:>6.0} %");
}

async fn all_writers<F: Future<Output = ()> + Send + 'static>(write: impl Fn(usize) -> F) -> Duration {
    let begin = Instant::now();
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    // Futures are made ahead, so that each writer only awaits.
    let mut writers: Vec<Vec<F>> = (0..WRITERS).map(|_| Vec::new()).collect();
    for number in 0..CREATES {
        writers[number % WRITERS].push(write(number));
    }
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|writes| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                for write in writes {
                    write.await;
                    next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(next.load(std::sync::atomic::Ordering::Relaxed), CREATES);
    begin.elapsed()
}

/// An engine that makes what it is given durable, as a whole.
trait Raw: Send + 'static {
    fn commit(&mut self, batch: &[(String, Bytes)]);
}

struct Redb {
    database: redb::Database,
    log: bool,
    revision: u64,
}

const PLAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("plain");
const HISTORY: TableDefinition<'_, (&[u8], u64), &[u8]> = TableDefinition::new("history");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

impl Redb {
    fn open(folder: &Path, log: bool) -> Self {
        Self {
            database: redb::Builder::new()
                .set_cache_size(16 << 20)
                .create(folder.join("redb"))
                .unwrap(),
            log,
            revision: 0,
        }
    }
}

impl Raw for Redb {
    fn commit(&mut self, batch: &[(String, Bytes)]) {
        let transaction = self.database.begin_write().unwrap();
        if self.log {
            let mut history = transaction.open_table(HISTORY).unwrap();
            let mut log = transaction.open_table(LOG).unwrap();
            for (key, value) in batch {
                self.revision += 1;
                history.insert((key.as_bytes(), self.revision), value.as_ref()).unwrap();
                log.insert(self.revision, key.as_bytes()).unwrap();
            }
        } else {
            let mut plain = transaction.open_table(PLAIN).unwrap();
            for (key, value) in batch {
                plain.insert(key.as_str(), value.as_ref()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

struct Fjall {
    database: fjall::Database,
    history: fjall::Keyspace,
    log: fjall::Keyspace,
    revision: u64,
}

impl Fjall {
    fn open(folder: &Path) -> Self {
        let database = fjall::Database::builder(folder).cache_size(16 << 20).open().unwrap();
        let history = database
            .keyspace("history", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        let log = database.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
        Self {
            database,
            history,
            log,
            revision: 0,
        }
    }
}

impl Raw for Fjall {
    fn commit(&mut self, batch: &[(String, Bytes)]) {
        let mut writes = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (key, value) in batch {
            self.revision += 1;
            let revision = self.revision.to_be_bytes();
            writes.insert(
                &self.history,
                [key.as_bytes(), &[0], &revision].concat(),
                value.as_ref(),
            );
            writes.insert(&self.log, revision, key.as_bytes());
        }
        writes.commit().unwrap();
    }
}

type Waiting = (String, Bytes, oneshot::Sender<()>);

/// The group commit alone: whatever waits goes into one transaction.
fn grouped(runtime: &Runtime, mut raw: impl Raw) -> Duration {
    let (queue, requests): (Sender<Waiting>, Receiver<Waiting>) = channel();
    let writer = std::thread::spawn(move || {
        while let Ok(first) = requests.recv() {
            let mut batch = Vec::new();
            let mut answers = Vec::new();
            for (key, value, answer) in std::iter::once(first).chain(requests.try_iter()) {
                batch.push((key, value));
                answers.push(answer);
            }
            raw.commit(&batch);
            for answer in answers {
                answer.send(()).unwrap();
            }
        }
    });
    let time = runtime.block_on(all_writers(|number| {
        let queue = queue.clone();
        async move {
            let (sender, answer) = oneshot::channel();
            queue.send((key(number), value(number), sender)).unwrap();
            answer.await.unwrap();
        }
    }));
    drop(queue);
    writer.join().unwrap();
    time
}

fn start(runtime: &Runtime) {
    println!("{OBJECTS} objects of {VALUE} bytes");
    let folder = tempfile::tempdir().unwrap();
    let fresh = |folder: &Path| {
        let begin = Instant::now();
        let store = Embedded::open(folder, Options::default()).unwrap();
        let time = begin.elapsed();
        drop(store);
        time
    };
    let [empty] = best([&fresh]);
    let store = Embedded::open(folder.path(), Options::default()).unwrap();
    runtime.block_on(async {
        for first in (0..OBJECTS).step_by(PER_TRANSACTION) {
            let writes = (first..OBJECTS.min(first + PER_TRANSACTION)).map(create).collect();
            store.commit(writes).await.unwrap();
        }
    });
    drop(store);
    let file = folder.path().join("store.redb");
    let length = fs::metadata(&file).unwrap().len();
    let quickest = |run: &dyn Fn()| {
        let one = |_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        };
        (0..RUNS).map(one).min().unwrap()
    };
    let read = quickest(&|| assert_eq!(fs::read(&file).unwrap().len() as u64, length));
    let open = quickest(&|| drop(Embedded::open(folder.path(), Options::default()).unwrap()));
    let list = quickest(&|| {
        let store = Embedded::open(folder.path(), Options::default()).unwrap();
        let page = runtime.block_on(store.range(Range::prefix("/registry/"))).unwrap();
        assert_eq!(page.items.len(), OBJECTS);
    });
    let in_ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("  {:<48} {:>9.1} ms", "a fresh store", in_ms(empty));
    println!(
        "  {:<48} {:>9.1} ms",
        format!("reading the file, {} MiB (the limit)", length >> 20),
        in_ms(read)
    );
    println!("  {:<48} {:>9.1} ms", "open and close (goal: twice that)", in_ms(open));
    println!("  {:<48} {:>9.1} ms", "open, list every object, close", in_ms(list));
}
