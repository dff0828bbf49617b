//! The API groups, in the order of discovery (`DefaultGenericAPIServicePriorities` and `apiVersionPriorities` of
//! `kube-apiserver`): it decides which group an unqualified name means to kubectl.

/// A group with the versions that are served.
#[derive(Debug)]
pub struct Group {
    /// Its name; empty for the core group.
    pub name: &'static str,
    /// `groupPriorityMinimum` of its API services: the higher, the earlier; equal ones by name.
    pub priority: u32,
    /// Its versions with their `versionPriority`, the preferred first.
    pub versions: &'static [(&'static str, u32)],
}

const fn group(name: &'static str, priority: u32, versions: &'static [(&'static str, u32)]) -> Group {
    Group {
        name,
        priority,
        versions,
    }
}

/// All groups, in order.
///
/// `apiregistration.k8s.io` has no API service of its own; upstream's aggregator puts it before all others.
#[rustfmt::skip]
pub static GROUPS: &[Group] = &[
    group("", 18_000, &[("v1", 1)]),
    group("apiregistration.k8s.io", 20_001, &[("v1", 0)]),
    group("apps", 17_800, &[("v1", 15)]),
    group("events.k8s.io", 17_750, &[("v1", 15)]),
    group("authentication.k8s.io", 17_700, &[("v1", 15)]),
    group("authorization.k8s.io", 17_600, &[("v1", 15)]),
    group("autoscaling", 17_500, &[("v2", 30), ("v1", 15)]),
    group("batch", 17_400, &[("v1", 15)]),
    group("certificates.k8s.io", 17_300, &[("v1", 15)]),
    group("networking.k8s.io", 17_200, &[("v1", 15)]),
    group("policy", 17_100, &[("v1", 15)]),
    group("rbac.authorization.k8s.io", 17_000, &[("v1", 15)]),
    group("storage.k8s.io", 16_800, &[("v1", 15)]),
    group("admissionregistration.k8s.io", 16_700, &[("v1", 15)]),
    group("apiextensions.k8s.io", 16_700, &[("v1", 15)]),
    group("scheduling.k8s.io", 16_600, &[("v1", 15)]),
    group("coordination.k8s.io", 16_500, &[("v1", 15)]),
    group("node.k8s.io", 16_300, &[("v1", 15)]),
    group("discovery.k8s.io", 16_200, &[("v1", 15)]),
    group("resource.k8s.io", 16_200, &[("v1", 21)]),
    group("flowcontrol.apiserver.k8s.io", 16_100, &[("v1", 21)]),
];

/// The group of this name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}
