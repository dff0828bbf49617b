//! Pods: those that run on the node, and mirrors of what the kubelet runs from files.

use kubetrust_api::meta;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use serde_json::Value;

use super::Asked;
use crate::admission::fields::{each, same, text};
use crate::admission::{Verb, pod};

pub(super) async fn whole(asked: Asked<'_>) -> Result<(), Status> {
    let node = asked.quoted();
    match asked.operation.verb {
        Verb::Create => create(asked).await,
        Verb::Delete if asked.operation.old.is_some_and(|pod| pod::node(pod) == asked.node) => Ok(()),
        Verb::Delete => Err(asked.forbidden(&format!(
            "node {node} can only delete pods with spec.nodeName set to itself"
        ))),
        Verb::Update => Err(asked.forbidden(&format!(
            "unexpected operation {}, node {node} can only create and delete mirror pods",
            go_quoted(asked.operation.verb.name())
        ))),
    }
}

async fn create(asked: Asked<'_>) -> Result<(), Status> {
    let (object, node) = (&asked.operation.object, asked.quoted());
    if !pod::is_mirror(object) {
        return Err(asked.forbidden(&format!(
            "pod does not have {} annotation, node {node} can only create mirror pods",
            go_quoted(pod::MIRROR)
        )));
    }
    if pod::node(object) != asked.node {
        return Err(asked.forbidden(&format!(
            "node {node} can only create pods with spec.nodeName set to itself"
        )));
    }
    check_owner(asked).await?;
    match pod::reference(object) {
        Ok(None) => Ok(()),
        Ok(Some(resource)) => {
            Err(asked.forbidden(&format!("node {node} can not create pods that reference {resource}")))
        }
        Err(why) => Err(asked.forbidden(&format!("error checking mirror pod for API references: {why}"))),
    }
}

/// The one owner is the node, so that the pod goes when the node does.
async fn check_owner(asked: Asked<'_>) -> Result<(), Status> {
    let node = asked.quoted();
    let refused = |why: &str| asked.forbidden(&format!("node {node} {why}"));
    let owner = match meta::owner_references(&asked.operation.object) {
        [] => return Err(refused("can only create pods with an owner reference set to itself")),
        [owner] => owner,
        _ => {
            return Err(refused(
                "can only create pods with a single owner reference set to itself",
            ));
        }
    };
    if [text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name")] != ["v1", "Node", asked.node] {
        return Err(refused("can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return Err(refused(
            "can only create pods with a controller owner reference set to itself",
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return Err(refused("must not set blockOwnerDeletion on an owner reference"));
    }
    let Some(found) = asked.objects.find("minions", "", asked.node).await? else {
        return Err(Status::not_found("", "node", asked.node));
    };
    let (claimed, uid) = (text(owner, "uid"), meta::uid(&found));
    if claimed != uid {
        // Expected and got stand the wrong way round upstream, and so here.
        return Err(asked.forbidden(&format!(
            "node {} UID mismatch: expected {claimed} got {uid}",
            asked.node
        )));
    }
    Ok(())
}

pub(super) fn status(asked: Asked<'_>) -> Result<(), Status> {
    let (new, node) = (&asked.operation.object, asked.quoted());
    let (Verb::Update, Some(old)) = (asked.operation.verb, asked.operation.old) else {
        return Err(asked.unexpected());
    };
    if pod::node(old) != asked.node {
        return Err(asked.forbidden(&format!(
            "node {node} can only update pod status for pods with spec.nodeName set to itself"
        )));
    }
    if !same(&old["metadata"]["labels"], &new["metadata"]["labels"]) {
        return Err(asked.forbidden(&format!("node {node} cannot update labels through pod status")));
    }
    let claims = |pod: &Value| -> Vec<[Value; 2]> {
        let statuses = each(&pod["status"], "resourceClaimStatuses");
        statuses
            .map(|status| [status["name"].clone(), status["resourceClaimName"].clone()])
            .collect()
    };
    if claims(old) != claims(new) {
        return Err(asked.forbidden(&format!("node {node} cannot update resource claim statues")));
    }
    if old["status"]["extendedResourceClaimStatus"] != new["status"]["extendedResourceClaimStatus"] {
        return Err(asked.forbidden(&format!("node {node} cannot update extended resource claim status")));
    }
    Ok(())
}

pub(super) async fn eviction(asked: Asked<'_>) -> Result<(), Status> {
    let operation = asked.operation;
    if operation.verb != Verb::Create {
        return Err(asked.forbidden(&format!("unexpected operation {}", operation.verb.name())));
    }
    let names = [operation.name, meta::name(&operation.object)];
    let Some(name) = names.into_iter().find(|name| !name.is_empty()) else {
        return Err(asked.forbidden("could not determine pod from request data"));
    };
    let Some(pod) = asked.objects.find("pods", operation.namespace, name).await? else {
        return Err(Status::not_found("", "pod", name));
    };
    if pod::node(&pod) != asked.node {
        let why = format!(
            "node {} can only evict pods with spec.nodeName set to itself",
            asked.node
        );
        return Err(asked.forbidden(&why));
    }
    Ok(())
}
