//! The table. Adding a certificate to Kubernetes means adding a row here.
//!
//! Sources: S1–S16 of the document; kubeadm v1.36, `cmd/kubeadm/app/phases/certs/certlist.go` and
//! `phases/kubeconfig/kubeconfig.go`; the flags of etcd 3.5 and of Kubernetes v1.36's components.

use super::Component::{ApiServer, ControllerManager, Etcd, KubeProxy, Kubelet, Scheduler};
use super::{
    CommonName as Cn, File, Holder, KubeconfigUser, Part, PerLayout, Reader, Row, SanSource as San, Server, Signer,
    What,
};
use crate::profile::Usages;
use crate::spec::Authority;

/// A certificate and its key: the paths without `.crt` and `.key`, the document's first.
macro_rules! pair {
    ($document:literal, $kubeadm:literal, $holder:expr, $certificate_readers:expr, $key_readers:expr) => {
        PerLayout {
            document: &[
                file(
                    concat!($document, ".crt"),
                    Part::Certificate,
                    $holder,
                    $certificate_readers,
                ),
                file(concat!($document, ".key"), Part::Key, $holder, $key_readers),
            ],
            kubeadm: &[
                file(
                    concat!($kubeadm, ".crt"),
                    Part::Certificate,
                    $holder,
                    $certificate_readers,
                ),
                file(concat!($kubeadm, ".key"), Part::Key, $holder, $key_readers),
            ],
        }
    };
}

/// A kubeconfig that carries or names its user's certificate; the document's path first.
macro_rules! kubeconfig {
    ($document:literal, $kubeadm:literal, $holder:expr, $user:expr, $readers:expr) => {
        PerLayout {
            document: &[file($document, Part::Kubeconfig($user), $holder, $readers)],
            kubeadm: &[file($kubeadm, Part::Kubeconfig($user), $holder, $readers)],
        }
    };
}

const NO_SANS: &[San] = &[];
const HOST_SANS: &[San] = &[San::HostNames, San::HostAddresses, San::Loopback];
const NO_READERS: &[Reader] = &[];

