//! The events that a controller works on: everything that is there at first, then every change, without end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::registry::Registry;
use crate::registry::cache::{Kind, Subscription};
use crate::registry::object::Object;
use crate::stop::told;

/// How long to wait before a table is read anew after the watch of it ended.
const AGAIN: Duration = Duration::from_millis(100);

/// The objects of one storage path, as a controller sees them.
pub struct Queue {
    registry: Registry,
    storage: &'static str,
    stop: watch::Receiver<bool>,
    first: std::vec::IntoIter<(Bytes, Arc<Object>)>,
    subscription: Option<Subscription>,
}

impl Queue {
    /// Everything under a storage path.
    pub fn new(registry: &Registry, storage: &'static str, stop: &watch::Receiver<bool>) -> Self {
        Self {
            registry: registry.clone(),
            storage,
            stop: stop.clone(),
            first: Vec::new().into_iter(),
            subscription: None,
        }
    }

    /// Leaves out what waits already, for a controller that looks at everything at once.
    pub fn drain(&mut self) {
        self.first = Vec::new().into_iter();
        if let Some(subscription) = &mut self.subscription {
            subscription.feed.drain();
        }
    }

    /// The next object that is there, is new, changed, or went; `None` when the server stops.
    pub async fn next(&mut self) -> Option<(Kind, Arc<Object>)> {
        loop {
            if *self.stop.borrow() {
                return None;
            }
            if let Some((_, object)) = self.first.next() {
                return Some((Kind::Added, object));
            }
            let Some(subscription) = &mut self.subscription else {
                let table = self.registry.cache().table(self.storage)?;
                let (snapshot, subscription) = table.snapshot_and_subscribe(table.prefix().clone());
                self.first = snapshot.items.into_iter();
                self.subscription = Some(subscription);
                continue;
            };
            tokio::select! {
                change = subscription.feed.recv() => if let Some(change) = change { return Some((change.kind, Arc::clone(&change.object))) } else {
                    self.subscription = None;
                    tokio::time::sleep(AGAIN).await;
                },
                () = told(&mut self.stop) => return None,
            }
        }
    }
}
