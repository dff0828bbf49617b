//! Who has the roles of a new cluster; those of the controllers follow from their names.

use super::DefaultSubject::{Group, ServiceAccount, User};
use super::{DefaultBinding, cluster, inside};

/// Of the whole cluster, each named as its role. Nobody has `system:node`: kubelets have the node authorizer.
pub(super) const CLUSTER_ROLE_BINDINGS: &[DefaultBinding] = &[
    cluster("cluster-admin", &[Group("system:masters")]),
    cluster("system:basic-user", &[Group("system:authenticated")]),
    cluster("system:discovery", &[Group("system:authenticated")]),
    cluster(
        "system:kube-controller-manager",
        &[User("system:kube-controller-manager")],
    ),
    cluster("system:kube-dns", &[ServiceAccount("kube-dns")]),
    cluster("system:kube-scheduler", &[User("system:kube-scheduler")]),
    cluster("system:monitoring", &[Group("system:monitoring")]),
    cluster("system:node", &[]),
    cluster("system:node-proxier", &[User("system:kube-proxy")]),
    cluster(
        "system:public-info-viewer",
        &[Group("system:authenticated"), Group("system:unauthenticated")],
    ),
    cluster(
        "system:service-account-issuer-discovery",
        &[Group("system:serviceaccounts")],
    ),
    cluster("system:volume-scheduler", &[User("system:kube-scheduler")]),
];

/// In `kube-system` and `kube-public`, each named as its role but for one.
pub(super) const ROLE_BINDINGS: &[DefaultBinding] = &[
    inside(
        "kube-public",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer")],
    ),
    DefaultBinding {
        name: "system::extension-apiserver-authentication-reader",
        ..inside(
            "kube-system",
            "extension-apiserver-authentication-reader",
            &[User("system:kube-controller-manager"), User("system:kube-scheduler")],
        )
    },
    inside(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[
            User("system:kube-controller-manager"),
            ServiceAccount("kube-controller-manager"),
            ServiceAccount("leader-election-controller"),
        ],
    ),
    inside(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[User("system:kube-scheduler"), ServiceAccount("kube-scheduler")],
    ),
    inside(
        "kube-system",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer")],
    ),
    inside(
        "kube-system",
        "system:controller:cloud-provider",
        &[ServiceAccount("cloud-provider")],
    ),
    inside(
        "kube-system",
        "system:controller:token-cleaner",
        &[ServiceAccount("token-cleaner")],
    ),
];
