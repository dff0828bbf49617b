//! THE table of resources: every built-in type of Kubernetes v1.36 that clients can list, one row each.

use super::{Kept, Resource, Scope, Subresource};

/// A `status` subresource of the same kind.
const fn status(kind: &'static str) -> Subresource {
    Subresource { name: "status", kind, kind_group_version: None, verbs: &["get", "patch", "update"] }
}

/// Every resource that is served.
pub static TABLE: &[Resource] = &[
    Resource {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        scope: Scope::Namespaced,
        kept: Kept::Stored,
        short_names: &["cm"],
        categories: &[],
        subresources: &[],
        storage: "configmaps",
        stored_as: None,
        generation: false,
    },
    Resource {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        scope: Scope::Cluster,
        kept: Kept::Stored,
        short_names: &["ns"],
        categories: &[],
        subresources: &[status("Namespace")],
        storage: "namespaces",
        stored_as: None,
        generation: false,
    },
];
