//! What is the node's by its name: its lease, its drivers, its slices of devices, its certificates.

use kubetrust_api::status::Status;

use super::Asked;
use crate::admission::Verb;
use crate::admission::certificates::{KUBELET_CLIENT, KUBELET_SERVING, requested};
use crate::admission::fields::text;

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";

pub(super) fn lease(asked: Asked<'_>) -> Result<(), Status> {
    if asked.operation.namespace != LEASES {
        return Err(asked.forbidden(&format!("can only access leases in the \"{LEASES}\" system namespace")));
    }
    named_as_the_node(
        asked,
        "can only access node lease with the same name as the requesting node",
    )
}

pub(super) fn csi_node(asked: Asked<'_>) -> Result<(), Status> {
    named_as_the_node(
        asked,
        "can only access CSINode with the same name as the requesting node",
    )
}

fn named_as_the_node(asked: Asked<'_>, why: &str) -> Result<(), Status> {
    if asked.operation.known_name() == asked.node {
        Ok(())
    } else {
        Err(asked.forbidden(why))
    }
}

pub(super) fn resource_slice(asked: Asked<'_>) -> Result<(), Status> {
    let (slice, verb) = match asked.operation.verb {
        Verb::Create => (Some(&asked.operation.object), "create"),
        Verb::Delete => (asked.operation.old, "delete"),
        // Whose it is, which can't change, is the node authorizer's to see.
        Verb::Update => return Ok(()),
    };
    if slice.is_some_and(|slice| text(&slice["spec"], "nodeName") == asked.node) {
        return Ok(());
    }
    Err(asked.forbidden(&format!(
        "can only {verb} ResourceSlice with the same NodeName as the requesting node"
    )))
}

pub(super) fn signing_request(asked: Asked<'_>) -> Result<(), Status> {
    let spec = &asked.operation.object["spec"];
    let for_a_kubelet = [KUBELET_CLIENT, KUBELET_SERVING].contains(&text(spec, "signerName"));
    if asked.operation.verb != Verb::Create || !for_a_kubelet {
        return Ok(());
    }
    let requested = requested(spec).map_err(|why| asked.forbidden(&format!("unable to parse csr: {why}")))?;
    let own = format!("system:node:{}", asked.node);
    if requested.common_name == own {
        return Ok(());
    }
    Err(asked.forbidden(&format!("can only create a node CSR with CN={own}")))
}
