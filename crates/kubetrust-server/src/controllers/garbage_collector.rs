//! Removes what is owned by something that is gone, and carries out foreground and orphaning deletions
//! (`pkg/controller/garbagecollector`).
//!
//! Ownership is a map from the owner's UID to its dependents, kept current by the changes of every table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{Kept, Resource, TABLE};
use kubetrust_api::status::Status;
use memchr::memmem::Finder;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{consume_budget, unconstrained};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::queue::{Queue, Told};
use super::through_outages;
use crate::bootstrap::{AsServer, change_as_server};
use crate::registry::Registry;
use crate::registry::cache::Kind;
use crate::registry::delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation};
use crate::registry::object::{Metadata, Object};
use crate::registry::target::Target;

/// How long to wait before an object is tried again that could not be removed.
const AGAIN: Duration = Duration::from_millis(200);
/// How often an object is tried before it is left to its next change.
const TRIES: usize = 5;
/// How long what is told is gathered.
const TOGETHER: Duration = Duration::from_millis(10);

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    // Who depends on whom is known once every table has told all that is there: nothing is done before.
    let mut behind: HashSet<&str> = HashSet::new();
    let mut tables: Tables = SelectAll::new();
    for resource in TABLE
        .iter()
        .filter(|resource| resource.kept == Kept::Stored && resource.plural != "events")
    {
        if !behind.insert(resource.storage) {
            continue;
        }
        let queue = Queue::new(&registry, resource.storage, &stop);
        let told = stream::unfold(queue, move |mut queue| async move {
            Some(((resource, queue.next().await?), queue))
        });
        tables.push(told.boxed());
    }
    let mut has_gap = false;
    let mut undone = Vec::new();
    let mut owners = Owners::default();
    while let Some((resource, told)) = next(&mut tables).await {
        match told {
            Told::Change(kind, object) => undone.append(&mut owners.take(resource, kind, &object)),
            Told::Current => {
                behind.remove(resource.storage);
            }
            Told::Gap => {
                behind.insert(resource.storage);
                has_gap = true;
            }
        }
        if !behind.is_empty() {
            continue;
        }
        if std::mem::take(&mut has_gap) {
            undone.extend(owners.all());
        }
        for work in undone.drain(..) {
            if let Err(error) = attempt(&registry, &owners, &work, &stop).await {
                warn!(%error, "a dependent object could not be collected");
            }
        }
    }
}

/// What every table tells.
type Tables = SelectAll<BoxStream<'static, (&'static Resource, Told)>>;

/// The next of what is told. What comes right after other things waits a little: it comes together with what follows then,
/// and nobody is in a hurry here.
async fn next(tables: &mut Tables) -> Option<(&'static Resource, Told)> {
    consume_budget().await;
    // Without a budget, which would say that there is nothing once it is used up.
    if let Some(told) = unconstrained(tables.next()).now_or_never() {
        return told;
    }
    sleep(TOGETHER).await;
    tables.next().await
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
    fn of(resource: &'static Resource, metadata: Metadata) -> Self {
        Self {
            plural: resource.plural,
            group: resource.group,
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
        }
    }

    fn target(&self) -> Option<Target> {
        let resource = TABLE
            .iter()
            .find(|resource| resource.group == self.group && resource.plural == self.plural)?;
        Some(Target::object(resource, &self.namespace, &self.name))
    }
}

/// Who owns what.
struct Owners {
    /// Without one of these words, a new object has no owner and is not on its way out.
    marks: [Finder<'static>; 2],
    /// Dependents by the UID of the owner.
    dependents: HashMap<String, HashSet<Arc<Place>>>,
    /// The other way: the UIDs of the owners by that of the dependent.
    owned_by: HashMap<String, Vec<String>>,
    /// Owners that wait for their dependents, by UID.
    waiting: HashMap<String, Arc<Place>>,
}

/// Something to do.
#[derive(Debug)]
enum Work {
    /// Its owner may be gone: remove it if all are.
    Collect(Arc<Place>),
    /// It waits for its dependents.
    Foreground(Arc<Place>),
    /// Its dependents are to be let go.
    Orphan(Arc<Place>),
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            marks: ["ownerReferences", "deletionTimestamp"].map(Finder::new),
            dependents: HashMap::new(),
            owned_by: HashMap::new(),
            waiting: HashMap::new(),
        }
    }
}

