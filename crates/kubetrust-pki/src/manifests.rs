//! What the API server must be told for the cluster's identities to work: bindings, and the bootstrap token.

use std::fmt::Write as _;

use crate::catalog::{BOOTSTRAP_GROUP, BOOTSTRAP_USER};
use crate::spec::{Cluster, Layout};

/// The file of the bootstrap token's Secret.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-token.yaml";
/// The file of the bindings.
pub const RBAC: &str = "rbac.yaml";

/// `ClusterRole`s bound to identities of the catalog (S3). Some of these bindings are defaults of the API server, and
/// stand here all the same so that one file says who may do what.
struct Binding {
    name: &'static str,
    role: &'static str,
    subject: Subject,
    why: &'static str,
}

enum Subject {
    User(&'static str),
    Group(&'static str),
}

use Subject::{Group, User};

const BINDINGS: &[Binding] = &[
    Binding {
        name: "cluster-admin",
        role: "cluster-admin",
        subject: Group("system:masters"),
        why: "the admin of the document's layout, kubeadm's super-admin",
    },
    Binding {
        name: "system:kube-controller-manager",
        role: "system:kube-controller-manager",
        subject: User("system:kube-controller-manager"),
        why: "the controller-manager",
    },
    Binding {
        name: "system:kube-scheduler",
        role: "system:kube-scheduler",
        subject: User("system:kube-scheduler"),
        why: "the scheduler",
    },
    Binding {
        name: "system:node-proxier",
        role: "system:node-proxier",
        subject: User("system:kube-proxy"),
        why: "kube-proxy",
    },
    Binding {
        name: "system:bootstrapper",
        role: "system:node-bootstrapper",
        subject: User(BOOTSTRAP_USER),
        why: "a new kubelet with the token of token.csv may ask for a certificate",
    },
    Binding {
        name: "kubetrust:bootstrappers",
        role: "system:node-bootstrapper",
        subject: Group(BOOTSTRAP_GROUP),
        why: "a new kubelet with a bootstrap token may ask for a certificate",
    },
    Binding {
        name: "kubetrust:node-autoapprove-bootstrap",
        role: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        subject: Group(BOOTSTRAP_GROUP),
        why: "a new kubelet's first certificate is approved by itself",
    },
    Binding {
        name: "kubetrust:node-autoapprove-rotation",
        role: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        subject: Group("system:nodes"),
        why: "a kubelet's renewals are approved by themselves",
    },
    Binding {
        name: "kubetrust:apiserver-kubelet-client",
        role: "system:kubelet-api-admin",
        subject: User("kube-apiserver-kubelet-client"),
        why: "the API server may call the kubelets (logs, exec, port-forward)",
    },
];

const KUBEADM_ADMINS: Binding = Binding {
    name: "kubeadm:cluster-admins",
    role: "cluster-admin",
    subject: Group("kubeadm:cluster-admins"),
    why: "the admin of kubeadm's layout",
};

/// `manifests/rbac.yaml`.
#[must_use]
pub fn rbac(cluster: &Cluster) -> String {
    let mut text =
        String::from("# kubectl apply -f this file, as the admin. Written by kubetrust; changes are overwritten.\n");
    let kubeadm = (cluster.layout == Layout::Kubeadm).then_some(&KUBEADM_ADMINS);
    for Binding {
        name,
        role,
        subject,
        why,
    } in BINDINGS.iter().chain(kubeadm)
    {
        let (kind, subject) = match subject {
            User(user) => ("User", user),
            Group(group) => ("Group", group),
        };
        // Writing to a String never fails.
        let _ = write!(
            text,
            "---\n# {why}\n\
             apiVersion: rbac.authorization.k8s.io/v1\n\
             kind: ClusterRoleBinding\n\
             metadata:\n  name: \"{name}\"\n\
             roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: \"{role}\"\n\
             subjects:\n- apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: \"{subject}\"\n",
        );
    }
    text
}
