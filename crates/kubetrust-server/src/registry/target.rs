//! What a request is about: a resource, and maybe one object of it.

use bytes::Bytes;
use kubetrust_api::resource::{self, Resource, Scope, Subresource};
use kubetrust_api::status::Status;
use kubetrust_auth::authz::attributes::ResourceAttributes;

/// A resource with a namespace and a name.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resource, in the group version that was asked for.
    pub resource: &'static Resource,
    /// The subresource.
    pub subresource: Option<&'static Subresource>,
    /// The namespace; empty for all of them, and for cluster-scoped resources.
    pub namespace: String,
    /// The object; empty for all of them.
    pub name: String,
}

impl Target {
    /// What these attributes name; 404 if nothing is served there.
    pub fn of(attributes: &ResourceAttributes) -> Result<Self, Status> {
        let found = resource::lookup(&attributes.group, &attributes.version, &attributes.resource);
        let resource = found.ok_or_else(Status::no_such_path)?;
        let subresource = match attributes.subresource.as_str() {
            "" => None,
            name => Some(resource.subresource(name).ok_or_else(Status::no_such_path)?),
        };
        let namespace = match resource.scope {
            Scope::Namespaced => attributes.namespace.clone(),
            // The namespace of a request for a namespace is its name.
            Scope::Cluster if attributes.resource == "namespaces" => String::new(),
            Scope::Cluster if !attributes.namespace.is_empty() => return Err(Status::no_such_path()),
            Scope::Cluster => String::new(),
        };
        if resource.scope == Scope::Namespaced
            && namespace.is_empty()
            && !attributes.name.is_empty()
            && attributes.verb == "get"
        {
            return Err(Status::no_such_path());
        }
        Ok(Self {
            resource,
            subresource,
            namespace,
            name: attributes.name.clone(),
        })
    }

    /// An object of a resource.
    #[must_use]
    pub fn object(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            subresource: None,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of the object.
    #[must_use]
    pub fn key(&self, root: &[u8]) -> Bytes {
        let mut key = self.prefix(root);
        key.extend_from_slice(self.name.as_bytes());
        key.into()
    }

    /// Where the keys of all objects that it names begin.
    #[must_use]
    pub fn prefix(&self, root: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(96);
        key.extend_from_slice(root);
        key.extend_from_slice(self.resource.storage.as_bytes());
        key.push(b'/');
        if !self.namespace.is_empty() {
            key.extend_from_slice(self.namespace.as_bytes());
            key.push(b'/');
        }
        key
    }

    /// 404 for the object.
    #[must_use]
    pub fn not_found(&self) -> Status {
        Status::not_found(self.resource.group, self.resource.plural, &self.name)
    }

    /// 409 for the object.
    #[must_use]
    pub fn conflict(&self, why: &str) -> Status {
        Status::conflict(self.resource.group, self.resource.plural, &self.name, why)
    }
}
