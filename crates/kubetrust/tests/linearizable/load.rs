//! Clients that read and write the same few objects, at any server that answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::answer::Answer;
use crate::client::Client;
use crate::history::{Call, Content, History, Key, Listing, NEVER, Operation, Outcome, Seen};
use crate::random::Random;
use crate::run::{PATH, PATIENCE, RETRY, Run, name, object, seen, version};

/// So few that clients get into each other's way.
pub const OBJECTS: usize = 4;

/// How long a client rests between two requests, at most.
const REST: usize = 8_000;

/// How often of a hundred times a client goes to another server although this one answers.
const WANDERS: usize = 20;

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Get,
    List,
    Create,
    Replace,
    Swap,
    Patch,
    Delete,
    DeleteVersion,
    DeleteUid,
}

/// How often of a hundred times.
#[rustfmt::skip]
const CHOICES: &[(Choice, usize)] = &[
    (Choice::Get,           22),
    (Choice::List,          10),
    (Choice::Create,        18),
    (Choice::Replace,        8),
    (Choice::Swap,          18),
    (Choice::Patch,         12),
    (Choice::Delete,         5),
    (Choice::DeleteVersion,  4),
    (Choice::DeleteUid,      3),
];

/// One client: a process of its own as the checker sees it.
pub struct Load {
    run: Arc<Run>,
    clients: Vec<Client>,
    random: Random,
    server: usize,
    /// What it saw last.
    known: BTreeMap<Key, Seen>,
    history: History,
}

