//! What a kubelet may do with each resource (`plugin/pkg/auth/authorizer/node/node_authorizer.go` of v1.36, with its
//! default feature gates).

use std::borrow::Cow;

use super::graph::{Graph, Kind, Target};
use crate::authz::attributes::{Attributes, ResourceAttributes};
use crate::authz::rbac::Rule;
use crate::authz::rbac::rule::Asked;

/// Where kubelets keep the leases that say they are alive.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Allowed, or why not.
type Verdict = Result<(), Cow<'static, str>>;

type Check = fn(&Graph, &str, &ResourceAttributes) -> Verdict;

/// Resources of which a kubelet gets a part. All others are as [`Rule`]s say.
const SUBDIVIDED: [(&str, &str, Check); 13] = [
    ("", "secrets", |graph, node, asked| {
        read(graph, node, asked, Kind::Secret)
    }),
    ("", "configmaps", |graph, node, asked| {
        read(graph, node, asked, Kind::ConfigMap)
    }),
    ("", "persistentvolumeclaims", claim),
    ("", "persistentvolumes", |graph, node, asked| {
        get(graph, node, asked, Target::Volume)
    }),
    ("", "serviceaccounts", service_account),
    ("", "nodes", node_object),
    ("", "pods", pod),
    ("storage.k8s.io", "volumeattachments", |graph, node, asked| {
        get(graph, node, asked, Target::Attachment)
    }),
    ("storage.k8s.io", "csinodes", csi_node),
    ("resource.k8s.io", "resourceclaims", |graph, node, asked| {
        get(graph, node, asked, Target::Referred(Kind::ResourceClaim))
    }),
    ("resource.k8s.io", "resourceslices", slice),
    ("coordination.k8s.io", "leases", lease),
    // Behind a feature gate that is off in v1.36.
    ("certificates.k8s.io", "podcertificaterequests", |_, _, _| no("")),
];

/// Whether the kubelet of a node may.
pub(super) fn decide(graph: &Graph, rules: &[Rule], node: &str, attributes: &Attributes) -> Verdict {
    if let Attributes::Resource(asked) = attributes {
        let row = SUBDIVIDED
            .iter()
            .find(|row| row.0 == asked.group && row.1 == asked.resource);
        if let Some((_, _, check)) = row {
            return check(graph, node, asked);
        }
    }
    let asked = Asked::from(attributes);
    if rules.iter().any(|rule| rule.allows(&asked)) {
        Ok(())
    } else {
        no("")
    }
}

fn no(reason: impl Into<Cow<'static, str>>) -> Verdict {
    Err(reason.into())
}

/// A single object that concerns the node.
fn related(graph: &Graph, node: &str, asked: &ResourceAttributes, target: Target) -> Verdict {
    if asked.name.is_empty() {
        return no("No Object name found");
    }
    if graph.leads(node, target, &asked.namespace, &asked.name) {
        return Ok(());
    }
    no(format!("no relationship found between node '{node}' and this object"))
}

/// Reading one object, by itself or by a list or watch that names it.
fn read(graph: &Graph, node: &str, asked: &ResourceAttributes, kind: Kind) -> Verdict {
    match asked.verb.as_str() {
        "get" | "list" | "watch" if !asked.subresource.is_empty() => no("cannot read subresource"),
        "get" | "list" | "watch" if asked.namespace.is_empty() => no("can only read namespaced object of this type"),
        "get" | "list" | "watch" => related(graph, node, asked, Target::Referred(kind)),
        _ => no("can only read resources of this type"),
    }
}

/// Reading one object by itself.
fn get(graph: &Graph, node: &str, asked: &ResourceAttributes, target: Target) -> Verdict {
    match (asked.verb.as_str(), asked.subresource.as_str()) {
        ("get", "") => related(graph, node, asked, target),
        ("get", _) => no("cannot get subresource"),
        _ => no("can only get individual resources of this type"),
    }
}

fn claim(graph: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    let target = Target::Referred(Kind::Claim);
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        ("status", "update" | "patch") => related(graph, node, asked, target),
        ("status", _) => no("can only get/update/patch this type"),
        _ => get(graph, node, asked, target),
    }
}

fn service_account(graph: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    match (asked.verb.as_str(), asked.subresource.as_str()) {
        ("get", "") => read(graph, node, asked, Kind::ServiceAccount),
        ("create", _) if asked.name.is_empty() => no("can only create tokens for individual service accounts"),
        ("create", "token") => related(graph, node, asked, Target::Referred(Kind::ServiceAccount)),
        ("create", _) => no("can only create token subresource of serviceaccount"),
        _ => no("can only create tokens for individual service accounts"),
    }
}

/// Admission sees to it that a kubelet creates none but its own; the name is not known here.
fn lease(_: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    match asked.verb.as_str() {
        "get" | "create" | "update" | "patch" | "delete" if asked.namespace != LEASE_NAMESPACE => no(format!(
            "can only access leases in the \"{LEASE_NAMESPACE}\" system namespace"
        )),
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if asked.name == node => Ok(()),
        "get" | "update" | "patch" | "delete" => {
            no("can only access node lease with the same name as the requesting node")
        }
        _ => no("can only get, create, update, patch, or delete a node lease"),
    }
}

/// As with [`lease`].
fn csi_node(_: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    match asked.verb.as_str() {
        "get" | "create" | "update" | "patch" | "delete" if !asked.subresource.is_empty() => {
            no("cannot authorize CSINode subresources")
        }
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if asked.name == node => Ok(()),
        "get" | "update" | "patch" | "delete" => {
            no("can only access CSINode with the same name as the requesting node")
        }
        _ => no("can only get, create, update, patch, or delete a CSINode"),
    }
}

fn slice(graph: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    if !asked.subresource.is_empty() {
        return no("cannot authorize ResourceSlice subresources");
    }
    match asked.verb.as_str() {
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" => related(graph, node, asked, Target::Slice),
        "watch" | "list" | "deletecollection" if asked.selects_only("spec.nodeName", node) => Ok(()),
        "watch" | "list" | "deletecollection" => {
            no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

/// Whose node it is that is written, admission sees.
fn node_object(_: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match asked.name.as_str() {
            own if own == node => Ok(()),
            "" => no(format!("node '{node}' cannot read all nodes, only its own Node object")),
            other => no(format!("node '{node}' cannot read '{other}', only its own Node object")),
        },
        _ => no(""),
    }
}

/// Whose pod it is that is written, admission sees.
fn pod(graph: &Graph, node: &str, asked: &ResourceAttributes) -> Verdict {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        ("", "get") => get(graph, node, asked, Target::Pod),
        ("", "list" | "watch") if asked.selects_only("spec.nodeName", node) => Ok(()),
        ("", "list" | "watch") if !asked.name.is_empty() => related(graph, node, asked, Target::Pod),
        ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
        _ => no(""),
    }
}
