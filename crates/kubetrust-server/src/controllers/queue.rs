//! The events that a controller works on: everything that is there at first, then every change, without end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kubetrust_store::Revision;
use tokio::sync::watch;

use crate::registry::Registry;
use crate::registry::cache::{Kind, Subscription};
use crate::registry::object::Object;
use crate::stop::told;

/// How long to wait before a table is watched again after the watch of it ended.
const AGAIN: Duration = Duration::from_millis(100);

/// The objects of one storage path, as a controller sees them.
pub struct Queue {
    registry: Registry,
    storage: &'static str,
    name: Option<&'static str>,
    stop: watch::Receiver<bool>,
    first: std::vec::IntoIter<(Bytes, Arc<Object>)>,
    subscription: Option<Subscription>,
    /// The revision that was told last.
    reached: Option<Revision>,
    has_lost: bool,
}

impl Queue {
    /// Everything under a storage path.
    pub fn new(registry: &Registry, storage: &'static str, stop: &watch::Receiver<bool>) -> Self {
        Self {
            registry: registry.clone(),
            storage,
            name: None,
            stop: stop.clone(),
            first: Vec::new().into_iter(),
            subscription: None,
            reached: None,
            has_lost: false,
        }
    }

    /// Only the objects of this name, in whatever namespace.
    pub fn named(self, name: &'static str) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    fn wants(&self, key: &[u8]) -> bool {
        self.name.is_none_or(|name| {
            let rest = key.strip_suffix(name.as_bytes());
            rest.is_some_and(|rest| rest.ends_with(b"/"))
        })
    }

    /// Whether it was so far behind that changes were left out since this was last asked: what went meanwhile was not
    /// told.
    pub fn has_lost(&mut self) -> bool {
        std::mem::take(&mut self.has_lost)
    }

    /// Goes on where it was cut off, or begins anew where that is too long ago.
    fn subscribe(&mut self) -> Option<()> {
        let table = self.registry.cache().table(self.storage)?;
        let prefix = table.prefix().clone();
        // The last revision may not have been told to its end.
        let resumed = self
            .reached
            .map(|reached| table.subscribe(prefix.clone(), reached.saturating_sub(1)));
        if let Some(Ok(subscription)) = resumed {
            self.subscription = Some(subscription);
            return Some(());
        }
        let (snapshot, subscription) = table.snapshot_and_subscribe(prefix);
        self.has_lost |= self.reached.is_some();
        self.reached = Some(snapshot.revision);
        self.first = snapshot.items.into_iter();
        self.subscription = Some(subscription);
        Some(())
    }

    /// Leaves out what waits already, for a controller that looks at everything at once.
    pub fn drain(&mut self) {
        self.first = Vec::new().into_iter();
        if let Some(subscription) = &mut self.subscription {
            subscription.backlog.clear();
            subscription.feed.drain();
        }
    }

    /// The next object that is there, is new, changed, or went; `None` when the server stops.
    pub async fn next(&mut self) -> Option<(Kind, Arc<Object>)> {
        loop {
            if *self.stop.borrow() {
                return None;
            }
            if let Some((key, object)) = self.first.next() {
                if self.wants(&key) {
                    return Some((Kind::Added, object));
                }
                continue;
            }
            let Some(subscription) = &mut self.subscription else {
                self.subscribe()?;
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
            if self.wants(&change.key) {
                return Some((change.kind, Arc::clone(&change.object)));
            }
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
            names.insert(queue.next().await.unwrap().1.metadata().name);
        }
        names
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
        assert!(!queue.has_lost());
        // More than are remembered, and what went was not told.
        write(&registry, &names(0..1_000), false).await;
        write(&registry, &names(3_000..8_000), true).await;
        told(&mut queue, "m999").await;
        let (mut all, mut gaps) = (BTreeSet::new(), 0);
        while all.len() < 5_501 {
            let name = queue.next().await.unwrap().1.metadata().name;
            if queue.has_lost() {
                all.clear();
                gaps += 1;
            }
            all.insert(name);
        }
        assert_eq!(gaps, 1);
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
            let (found, object) = queue.next().await.unwrap();
            assert_eq!((found, object.metadata().name.as_str()), (kind, "m1"));
        }
    }
}
