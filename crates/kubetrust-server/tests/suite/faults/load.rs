//! Writers that never rest, a watch that sees what they write, and what both have to agree on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::registry::world::{World, config_map, names, revision, until};
use crate::support::{Client, Events, Reply};

/// How many write at once: enough to show who waits for whom.
const WRITERS: usize = 16;
/// The machine has few cores, and others need some of them.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a watch may show nothing: as long as any outage lasts.
const OUTAGE: Duration = Duration::from_mins(1);
/// The last object of a load.
const LAST: &str = "last";

/// What the writers were told.
#[derive(Default)]
pub struct Told {
    /// Made, at these revisions.
    made: BTreeMap<String, u64>,
    /// May have been made.
    unknown: BTreeSet<String>,
    /// How often one was not made.
    refused: usize,
    slowest: Duration,
    wrong: Vec<String>,
}

impl Told {
    /// How often something was answered with anything but 201.
    pub fn failures(&self) -> usize {
        self.refused + self.unknown.len() + self.wrong.len()
    }

    /// How long the slowest answer took.
    pub fn slowest(&self) -> Duration {
        self.slowest
    }

    fn take(&mut self, name: &str, reply: &Reply, after: Duration) {
        self.slowest = self.slowest.max(after);
        match (reply.code, reply.headers.contains_key("retry-after")) {
            (201, _) => {
                let before = self.made.insert(name.to_owned(), revision(&reply.json()));
                assert_eq!(before, None, "{name} was made twice");
            }
            // Whoever is told when to try again will: it must not have happened.
            (503 | 504, true) => self.refused += 1,
            // Whoever is not has to look first.
            (500 | 504, false) => {
                self.unknown.insert(name.to_owned());
            }
            (code, retry) => self.wrong.push(format!(
                "{name}: {code}, to be tried again: {retry}: {}",
                String::from_utf8_lossy(&reply.body)
            )),
        }
    }
}

/// The load.
pub struct Load {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    watch: JoinHandle<Vec<(String, String, u64)>>,
    path: String,
}

impl Load {
    /// Writes config maps of this namespace.
    pub async fn start(world: &World, namespace: &str) -> Self {
        let path = format!("{namespace}/configmaps");
        let begin = revision(&world.read(&path).await);
        let watch = world.watch(&format!("{path}?watch=1&resourceVersion={begin}")).await;
        let watch = tokio::spawn(see(watch.patient(OUTAGE)));
        let (told, stop) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicBool>::default());
        let writers = (0..WRITERS).map(|number| {
            let client = world.client(world.cluster.kubeconfig("admin"));
            tokio::spawn(write(
                client,
                path.clone(),
                number,
                Arc::clone(&told),
                Arc::clone(&stop),
            ))
        });
        Self {
            writers: writers.collect(),
            told,
            stop,
            watch,
            path,
        }
    }

    /// Waits until every writer can have written again, and nothing was wrong so far.
    pub async fn goes_on(&self) {
        let before = self.told.lock().made.len();
        until("writes go on", async || {
            self.told.lock().made.len() >= before + 2 * WRITERS
        })
        .await;
        assert_eq!(self.told.lock().wrong, Vec::<String>::new());
    }

    /// How often something failed so far.
    pub fn failures(&self) -> usize {
        self.told.lock().failures()
    }

    /// Ends it. The one watch has shown each write that was acknowledged, once and in order, and besides only what
    /// nobody knew about; and that is what is stored.
    pub async fn end(self, world: &World) -> Told {
        self.stop.store(true, Ordering::Release);
        for writer in self.writers {
            writer.await.unwrap();
        }
        world.create(&self.path, &config_map(LAST)).await;
        let seen = tokio::time::timeout(OUTAGE, self.watch).await.unwrap().unwrap();
        assert_eq!(
            seen.last().map(|(_, name, _)| name.as_str()),
            Some(LAST),
            "the watch ended"
        );
        assert!(seen.is_sorted_by(|one, next| one.2 < next.2), "{seen:?}");
        let told = std::mem::take(&mut *self.told.lock());
        assert_eq!(told.wrong, Vec::<String>::new());
        let mut shown = BTreeMap::new();
        for (kind, name, revision) in &seen {
            assert_eq!(kind, "ADDED", "{name}");
            assert_eq!(shown.insert(name.clone(), *revision), None, "{name} was shown twice");
        }
        for (name, revision) in &told.made {
            assert_eq!(
                shown.get(name),
                Some(revision),
                "{name} was acknowledged, and is not shown so"
            );
        }
        shown.remove(LAST);
        for name in shown.keys() {
            let known = told.made.contains_key(name) || told.unknown.contains(name);
            assert!(known, "{name} was made, although it was refused");
        }
        let stored = world.read(&self.path).await;
        let stored: BTreeSet<&str> = names(&stored)
            .into_iter()
            .filter(|name| name.starts_with('w'))
            .collect();
        assert_eq!(stored, shown.keys().map(String::as_str).collect());
        told
    }
}

async fn write(client: Client, path: String, number: usize, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) {
    let mut count = 0;
    while !stop.load(Ordering::Acquire) {
        let name = format!("w{number}-{count}");
        let begun = Instant::now();
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string();
        let reply = client
            .attempt(Method::POST, &path, &[("content-type", "application/json")], body)
            .await
            .expect("the server is there");
        told.lock().take(&name, &reply, begun.elapsed());
        // What was refused is tried again by the same name, which would show if it had been made.
        count += usize::from(!reply.headers.contains_key("retry-after"));
        tokio::time::sleep(PAUSE).await;
    }
}

/// All that a watch shows until the last object, or until it ends.
async fn see(mut watch: Events) -> Vec<(String, String, u64)> {
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await {
        let what = Events::described(&event);
        let is_last = what.1 == LAST;
        seen.push(what);
        if is_last {
            break;
        }
    }
    seen
}