impl Owners {
    /// Takes a change in, and says what follows from it.
    fn take(&mut self, resource: &'static Resource, kind: Kind, object: &Object) -> Vec<Work> {
        // Told anew after a gap, it may have had owners: who acts on what is known of them looks at the object again.
        if kind == Kind::Added && !self.marks.iter().any(|mark| object.mentions(mark)) {
            return Vec::new();
        }
        let mut metadata = object.metadata();
        let owners = std::mem::take(&mut metadata.owner_references);
        let owners: Vec<String> = owners.into_iter().map(|owner| owner.uid).collect();
        let finalizers = std::mem::take(&mut metadata.finalizers);
        let goes = metadata.deletion_timestamp.is_some();
        let place = Arc::new(Place::of(resource, metadata));
        if kind == Kind::Deleted {
            return self.gone(&place);
        }
        for uid in &owners {
            self.dependents
                .entry(uid.clone())
                .or_default()
                .insert(Arc::clone(&place));
        }
        let mut work = Vec::new();
        if !owners.is_empty() {
            work.push(Work::Collect(Arc::clone(&place)));
        }
        let formerly = if owners.is_empty() {
            self.owned_by.remove(&place.uid)
        } else {
            self.owned_by.insert(place.uid.clone(), owners.clone())
        };
        for former in formerly.unwrap_or_default() {
            if !owners.contains(&former) {
                work.extend(self.let_go(&former, &place));
            }
        }
        let has = |finalizer| goes && finalizers.iter().any(|each| each == finalizer);
        if has(FOREGROUND) {
            self.waiting.insert(place.uid.clone(), Arc::clone(&place));
            work.push(Work::Foreground(Arc::clone(&place)));
        }
        if has(ORPHAN) {
            work.push(Work::Orphan(place));
        }
        work
    }

    fn gone(&mut self, place: &Place) -> Vec<Work> {
        self.waiting.remove(&place.uid);
        let owners = self.owned_by.remove(&place.uid).unwrap_or_default();
        let mut work: Vec<Work> = owners.iter().filter_map(|owner| self.let_go(owner, place)).collect();
        let dependents = self.dependents.remove(&place.uid).unwrap_or_default();
        work.extend(dependents.into_iter().map(Work::Collect));
        work
    }

    /// An owner has a dependent less, and may have waited for that.
    fn let_go(&mut self, owner: &str, dependent: &Place) -> Option<Work> {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
        self.waiting.get(owner).cloned().map(Work::Foreground)
    }

    /// Everything that may be to do: of what went untold the dependents, and who waited for it.
    fn all(&self) -> impl Iterator<Item = Work> {
        let dependents = self.dependents.values().flatten().cloned().map(Work::Collect);
        dependents.chain(self.waiting.values().cloned().map(Work::Foreground))
    }

    fn of(&self, uid: &str) -> impl Iterator<Item = &Arc<Place>> {
        self.dependents.get(uid).into_iter().flatten()
    }
}

