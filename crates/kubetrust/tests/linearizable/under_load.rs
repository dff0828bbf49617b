//! Clients and watchers at work, while servers are killed under them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::events::Event;
use crate::history::{History, Version};
use crate::judge::{judge, summary};
use crate::load::{Load, OBJECTS};
use crate::random::Random;
use crate::run::{self, Access, NAMESPACE, PATH, Run};
use crate::servers::Server;
use crate::watcher::{Habit, LAST, Watcher};

/// Clients at once.
const CLIENTS: u64 = 16;

/// How long it may take until clients have had so many answers more, or watchers have seen the last event.
const PROGRESS: Duration = Duration::from_mins(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Clients and watchers at work.
pub struct UnderLoad {
    runtime: Runtime,
    run: Arc<Run>,
    random: Random,
    clients: Vec<JoinHandle<History>>,
    watchers: Vec<JoinHandle<Vec<Event>>>,
}

impl UnderLoad {
    /// Sends them to work.
    pub fn begin(access: Access, random: &Random, habits: &[Habit]) -> Self {
        let runtime = Runtime::new().unwrap();
        let run = Arc::new(Run::new(access, habits.len()));
        let at = runtime.block_on(prepare(&run));
        let watcher = |(number, habit): (usize, &Habit)| Watcher::new(Arc::clone(&run), number, *habit, at);
        let watchers = habits.iter().enumerate().map(|at| runtime.spawn(watcher(at).run()));
        let watchers = watchers.collect();
        let client = |number| Load::new(Arc::clone(&run), random.fork(number));
        let clients = (0..CLIENTS).map(|number| runtime.spawn(client(number).run()));
        let clients = clients.collect();
        Self {
            runtime,
            run,
            random: random.clone(),
            clients,
            watchers,
        }
    }

    /// Waits until each of these servers has given so many answers more.
    pub fn wait_for(&self, numbers: &[usize], more: usize, servers: &[Server]) {
        let now = |number: &usize| self.run.answers_of(*number);
        let wanted: Vec<usize> = numbers.iter().map(|number| now(number) + more).collect();
        let reached = || {
            numbers
                .iter()
                .zip(&wanted)
                .all(|(number, wanted)| now(number) >= *wanted)
        };
        self.until(reached, &format!("servers {numbers:?} answer no more"), servers);
    }

    /// Waits until the servers together have given so many answers more.
    pub fn wait_for_any(&self, more: usize, servers: &[Server]) {
        let now = || {
            (0..servers.len())
                .map(|number| self.run.answers_of(number))
                .sum::<usize>()
        };
        let wanted = now() + more;
        self.until(|| now() >= wanted, "no server answers any more", servers);
    }

    /// Waits until each watcher has opened so many watches.
    pub fn wait_for_watches(&self, count: usize, servers: &[Server]) {
        let reached = || (0..self.watchers.len()).all(|watcher| self.run.opens_of(watcher) >= count);
        self.until(reached, "a watch was not taken up again", servers);
    }

    fn until(&self, reached: impl Fn() -> bool, otherwise: &str, servers: &[Server]) {
        let deadline = Instant::now() + PROGRESS;
        while !reached() {
            self.assert_no_fault(servers);
            assert!(Instant::now() < deadline, "{otherwise}\n{}", tails(servers));
            thread::sleep(LOOK);
        }
    }

    fn assert_no_fault(&self, servers: &[Server]) {
        let faults = self.run.faults();
        assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), tails(servers));
    }

    /// Ends the load, lets the watchers come to the end, and holds all that was seen against all rules.
    pub fn end(mut self, servers: &[Server]) {
        self.run.end();
        let (clients, watchers) = (std::mem::take(&mut self.clients), std::mem::take(&mut self.watchers));
        let ended = async {
            let mut history = History::default();
            for client in clients {
                history.append(client.await.unwrap());
            }
            history.append(Load::new(Arc::clone(&self.run), self.random.clone()).settle().await);
            let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": LAST}});
            post(&self.run, PATH, &last).await;
            let mut watched = Vec::new();
            for watcher in watchers {
                watched.push(watcher.await.unwrap());
            }
            (history, watched)
        };
        let ended = self.runtime.block_on(async { timeout(PROGRESS, ended).await.ok() });
        self.assert_no_fault(servers);
        let (history, watched) =
            ended.unwrap_or_else(|| panic!("clients or watchers come to no end\n{}", tails(servers)));
        eprintln!("{}", summary(&history, &watched));
        if let Err(fault) = judge(&history, &watched, OBJECTS) {
            panic!("{fault}\n{}", tails(servers));
        }
    }
}

/// Makes the namespace, and says from where on watchers watch.
async fn prepare(run: &Run) -> Version {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    post(run, "/api/v1/namespaces", &namespace).await;
    let list = run.access.clients()[0].get(PATH).await.json();
    run::version(&list["metadata"]).unwrap()
}

async fn post(run: &Run, path: &str, object: &Value) {
    let client = &run.access.clients()[0];
    let reply = client.request(Method::POST, path, &[], Some(object)).await;
    assert_eq!(reply.code, 201, "{}", reply.message());
}

fn tails(servers: &[Server]) -> String {
    servers.iter().map(Server::tail).collect::<Vec<_>>().join("\n")
}
