//! The node itself.

use kubetrust_api::meta;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;

use super::{Asked, labels};
use crate::admission::Verb;
use crate::admission::fields::same;

pub(super) fn check(asked: Asked<'_>) -> Result<(), Status> {
    let operation = asked.operation;
    if operation.name != asked.node {
        let (node, other) = (asked.quoted(), go_quoted(operation.name));
        return Err(asked.forbidden(&format!("node {node} is not allowed to modify node {other}")));
    }
    match (operation.verb, operation.old) {
        (Verb::Create, _) => create(asked),
        (Verb::Update, Some(_)) => update(asked),
        (Verb::Update, None) => Err(asked.unexpected()),
        (Verb::Delete, _) => Ok(()),
    }
}

fn create(asked: Asked<'_>) -> Result<(), Status> {
    let (new, node) = (&asked.operation.object, asked.quoted());
    // What a node's spec refers to, the node can read.
    if !new["spec"]["configSource"].is_null() {
        return Err(asked.forbidden(&format!(
            "node {node} is not allowed to create pods with a non-nil configSource"
        )));
    }
    match labels::forbidden_changes(meta::labels(new), None).as_slice() {
        [] => Ok(()),
        labels => Err(asked.forbidden(&format!(
            "node {node} is not allowed to set the following labels: {}",
            labels.join(", ")
        ))),
    }
}

fn update(asked: Asked<'_>) -> Result<(), Status> {
    let (new, node) = (&asked.operation.object, asked.quoted());
    let old = asked.operation.old.unwrap_or(&serde_json::Value::Null);
    let source = &new["spec"]["configSource"];
    let rules = [
        (
            !source.is_null() && *source != old["spec"]["configSource"],
            "update configSource to a new non-nil configSource",
        ),
        // Taints keep away what is not to run there.
        (!same(&new["spec"]["taints"], &old["spec"]["taints"]), "modify taints"),
        (
            !same(&new["metadata"]["ownerReferences"], &old["metadata"]["ownerReferences"]),
            "modify ownerReferences",
        ),
    ];
    if let Some((_, what)) = rules.into_iter().find(|(broken, _)| *broken) {
        return Err(asked.forbidden(&format!("node {node} is not allowed to {what}")));
    }
    match labels::forbidden_changes(meta::labels(new), meta::labels(old)).as_slice() {
        [] => Ok(()),
        labels => Err(asked.forbidden(&format!("is not allowed to modify labels: {}", labels.join(", ")))),
    }
}
