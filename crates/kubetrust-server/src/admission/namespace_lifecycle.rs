//! `NamespaceLifecycle`: nothing is created where there is no namespace, or one that goes, and three namespaces stay
//! (`apiserver/pkg/admission/plugin/namespace/lifecycle`).

use futures_util::future::BoxFuture;
use kubetrust_api::status::{Cause, Status};

use super::objects::Objects;
use super::{Operation, Plugin, Step, Verb};
use crate::registry::Registry;

/// Namespaces that nobody can delete.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin.
#[derive(Debug)]
pub struct NamespaceLifecycle {
    objects: Objects,
}

impl NamespaceLifecycle {
    /// Looks namespaces up in a registry.
    pub fn new(registry: &Registry) -> Self {
        Self {
            objects: Objects::new(registry),
        }
    }

    async fn admit(&self, operation: &Operation<'_>) -> Result<(), Status> {
        if is_namespace(operation) {
            if operation.verb == Verb::Delete && IMMORTAL.contains(&operation.name) {
                return Err(operation.forbidden("this namespace may not be deleted"));
            }
            return Ok(());
        }
        let name = operation.namespace;
        let Some(namespace) = self.objects.find("namespaces", "", name).await? else {
            return Err(Status::not_found("", "namespaces", name));
        };
        if operation.verb == Verb::Create && namespace["status"]["phase"] == "Terminating" {
            return Err(terminating(operation));
        }
        Ok(())
    }
}

fn is_namespace(operation: &Operation<'_>) -> bool {
    operation.resource.group.is_empty() && operation.resource.plural == "namespaces"
}

/// Whether it asks about rights: an answer about the namespace would tell which there are.
fn is_access_review(operation: &Operation<'_>) -> bool {
    operation.resource.group == "authorization.k8s.io" && operation.resource.plural == "localsubjectaccessreviews"
}

fn terminating(operation: &Operation<'_>) -> Status {
    let name = operation.namespace;
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    operation.forbidden(&why).causes(vec![Cause {
        reason: "NamespaceTerminating",
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".into(),
    }])
}

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        let within = !operation.namespace.is_empty() && operation.verb != Verb::Delete && !is_access_review(operation);
        step == Step::Admit && (within || is_namespace(operation))
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.admit(operation))
    }
}
