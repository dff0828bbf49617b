//! `NodeRestriction`: what a kubelet may write of what the node authorizer lets it write: its own node, what runs on
//! it, and nothing that draws more onto it (`plugin/pkg/admission/noderestriction` of v1.36, with its default gates).

mod by_name;
mod claims;
mod labels;
mod nodes;
mod pods;
mod tokens;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use kubetrust_auth::authz::Authorizer;
use kubetrust_auth::user::{NODE_PREFIX, NODES};

use super::objects::Objects;
use super::{Operation, Plugin, Step};
use crate::registry::Registry;

/// The plugin.
#[derive(Debug)]
pub struct NodeRestriction {
    objects: Objects,
    authorizer: Arc<Authorizer>,
}

/// A kubelet and what it wants to write.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// The name of its node.
    node: &'a str,
    operation: &'a Operation<'a>,
    objects: &'a Objects,
    authorizer: &'a Authorizer,
}

impl NodeRestriction {
    /// Looks pods, nodes and volumes up in a registry, and asks the authorizer about audiences.
    pub fn new(registry: &Registry, authorizer: &Arc<Authorizer>) -> Self {
        Self {
            objects: Objects::new(registry),
            authorizer: Arc::clone(authorizer),
        }
    }

    async fn admit(&self, operation: &Operation<'_>) -> Result<(), Status> {
        let user = operation.user;
        let Some(node) = user.node() else {
            if user.name == NODE_PREFIX {
                let who = go_quoted(&user.name);
                return Err(operation.forbidden(&format!("could not determine node from user {who}")));
            }
            return Ok(());
        };
        let asked = Asked {
            node,
            operation,
            objects: &self.objects,
            authorizer: &self.authorizer,
        };
        match (
            operation.resource.group,
            operation.resource.plural,
            operation.subresource(),
        ) {
            ("", "pods", "") => pods::whole(asked).await,
            ("", "pods", "status") => pods::status(asked),
            ("", "pods", "eviction") => pods::eviction(asked).await,
            ("", "pods", other) => Err(asked.forbidden(&format!(
                "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                go_quoted(other)
            ))),
            ("", "nodes", _) => nodes::check(asked),
            ("", "persistentvolumeclaims", "status") => claims::status(asked),
            ("", "persistentvolumeclaims", _) => Err(asked.forbidden("may only update PVC status")),
            ("", "serviceaccounts", "token") => tokens::request(asked).await,
            ("coordination.k8s.io", "leases", _) => by_name::lease(asked),
            ("storage.k8s.io", "csinodes", _) => by_name::csi_node(asked),
            ("resource.k8s.io", "resourceslices", _) => by_name::resource_slice(asked),
            ("certificates.k8s.io", "certificatesigningrequests", _) => by_name::signing_request(asked),
            _ => Ok(()),
        }
    }
}

impl Asked<'_> {
    fn forbidden(&self, why: &str) -> Status {
        self.operation.forbidden(why)
    }

    /// The node as messages show it.
    fn quoted(&self) -> String {
        go_quoted(self.node)
    }

    /// For a verb that makes no sense there.
    fn unexpected(&self) -> Status {
        self.forbidden(&format!(
            "unexpected operation {}",
            go_quoted(self.operation.verb.name())
        ))
    }
}

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Admit && operation.user.in_group(NODES)
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.admit(operation))
    }
}
