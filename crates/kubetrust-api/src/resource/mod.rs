//! What a resource is. [`table`] is the one list of all of them, [`groups`] the one of their groups.

mod build;
pub mod groups;
pub mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use groups::GROUPS;
pub use table::TABLE;

/// Whether the objects of a resource live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Under `/namespaces/NAMESPACE/`.
    Namespaced,
    /// At the root of the group version.
    Cluster,
}

/// What can be done to the objects of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Stored: create, delete, deletecollection, get, list, patch, update, watch.
    Stored,
    /// Answered and forgotten, as reviews are: create only.
    Answered,
    /// Made up when asked for, as component statuses are: get and list only.
    Observed,
}

/// Resources that are served and not to be used any more, by group, version and plural, with the warning that whoever
/// asks for them gets (`k8s.io/apiserver/pkg/endpoints/deprecation`, `zz_generated.prerelease-lifecycle.go`). None of
/// them is to go in a release that is known.
const DEPRECATED: [(&str, &str, &str, &str); 2] = [
    (
        "",
        "v1",
        "componentstatuses",
        "v1 ComponentStatus is deprecated in v1.19+",
    ),
    (
        "",
        "v1",
        "endpoints",
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
];

/// One row of the registry: a resource of one group version.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Kind of its objects.
    pub kind: &'static str,
    /// Plural name, as paths and RBAC rules spell it.
    pub plural: &'static str,
    /// Namespaced or not.
    pub scope: Scope,
    /// Stored or only answered.
    pub kept: Kept,
    /// Verbs that discovery lists for it, sorted.
    pub verbs: &'static [&'static str],
    /// Short names, as `kubectl get po`.
    pub short_names: &'static [&'static str],
    /// Categories, as `kubectl get all`.
    pub categories: &'static [&'static str],
    /// Subresources that are served, `status` and `approval` and the like; sorted by name.
    pub subresources: &'static [Subresource],
    /// Path under `/registry/` that real API servers keep its objects at: `pods`, `services/specs`, `minions`.
    pub storage: &'static str,
    /// The group version that objects are stored in, where it is not this one.
    pub stored_as: Option<(&'static str, &'static str)>,
    /// Whether `metadata.generation` counts the changes of what users write.
    pub generation: bool,
}

/// One subresource of a [`Resource`].
#[derive(Clone, Copy, Debug)]
pub struct Subresource {
    /// Its path segment: `status`, `scale`, `token`.
    pub name: &'static str,
    /// Kind that it takes and gives.
    pub kind: &'static str,
    /// Group version of that kind, where it is not the resource's.
    pub kind_group_version: Option<(&'static str, &'static str)>,
    /// Verbs that discovery lists for it, sorted.
    pub verbs: &'static [&'static str],
    /// It opens a connection to a kubelet, a pod or a service: any method, and the kind is that of its query.
    pub connects: bool,
}

impl Resource {
    /// The warning to whoever asks for what is not to be used any more.
    #[must_use]
    pub fn deprecation(&self) -> Option<&'static str> {
        let found = DEPRECATED
            .iter()
            .find(|(group, version, plural, _)| (self.group, self.version, self.plural) == (*group, *version, *plural));
        found.map(|(.., warning)| *warning)
    }

    /// `v1` or `apps/v1`: what stands in `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// `pods` or `deployments.apps`: how messages name it.
    #[must_use]
    pub fn qualified(&self) -> String {
        qualified(self.group, self.plural)
    }

    /// Singular name, for discovery: the kind in lower case, as all built-in ones have it.
    #[must_use]
    pub fn singular(&self) -> String {
        self.kind.to_ascii_lowercase()
    }

    /// The subresource of this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// Group, version, and plural name or kind.
type Key = (&'static str, &'static str, &'static str);

/// The resource at this group, version and plural name.
#[must_use]
pub fn lookup(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    static BY_PLURAL: LazyLock<HashMap<Key, &Resource>> = LazyLock::new(|| {
        TABLE
            .iter()
            .map(|row| ((row.group, row.version, row.plural), row))
            .collect()
    });
    BY_PLURAL.get(&(group, version, plural)).copied()
}

/// The resource whose objects are of this group, version and kind.
#[must_use]
pub fn of_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    static BY_KIND: LazyLock<HashMap<Key, &Resource>> = LazyLock::new(|| {
        TABLE
            .iter()
            .map(|row| ((row.group, row.version, row.kind), row))
            .collect()
    });
    BY_KIND.get(&(group, version, kind)).copied()
}

/// The resources of a group version, by name.
pub fn of_group_version(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    TABLE
        .iter()
        .filter(move |row| row.group == group && row.version == version)
}

/// `v1` for the core group, `GROUP/VERSION` else.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `PLURAL` for the core group, `PLURAL.GROUP` else.
#[must_use]
pub fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
