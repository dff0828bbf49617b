//! Nodes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::print::view::{NONE, View, or, text};

/// `Ready`, `NotReady` or `Unknown`, and whether it takes no pods.
pub(crate) fn status(view: &View<'_>) -> Value {
    let ready = match view
        .list("status.conditions")
        .iter()
        .rfind(|condition| text(condition, "type") == "Ready")
    {
        Some(condition) if text(condition, "status") == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if view.is("spec.unschedulable") {
        format!("{ready},SchedulingDisabled").into()
    } else {
        ready.into()
    }
}

/// The roles that its labels name.
pub(crate) fn roles(view: &View<'_>) -> Value {
    let labels = view.at("metadata.labels").as_object();
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    or(&roles.into_iter().collect::<Vec<_>>().join(","), NONE).into()
}

/// Its first address within the cluster.
pub(crate) fn internal_ip(view: &View<'_>) -> Value {
    address(view, "InternalIP")
}

/// Its first address from outside.
pub(crate) fn external_ip(view: &View<'_>) -> Value {
    address(view, "ExternalIP")
}

fn address(view: &View<'_>, kind: &str) -> Value {
    let found = view
        .list("status.addresses")
        .iter()
        .find(|address| text(address, "type") == kind);
    found.map_or(NONE, |address| text(address, "address")).into()
}

/// The kernel, and the architecture.
pub(crate) fn kernel(view: &View<'_>) -> Value {
    let kernel = view.text_or("status.nodeInfo.kernelVersion", "<unknown>");
    match view.text("status.nodeInfo.architecture") {
        "" => kernel.into(),
        architecture => format!("{kernel} ({architecture})").into(),
    }
}