/// The rows in order: whoever signs stands above what it signs.
pub const ROWS: &[Row] = &[
    Row {
        name: "etcd-ca",
        what: What::Authority {
            authority: Authority::Etcd,
            common_name: "etcd-ca",
        },
        files: PerLayout {
            document: &[
                file(
                    "etcd/pki/ca.crt",
                    Part::Certificate,
                    Holder::EtcdOrControlPlane,
                    ETCD_CA_READERS,
                ),
                file("etcd/pki/ca.key", Part::Key, Holder::CaKey(Authority::Etcd), NO_READERS),
                file(
                    "etcd/pki/ca.srl",
                    Part::Serial,
                    Holder::CaKey(Authority::Etcd),
                    NO_READERS,
                ),
            ],
            kubeadm: &[
                file(
                    "kubernetes/pki/etcd/ca.crt",
                    Part::Certificate,
                    Holder::EtcdOrControlPlane,
                    ETCD_CA_READERS,
                ),
                file(
                    "kubernetes/pki/etcd/ca.key",
                    Part::Key,
                    Holder::CaKey(Authority::Etcd),
                    NO_READERS,
                ),
            ],
        },
    },
    Row {
        name: "kubernetes-ca",
        what: What::Authority {
            authority: Authority::Kubernetes,
            common_name: "kubernetes",
        },
        files: PerLayout {
            document: &[
                file(
                    "kubernetes/pki/ca.crt",
                    Part::Certificate,
                    Holder::Kubernetes,
                    CLUSTER_CA_READERS,
                ),
                file(
                    "kubernetes/pki/ca.key",
                    Part::Key,
                    Holder::CaKey(Authority::Kubernetes),
                    SIGNING_KEY_READERS,
                ),
                file(
                    "kubernetes/pki/ca.srl",
                    Part::Serial,
                    Holder::CaKey(Authority::Kubernetes),
                    NO_READERS,
                ),
            ],
            kubeadm: &[
                file(
                    "kubernetes/pki/ca.crt",
                    Part::Certificate,
                    Holder::Kubernetes,
                    CLUSTER_CA_READERS,
                ),
                file(
                    "kubernetes/pki/ca.key",
                    Part::Key,
                    Holder::CaKey(Authority::Kubernetes),
                    SIGNING_KEY_READERS,
                ),
            ],
        },
    },
    Row {
        name: "front-proxy-ca",
        what: What::Authority {
            authority: Authority::FrontProxy,
            common_name: "front-proxy-ca",
        },
        files: PerLayout {
            document: &[
                file(
                    "kubernetes/pki/front-proxy-ca.crt",
                    Part::Certificate,
                    Holder::ControlPlane,
                    FRONT_PROXY_CA_READERS,
                ),
                file(
                    "kubernetes/pki/front-proxy-ca.key",
                    Part::Key,
                    Holder::CaKey(Authority::FrontProxy),
                    NO_READERS,
                ),
                file(
                    "kubernetes/pki/front-proxy-ca.srl",
                    Part::Serial,
                    Holder::CaKey(Authority::FrontProxy),
                    NO_READERS,
                ),
            ],
            kubeadm: &[
                file(
                    "kubernetes/pki/front-proxy-ca.crt",
                    Part::Certificate,
                    Holder::ControlPlane,
                    FRONT_PROXY_CA_READERS,
                ),
                file(
                    "kubernetes/pki/front-proxy-ca.key",
                    Part::Key,
                    Holder::CaKey(Authority::FrontProxy),
                    NO_READERS,
                ),
            ],
        },
    },
    Row {
        // S7: one for each kubelet, under the cluster CA. Its key never leaves `authority/`, and the certificate
        // travels as part of the serving certificate's chain, so that no host has a file of it.
        name: "kubelet-ca",
        what: What::KubeletAuthority,
        files: PerLayout {
            document: &[],
            kubeadm: &[],
        },
    },
    Row {
        name: "etcd-server",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Etcd),
            common_name: both(Cn::HostName),
            organization: both(None),
            sans: HOST_SANS,
            // kubeadm's server certificate is a client too, for etcd's own gRPC gateway and its health check.
            usages: PerLayout {
                document: Usages::Server,
                kubeadm: Usages::ServerAndClient,
            },
        },
        files: pair!(
            "etcd/pki/server",
            "kubernetes/pki/etcd/server",
            Holder::Etcd,
            &[reader(Etcd, "cert-file")],
            &[reader(Etcd, "key-file")]
        ),
    },
    Row {
        name: "etcd-peer",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Etcd),
            common_name: both(Cn::HostName),
            organization: both(None),
            sans: &[
                San::HostNames,
                San::HostAddresses,
                San::Loopback,
                San::Confined("peer.etcd"),
            ],
            usages: both(Usages::ServerAndClient),
        },
        files: pair!(
            "etcd/pki/peer",
            "kubernetes/pki/etcd/peer",
            Holder::Etcd,
            &[reader(Etcd, "peer-cert-file")],
            &[reader(Etcd, "peer-key-file")]
        ),
    },
    Row {
        name: "etcd-healthcheck-client",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Etcd),
            common_name: both(Cn::Fixed("kube-etcd-healthcheck-client")),
            organization: both(None),
            sans: &[San::Confined("client.etcd")],
            usages: both(Usages::Client),
        },
        files: PerLayout {
            document: &[],
            kubeadm: &[
                file(
                    "kubernetes/pki/etcd/healthcheck-client.crt",
                    Part::Certificate,
                    Holder::Etcd,
                    NO_READERS,
                ),
                file(
                    "kubernetes/pki/etcd/healthcheck-client.key",
                    Part::Key,
                    Holder::Etcd,
                    NO_READERS,
                ),
            ],
        },
    },
    Row {
        name: "apiserver-etcd-client",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Etcd),
            common_name: both(Cn::Fixed("kube-apiserver-etcd-client")),
            organization: both(None),
            sans: &[San::Confined("client.etcd")],
            usages: both(Usages::Client),
        },
        files: pair!(
            "kubernetes/pki/apiserver-etcd-client",
            "kubernetes/pki/apiserver-etcd-client",
            Holder::ControlPlane,
            &[reader(ApiServer, "etcd-certfile")],
            &[reader(ApiServer, "etcd-keyfile")]
        ),
    },
    Row {
        name: "apiserver",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Kubernetes),
            common_name: both(Cn::Fixed("kube-apiserver")),
            organization: both(None),
            sans: &[
                San::HostNames,
                San::HostAddresses,
                San::KubernetesService,
                San::FirstServiceAddress,
                San::Endpoint,
                San::Extra,
            ],
            usages: both(Usages::Server),
        },
        files: pair!(
            "kubernetes/pki/apiserver",
            "kubernetes/pki/apiserver",
            Holder::ControlPlane,
            &[reader(ApiServer, "tls-cert-file")],
            &[reader(ApiServer, "tls-private-key-file")]
        ),
    },
    Row {
        name: "apiserver-kubelet-client",
        what: What::Leaf {
            signer: Signer::Authority(Authority::Kubernetes),
            common_name: both(Cn::Fixed("kube-apiserver-kubelet-client")),
            // No group: the name is bound to system:kubelet-api-admin (kubeadm v1.29 and later).
            organization: both(None),
            sans: NO_SANS,
            usages: both(Usages::Client),
        },
        files: pair!(
            "kubernetes/pki/apiserver-kubelet-client",
            "kubernetes/pki/apiserver-kubelet-client",
            Holder::ControlPlane,
            &[reader(ApiServer, "kubelet-client-certificate")],
            &[reader(ApiServer, "kubelet-client-key")]
        ),
    },
    Row {
        name: "front-proxy-client",
        what: What::Leaf {
            signer: Signer::Authority(Authority::FrontProxy),
            common_name: both(Cn::Fixed(super::FRONT_PROXY_NAME)),
            organization: both(None),
            sans: NO_SANS,
            usages: both(Usages::Client),
        },
        files: pair!(
            "kubernetes/pki/front-proxy-client",
            "kubernetes/pki/front-proxy-client",
            Holder::ControlPlane,
            &[reader(ApiServer, "proxy-client-cert-file")],
            &[reader(ApiServer, "proxy-client-key-file")]
        ),
    },
    Row {
        name: "service-account",
        what: What::ServiceAccountKey,
        files: PerLayout {
            document: SERVICE_ACCOUNT_FILES,
            kubeadm: SERVICE_ACCOUNT_FILES,
        },
    },
    Row {
        name: "admin",
        what: client(
            PerLayout {
                document: Cn::Fixed("kubernetes-admin"),
                kubeadm: Cn::Fixed("kubernetes-admin"),
            },
            PerLayout {
                document: Some("system:masters"),
                kubeadm: Some("kubeadm:cluster-admins"),
            },
        ),
        files: kubeconfig!(
            "kubernetes/auth/admin.conf",
            "kubernetes/admin.conf",
            Holder::ControlPlane,
            KubeconfigUser {
                name: "kubernetes-admin",
                server: Server::Endpoint,
                travels: true
            },
            NO_READERS
        ),
    },
    Row {
        name: "super-admin",
        what: client(both(Cn::Fixed("kubernetes-super-admin")), both(Some("system:masters"))),
        files: PerLayout {
            document: &[],
            kubeadm: &[file(
                "kubernetes/super-admin.conf",
                Part::Kubeconfig(KubeconfigUser {
                    name: "kubernetes-super-admin",
                    server: Server::Endpoint,
                    travels: true,
                }),
                // As kubeadm: `init` writes it, `join` does not.
                Holder::FirstControlPlane,
                NO_READERS,
            )],
        },
    },
    Row {
        name: "controller-manager",
        what: client(both(Cn::Fixed("system:kube-controller-manager")), both(None)),
        files: kubeconfig!(
            "kubernetes/auth/controller-manager.conf",
            "kubernetes/controller-manager.conf",
            Holder::ControlPlane,
            KubeconfigUser {
                name: "system:kube-controller-manager",
                server: Server::Local,
                travels: false
            },
            &[
                reader(ControllerManager, "kubeconfig"),
                reader(ControllerManager, "authentication-kubeconfig"),
                reader(ControllerManager, "authorization-kubeconfig"),
            ]
        ),
    },
    Row {
        name: "scheduler",
        what: client(both(Cn::Fixed("system:kube-scheduler")), both(None)),
        files: kubeconfig!(
            "kubernetes/auth/scheduler.conf",
            "kubernetes/scheduler.conf",
            Holder::ControlPlane,
            KubeconfigUser {
                name: "system:kube-scheduler",
                server: Server::Local,
                travels: false
            },
            &[
                reader(Scheduler, "kubeconfig"),
                reader(Scheduler, "authentication-kubeconfig"),
                reader(Scheduler, "authorization-kubeconfig"),
            ]
        ),
    },
    Row {
        // Its pair lies where the kubelet's certificate store falls back to. `kubelet-client-current.pem` is that
        // store's own link: a file in its place would keep the kubelet from ever rotating.
        name: "kubelet",
        what: client(both(Cn::Node), both(Some("system:nodes"))),
        files: PerLayout {
            document: &[
                KUBELET_CLIENT_FILES[0],
                KUBELET_CLIENT_FILES[1],
                file(
                    "kubernetes/auth/kubelet.conf",
                    NODE_KUBECONFIG,
                    Holder::KubeletWithClient,
                    NO_READERS,
                ),
            ],
            kubeadm: &[
                KUBELET_CLIENT_FILES[0],
                KUBELET_CLIENT_FILES[1],
                file(
                    "kubernetes/kubelet.conf",
                    NODE_KUBECONFIG,
                    Holder::KubeletWithClient,
                    NO_READERS,
                ),
            ],
        },
    },
    Row {
        name: "kubelet-serving",
        what: What::Leaf {
            signer: Signer::Kubelet,
            common_name: both(Cn::Node),
            organization: both(Some("system:nodes")),
            sans: &[San::HostNames, San::HostAddresses],
            usages: both(Usages::Server),
        },
        files: pair!(
            "kubernetes/pki/kubelet",
            "kubelet/pki/kubelet",
            Holder::KubeletWithServing,
            &[reader(Kubelet, "tls-cert-file")],
            &[reader(Kubelet, "tls-private-key-file")]
        ),
    },
    Row {
        name: "kube-proxy",
        what: client(both(Cn::Fixed("system:kube-proxy")), both(None)),
        files: PerLayout {
            document: &[file(
                "kubernetes/auth/kube-proxy.conf",
                Part::Kubeconfig(KubeconfigUser {
                    name: "system:kube-proxy",
                    server: Server::Endpoint,
                    travels: false,
                }),
                Holder::Worker,
                &[reader(KubeProxy, "kubeconfig")],
            )],
            // kubeadm runs kube-proxy as a DaemonSet with a service account.
            kubeadm: &[],
        },
    },
    Row {
        name: "bootstrap",
        what: What::BootstrapToken,
        files: PerLayout {
            document: &[
                file(
                    "kubernetes/token.csv",
                    Part::StaticTokens,
                    Holder::ControlPlane,
                    &[reader(ApiServer, "token-auth-file")],
                ),
                file(
                    "kubernetes/auth/bootstrap.conf",
                    BOOTSTRAP_KUBECONFIG,
                    Holder::KubeletWithBootstrap,
                    NO_READERS,
                ),
            ],
            kubeadm: &[file(
                "kubernetes/bootstrap-kubelet.conf",
                BOOTSTRAP_KUBECONFIG,
                Holder::KubeletWithBootstrap,
                NO_READERS,
            )],
        },
    },
];

