//! `OwnerReferencesPermissionEnforcement`: who gives an object another owner may delete it, since its owner's end is
//! its own, and who holds an owner back may change the owner's finalizers (`plugin/pkg/admission/gc`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, Scope, TABLE};
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use kubetrust_auth::authz::{Attributes, Authorizer, Decision, ResourceAttributes};
use serde_json::Value;

use super::fields::{same, text};
use super::{Operation, Plugin, Step, Verb};

/// Why a reference is refused that holds an owner back whose finalizers the user can't change.
const NOT_FINALIZABLE: &str =
    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";

/// The plugin.
#[derive(Debug)]
pub struct OwnerReferencesPermissionEnforcement {
    authorizer: Arc<Authorizer>,
}

impl OwnerReferencesPermissionEnforcement {
    /// Asks an authorizer.
    pub fn new(authorizer: &Arc<Authorizer>) -> Self {
        Self {
            authorizer: Arc::clone(authorizer),
        }
    }

    fn check(&self, operation: &Operation<'_>) -> Result<(), Status> {
        let old = operation.old.map(meta::owner_references);
        let new = meta::owner_references(&operation.object);
        if !differ(old.unwrap_or_default(), new) {
            return Ok(());
        }
        if operation.verb == Verb::Update {
            self.require(
                operation,
                deletion(operation),
                "cannot set an ownerRef on a resource you can't delete",
            )?;
        }
        self.check_blocking(operation, old.unwrap_or_default(), new)
    }

    fn check_blocking(&self, operation: &Operation<'_>, old: &[Value], new: &[Value]) -> Result<(), Status> {
        let mut blocking = new.iter().filter(|reference| newly_blocks(reference, old)).peekable();
        if blocking.peek().is_none() || self.ask(operation, finalizers("*", "*", "*", "", "*")).is_allowed() {
            return Ok(());
        }
        for reference in blocking {
            let owners = owner_resources(reference).map_err(|why| {
                let (version, kind) = (text(reference, "apiVersion"), text(reference, "kind"));
                operation.forbidden(&format!(
                    "cannot set blockOwnerDeletion in this case \
                     because cannot find RESTMapping for APIVersion {version} Kind {kind}: {why}"
                ))
            })?;
            for owner in owners {
                let namespace = if owner.scope == Scope::Namespaced {
                    operation.namespace
                } else {
                    ""
                };
                let asked = finalizers(
                    owner.group,
                    owner.version,
                    owner.plural,
                    namespace,
                    text(reference, "name"),
                );
                self.require(operation, asked, NOT_FINALIZABLE)?;
            }
        }
        Ok(())
    }

    fn require(&self, operation: &Operation<'_>, attributes: ResourceAttributes, why: &str) -> Result<(), Status> {
        match self.ask(operation, attributes) {
            Decision::Allow(_) => Ok(()),
            // The second is upstream's error, of which there is none.
            refused => Err(operation.forbidden(&format!("{why}: {}, <nil>", refused.reason()))),
        }
    }

    fn ask(&self, operation: &Operation<'_>, attributes: ResourceAttributes) -> Decision {
        self.authorizer
            .authorize(operation.user, &Attributes::Resource(attributes))
    }
}

fn differ(old: &[Value], new: &[Value]) -> bool {
    old.len() != new.len() || old.iter().zip(new).any(|(old, new)| !same(old, new))
}

/// Whether it blocks its owner's deletion, and did not before.
fn newly_blocks(reference: &Value, old: &[Value]) -> bool {
    let blocks = |reference: &Value| reference["blockOwnerDeletion"] == true;
    // As upstream: of several references with one UID, the last counts.
    let before = old
        .iter()
        .rev()
        .find(|before| text(before, "uid") == text(reference, "uid"));
    blocks(reference) && !before.is_some_and(blocks)
}

/// The resources whose objects are of the owner's kind.
fn owner_resources(reference: &Value) -> Result<Vec<&'static Resource>, String> {
    let (api_version, kind) = (text(reference, "apiVersion"), text(reference, "kind"));
    let (group, version) = match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [version] => ("", *version),
        [group, version] => (*group, *version),
        _ => return Err(format!("unexpected GroupVersion string: {api_version}")),
    };
    let is_meant = |row: &&Resource| row.group == group && row.version == version && row.kind == kind;
    let found: Vec<&Resource> = TABLE.iter().filter(is_meant).collect();
    if found.is_empty() {
        return Err(format!(
            "no matches for kind {} in version {}",
            go_quoted(kind),
            go_quoted(api_version)
        ));
    }
    Ok(found)
}

fn deletion(operation: &Operation<'_>) -> ResourceAttributes {
    let resource = operation.resource;
    let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
    ResourceAttributes {
        verb: "delete".into(),
        group: resource.group.into(),
        version: resource.version.into(),
        resource: resource.plural.into(),
        subresource: operation.subresource().into(),
        // A namespace lies in itself.
        namespace: if is_namespace {
            operation.name
        } else {
            operation.namespace
        }
        .into(),
        name: operation.name.into(),
        ..ResourceAttributes::default()
    }
}

fn finalizers(group: &str, version: &str, plural: &str, namespace: &str, name: &str) -> ResourceAttributes {
    ResourceAttributes {
        verb: "update".into(),
        group: group.into(),
        version: version.into(),
        resource: plural.into(),
        subresource: "finalizers".into(),
        namespace: namespace.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    }
}

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    // Old kubelets sent broken references with the status, and the status' strategy keeps them as they are.
    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Validate && operation.verb != Verb::Delete && !operation.is_subresource("", "pods", "status")
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(self.check(operation)))
    }
}
