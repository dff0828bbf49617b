//! What a server puts into its store before it calls itself ready: the namespaces, the default policy, and what
//! extension servers must know.

mod cluster_authentication;
mod legacy_tokens;
mod namespaces;
mod policy;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{self, Resource};
use kubetrust_api::status::Status;
use kubetrust_store::Outcome;
use serde_json::{Value, json};

pub use cluster_authentication::{ClusterAuthentication, RequestHeader};
pub(crate) use policy::aggregate as aggregate_roles;

use crate::admission::{Admission, SYSTEM_CLASSES};
use crate::registry::Registry;
use crate::registry::cache::status_of;
use crate::registry::target::Target;
use crate::registry::write::Writer;

/// Objects that are created in one transaction.
const AT_ONCE: usize = 100;

/// Who the server is to itself.
fn loopback() -> kubetrust_auth::user::User {
    kubetrust_auth::user::User {
        name: "system:apiserver".into(),
        groups: vec![
            kubetrust_auth::user::MASTERS.into(),
            kubetrust_auth::user::AUTHENTICATED.into(),
        ],
        ..kubetrust_auth::user::User::default()
    }
}

/// The server as one who writes: no plugin of admission has a say in it.
pub(crate) struct AsServer {
    user: kubetrust_auth::user::User,
    admission: Admission,
}

impl Default for AsServer {
    fn default() -> Self {
        Self {
            user: loopback(),
            admission: Admission::default(),
        }
    }
}

impl AsServer {
    /// Who writes at that time.
    pub(crate) fn writer(&self, now: Timestamp) -> Writer<'_> {
        Writer {
            user: &self.user,
            admission: &self.admission,
            now,
            dry_run: false,
        }
    }
}

/// Makes everything be there that has to be.
pub async fn run(registry: &Registry, authentication: &ClusterAuthentication, now: Timestamp) -> Result<(), Status> {
    let mut new = namespaces::missing(registry)?;
    let (missing, changes) = policy::steps(registry)?;
    new.extend(missing);
    new.extend(priority_classes(registry)?);
    new.extend(legacy_tokens::missing(registry, now)?);
    create_all(registry, new, now).await?;
    for change in changes {
        change.apply(registry, now).await?;
    }
    policy::aggregate(registry, now).await?;
    authentication.publish(registry, now).await
}

/// The two classes of what the cluster can't do without (`pkg/registry/scheduling/rest`).
fn priority_classes(registry: &Registry) -> Result<Vec<New>, Status> {
    let object = |(name, value): &(&str, i64)| json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
    let all = SYSTEM_CLASSES
        .iter()
        .map(|class| New::of("scheduling.k8s.io", "v1", "priorityclasses", object(class)));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    Ok(all
        .into_iter()
        .filter(|new| registry.cached(&new.target()).is_none())
        .collect())
}

/// An object that is to be there.
pub(crate) struct New {
    resource: &'static Resource,
    object: Value,
}

impl New {
    /// An object of the resource at this group, version and plural.
    pub(crate) fn of(group: &str, version: &str, plural: &str, object: Value) -> Result<Self, Status> {
        let found = resource::lookup(group, version, plural);
        let resource = found.ok_or_else(|| Status::internal(format!("{plural} is not served")))?;
        Ok(Self { resource, object })
    }

    fn target(&self) -> Target {
        Target::object(self.resource, meta::namespace(&self.object), meta::name(&self.object))
    }
}

/// Creates many objects in few transactions: one sync of the disk for a hundred of them. What is there meanwhile
/// (another server starts too) is left as it is.
pub(crate) async fn create_all(registry: &Registry, new: Vec<New>, now: Timestamp) -> Result<(), Status> {
    let user = loopback();
    let mut prepared = Vec::with_capacity(new.len());
    for new in new {
        prepared.push(registry.new_object(&new.target(), &user, now, new.object)?);
    }
    for writes in prepared.chunks(AT_ONCE) {
        let outcome = registry
            .store()
            .commit(writes.to_vec())
            .await
            .map_err(|error| status_of(&error))?;
        if let Outcome::Committed(revision) = outcome {
            registry.cache().wait_for(revision).await?;
            continue;
        }
        for write in writes {
            registry
                .store()
                .commit(vec![write.clone()])
                .await
                .map_err(|error| status_of(&error))?;
        }
        registry.cache().fresh().await?;
    }
    Ok(())
}

/// Creates those of these objects that are not there yet, as the server itself: what a cluster's manifests say.
pub async fn ensure(registry: &Registry, objects: Vec<Value>, now: Timestamp) -> Result<(), Status> {
    let mut missing: Vec<New> = Vec::new();
    for object in objects {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let resource = resource::of_kind(group, version, &kind).ok_or_else(|| {
            Status::bad_request(format!("no kind {kind:?} is registered for version {api_version:?}"))
        })?;
        let new = New { resource, object };
        let key = registry.key(&new.target());
        let known = missing.iter().any(|other| registry.key(&other.target()) == key);
        if !known && registry.cached(&new.target()).is_none() {
            missing.push(new);
        }
    }
    create_all(registry, missing, now).await
}

/// Puts what `change` makes of an object in its place, as the server itself.
pub(crate) async fn change_as_server(
    registry: &Registry,
    target: &Target,
    now: Timestamp,
    change: impl FnMut(&Value) -> Result<Value, Status>,
) -> Result<(), Status> {
    let server = AsServer::default();
    let writer = server.writer(now);
    registry.update(target, writer, change).await.map(drop)
}
