//! One watch of everything, that feeds all who watch; and watches of the past for those who come from there.
//!
//! etcd tells a watch of one prefix that nothing happened only every ten minutes, or, when asked, out of order (before
//! 3.4.25 and 3.5.8). A watch of all keys needs no telling: every revision changes a key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::failure::Failure;
use super::{CALL, Inner, proto, request, revision_of};
use crate::feed::Past;
use crate::{Error, Event, NO_END, Result, Revision};

/// How long after a failure it is tried again: twice as long each time, from and to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Waits between attempts.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(BACKOFF.0)
    }

    pub(super) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

/// Why a watch ended.
enum End {
    Compacted(Revision),
    Broken(String),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Broken(match failure {
            Failure::Unsent(reason) | Failure::Lost(reason) | Failure::Refused(reason) => reason,
            Failure::Answered(error) => error.to_string(),
        })
    }
}

/// Feeds what happens on etcd from now on to all who watch, over all interruptions.
pub(super) async fn follow(inner: Arc<Inner>) {
    let mut last = None;
    let mut backoff = Backoff::new();
    loop {
        let before = last;
        match follow_once(&inner, &mut last).await {
            End::Compacted(oldest) => {
                tracing::warn!(
                    oldest,
                    "etcd compacted what was not seen yet; watches catch up by themselves"
                );
                last = None;
            }
            End::Broken(reason) => tracing::debug!(reason, "the watch on etcd is interrupted"),
        }
        if last != before {
            backoff = Backoff::new();
        }
        backoff.wait().await;
    }
}

async fn follow_once(inner: &Inner, last: &mut Option<Revision>) -> End {
    let after = match *last {
        Some(after) => after,
        None => match inner.ask_revision().await {
            Ok(revision) => {
                inner.feed.restart(revision);
                inner.following.send_replace(true);
                revision
            }
            Err(error) => return End::Broken(error.to_string()),
        },
    };
    *last = Some(after);
    let mut events = match Events::open(inner, after).await {
        Ok(events) => events,
        Err(end) => return end,
    };
    loop {
        match events.next().await {
            Ok((events, revision)) => {
                *last = Some(revision);
                inner.feed.publish(revision, events);
            }
            Err(end) => return end,
        }
    }
}

/// A watch of all keys.
struct Events {
    stream: Streaming<proto::WatchResponse>,
    /// Changes when calls go to another connection than the one that this watch is on.
    moved: watch::Receiver<()>,
    /// What came of an answer that is not complete yet.
    partial: Vec<Event>,
}

impl Events {
    async fn open(inner: &Inner, after: Revision) -> Result<Self, End> {
        let start_revision = i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX);
        let create = proto::WatchRequest {
            create: Some(proto::WatchCreateRequest {
                key: Bytes::from_static(NO_END),
                range_end: Bytes::from_static(NO_END),
                start_revision,
                fragment: true,
            }),
        };
        let moved = inner.moved.subscribe();
        let connection = inner.pool.connection().await.map_err(End::Broken)?;
        let mut grpc = connection.grpc();
        // Held open: its end would be the end of the watch.
        let requests = stream::once(std::future::ready(create)).chain(stream::pending());
        let opened = async {
            grpc.ready().await.map_err(|broken| Failure::from(&broken))?;
            let path = http::uri::PathAndQuery::from_static(proto::WATCH);
            let codec = tonic_prost::ProstCodec::default();
            grpc.streaming(request(requests), path, codec)
                .await
                .map_err(Failure::from)
        };
        let late = |_| End::Broken(format!("no watch within {} s", CALL.as_secs()));
        match timeout(CALL, opened)
            .await
            .map_err(late)
            .and_then(|opened| opened.map_err(End::from))
        {
            Ok(answer) => Ok(Self {
                stream: answer.into_inner(),
                moved,
                partial: Vec::new(),
            }),
            Err(end) => {
                inner.turn_from(&connection);
                Err(end)
            }
        }
    }

    /// The next events, whole revisions, and the last of these.
    async fn next(&mut self) -> Result<(Vec<Event>, Revision), End> {
        loop {
            let answer = tokio::select! {
                answer = self.stream.message() => answer.map_err(|status| End::from(Failure::from(status)))?,
                _ = self.moved.changed() => return Err(End::Broken("calls go to another connection".to_owned())),
            };
            let answer = answer.ok_or_else(|| End::Broken("etcd ended the watch".to_owned()))?;
            if answer.canceled {
                let oldest = revision_of(answer.compact_revision);
                return Err(if oldest > 0 {
                    End::Compacted(oldest)
                } else {
                    End::Broken(answer.cancel_reason)
                });
            }
            self.partial.extend(answer.events.into_iter().filter_map(event));
            if answer.fragment {
                continue;
            }
            if let Some(last) = self.partial.last() {
                let last = last.revision();
                return Ok((std::mem::take(&mut self.partial), last));
            }
        }
    }
}

fn event(event: proto::Event) -> Option<Event> {
    let kv = super::key_value(event.kv?);
    Some(if event.kind == proto::DELETE {
        Event::Delete {
            key: kv.key,
            revision: kv.modified,
        }
    } else {
        Event::Put(kv)
    })
}

/// The oldest revision that can be read: etcd says it to a watch that begins before.
pub(super) async fn oldest(inner: &Inner) -> Option<Revision> {
    let mut events = Events::open(inner, 0).await.ok()?;
    match timeout(CALL, events.next()).await.ok()? {
        Err(End::Compacted(oldest)) => Some(oldest),
        Ok(_) | Err(End::Broken(_)) => None,
    }
}

/// The past, on etcd.
pub(super) struct Replay {
    inner: Arc<Inner>,
    open: Option<Events>,
}

impl Replay {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, open: None }
    }

    async fn next(&mut self, after: Revision) -> Result<(Vec<Event>, Revision)> {
        let mut backoff = Backoff::new();
        loop {
            if self.inner.feed.is_closed() {
                return Err(Error::Unavailable("the store is closed".to_owned()));
            }
            match self.try_next(after).await {
                Ok(next) => return Ok(next),
                Err(End::Compacted(oldest)) => return Err(Error::Compacted { asked: after, oldest }),
                Err(End::Broken(reason)) => tracing::debug!(reason, "a watch of the past is interrupted"),
            }
            self.open = None;
            backoff.wait().await;
        }
    }

    async fn try_next(&mut self, after: Revision) -> Result<(Vec<Event>, Revision), End> {
        let mut events = match self.open.take() {
            Some(events) => events,
            None => Events::open(&self.inner, after).await?,
        };
        let next = events.next().await?;
        self.open = Some(events);
        Ok(next)
    }
}

impl Past for Replay {
    fn after(&mut self, revision: Revision) -> BoxFuture<'_, Result<(Vec<Event>, Revision)>> {
        self.next(revision).boxed()
    }

    fn caught_up(&mut self) {
        self.open = None;
    }
}
