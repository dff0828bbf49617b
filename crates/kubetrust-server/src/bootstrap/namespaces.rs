//! The namespaces that every cluster has (`pkg/controlplane/controller/systemnamespaces`).

use kubetrust_api::resource;
use kubetrust_api::status::Status;
use serde_json::json;

use super::New;
use crate::registry::Registry;
use crate::registry::target::Target;

const SYSTEM: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Those that are not there yet.
pub(super) fn missing(registry: &Registry) -> Result<Vec<New>, Status> {
    let resource =
        resource::lookup("", "v1", "namespaces").ok_or_else(|| Status::internal("namespaces are not served"))?;
    let absent = SYSTEM
        .iter()
        .filter(|name| registry.cached(&Target::object(resource, "", name)).is_none());
    let object = |name: &&str| {
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        })
    };
    absent
        .map(|name| New::of("", "v1", "namespaces", object(name)))
        .collect()
}
