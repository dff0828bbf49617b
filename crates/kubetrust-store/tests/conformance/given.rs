//! What a case of the suite is given: a store, and a prefix that nobody else writes under.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kubetrust_store::{
    Change, Error, Event, Expect, KeyValue, LeaseId, Outcome, Page, Range, Revision, Store, Watched, Write, prefix_end,
};

/// How long anything may take that has to come.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Given {
    pub store: Arc<dyn Store>,
    prefix: Vec<u8>,
}

impl Given {
    pub fn new(store: Arc<dyn Store>, name: &str) -> Self {
        Self {
            store,
            prefix: format!("/{name}/").into_bytes(),
        }
    }

    pub fn prefix(&self) -> Bytes {
        self.prefix.clone().into()
    }

    pub fn key(&self, name: impl AsRef<[u8]>) -> Bytes {
        [&self.prefix, name.as_ref()].concat().into()
    }

    pub fn all(&self) -> Range {
        Range {
            count: true,
            ..Range::prefix(self.prefix())
        }
    }

    pub async fn put(&self, name: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Revision {
        self.committed(vec![put(self.key(name), value)]).await
    }

    pub async fn delete(&self, name: impl AsRef<[u8]>) -> Revision {
        self.committed(vec![delete(self.key(name))]).await
    }

    pub async fn committed(&self, writes: Vec<Write>) -> Revision {
        match self.store.commit(writes).await.unwrap() {
            Outcome::Committed(revision) => revision,
            Outcome::Conflict { current, .. } => panic!("a conflict with {current:?}"),
        }
    }

    pub async fn conflict(&self, writes: Vec<Write>) -> (Revision, Vec<Option<KeyValue>>) {
        match self.store.commit(writes).await.unwrap() {
            Outcome::Conflict { revision, current } => (revision, current),
            Outcome::Committed(revision) => panic!("it was committed at {revision}"),
        }
    }

    pub async fn get(&self, name: impl AsRef<[u8]>) -> Option<KeyValue> {
        self.store.get(&self.key(name)).await.unwrap().0
    }

    pub async fn revision(&self) -> Revision {
        self.store.revision().await.unwrap()
    }

    pub async fn list(&self) -> Page {
        self.store.range(self.all()).await.unwrap()
    }

    pub async fn list_at(&self, at: Revision) -> Result<Page, Error> {
        self.store
            .range(Range {
                at: Some(at),
                ..self.all()
            })
            .await
    }

    pub async fn grant(&self, ttl: Duration) -> LeaseId {
        self.store.grant(ttl).await.unwrap()
    }

    pub async fn watch(&self, after: Revision) -> Watch {
        let prefix = self.prefix();
        let end = prefix_end(&prefix);
        self.watch_range(prefix, end, after).await
    }

    pub async fn watch_range(&self, start: Bytes, end: Bytes, after: Revision) -> Watch {
        let stream = self.store.watch(start, end, after).await.unwrap();
        Watch { stream, reached: after }
    }
}

/// A watch that holds what it gets to the promises of the trait.
pub struct Watch {
    stream: BoxStream<'static, Result<Watched, Error>>,
    reached: Revision,
}

impl Watch {
    /// The next delivery, checked.
    pub async fn next(&mut self) -> Result<Watched, Error> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        let watched = next.expect("nothing came").expect("the watch ended")?;
        match &watched {
            Watched::Progress(revision) => {
                assert!(*revision >= self.reached, "progress went back to {revision}");
                self.reached = *revision;
            }
            Watched::Events { events, revision } => {
                assert!(!events.is_empty(), "a delivery of nothing");
                let mut last = self.reached;
                for event in events {
                    assert!(
                        event.revision() > self.reached,
                        "a revision came twice or was split: {event:?}"
                    );
                    assert!(event.revision() >= last, "out of order: {event:?}");
                    last = event.revision();
                }
                assert!(
                    *revision >= last,
                    "{revision} is said to be all, with an event of {last}"
                );
                self.reached = *revision;
            }
        }
        Ok(watched)
    }

    /// The next events, so many or more.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut all = Vec::new();
        while all.len() < count {
            if let Watched::Events { events, .. } = self.next().await.unwrap() {
                all.extend(events);
            }
        }
        all
    }

    /// All events up to a revision.
    pub async fn until(&mut self, revision: Revision) -> Vec<Event> {
        let mut all = Vec::new();
        while self.reached < revision {
            if let Watched::Events { events, .. } = self.next().await.unwrap() {
                all.extend(events);
            }
        }
        all
    }

    /// What it ends with.
    pub async fn error(&mut self) -> Error {
        loop {
            if let Err(error) = self.next().await {
                let after = tokio::time::timeout(PATIENCE, self.stream.next()).await;
                assert!(after.expect("the end").is_none(), "it goes on after an error");
                return error;
            }
        }
    }
}

pub fn put(key: Bytes, value: impl Into<Bytes>) -> Write {
    Write {
        key,
        expect: None,
        change: Some(Change::Put {
            value: value.into(),
            lease: None,
        }),
    }
}

pub fn put_with(key: Bytes, lease: LeaseId) -> Write {
    Write {
        key,
        expect: None,
        change: Some(Change::Put {
            value: "leased".into(),
            lease: Some(lease),
        }),
    }
}

pub fn delete(key: Bytes) -> Write {
    Write {
        key,
        expect: None,
        change: Some(Change::Delete),
    }
}

pub fn check(key: Bytes, expect: Expect) -> Write {
    Write {
        key,
        expect: Some(expect),
        change: None,
    }
}

pub trait Expecting {
    fn expecting(self, expect: Expect) -> Self;
}

impl Expecting for Write {
    fn expecting(mut self, expect: Expect) -> Self {
        self.expect = Some(expect);
        self
    }
}