async fn attempt(
    registry: &Registry,
    owners: &Owners,
    work: &Work,
    stop: &watch::Receiver<bool>,
) -> Result<(), Status> {
    let once = || async {
        match work {
            Work::Collect(place) => collect(registry, place).await,
            Work::Foreground(place) => foreground(registry, owners, place).await,
            Work::Orphan(place) => orphan(registry, owners, place).await,
        }
    };
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = through_outages(stop, once).await;
        match &last {
            Ok(()) => return Ok(()),
            Err(status) if status.code == 404 => return Ok(()),
            Err(_) => sleep(AGAIN).await,
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

fn uid_of(owner: &Value) -> &str {
    owner["uid"].as_str().unwrap_or_default()
}

/// Whether an owner that is named is there.
fn exists(registry: &Registry, dependent: &Target, owner: &Value) -> bool {
    let (api_version, kind) = (
        owner["apiVersion"].as_str().unwrap_or_default(),
        owner["kind"].as_str().unwrap_or_default(),
    );
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let Some(resource) = TABLE
        .iter()
        .find(|resource| resource.kept == Kept::Stored && resource.kind == kind && resource.group == group)
    else {
        // What we do not know may well be there, on an extension server.
        return true;
    };
    let namespace = if resource.scope == kubetrust_api::resource::Scope::Namespaced {
        dependent.namespace.as_str()
    } else {
        ""
    };
    let target = Target::object(resource, namespace, owner["name"].as_str().unwrap_or_default());
    registry
        .cached(&target)
        .is_some_and(|found| Some(meta::uid(&found.value())) == owner["uid"].as_str())
}

async fn collect(registry: &Registry, place: &Place) -> Result<(), Status> {
    registry.cache().fresh().await?;
    let Some((target, value)) = current(registry, place) else {
        return Ok(());
    };
    let owners = meta::owner_references(&value);
    let (there, gone): (Vec<&Value>, Vec<&Value>) = owners.iter().partition(|owner| exists(registry, &target, owner));
    if gone.is_empty() || meta::deletion_timestamp(&value).is_some() {
        return Ok(());
    }
    if !there.is_empty() {
        let gone: Vec<&str> = gone.into_iter().map(uid_of).collect();
        return disown(registry, &target, |owner| gone.contains(&owner)).await;
    }
    debug!(resource = place.plural, namespace = %place.namespace, name = %place.name, "its owners are gone");
    remove(registry, &target, &place.uid, Propagation::Background).await
}

/// Removes the dependents that block, then the finalizer once none is left.
async fn foreground(registry: &Registry, owners: &Owners, place: &Place) -> Result<(), Status> {
    registry.cache().fresh().await?;
    let Some((target, _)) = current(registry, place) else {
        return Ok(());
    };
    let mut blocking = 0;
    for dependent in owners.of(&place.uid) {
        let Some((dependent_target, value)) = current(registry, dependent) else {
            continue;
        };
        let (own, others): (Vec<&Value>, Vec<&Value>) = meta::owner_references(&value)
            .iter()
            .partition(|owner| uid_of(owner) == place.uid);
        if own.is_empty() {
            continue;
        }
        let stays =
            |owner: &&Value| !owners.waiting.contains_key(uid_of(owner)) && exists(registry, &dependent_target, owner);
        if others.iter().any(stays) {
            // Someone else needs it still.
            disown(registry, &dependent_target, |owner| owner == place.uid).await?;
            continue;
        }
        blocking += usize::from(own.iter().any(|owner| owner["blockOwnerDeletion"] == true));
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
    let Some((target, _)) = current(registry, place) else {
        return Ok(());
    };
    for dependent in owners.of(&place.uid) {
        let Some((dependent_target, _)) = current(registry, dependent) else {
            continue;
        };
        disown(registry, &dependent_target, |owner| owner == place.uid).await?;
    }
    drop_finalizer(registry, &target, ORPHAN).await
}

/// Takes owners out of a dependent, by their UID.
async fn disown(registry: &Registry, target: &Target, owner: impl Fn(&str) -> bool) -> Result<(), Status> {
    let changed = change_as_server(registry, target, Timestamp::now(), |old| {
        if old.is_null() {
            return Err(target.not_found());
        }
        let mut object = old.clone();
        let owners = meta::owner_references(old).iter();
        let kept: Vec<Value> = owners.filter(|reference| !owner(uid_of(reference))).cloned().collect();
        meta::remove(&mut object, "ownerReferences");
        if !kept.is_empty() {
            meta::set(&mut object, "ownerReferences", kept);
        }
        meta::remove(&mut object, "resourceVersion");
        Ok(object)
    });
    match changed.await {
        Err(status) if status.code == 404 => Ok(()),
        other => other,
    }
}

async fn remove(registry: &Registry, target: &Target, uid: &str, propagation: Propagation) -> Result<(), Status> {
    let server = AsServer::default();
    let writer = server.writer(Timestamp::now());
    let options = DeleteOptions {
        uid: Some(uid.to_owned()),
        propagation: Some(propagation),
        ..DeleteOptions::default()
    };
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
        let kept: Vec<String> = meta::finalizers(old)
            .filter(|each| *each != finalizer)
            .map(str::to_owned)
            .collect();
        meta::set_finalizers(&mut object, kept);
        meta::remove(&mut object, "resourceVersion");
        Ok(object)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_told_at_once_and_what_comes_then_together() {
        // More than a task may take without a pause.
        const MANY: usize = 5_000;
        let (say, heard) = mpsc::channel(MANY);
        let told = stream::unfold(heard, |mut heard| async {
            // As a queue does.
            consume_budget().await;
            let told = heard.recv().await?;
            Some(((&TABLE[0], told), heard))
        });
        let mut tables = Tables::new();
        tables.push(told.boxed());
        for _ in 0..MANY {
            say.try_send(Told::Current).unwrap();
        }
        let begun = Instant::now();
        for _ in 0..MANY {
            next(&mut tables).await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let changes = async {
            for _ in 0..3 {
                sleep(TOGETHER / 4).await;
                say.try_send(Told::Current).unwrap();
            }
        };
        let taken = async {
            let mut times = Vec::new();
            for _ in 0..3 {
                next(&mut tables).await.unwrap();
                times.push(begun.elapsed());
            }
            times
        };
        let (times, ()) = tokio::join!(taken, changes);
        assert!(times[0] >= TOGETHER && times[0] == times[2], "{times:?}");
        drop(say);
        assert!(next(&mut tables).await.is_none());
    }
}
