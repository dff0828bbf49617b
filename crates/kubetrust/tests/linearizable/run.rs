//! What clients, watchers and the one who breaks things share while they run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, Credential};
use crate::history::{Content, Key, Mark, Moment, Seen};

/// Whose objects they are.
pub const NAMESPACE: &str = "linear";

/// Where they are.
pub const PATH: &str = "/api/v1/namespaces/linear/configmaps";

/// What the names of the objects begin with.
const NAME: &str = "object-";

/// How long a client waits before it tries again.
pub const RETRY: Duration = Duration::from_millis(30);

/// How long a client waits for an answer before it counts on none.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Where the servers are, and who asks them.
#[derive(Clone, Debug)]
pub struct Access {
    pub addresses: Vec<SocketAddr>,
    pub ca: PathBuf,
    pub kubeconfig: PathBuf,
}

impl Access {
    /// A client with a connection of its own to each server.
    pub fn clients(&self) -> Vec<Client> {
        let credential = Credential::kubeconfig(&self.kubeconfig);
        let client = |address: &SocketAddr| Client::new(*address, &self.ca, credential.clone());
        self.addresses.iter().map(client).collect()
    }
}

/// One run.
pub struct Run {
    pub access: Access,
    begun: Instant,
    marks: AtomicU32,
    over: AtomicBool,
    answered: Vec<AtomicUsize>,
    opened: Vec<AtomicUsize>,
    faults: Mutex<Vec<String>>,
}

impl Run {
    pub fn new(access: Access, watchers: usize) -> Self {
        let counters = |count| (0..count).map(|_| AtomicUsize::new(0)).collect();
        Self {
            answered: counters(access.addresses.len()),
            opened: counters(watchers),
            access,
            begun: Instant::now(),
            marks: AtomicU32::new(0),
            over: AtomicBool::new(false),
            faults: Mutex::default(),
        }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    /// A name for a write that no other has.
    pub fn mark(&self) -> Mark {
        self.marks.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the clients to come to their end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether they are to.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Counts an answer of a server that told something.
    pub fn answered_by(&self, server: usize) {
        self.answered[server].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn answers_of(&self, server: usize) -> usize {
        self.answered[server].load(Ordering::Relaxed)
    }

    /// Counts a watch that a watcher has opened.
    pub fn opened_by(&self, watcher: usize) {
        self.opened[watcher].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn opens_of(&self, watcher: usize) -> usize {
        self.opened[watcher].load(Ordering::Relaxed)
    }

    /// Notes what no client should see, and ends the run.
    pub fn fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
        self.end();
    }

    /// What was noted.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }
}

/// The name of an object.
pub fn name(key: Key) -> String {
    format!("{NAME}{key}")
}

/// An object as it is written.
pub fn object(key: Key, content: Content) -> Value {
    let Content {
        writer,
        replaced,
        patched,
    } = content;
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name(key)},
        "data": {"writer": writer.to_string(), "replaced": replaced.to_string(), "patched": patched.to_string()},
    })
}

/// An object as it is read; `None` if it is none of the workload's.
pub fn seen(object: &Value) -> Option<(Key, Seen)> {
    let metadata = &object["metadata"];
    let key = metadata["name"].as_str()?.strip_prefix(NAME)?.parse().ok()?;
    let mark = |field: &str| object["data"][field].as_str()?.parse().ok();
    let content = Content {
        writer: mark("writer")?,
        replaced: mark("replaced")?,
        patched: mark("patched")?,
    };
    let seen = Seen {
        content,
        version: version(metadata)?,
        uid: metadata["uid"].as_str()?.into(),
    };
    Some((key, seen))
}

/// The version in the metadata of an object or a list.
pub fn version(metadata: &Value) -> Option<u64> {
    metadata["resourceVersion"].as_str()?.parse().ok()
}
