//! Watchers that go on where they were, over every end of a watch.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::answer::Answer;
use crate::client::{Client, Reply};
use crate::events::{Event, Kind};
use crate::history::Version;
use crate::run::{PATH, PATIENCE, RETRY, Run, seen, version};

/// The object whose creation is the last event.
pub const LAST: &str = "last";

/// How a watcher watches.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// Where it begins.
    pub server: usize,
    /// Whether it goes on at the next server.
    pub roams: bool,
    /// Seconds that each of its watches lasts; `None` for as long as the server likes.
    pub life: Option<u32>,
}

impl Habit {
    /// Asks for short watches, each at the next server; long enough for a bookmark, which comes 2 s before the end.
    pub const RESTLESS: Self = Self {
        server: 0,
        roams: true,
        life: Some(3),
    };

    /// Stays with one server for as long as that lets it.
    pub fn at(server: usize) -> Self {
        Self {
            server,
            roams: false,
            life: None,
        }
    }
}

/// One watcher.
pub struct Watcher {
    run: Arc<Run>,
    clients: Vec<Client>,
    number: usize,
    habit: Habit,
    server: usize,
    at: Version,
    events: Vec<Event>,
    ended: bool,
}

impl Watcher {
    /// One that has seen everything up to a version; the watchers of a run are numbered.
    pub fn new(run: Arc<Run>, number: usize, habit: Habit, at: Version) -> Self {
        Self {
            clients: run.access.clients(),
            run,
            number,
            habit,
            server: habit.server,
            at,
            events: Vec::new(),
            ended: false,
        }
    }

    /// Watches until the last event.
    pub async fn run(mut self) -> Vec<Event> {
        while !self.ended && self.run.faults().is_empty() {
            if let Some(body) = self.open().await {
                self.run.opened_by(self.number);
                self.follow(body).await;
            }
            if self.habit.roams {
                self.server = (self.server + 1) % self.clients.len();
            }
            sleep(RETRY).await;
        }
        self.events
    }

    /// No watch is older than what servers keep, so that none is refused with 410 either.
    async fn open(&self) -> Option<Incoming> {
        let client = &self.clients[self.server];
        let life = self
            .habit
            .life
            .map_or_else(String::new, |life| format!("&timeoutSeconds={life}"));
        let path = format!(
            "{PATH}?watch=1&allowWatchBookmarks=true&resourceVersion={}{life}",
            self.at
        );
        let opened = timeout(
            PATIENCE,
            client.open(client.build(Method::GET, &path, &[], Bytes::new())),
        )
        .await;
        let (head, body) = opened.ok()?.ok()?.into_parts();
        if head.status == 200 {
            return Some(body);
        }
        let reply = Reply {
            code: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.ok()?.to_bytes(),
        };
        if let Err(fault) = Answer::of(Ok(reply)) {
            self.run.fault(format!("{path} at server {}: {fault}", self.server));
        }
        None
    }

    /// Reads whole lines: what breaks off comes again.
    async fn follow(&mut self, mut body: Incoming) {
        let mut read = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            read.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = read.drain(..=end).collect();
                if let Err(fault) = self.take(&line) {
                    return self.run.fault(format!("a watch of server {}: {fault}", self.server));
                }
                if self.ended {
                    return;
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let event: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let object = &event["object"];
        self.at = version(&object["metadata"]).ok_or_else(|| event.to_string())?;
        let kind = match event["type"].as_str() {
            Some("BOOKMARK") => return Ok(()),
            Some("ADDED") => Kind::Added,
            Some("MODIFIED") => Kind::Modified,
            Some("DELETED") => Kind::Deleted,
            _ => return Err(event.to_string()),
        };
        self.ended = object["metadata"]["name"] == LAST;
        if let Some((key, seen)) = seen(object) {
            self.events.push(Event { kind, key, seen });
        }
        Ok(())
    }
}
