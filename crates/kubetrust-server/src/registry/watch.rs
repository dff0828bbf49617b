//! Watches: the changes of the objects that are selected, as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kubetrust_api::status::Status;
use kubetrust_store::Revision;
use serde_json::Value;
use tokio::time::Instant;

use super::Registry;
use super::cache::{Change, Kind, Subscription, Table};
use super::events::Keys;
use super::object::Object;
use super::options::{ListOptions, Shows};
use super::select::Selection;
use super::target::Target;

/// How often a watch that wants bookmarks gets one (upstream: about once a minute).
const BOOKMARKS: Duration = Duration::from_mins(1);
/// How long before its end a watch that wants bookmarks gets a last one, so that the next one begins near.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// How long a watch lives that names no time, at least; upstream adds up to as much again by chance.
const LIFE: Duration = Duration::from_mins(30);

/// What a watch reports.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A change of a selected object, with the frame that other watchers may share.
    Change {
        /// What it is for this watch.
        kind: Kind,
        /// The object.
        object: Arc<Object>,
        /// The shared change, where it means the same to all.
        shared: Option<Arc<Change>>,
    },
    /// Everything up to here has been reported.
    Bookmark {
        /// Up to here.
        revision: Revision,
        /// Whether it ends the initial events.
        initial_end: bool,
    },
}

/// A running watch.
pub struct Watch {
    selection: Selection,
    initial: VecDeque<Arc<Object>>,
    initial_end: Option<Revision>,
    subscription: Subscription,
    /// When the next bookmark is due, for a watch that wants them.
    bookmark: Option<Instant>,
    deadline: Instant,
    reported: Revision,
}

impl Registry {
    /// Begins a watch.
    pub async fn watch(&self, target: &Target, options: &ListOptions, selection: Selection) -> Result<Watch, Status> {
        let table = Arc::clone(self.table(target)?);
        let mut prefix = self.prefix(target);
        if !target.name.is_empty()
            && (!target.namespace.is_empty() || target.resource.scope == kubetrust_api::resource::Scope::Cluster)
        {
            prefix.extend_from_slice(target.name.as_bytes());
        }
        let begin = |table: &Arc<Table>, initial: bool| {
            let (snapshot, subscription) = table.snapshot_and_subscribe(Keys::with_prefix(prefix.clone()));
            let objects = snapshot.items.into_iter().map(|(_, object)| object);
            let objects: VecDeque<_> = if initial {
                objects.filter(|object| selection.has(object)).collect()
            } else {
                VecDeque::new()
            };
            (objects, subscription)
        };
        let (initial, subscription) = match options.shows {
            _ if options.initial_events => {
                match options.shows {
                    Shows::NotOlderThan(revision) => self.cache.wait_for(revision).await?,
                    Shows::Any => {}
                    _ => self.cache.fresh().await?,
                }
                begin(&table, true)
            }
            Shows::Newest => {
                self.cache.fresh().await?;
                begin(&table, true)
            }
            Shows::Any => begin(&table, true),
            Shows::NotOlderThan(revision) | Shows::Exactly(revision) => {
                self.cache.wait_for(revision).await?;
                (
                    VecDeque::new(),
                    table.subscribe(Keys::with_prefix(prefix.clone()), revision)?,
                )
            }
        };
        let now = Instant::now();
        let deadline = now + options.timeout.unwrap_or(LIFE);
        Ok(Watch {
            selection,
            initial_end: options.initial_events.then_some(subscription.revision),
            initial,
            bookmark: options.bookmarks.then(|| next_bookmark(now, deadline)),
            deadline,
            reported: 0,
            subscription,
        })
    }
}

impl Watch {
    /// The next event; `None` when the watch is over: its time is up, or it did not keep up.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        if let Some(object) = self.initial.pop_front() {
            return Some(WatchEvent::Change {
                kind: Kind::Added,
                object,
                shared: None,
            });
        }
        if let Some(revision) = self.initial_end.take() {
            self.reported = revision;
            return Some(WatchEvent::Bookmark {
                revision,
                initial_end: true,
            });
        }
        loop {
            let change = if let Some(change) = self.subscription.backlog.pop_front() {
                change
            } else {
                tokio::select! {
                    biased;
                    change = self.subscription.feed.recv() => change?,
                    () = tokio::time::sleep_until(self.deadline) => return None,
                    () = due(self.bookmark) => {
                        self.bookmark = Some(next_bookmark(Instant::now(), self.deadline));
                        if let Some(bookmark) = self.bookmark() {
                            return Some(bookmark);
                        }
                        continue;
                    }
                }
            };
            self.reported = change.object.revision;
            if let Some(event) = self.selected(change) {
                return Some(event);
            }
        }
    }

    /// A bookmark at what has been reached, if nothing waits to be reported first.
    fn bookmark(&mut self) -> Option<WatchEvent> {
        let revision = self
            .subscription
            .caught_up()
            .filter(|revision| *revision > self.reported)?;
        self.reported = revision;
        Some(WatchEvent::Bookmark {
            revision,
            initial_end: false,
        })
    }

    /// What a change is for this watch: an object that begins to match is added, one that no longer does is deleted.
    fn selected(&self, change: Arc<Change>) -> Option<WatchEvent> {
        if self.selection.is_everything() {
            return Some(WatchEvent::Change {
                kind: change.kind,
                object: Arc::clone(&change.object),
                shared: Some(change),
            });
        }
        let before = change
            .previous
            .as_ref()
            .is_some_and(|previous| self.selection.has(previous));
        let now = change.kind != Kind::Deleted && self.selection.has(&change.object);
        let kind = match (before, now) {
            (false, true) => Kind::Added,
            (true, true) => Kind::Modified,
            (true, false) => Kind::Deleted,
            (false, false) => return None,
        };
        let object = match (kind, change.kind, &change.previous) {
            // It left the selection by a change: clients get the state that they knew, at the revision of the change.
            (Kind::Deleted, Kind::Modified, Some(previous)) => Arc::new(previous.removed_at(change.object.revision)),
            _ => Arc::clone(&change.object),
        };
        let shared = (kind == change.kind).then_some(change);
        Some(WatchEvent::Change { kind, object, shared })
    }
}

/// The next bookmark: in a while, or shortly before the end (`cacheWatcher.nextBookmarkTime`).
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let regular = now + BOOKMARKS;
    match deadline.checked_sub(LAST_BOOKMARK) {
        Some(last) if last > now => regular.min(last),
        _ => regular,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The object of a bookmark.
#[must_use]
pub fn bookmark(api_version: &str, kind: &str, revision: Revision, initial_end: bool) -> Bytes {
    let mut metadata = serde_json::Map::new();
    metadata.insert("resourceVersion".into(), Value::String(revision.to_string()));
    metadata.insert("creationTimestamp".into(), Value::Null);
    if initial_end {
        metadata.insert(
            "annotations".into(),
            serde_json::json!({"k8s.io/initial-events-end": "true"}),
        );
    }
    let event = serde_json::json!({
        "type": "BOOKMARK",
        "object": {"kind": kind, "apiVersion": api_version, "metadata": metadata},
    });
    let mut line = event.to_string();
    line.push('\n');
    line.into()
}
