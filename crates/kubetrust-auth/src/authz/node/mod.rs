//! What a kubelet may: what concerns its own node and the pods on it (`plugin/pkg/auth/authorizer/node`).
//!
//! ```text
//! node ← pod ← secret, config map, service account, resource claim
//!        pod ← claim (PVC) ← volume (PV) ← secret
//! node ← volume attachment, resource slice
//! ```

mod decide;
mod graph;
mod references;

use parking_lot::RwLock;
use serde_json::Value;

use super::Decision;
use super::attributes::Attributes;
use super::rbac::{Rule, Rules};
use crate::authz::default_policy;
use crate::authz::quote::quote;
use crate::user::{NODE_PREFIX, NODES, User};
use graph::Graph;
pub use references::GraphError;

/// The node authorizer.
#[derive(Debug)]
pub struct Node {
    graph: RwLock<Graph>,
    /// What every kubelet may, where nothing subdivides it.
    rules: Vec<Rule>,
}

/// Which kubelets may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nodes {
    /// None.
    #[default]
    None,
    /// These, by name of their nodes.
    Some(Vec<String>),
    /// Each.
    All,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            graph: RwLock::default(),
            rules: default_policy::node_rules(),
        }
    }
}

impl Node {
    /// Allows a kubelet, or has no opinion.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        match user.node() {
            Some(node) => match decide::decide(&self.graph.read(), &self.rules, node, attributes) {
                Ok(()) => Decision::Allow("".into()),
                Err(reason) => Decision::NoOpinion(reason),
            },
            None if user.name == NODE_PREFIX && user.in_group(NODES) => {
                Decision::NoOpinion(format!("unknown node for user {}", quote(&user.name)).into())
            }
            None => Decision::NoOpinion("".into()),
        }
    }

    /// Says only that a kubelet's rights are not listed.
    pub fn rules_for(&self, user: &User) -> Rules {
        if !(user.name.starts_with(NODE_PREFIX) && user.in_group(NODES)) {
            return Rules::default();
        }
        Rules {
            incomplete: true,
            evaluation_error: "node authorizer does not support user rule resolution".into(),
            ..Rules::default()
        }
    }

    /// Which kubelets may, among those that have something on their nodes or are named by the question.
    pub fn who_can(&self, attributes: &Attributes) -> Nodes {
        let graph = self.graph.read();
        let may = |node: &str| decide::decide(&graph, &self.rules, node, attributes).is_ok();
        // A name that no node can have: whoever allows it allows all.
        if may("\0") {
            return Nodes::All;
        }
        let mut names = graph.nodes();
        if let Attributes::Resource(asked) = attributes {
            names.insert(asked.name.clone());
            names.extend(asked.field_selector.iter().flat_map(|each| each.values.iter().cloned()));
        }
        names.retain(|node| !node.is_empty() && may(node));
        if names.is_empty() {
            Nodes::None
        } else {
            Nodes::Some(names.into_iter().collect())
        }
    }

    /// Takes in an object, new or changed, and says whether it is of a resource that matters here.
    pub fn put(&self, group: &str, plural: &str, object: &Value) -> Result<bool, GraphError> {
        let Some(feed) = references::read(group, plural, object)? else {
            return Ok(false);
        };
        self.graph.write().put(feed);
        Ok(true)
    }

    /// Forgets an object, and says whether it was of a resource that matters here.
    pub fn delete(&self, group: &str, plural: &str, namespace: &str, name: &str) -> bool {
        self.graph.write().delete(group, plural, namespace, name)
    }
}
