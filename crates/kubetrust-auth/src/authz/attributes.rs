//! What is asked for, as authorizers see it.

/// A request, without the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something of the API: `/api/v1/namespaces/…`.
    Resource(ResourceAttributes),
    /// Anything else: `/healthz`, `/apis`.
    NonResource {
        /// The method in lower case: `get`, `post`.
        verb: String,
        /// The path, as it was asked for.
        path: String,
    },
}

/// The request for a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceAttributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a special one.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, empty for all or none.
    pub namespace: String,
    /// Name of the object, empty where there is none (create, list).
    pub name: String,
}

impl Attributes {
    /// The verb of either kind.
    pub fn verb(&self) -> &str {
        match self {
            Self::Resource(resource) => &resource.verb,
            Self::NonResource { verb, .. } => verb,
        }
    }
}
