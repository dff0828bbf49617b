//! Short words for the rows of the table.

use super::{Kept, Resource, Scope, Subresource};

const STORED: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const STORED_ONE_BY_ONE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const OBSERVED: &[&str] = &["get", "list"];
const ANSWERED: &[&str] = &["create"];
const WRITTEN: &[&str] = &["get", "patch", "update"];
const FINALIZED: &[&str] = &["update"];
const READ: &[&str] = &["get"];
const STREAMED: &[&str] = &["create", "get"];
const PROXIED: &[&str] = &["create", "delete", "get", "patch", "update"];

/// A version of a group.
pub(super) struct GroupVersion(pub &'static str, pub &'static str);

impl GroupVersion {
    /// A resource whose objects live in namespaces.
    pub(super) const fn namespaced(&self, kind: &'static str, plural: &'static str) -> Resource {
        self.resource(kind, plural, Scope::Namespaced)
    }

    /// A resource whose objects are the cluster's.
    pub(super) const fn cluster(&self, kind: &'static str, plural: &'static str) -> Resource {
        self.resource(kind, plural, Scope::Cluster)
    }

    const fn resource(&self, kind: &'static str, plural: &'static str, scope: Scope) -> Resource {
        Resource {
            group: self.0,
            version: self.1,
            kind,
            plural,
            scope,
            kept: Kept::Stored,
            verbs: STORED,
            short_names: &[],
            categories: &[],
            subresources: &[],
            storage: plural,
            stored_as: None,
            generation: false,
        }
    }
}

impl Resource {
    /// Answered and forgotten.
    pub(super) const fn answered(mut self) -> Self {
        self.kept = Kept::Answered;
        self.verbs = ANSWERED;
        self
    }

    /// Made up when asked for.
    pub(super) const fn observed(mut self) -> Self {
        self.kept = Kept::Observed;
        self.verbs = OBSERVED;
        self
    }

    /// Never deleted many at once.
    pub(super) const fn one_by_one(mut self) -> Self {
        self.verbs = STORED_ONE_BY_ONE;
        self
    }

    /// With short names.
    pub(super) const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    /// In categories.
    pub(super) const fn categories(mut self, names: &'static [&'static str]) -> Self {
        self.categories = names;
        self
    }

    /// With a generation.
    pub(super) const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    /// With subresources.
    pub(super) const fn sub(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    /// Kept elsewhere than under its plural name.
    pub(super) const fn at(mut self, storage: &'static str) -> Self {
        self.storage = storage;
        self
    }

    /// Stored in another group version.
    pub(super) const fn stored_as(mut self, group_version: &GroupVersion) -> Self {
        self.stored_as = Some((group_version.0, group_version.1));
        self
    }
}

const fn subresource(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource {
        name,
        kind,
        kind_group_version: None,
        verbs,
        connects: false,
    }
}

/// A part of the object that is read and written by itself, `status` and the like.
pub(super) const fn part(name: &'static str, kind: &'static str) -> Subresource {
    subresource(name, kind, WRITTEN)
}

/// `status`.
pub(super) const fn status(kind: &'static str) -> Subresource {
    part("status", kind)
}

/// `scale`: `autoscaling/v1` for all that have replicas.
pub(super) const fn scale() -> Subresource {
    of("autoscaling", part("scale", "Scale"))
}

/// Something that is asked of an object.
pub(super) const fn ask(name: &'static str, kind: &'static str) -> Subresource {
    subresource(name, kind, ANSWERED)
}

/// `finalize`.
pub(super) const fn finalize(kind: &'static str) -> Subresource {
    subresource("finalize", kind, FINALIZED)
}

/// `log`, which gives text and no object.
pub(super) const fn log(kind: &'static str) -> Subresource {
    Subresource {
        connects: true,
        ..subresource("log", kind, READ)
    }
}

/// A stream to and from a pod.
pub(super) const fn stream(name: &'static str, kind: &'static str) -> Subresource {
    Subresource {
        connects: true,
        ..subresource(name, kind, STREAMED)
    }
}

/// `proxy`.
pub(super) const fn proxy(kind: &'static str) -> Subresource {
    Subresource {
        connects: true,
        ..subresource("proxy", kind, PROXIED)
    }
}

/// A subresource whose kind is of version v1 of another group.
pub(super) const fn of(group: &'static str, subresource: Subresource) -> Subresource {
    Subresource {
        kind_group_version: Some((group, "v1")),
        ..subresource
    }
}
