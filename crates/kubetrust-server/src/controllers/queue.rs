//! The events that a controller works on: everything that is there at first, then every change, without end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kubetrust_store::Revision;
use tokio::sync::watch;

use crate::registry::Registry;
use crate::registry::cache::{Kind, Subscription};
use crate::registry::events::Keys;
use crate::registry::object::Object;
use crate::stop::told;

/// How long to wait before a table is watched again after the watch of it ended.
const AGAIN: Duration = Duration::from_millis(100);

/// What a controller is told.
#[derive(Debug)]
pub enum Told {
    /// An object that is there, is new, changed, or went.
    Change(Kind, Arc<Object>),
    /// All that was there has been told.
    Current,
    /// It was so far behind that changes were left out: what went meanwhile is not told, and what is there is told anew.
    Gap,
}

/// The objects of one storage path, as a controller sees them.
pub struct Queue {
    registry: Registry,
    storage: &'static str,
    name: Option<&'static str>,
    stop: watch::Receiver<bool>,
    /// Whether the end of `first` is still to be told.
    is_anew: bool,
    first: std::vec::IntoIter<(Bytes, Arc<Object>)>,
    subscription: Option<Subscription>,
    /// The revision that was told last.
    reached: Option<Revision>,
}

impl Queue {
    /// Everything under a storage path.
    pub fn new(registry: &Registry, storage: &'static str, stop: &watch::Receiver<bool>) -> Self {
        Self {
            registry: registry.clone(),
            storage,
            name: None,
            stop: stop.clone(),
            is_anew: false,
            first: Vec::new().into_iter(),
            subscription: None,
            reached: None,
        }
    }

