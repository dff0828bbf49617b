//! The roles in `kube-system` and `kube-public`.

use super::{DefaultRole, EVENTS, NONE, READ, named, rule};

#[rustfmt::skip] // a line a rule
pub(super) const ROLES: &[DefaultRole] = &[
    DefaultRole { namespace: "kube-public", name: "system:controller:bootstrap-signer", rules: &[
        rule(READ, "core", "configmaps"),
        named("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "extension-apiserver-authentication-reader", rules: &[
        named(READ, "core", "configmaps", "extension-apiserver-authentication"),
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "system::leader-locking-kube-controller-manager", rules: &[
        rule("create get list update watch", "coordination.k8s.io", "leases"),
        rule("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "system::leader-locking-kube-scheduler", rules: &[
        rule("create get list update watch", "coordination.k8s.io", "leases"),
        rule("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "system:controller:bootstrap-signer", rules: &[
        rule(READ, "core", "secrets"),
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "system:controller:cloud-provider", rules: &[
        rule("create get list watch", "core", "configmaps"),
    ], ..NONE },
    DefaultRole { namespace: "kube-system", name: "system:controller:token-cleaner", rules: &[
        rule("delete get list watch", "core", "secrets"),
        EVENTS,
    ], ..NONE },
];
