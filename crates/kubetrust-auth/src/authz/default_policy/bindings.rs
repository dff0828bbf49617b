//! Who has the roles of a new cluster; those of the controllers follow from their names.

use super::DefaultSubject::{Group, ServiceAccount, User};
use super::{DefaultBinding, binding};

/// Of the whole cluster.
pub(super) const CLUSTER_ROLE_BINDINGS: &[DefaultBinding] = &[
    binding("", "cluster-admin", "cluster-admin", &[Group("system:masters")]),
    binding(
        "",
        "system:basic-user",
        "system:basic-user",
        &[Group("system:authenticated")],
    ),
    binding(
        "",
        "system:discovery",
        "system:discovery",
        &[Group("system:authenticated")],
    ),
    binding(
        "",
        "system:kube-controller-manager",
        "system:kube-controller-manager",
        &[User("system:kube-controller-manager")],
    ),
    binding("", "system:kube-dns", "system:kube-dns", &[ServiceAccount("kube-dns")]),
    binding(
        "",
        "system:kube-scheduler",
        "system:kube-scheduler",
        &[User("system:kube-scheduler")],
    ),
    binding(
        "",
        "system:monitoring",
        "system:monitoring",
        &[Group("system:monitoring")],
    ),
    binding("", "system:node", "system:node", &[]),
    binding(
        "",
        "system:node-proxier",
        "system:node-proxier",
        &[User("system:kube-proxy")],
    ),
    binding(
        "",
        "system:public-info-viewer",
        "system:public-info-viewer",
        &[Group("system:authenticated"), Group("system:unauthenticated")],
    ),
    binding(
        "",
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        &[Group("system:serviceaccounts")],
    ),
    binding(
        "",
        "system:volume-scheduler",
        "system:volume-scheduler",
        &[User("system:kube-scheduler")],
    ),
];

/// In `kube-system` and `kube-public`.
pub(super) const ROLE_BINDINGS: &[DefaultBinding] = &[
    binding(
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer")],
    ),
    binding(
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        &[User("system:kube-controller-manager"), User("system:kube-scheduler")],
    ),
    binding(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        &[
            User("system:kube-controller-manager"),
            ServiceAccount("kube-controller-manager"),
            ServiceAccount("leader-election-controller"),
        ],
    ),
    binding(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        &[User("system:kube-scheduler"), ServiceAccount("kube-scheduler")],
    ),
    binding(
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer")],
    ),
    binding(
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        &[ServiceAccount("cloud-provider")],
    ),
    binding(
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        &[ServiceAccount("token-cleaner")],
    ),
];