    /// Only the objects of this name, in whatever namespace.
    pub fn named(self, name: &'static str) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    /// Goes on where it was cut off, or begins anew where that is too long ago. Whether that leaves a gap.
    fn subscribe(&mut self) -> Option<bool> {
        let table = self.registry.cache().table(self.storage)?;
        let keys = Keys {
            prefix: table.prefix().clone(),
            name: self.name,
        };
        // The last revision may not have been told to its end.
        let resumed = self
            .reached
            .map(|reached| table.subscribe(keys.clone(), reached.saturating_sub(1)));
        if let Some(Ok(subscription)) = resumed {
            self.subscription = Some(subscription);
            return Some(false);
        }
        let (snapshot, subscription) = table.snapshot_and_subscribe(keys);
        let is_gap = self.reached.replace(snapshot.revision).is_some();
        self.is_anew = true;
        self.first = snapshot.items.into_iter();
        self.subscription = Some(subscription);
        Some(is_gap)
    }

    /// Leaves out what waits already, for a controller that looks at everything at once.
    pub fn drain(&mut self) {
        self.first = Vec::new().into_iter();
        if let Some(subscription) = &mut self.subscription {
            subscription.backlog.clear();
            subscription.feed.drain();
        }
    }

    /// The next change, for those to whom a gap is nothing; `None` when the server stops.
    pub async fn change(&mut self) -> Option<(Kind, Arc<Object>)> {
        loop {
            if let Told::Change(kind, object) = self.next().await? {
                return Some((kind, object));
            }
        }
    }

    /// What is to be told next; `None` when the server stops.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            // Much may be told without a wait; others want to run too.
            tokio::task::consume_budget().await;
            if *self.stop.borrow() {
                return None;
            }
            if let Some((_, object)) = self.first.next() {
                return Some(Told::Change(Kind::Added, object));
            }
            if std::mem::take(&mut self.is_anew) {
                return Some(Told::Current);
            }
            let Some(subscription) = &mut self.subscription else {
                if self.subscribe()? {
                    return Some(Told::Gap);
                }
                continue;
            };
            let mut change = subscription.backlog.pop_front();
            if change.is_none() {
                change = tokio::select! {
                    change = subscription.feed.recv() => change,
                    () = told(&mut self.stop) => return None,
                };
            }
            let Some(change) = change else {
                self.subscription = None;
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            self.reached = Some(change.object.revision);
            return Some(Told::Change(change.kind, Arc::clone(&change.object)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kubetrust_store as store;
    use kubetrust_store::embedded::{Embedded, Options};
    use kubetrust_store::encrypt::Encryption;

    use super::*;
    use crate::registry::cache::Cache;
    use crate::registry::values::Values;

    /// So many changes are one revision.
    const TOGETHER: usize = 100;

    async fn registry(folder: &std::path::Path) -> Registry {
        let store = Arc::new(Embedded::open(folder, Options::default()).unwrap());
        let (values, root) = (Values::new(&Encryption::default()), Bytes::from_static(b"/registry/"));
        let cache = Cache::load(store, Arc::new(values), root.clone(), ["configmaps"], Vec::new());
        Registry::new(cache.await.unwrap(), root)
    }

    fn names(range: std::ops::Range<usize>) -> BTreeSet<String> {
        range.map(|number| format!("m{number}")).collect()
    }

    async fn write(registry: &Registry, names: &BTreeSet<String>, there: bool) {
        let names: Vec<&String> = names.iter().collect();
        for names in names.chunks(TOGETHER) {
            let writes = names.iter().map(|name| store::Write {
                key: format!("/registry/configmaps/default/{name}").into(),
                expect: None,
                change: Some(if there {
                    let text = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#);
                    store::Change::Put {
                        value: text.into(),
                        lease: None,
                    }
                } else {
                    store::Change::Delete
                }),
            });
            registry.store().commit(writes.collect()).await.unwrap();
        }
        registry.cache().fresh().await.unwrap();
    }

    /// What it tells until this one was told.
    async fn told(queue: &mut Queue, last: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        while !names.contains(last) {
            names.insert(queue.change().await.unwrap().1.metadata().name);
        }
        names
    }

    /// What is there after the next gap.
    async fn after_a_gap(queue: &mut Queue) -> BTreeSet<String> {
        while !matches!(queue.next().await.unwrap(), Told::Gap) {}
        let mut names = BTreeSet::new();
        loop {
            match queue.next().await.unwrap() {
                Told::Change(_, object) => names.insert(object.metadata().name),
                Told::Current => return names,
                Told::Gap => panic!("it is said once"),
            };
        }
    }

    #[tokio::test]
    async fn it_goes_on_where_it_was_cut_off_or_says_that_something_went_untold() {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(folder.path()).await;
        let (_stop, stop) = watch::channel(false);
        let mut queue = Queue::new(&registry, "configmaps", &stop);
        write(&registry, &names(0..1), true).await;
        assert_eq!(told(&mut queue, "m0").await, names(0..1));
        // More than wait for a watcher, and fewer than are remembered.
        write(&registry, &names(1..1_500), true).await;
        write(&registry, &names(2_000..2_001), true).await;
        let after: BTreeSet<_> = names(1..1_500).union(&names(2_000..2_001)).cloned().collect();
        assert_eq!(told(&mut queue, "m2000").await, after);
        // More than are remembered, and what went was not told.
        write(&registry, &names(0..1_000), false).await;
        write(&registry, &names(3_000..8_000), true).await;
        told(&mut queue, "m999").await;
        assert_eq!(after_a_gap(&mut queue).await.len(), 5_501);
        // So too where nothing is left.
        write(&registry, &names(1_000..1_500), false).await;
        write(&registry, &names(2_000..2_001), false).await;
        write(&registry, &names(3_000..8_000), false).await;
        assert_eq!(after_a_gap(&mut queue).await, BTreeSet::new());
    }

    #[tokio::test]
    async fn only_the_objects_of_a_name_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(folder.path()).await;
        let (_stop, stop) = watch::channel(false);
        let mut queue = Queue::new(&registry, "configmaps", &stop).named("m1");
        write(&registry, &names(0..20), true).await;
        assert_eq!(told(&mut queue, "m1").await, names(1..2));
        write(&registry, &names(0..20), false).await;
        write(&registry, &names(0..20), true).await;
        for kind in [Kind::Deleted, Kind::Added] {
            let (found, object) = queue.change().await.unwrap();
            assert_eq!((found, object.metadata().name.as_str()), (kind, "m1"));
        }
    }
}
