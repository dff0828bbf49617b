//! The default roles and bindings, reconciled at every start as kube-apiserver does: what is missing is added, and what
//! users added stays.

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use kubetrust_auth::authz::default_policy;
use kubetrust_auth::authz::rbac::aggregate::{self, Aggregated};
use kubetrust_auth::authz::rbac::reconcile::{Step, reconcile};
use kubetrust_auth::authz::rbac::{GROUP, Kind};
use serde_json::{Value, json};
use tracing::warn;

use super::{AsServer, New, change_as_server};
use crate::registry::Registry;
use crate::registry::delete::DeleteOptions;
use crate::registry::target::Target;

const VERSION: &str = "v1";

/// A default object that is there and not as it should be.
pub(super) struct Reconciled {
    target: Target,
    step: Step,
}

/// What is to be created, and what is to be changed.
pub(super) fn steps(registry: &Registry) -> Result<(Vec<New>, Vec<Reconciled>), Status> {
    let (mut new, mut changes) = (Vec::new(), Vec::new());
    for default in default_policy::defaults() {
        let target = target(default.kind, default.namespace, &default.name)?;
        let existing = registry.cached(&target).map(|object| object.value());
        match reconcile(default.kind, existing.as_deref(), &default.object) {
            Ok(None) => {}
            Ok(Some(Step::Create(object))) => new.push(New::of(GROUP, VERSION, default.kind.plural(), object)?),
            Ok(Some(step)) => changes.push(Reconciled { target, step }),
            Err(error) => warn!(name = %default.name, %error, "a default object can't be reconciled"),
        }
    }
    Ok((new, changes))
}

impl Reconciled {
    pub(super) async fn apply(self, registry: &Registry, now: Timestamp) -> Result<(), Status> {
        match self.step {
            Step::Create(_) => Ok(()),
            Step::Update(object) => change_as_server(registry, &self.target, now, |_| Ok(object.clone())).await,
            Step::Recreate(object) => {
                let server = AsServer::default();
                let writer = server.writer(now);
                registry.delete(&self.target, writer, &DeleteOptions::default()).await?;
                registry.create(&self.target, writer, object).await.map(drop)
            }
        }
    }
}

/// Gives every aggregated cluster role the rules of those that it selects.
pub(crate) async fn aggregate(registry: &Registry, now: Timestamp) -> Result<(), Status> {
    let Some(table) = registry.cache().table("clusterroles") else {
        return Ok(());
    };
    let known: Vec<Aggregated> = table
        .snapshot(table.prefix(), None, 0)
        .items
        .iter()
        .filter_map(|(_, object)| Aggregated::read(&object.value()).ok())
        .collect();
    for (name, rules) in aggregate::aggregate(&known) {
        let rules: Value = json!(rules);
        let target = target(Kind::ClusterRole, "", &name)?;
        change_as_server(registry, &target, now, |old| {
            let mut role = old.clone();
            role["rules"] = rules.clone();
            meta::remove(&mut role, "resourceVersion");
            Ok(role)
        })
        .await?;
    }
    Ok(())
}

fn target(kind: Kind, namespace: &str, name: &str) -> Result<Target, Status> {
    let found = resource::lookup(GROUP, VERSION, kind.plural());
    let resource = found.ok_or_else(|| Status::internal(format!("{} are not served", kind.plural())))?;
    Ok(Target::object(resource, namespace, name))
}