const ETCD_CA_READERS: &[Reader] = &[
    reader(Etcd, "trusted-ca-file"),
    reader(Etcd, "peer-trusted-ca-file"),
    reader(ApiServer, "etcd-cafile"),
];

/// The cluster CA is trust bundle and signing certificate in one file, which is why it holds exactly one
/// certificate: the controller-manager refuses a bundle as its signer.
const CLUSTER_CA_READERS: &[Reader] = &[
    reader(ApiServer, "client-ca-file"),
    reader(ApiServer, "kubelet-certificate-authority"),
    reader(ControllerManager, "client-ca-file"),
    reader(ControllerManager, "root-ca-file"),
    reader(ControllerManager, "cluster-signing-cert-file"),
    reader(Scheduler, "client-ca-file"),
    reader(Kubelet, "client-ca-file"),
];

const SIGNING_KEY_READERS: &[Reader] = &[reader(ControllerManager, "cluster-signing-key-file")];

const FRONT_PROXY_CA_READERS: &[Reader] = &[
    reader(ApiServer, "requestheader-client-ca-file"),
    reader(ControllerManager, "requestheader-client-ca-file"),
    reader(Scheduler, "requestheader-client-ca-file"),
];

/// S10: signed by no CA, the same on every control-plane host.
const SERVICE_ACCOUNT_FILES: &[File] = &[
    file(
        "kubernetes/pki/sa.key",
        Part::Key,
        Holder::ControlPlane,
        &[
            reader(ApiServer, "service-account-signing-key-file"),
            reader(ControllerManager, "service-account-private-key-file"),
        ],
    ),
    file(
        "kubernetes/pki/sa.pub",
        Part::PublicKeys,
        Holder::ControlPlane,
        &[reader(ApiServer, "service-account-key-file")],
    ),
];

