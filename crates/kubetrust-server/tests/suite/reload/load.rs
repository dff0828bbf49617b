//! Clients of several kinds that read and write without a pause, each kind over one long-lived connection and over a
//! fresh one for each request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use parking_lot::RwLock;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Client, Credential, Reply};

/// The kinds, by their place among the credentials.
pub const ADMIN: usize = 0;
pub const STATIC: usize = 1;
pub const ROBOT: usize = 2;
pub const PROXY: usize = 3;
const KINDS: usize = 4;

/// What a front proxy says.
pub const ALICE: [(&str, &str); 1] = [("x-remote-user", "alice")];

/// The clients at work.
pub struct Load {
    now: Arc<Now>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients share.
struct Now {
    address: SocketAddr,
    ca: PathBuf,
    /// What each kind proves itself with, and how often that was replaced.
    credentials: RwLock<Vec<(Credential, usize)>>,
    /// For each client: which of its kind's credentials it has used, and how often it was answered.
    used: Vec<AtomicUsize>,
    answered: Vec<AtomicUsize>,
    failures: RwLock<Vec<String>>,
    stop: AtomicBool,
}

impl Load {
    /// Two clients of each kind. Each has a config map `load-N`, which must be there.
    pub fn start(address: SocketAddr, ca: PathBuf, credentials: [Credential; KINDS]) -> Self {
        let count = |_| AtomicUsize::new(0);
        let now = Arc::new(Now {
            address,
            ca,
            credentials: RwLock::new(credentials.into_iter().map(|credential| (credential, 1)).collect()),
            used: (0..2 * KINDS).map(count).collect(),
            answered: (0..2 * KINDS).map(count).collect(),
            failures: RwLock::default(),
            stop: AtomicBool::new(false),
        });
        let clients = (0..2 * KINDS)
            .map(|number| tokio::spawn(work(Arc::clone(&now), number)))
            .collect();
        Self { now, clients }
    }

    /// Gives a kind another credential, and waits until both its clients use it.
    pub async fn switch(&self, kind: usize, credential: Credential) {
        let generation = {
            let mut credentials = self.now.credentials.write();
            credentials[kind].1 += 1;
            credentials[kind].0 = credential;
            credentials[kind].1
        };
        for client in [kind, kind + KINDS] {
            while self.now.used[client].load(Ordering::Acquire) < generation {
                self.assert_well();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until every client was answered again, and none was refused.
    pub async fn goes_on(&self) {
        let before: Vec<usize> = self
            .now
            .answered
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .collect();
        for (count, before) in self.now.answered.iter().zip(before) {
            while count.load(Ordering::Acquire) < before + 2 {
                self.assert_well();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        self.assert_well();
    }

    fn assert_well(&self) {
        let failures = self.now.failures.read();
        assert!(failures.is_empty(), "{failures:#?}");
    }

    /// Ends it; how many requests were answered.
    pub async fn stop(self) -> usize {
        self.now.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.await.unwrap();
        }
        let failures = self.now.failures.read();
        assert!(failures.is_empty(), "{failures:#?}");
        self.now
            .answered
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .sum()
    }
}

/// Whether a config map is as it was written in a round.
fn shows(reply: &Reply, round: u32) -> bool {
    round == 0 || reply.json()["data"]["round"].as_str() == Some(round.to_string().as_str())
}

async fn work(now: Arc<Now>, number: usize) {
    let (kind, is_fresh) = (number % KINDS, number >= KINDS);
    let path = format!("/api/v1/namespaces/default/configmaps/load-{number}");
    let mut held: Option<(Client, usize)> = None;
    let mut round: u32 = 0;
    while !now.stop.load(Ordering::Acquire) {
        let (credential, generation) = now.credentials.read()[kind].clone();
        let client = match held.take() {
            Some((client, of)) if of == generation && !is_fresh => client,
            _ => Client::new(now.address, &now.ca, credential),
        };
        round += 1;
        let is_write = round.is_multiple_of(2);
        let mut headers = if kind == PROXY { ALICE.to_vec() } else { Vec::new() };
        let answer = if is_write {
            headers.push(("content-type", "application/merge-patch+json"));
            let change = json!({"data": {"round": round.to_string()}}).to_string();
            client.attempt(Method::PATCH, &path, &headers, change).await
        } else {
            client.attempt(Method::GET, &path, &headers, "").await
        };
        let failure = match answer {
            // The write before is seen by the read after.
            Ok(reply) if reply.code == 200 && (is_write || shows(&reply, round - 1)) => None,
            Ok(reply) => Some(format!("{} {}", reply.code, String::from_utf8_lossy(&reply.body))),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            let way = if is_fresh { "fresh" } else { "long-lived" };
            now.failures
                .write()
                .push(format!("kind {kind}, {way}, round {round}: {failure}"));
            return;
        }
        now.used[number].store(generation, Ordering::Release);
        now.answered[number].fetch_add(1, Ordering::AcqRel);
        held = Some((client, generation));
        // The machine has few cores, and the server needs some of them.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