impl Load {
    pub fn new(run: Arc<Run>, random: Random) -> Self {
        Self {
            clients: run.access.clients(),
            run,
            random,
            server: 0,
            known: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// Asks until the run is over.
    pub async fn run(mut self) -> History {
        while !self.run.is_over() {
            if self.random.below(100) < WANDERS {
                self.server = self.random.below(self.clients.len());
            }
            let key = self.random.below(OBJECTS);
            match self.call(key) {
                Some(call) => self.ask(key, call).await,
                None => _ = self.list().await,
            }
            let rest = u64::try_from(self.random.below(REST)).unwrap();
            sleep(Duration::from_micros(rest)).await;
        }
        self.history
    }

    /// Lists what there is in the end, at each server.
    pub async fn settle(mut self) -> History {
        for server in 0..self.clients.len() {
            self.server = server;
            while !self.list().await && self.run.faults().is_empty() {
                self.server = server;
            }
        }
        self.history
    }

    /// `None` is a list.
    fn call(&mut self, key: Key) -> Option<Call> {
        let mut at = self.random.below(100);
        let mut choice = Choice::Get;
        for (next, share) in CHOICES {
            choice = *next;
            if at < *share {
                break;
            }
            at -= share;
        }
        let known = self.known.get(&key);
        let delete = |version, uid| Call::Delete { version, uid };
        Some(match (choice, known) {
            (Choice::List, _) => return None,
            (Choice::Create, _) => Call::Create(self.run.mark()),
            (Choice::Replace, _) => Call::Replace(self.run.mark()),
            (Choice::Patch, _) => Call::Patch(self.run.mark()),
            (Choice::Delete, _) => delete(None, None),
            (Choice::Swap, Some(seen)) => Call::Swap(self.run.mark(), seen.clone()),
            (Choice::DeleteVersion, Some(seen)) => delete(Some(seen.version), None),
            (Choice::DeleteUid, Some(seen)) => delete(None, Some(Arc::clone(&seen.uid))),
            // Who has seen nothing has to look first.
            (Choice::Get | Choice::Swap | Choice::DeleteVersion | Choice::DeleteUid, _) => Call::Get,
        })
    }

    async fn ask(&mut self, key: Key, call: Call) {
        let (method, path, kind, body) = request(key, &call);
        let begun = self.run.now();
        let Some(answer) = self.send(method, &path, kind, body).await else {
            return;
        };
        let ended = self.run.now();
        let outcome = match answer {
            Answer::Done(body) => match told(key, &call, &body) {
                Some(outcome) => outcome,
                None => {
                    return self
                        .run
                        .fault(format!("{call:?} of object {key} was answered with {body}"));
                }
            },
            Answer::Absent => Outcome::Absent,
            Answer::Conflict => Outcome::Conflict,
            Answer::Refused => {
                self.history.refused += usize::from(call.mark().is_some());
                return;
            }
            Answer::Unknown => Outcome::Unknown,
        };
        match &outcome {
            Outcome::Saw(seen) => _ = self.known.insert(key, seen.clone()),
            Outcome::Removed(_) | Outcome::Absent => _ = self.known.remove(&key),
            Outcome::Conflict | Outcome::Unknown => {}
        }
        let ended = if outcome == Outcome::Unknown { NEVER } else { ended };
        self.history.operations.push(Operation {
            key,
            call,
            outcome,
            begun,
            ended,
        });
    }

    /// Whether there was an answer.
    async fn list(&mut self) -> bool {
        let begun = self.run.now();
        let Some(Answer::Done(body)) = self.send(Method::GET, PATH, "", Bytes::new()).await else {
            return false;
        };
        let ended = self.run.now();
        let (Some(version), Some(items)) = (version(&body["metadata"]), body["items"].as_array()) else {
            self.run.fault(format!("a list was answered with {body}"));
            return false;
        };
        let items: BTreeMap<Key, Seen> = items.iter().filter_map(seen).collect();
        for (key, seen) in &items {
            self.known.insert(*key, seen.clone());
        }
        self.history.listings.push(Listing {
            begun,
            ended,
            version,
            items,
        });
        true
    }

    /// Sends a request, and goes to the next server when this one does not answer it. `None` after a fault.
    async fn send(&mut self, method: Method, path: &str, kind: &str, body: Bytes) -> Option<Answer> {
        let client = &self.clients[self.server];
        let headers = [("content-type", kind)];
        let headers = if kind.is_empty() { &headers[..0] } else { &headers[..] };
        let what = format!("{method} {path}");
        let reply = timeout(PATIENCE, client.attempt(method, path, headers, body)).await;
        match reply.map_or(Ok(Answer::Unknown), Answer::of) {
            Ok(answer @ (Answer::Refused | Answer::Unknown)) => {
                self.server = (self.server + 1) % self.clients.len();
                sleep(RETRY).await;
                Some(answer)
            }
            Ok(answer) => {
                self.run.answered_by(self.server);
                Some(answer)
            }
            Err(fault) => {
                self.run.fault(format!("{what} at server {}: {fault}", self.server));
                None
            }
        }
    }
}

/// The method, path, type and body of a request.
fn request(key: Key, call: &Call) -> (Method, String, &'static str, Bytes) {
    const JSON: &str = "application/json";
    let path = format!("{PATH}/{}", name(key));
    let json = |value: Value| Bytes::from(value.to_string());
    match call {
        Call::Create(mark) => (
            Method::POST,
            PATH.to_owned(),
            JSON,
            json(object(key, Content::whole(*mark))),
        ),
        Call::Get => (Method::GET, path, "", Bytes::new()),
        Call::Replace(mark) => (Method::PUT, path, JSON, json(object(key, Content::whole(*mark)))),
        Call::Swap(mark, seen) => {
            let mut object = object(key, seen.content.with_replacement(*mark));
            object["metadata"]["resourceVersion"] = seen.version.to_string().into();
            (Method::PUT, path, JSON, json(object))
        }
        Call::Patch(mark) => {
            let part = json!({"data": {"writer": mark.to_string(), "patched": mark.to_string()}});
            (Method::PATCH, path, "application/merge-patch+json", json(part))
        }
        Call::Delete { version, uid } => {
            let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {}});
            if let Some(version) = version {
                options["preconditions"]["resourceVersion"] = version.to_string().into();
            }
            if let Some(uid) = uid {
                options["preconditions"]["uid"] = uid.as_ref().into();
            }
            (Method::DELETE, path, JSON, json(options))
        }
    }
}

/// What an answer with a body tells: the object that was asked for, or who was removed.
fn told(key: Key, call: &Call, body: &Value) -> Option<Outcome> {
    if matches!(call, Call::Delete { .. }) {
        let uid = body["details"]["uid"].as_str()?;
        return (body["status"] == "Success").then(|| Outcome::Removed(uid.into()));
    }
    let (whose, seen) = seen(body)?;
    (whose == key).then_some(Outcome::Saw(seen))
}