const KUBELET_CLIENT_FILES: [File; 2] = [
    file(
        "kubelet/pki/kubelet-client.crt",
        Part::Certificate,
        Holder::KubeletWithClient,
        NO_READERS,
    ),
    file(
        "kubelet/pki/kubelet-client.key",
        Part::Key,
        Holder::KubeletWithClient,
        NO_READERS,
    ),
];

const NODE_KUBECONFIG: Part = Part::Kubeconfig(KubeconfigUser {
    name: "default-auth",
    server: Server::Endpoint,
    travels: false,
});

const BOOTSTRAP_KUBECONFIG: Part = Part::TokenKubeconfig(KubeconfigUser {
    name: super::BOOTSTRAP_USER,
    server: Server::Endpoint,
    travels: false,
});

const fn both<T: Copy>(value: T) -> PerLayout<T> {
    PerLayout {
        document: value,
        kubeadm: value,
    }
}

const fn reader(component: super::Component, flag: &'static str) -> Reader {
    Reader { component, flag }
}

const fn file(path: &'static str, part: Part, holder: Holder, readers: &'static [Reader]) -> File {
    File {
        path,
        part,
        holder,
        readers,
    }
}

/// A client certificate of the cluster CA (S3).
const fn client(common_name: PerLayout<Cn>, organization: PerLayout<Option<&'static str>>) -> What {
    What::Leaf {
        signer: Signer::Authority(Authority::Kubernetes),
        common_name,
        organization,
        sans: NO_SANS,
        usages: both(Usages::Client),
    }
}
