//! Removes what is owned by something that is gone, and carries out foreground and orphaning deletions
//! (`pkg/controller/garbagecollector`).
//!
//! Ownership is a map from the owner's UID to its dependents, kept current by the changes of every table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{Kept, Resource, TABLE};
use kubetrust_api::status::Status;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::queue::Queue;
use crate::admission::Admission;
use crate::bootstrap::{change_as_server, loopback};
use crate::registry::Registry;
use crate::registry::cache::Kind;
use crate::registry::delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation};
use crate::registry::object::Object;
use crate::registry::target::Target;
use crate::registry::write::Writer;

/// Changes that may wait to be looked at.
const WAITING: usize = 1024;
/// How long to wait before an object is tried again that could not be removed.
const AGAIN: Duration = Duration::from_millis(200);
/// How often an object is tried before it is left to its next change.
const TRIES: usize = 5;

type Seen = (&'static Resource, Kind, Arc<Object>);

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    let (sender, mut changes) = mpsc::channel::<Seen>(WAITING);
    let mut storages: Vec<&str> = Vec::new();
    for resource in TABLE.iter().filter(|resource| resource.kept == Kept::Stored && resource.plural != "events") {
        if storages.contains(&resource.storage) {
            continue;
        }
        storages.push(resource.storage);
        let (sender, mut queue) = (sender.clone(), Queue::new(&registry, resource.storage, &stop));
        tokio::spawn(async move {
            while let Some((kind, object)) = queue.next().await {
                if sender.send((resource, kind, object)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut owners = Owners::default();
    while let Some(seen) = changes.recv().await {
        for work in owners.take(&seen) {
            if let Err(error) = attempt(&registry, &owners, &work).await {
                warn!(%error, "a dependent object could not be collected");
            }
        }
    }
}

/// An object by where it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    plural: &'static str,
    group: &'static str,
    namespace: String,
    name: String,
    uid: String,
}

impl Place {
    fn of(resource: &'static Resource, object: &Value) -> Self {
        Self {
            plural: resource.plural,
            group: resource.group,
            namespace: meta::namespace(object).to_owned(),
            name: meta::name(object).to_owned(),
            uid: meta::uid(object).to_owned(),
        }
    }

    fn target(&self) -> Option<Target> {
        let resource = TABLE.iter().find(|resource| resource.group == self.group && resource.plural == self.plural)?;
        Some(Target::object(resource, &self.namespace, &self.name))
    }
}

/// Who owns what.
#[derive(Default)]
struct Owners {
    /// Every object that there is.
    alive: HashMap<String, Place>,
    /// Dependents by the UID of the owner.
    dependents: HashMap<String, HashSet<Place>>,
    /// Owners that wait for their dependents, by UID.
    waiting: HashSet<String>,
}

/// Something to do.
#[derive(Debug)]
enum Work {
    /// Its owner may be gone: remove it if all are.
    Collect(Place),
    /// It waits for its dependents.
    Foreground(Place),
    /// Its dependents are to be let go.
    Orphan(Place),
}

impl Owners {
    /// Takes a change in, and says what follows from it.
    fn take(&mut self, (resource, kind, object): &Seen) -> Vec<Work> {
        let value = object.value();
        let place = Place::of(resource, &value);
        if *kind == Kind::Deleted {
            return self.gone(&place, &value);
        }
        self.alive.insert(place.uid.clone(), place.clone());
        let mut work = Vec::new();
        let owners = meta::owner_references(&value);
        for owner in owners {
            let uid = owner["uid"].as_str().unwrap_or_default().to_owned();
            self.dependents.entry(uid.clone()).or_default().insert(place.clone());
        }
        if !owners.is_empty() {
            work.push(Work::Collect(place.clone()));
        }
        if meta::deletion_timestamp(&value).is_some() {
            let finalizers: Vec<&str> = meta::finalizers(&value).collect();
            if finalizers.contains(&FOREGROUND) {
                self.waiting.insert(place.uid.clone());
                work.push(Work::Foreground(place.clone()));
            }
            if finalizers.contains(&ORPHAN) {
                work.push(Work::Orphan(place));
            }
        }
        work
    }

    fn gone(&mut self, place: &Place, value: &Value) -> Vec<Work> {
        self.alive.remove(&place.uid);
        self.waiting.remove(&place.uid);
        let mut work: Vec<Work> = Vec::new();
        for owner in meta::owner_references(value) {
            let uid = owner["uid"].as_str().unwrap_or_default();
            if let Some(dependents) = self.dependents.get_mut(uid) {
                dependents.remove(place);
            }
            if self.waiting.contains(uid)
                && let Some(owner) = self.alive.get(uid)
            {
                work.push(Work::Foreground(owner.clone()));
            }
        }
        let dependents = self.dependents.remove(&place.uid).unwrap_or_default();
        work.extend(dependents.into_iter().map(Work::Collect));
        work
    }

    fn of(&self, uid: &str) -> impl Iterator<Item = &Place> {
        self.dependents.get(uid).into_iter().flatten()
    }
}

async fn attempt(registry: &Registry, owners: &Owners, work: &Work) -> Result<(), Status> {
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = match work {
            Work::Collect(place) => collect(registry, place).await,
            Work::Foreground(place) => foreground(registry, owners, place).await,
            Work::Orphan(place) => orphan(registry, owners, place).await,
        };
        match &last {
            Ok(()) => return Ok(()),
            Err(status) if status.code == 404 => return Ok(()),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    last
}

/// The object at a place, if it is still the same one.
fn current(registry: &Registry, place: &Place) -> Option<(Target, Arc<Value>)> {
    let target = place.target()?;
    let value = registry.cached(&target)?.value();
    (meta::uid(&value) == place.uid).then_some((target, value))
}

/// Whether an owner that is named is there.
fn exists(registry: &Registry, dependent: &Target, owner: &Value) -> bool {
    let (api_version, kind) = (owner["apiVersion"].as_str().unwrap_or_default(), owner["kind"].as_str().unwrap_or_default());
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let Some(resource) = TABLE.iter().find(|resource| resource.kept == Kept::Stored && resource.kind == kind && resource.group == group) else {
        // What we do not know may well be there, on an extension server.
        return true;
    };
    let namespace = if resource.scope == kubetrust_api::resource::Scope::Namespaced { dependent.namespace.as_str() } else { "" };
    let target = Target::object(resource, namespace, owner["name"].as_str().unwrap_or_default());
    registry.cached(&target).is_some_and(|found| Some(meta::uid(&found.value())) == owner["uid"].as_str())
}

async fn collect(registry: &Registry, place: &Place) -> Result<(), Status> {
    registry.cache().fresh().await?;
    let Some((target, value)) = current(registry, place) else { return Ok(()) };
    let owners = meta::owner_references(&value);
    if owners.is_empty() || owners.iter().any(|owner| exists(registry, &target, owner)) || meta::deletion_timestamp(&value).is_some() {
        return Ok(());
    }
    debug!(resource = place.plural, namespace = %place.namespace, name = %place.name, "its owners are gone");
    remove(registry, &target, &place.uid, Propagation::Background).await
}

/// Removes the dependents that block, then the finalizer once none is left.
async fn foreground(registry: &Registry, owners: &Owners, place: &Place) -> Result<(), Status> {
    registry.cache().fresh().await?;
    let Some((target, _)) = current(registry, place) else { return Ok(()) };
    let mut blocking = 0;
    for dependent in owners.of(&place.uid) {
        let Some((dependent_target, value)) = current(registry, dependent) else { continue };
        let blocks = meta::owner_references(&value)
            .iter()
            .any(|owner| owner["uid"].as_str() == Some(&place.uid) && owner["blockOwnerDeletion"] == true);
        blocking += usize::from(blocks);
        if meta::deletion_timestamp(&value).is_none() {
            remove(registry, &dependent_target, &dependent.uid, Propagation::Foreground).await?;
        }
    }
    if blocking > 0 {
        // Those that went at once are reported as gone and bring us here again.
        return Ok(());
    }
    drop_finalizer(registry, &target, FOREGROUND).await
}

/// Takes the owner out of its dependents, then the finalizer off the owner.
async fn orphan(registry: &Registry, owners: &Owners, place: &Place) -> Result<(), Status> {
    registry.cache().fresh().await?;
    let Some((target, _)) = current(registry, place) else { return Ok(()) };
    for dependent in owners.of(&place.uid) {
        let Some((dependent_target, _)) = current(registry, dependent) else { continue };
        change_as_server(registry, &dependent_target, Timestamp::now(), |old| {
            let mut object = old.clone();
            let kept: Vec<Value> =
                meta::owner_references(old).iter().filter(|owner| owner["uid"].as_str() != Some(&place.uid)).cloned().collect();
            meta::remove(&mut object, "ownerReferences");
            if !kept.is_empty() {
                meta::set(&mut object, "ownerReferences", kept);
            }
            meta::remove(&mut object, "resourceVersion");
            Ok(object)
        })
        .await?;
    }
    drop_finalizer(registry, &target, ORPHAN).await
}

async fn remove(registry: &Registry, target: &Target, uid: &str, propagation: Propagation) -> Result<(), Status> {
    let (user, admission) = (loopback(), Admission::default());
    let writer = Writer { user: &user, admission: &admission, now: Timestamp::now(), dry_run: false };
    let options = DeleteOptions { uid: Some(uid.to_owned()), propagation: Some(propagation), ..DeleteOptions::default() };
    match registry.delete(target, writer, &options).await {
        Err(status) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

async fn drop_finalizer(registry: &Registry, target: &Target, finalizer: &str) -> Result<(), Status> {
    change_as_server(registry, target, Timestamp::now(), |old| {
        if old.is_null() {
            return Err(target.not_found());
        }
        let mut object = old.clone();
        let kept: Vec<String> = meta::finalizers(old).filter(|each| *each != finalizer).map(str::to_owned).collect();
        meta::set_finalizers(&mut object, kept);
        meta::remove(&mut object, "resourceVersion");
        Ok(object)
    })
    .await
}
