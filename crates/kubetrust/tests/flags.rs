//! The flags that make the components use these files (S15).

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::path::Path;

use support::Cluster;

const CLUSTER: &str = "\
clusterName: horse
controlPlaneEndpoint: api.example.org:8443
networking: {dnsDomain: corp.internal, serviceSubnets: [10.96.0.0/12, \"fd00:10:96::/112\"]}
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: m2, addresses: [\"2001:db8::12\", 192.0.2.12], roles: [control-plane, etcd]}
- {name: e3, addresses: [192.0.2.13], roles: [etcd]}
- {name: w1, addresses: [192.0.2.21]}
";

/// Component, host, format, and what is printed.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// The document's layout, each authority for itself.
#[rustfmt::skip]
const DOCUMENT: &[Row] = &[
    ("etcd", "m2", "flags", "\
--name=m2
--data-dir=/var/lib/etcd
--listen-client-urls=https://[2001:db8::12]:2379,https://127.0.0.1:2379
--advertise-client-urls=https://[2001:db8::12]:2379
--listen-peer-urls=https://[2001:db8::12]:2380
--initial-advertise-peer-urls=https://[2001:db8::12]:2380
--initial-cluster=m1=https://192.0.2.11:2380,m2=https://[2001:db8::12]:2380,e3=https://192.0.2.13:2380
--initial-cluster-state=new
--initial-cluster-token=horse
--trusted-ca-file=/etc/etcd/pki/ca.crt
--peer-trusted-ca-file=/etc/etcd/pki/ca.crt
--cert-file=/etc/etcd/pki/server.crt
--key-file=/etc/etcd/pki/server.key
--peer-cert-file=/etc/etcd/pki/peer.crt
--peer-key-file=/etc/etcd/pki/peer.key
--client-cert-auth=true
--peer-client-cert-auth=true
--enable-grpc-gateway=false
"),
    ("kube-apiserver", "m1", "flags", "\
--advertise-address=192.0.2.11
--secure-port=6443
--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/112
--etcd-servers=https://192.0.2.11:2379,https://[2001:db8::12]:2379,https://192.0.2.13:2379
--etcd-cafile=/etc/etcd/pki/ca.crt
--client-ca-file=/etc/kubernetes/pki/ca.crt
--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
--tls-cert-file=/etc/kubernetes/pki/apiserver.crt
--tls-private-key-file=/etc/kubernetes/pki/apiserver.key
--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt
--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key
--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt
--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key
--service-account-signing-key-file=/etc/kubernetes/pki/sa.key
--service-account-key-file=/etc/kubernetes/pki/sa.pub
--token-auth-file=/etc/kubernetes/token.csv
--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
--requestheader-allowed-names=front-proxy-client
--requestheader-username-headers=X-Remote-User
--requestheader-group-headers=X-Remote-Group
--requestheader-extra-headers-prefix=X-Remote-Extra-
--service-account-issuer=https://kubernetes.default.svc.corp.internal
--enable-bootstrap-token-auth=true
--authorization-mode=Node,RBAC
--enable-admission-plugins=NodeRestriction
"),
    ("kube-controller-manager", "m1", "flags", "\
--client-ca-file=/etc/kubernetes/pki/ca.crt
--root-ca-file=/etc/kubernetes/pki/ca.crt
--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt
--cluster-signing-key-file=/etc/kubernetes/pki/ca.key
--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
--service-account-private-key-file=/etc/kubernetes/pki/sa.key
--kubeconfig=/etc/kubernetes/auth/controller-manager.conf
--authentication-kubeconfig=/etc/kubernetes/auth/controller-manager.conf
--authorization-kubeconfig=/etc/kubernetes/auth/controller-manager.conf
--requestheader-allowed-names=front-proxy-client
--cluster-name=horse
--use-service-account-credentials=true
--controllers=*,bootstrapsigner,tokencleaner
"),
    ("kube-scheduler", "m1", "flags", "\
--client-ca-file=/etc/kubernetes/pki/ca.crt
--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
--kubeconfig=/etc/kubernetes/auth/scheduler.conf
--authentication-kubeconfig=/etc/kubernetes/auth/scheduler.conf
--authorization-kubeconfig=/etc/kubernetes/auth/scheduler.conf
--requestheader-allowed-names=front-proxy-client
"),
    ("kubelet", "w1", "flags", "\
--bootstrap-kubeconfig=/etc/kubernetes/auth/bootstrap.conf
--kubeconfig=/etc/kubernetes/auth/kubelet.conf
--cert-dir=/var/lib/kubelet/pki
--client-ca-file=/etc/kubernetes/pki/ca.crt
--anonymous-auth=false
--read-only-port=0
--authentication-token-webhook=true
--authorization-mode=Webhook
--rotate-certificates=true
--cluster-domain=corp.internal
--hostname-override=w1
--node-ip=192.0.2.21
"),
    ("kube-proxy", "w1", "flags", "\
--kubeconfig=/etc/kubernetes/auth/kube-proxy.conf
--hostname-override=w1
"),
];

/// kubeadm's layout and one CA: etcd lets in two names alone, since every certificate of the cluster would verify.
#[rustfmt::skip]
const KUBEADM: &[Row] = &[
    ("etcd", "e3", "env", "\
ETCD_NAME=e3
ETCD_DATA_DIR=/data/etcd
ETCD_LISTEN_CLIENT_URLS=https://192.0.2.13:2379,https://127.0.0.1:2379
ETCD_ADVERTISE_CLIENT_URLS=https://192.0.2.13:2379
ETCD_LISTEN_PEER_URLS=https://192.0.2.13:2380
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://192.0.2.13:2380
ETCD_INITIAL_CLUSTER=m1=https://192.0.2.11:2380,m2=https://[2001:db8::12]:2380,e3=https://192.0.2.13:2380
ETCD_INITIAL_CLUSTER_STATE=new
ETCD_INITIAL_CLUSTER_TOKEN=horse
ETCD_TRUSTED_CA_FILE=/etc/kubernetes/pki/etcd/ca.crt
ETCD_PEER_TRUSTED_CA_FILE=/etc/kubernetes/pki/etcd/ca.crt
ETCD_CERT_FILE=/etc/kubernetes/pki/etcd/server.crt
ETCD_KEY_FILE=/etc/kubernetes/pki/etcd/server.key
ETCD_PEER_CERT_FILE=/etc/kubernetes/pki/etcd/peer.crt
ETCD_PEER_KEY_FILE=/etc/kubernetes/pki/etcd/peer.key
ETCD_CLIENT_CERT_AUTH=true
ETCD_PEER_CLIENT_CERT_AUTH=true
ETCD_CLIENT_CERT_ALLOWED_HOSTNAME=client.etcd.horse.internal
ETCD_PEER_CERT_ALLOWED_HOSTNAME=peer.etcd.horse.internal
ETCD_ENABLE_GRPC_GATEWAY=false
"),
    ("kube-apiserver", "m2", "yaml", "\
command:
- kube-apiserver
- --advertise-address=192.0.2.12
- --secure-port=6443
- \"--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/112\"
- \"--etcd-servers=https://192.0.2.11:2379,https://[2001:db8::12]:2379,https://192.0.2.13:2379\"
- --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
- --client-ca-file=/etc/kubernetes/pki/ca.crt
- --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt
- --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
- --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
- --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
- --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
- --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
- --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt
- --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key
- --proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt
- --proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key
- --service-account-signing-key-file=/etc/kubernetes/pki/sa.key
- --service-account-key-file=/etc/kubernetes/pki/sa.pub
- --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
- --requestheader-allowed-names=front-proxy-client
- --requestheader-username-headers=X-Remote-User
- --requestheader-group-headers=X-Remote-Group
- --requestheader-extra-headers-prefix=X-Remote-Extra-
- \"--service-account-issuer=https://kubernetes.default.svc.corp.internal\"
- --enable-bootstrap-token-auth=true
- --authorization-mode=Node,RBAC
- --enable-admission-plugins=NodeRestriction
"),
    ("kube-controller-manager", "m1", "yaml", "\
command:
- kube-controller-manager
- --client-ca-file=/etc/kubernetes/pki/ca.crt
- --root-ca-file=/etc/kubernetes/pki/ca.crt
- --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt
- --cluster-signing-key-file=/etc/kubernetes/pki/ca.key
- --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
- --service-account-private-key-file=/etc/kubernetes/pki/sa.key
- --kubeconfig=/etc/kubernetes/controller-manager.conf
- --authentication-kubeconfig=/etc/kubernetes/controller-manager.conf
- --authorization-kubeconfig=/etc/kubernetes/controller-manager.conf
- --requestheader-allowed-names=front-proxy-client
- --cluster-name=horse
- --use-service-account-credentials=true
- \"--controllers=*,bootstrapsigner,tokencleaner\"
"),
    ("kubelet", "m1", "flags", "\
--kubeconfig=/etc/kubernetes/kubelet.conf
--cert-dir=/var/lib/kubelet/pki
--client-ca-file=/etc/kubernetes/pki/ca.crt
--tls-cert-file=/var/lib/kubelet/pki/kubelet.crt
--tls-private-key-file=/var/lib/kubelet/pki/kubelet.key
--anonymous-auth=false
--read-only-port=0
--authentication-token-webhook=true
--authorization-mode=Webhook
--rotate-certificates=true
--cluster-domain=corp.internal
--hostname-override=m1
--node-ip=192.0.2.11
"),
    ("kubelet", "w1", "flags", "\
--kubeconfig=/etc/kubernetes/kubelet.conf
--cert-dir=/var/lib/kubelet/pki
--client-ca-file=/etc/kubernetes/pki/ca.crt
--tls-cert-file=/var/lib/kubelet/pki/kubelet.crt
--tls-private-key-file=/var/lib/kubelet/pki/kubelet.key
--anonymous-auth=false
--read-only-port=0
--authentication-token-webhook=true
--authorization-mode=Webhook
--rotate-certificates=true
--cluster-domain=corp.internal
--hostname-override=w1
--node-ip=192.0.2.21
"),
    ("kube-proxy", "w1", "flags", "\
--hostname-override=w1
"),
];

const KUBEADM_SINGLE: &str = "\
layout: kubeadm
authorities: {mode: single}
kubelets: {serving: cluster-ca, client: issued}
paths: {etcdData: /data/etcd}
";

#[test]
fn a_component_is_told_exactly_this() {
    for (choice, rows) in [("", DOCUMENT), (KUBEADM_SINGLE, KUBEADM)] {
        let cluster = Cluster::init(&format!("{CLUSTER}{choice}"));
        for (component, host, format, must_be) in rows {
            let printed = cluster
                .verb(["flags", component, "--host", host, "-o", format])
                .success()
                .stdout;
            assert_eq!(printed, *must_be, "{choice}{component} on {host}");
        }
    }
}

/// The document's table, the variables of etcd as its flags.
const S15: &[(&str, &str, &[&str])] = &[
    (
        "etcd",
        "m1",
        &[
            "peer-cert-file",
            "peer-key-file",
            "cert-file",
            "key-file",
            "trusted-ca-file",
        ],
    ),
    (
        "kube-apiserver",
        "m1",
        &[
            "tls-cert-file",
            "tls-private-key-file",
            "client-ca-file",
            "kubelet-client-certificate",
            "kubelet-client-key",
            "requestheader-client-ca-file",
            "requestheader-allowed-names",
            "requestheader-username-headers",
            "requestheader-group-headers",
            "requestheader-extra-headers-prefix",
            "proxy-client-cert-file",
            "proxy-client-key-file",
            "service-account-key-file",
            "token-auth-file",
        ],
    ),
    ("kube-controller-manager", "m1", &["service-account-private-key-file"]),
    ("kubelet", "w1", &["anonymous-auth", "client-ca-file"]),
];

#[test]
fn every_flag_of_the_documents_table_is_there_once() {
    let cluster = Cluster::init(CLUSTER);
    for (component, host, flags) in S15 {
        let printed = cluster.verb(["flags", component, "--host", host]).success().stdout;
        let names: Vec<&str> = printed
            .lines()
            .map(|line| line[2..].split('=').next().unwrap())
            .collect();
        for flag in *flags {
            assert_eq!(
                names.iter().filter(|name| *name == flag).count(),
                1,
                "{component}: {flag}"
            );
        }
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{component}: {names:?}");
    }
}

/// What the kubelet makes by itself.
const MADE_BY_THE_KUBELET: [&str; 3] = ["kubernetes/auth/kubelet.conf", "kubernetes/kubelet.conf", "kubelet/pki"];

#[test]
fn every_file_that_a_flag_names_lies_in_the_hosts_folder() {
    let mut seen = 0;
    for choice in [
        "",
        "authorities: {mode: single}\nkubelets: {serving: kubelet-ca}\n",
        "caKeys: none\nkubelets: {serving: cluster-ca, client: issued}\nkubeconfigs: {components: files}\n",
        "layout: kubeadm\n",
        "layout: kubeadm\ncaKeys: none\nauthorities: {mode: single}\nkubelets: {serving: kubelet-ca, client: issued}\n",
    ] {
        let cluster = Cluster::init(&format!("{CLUSTER}{choice}"));
        for (component, hosts) in [
            ("etcd", ["m1", "m2", "e3"].as_slice()),
            ("kube-apiserver", &["m1", "m2"]),
            ("kube-controller-manager", &["m1", "m2"]),
            ("kube-scheduler", &["m1", "m2"]),
            ("kubelet", &["w1"]),
            ("kube-proxy", &["w1"]),
        ] {
            for host in hosts {
                let folder = cluster.root().join("hosts").join(host).canonicalize().unwrap();
                let printed = cluster
                    .verb(["flags", component, "--host", host, "--in-place"])
                    .success()
                    .stdout;
                let values = printed.lines().map(|line| line.split_once('=').unwrap().1);
                for path in values.map(Path::new).filter(|path| path.is_absolute()) {
                    if path == Path::new("/var/lib/etcd") {
                        continue;
                    }
                    let inside = path
                        .strip_prefix(&folder)
                        .unwrap_or_else(|_| panic!("{}", path.display()));
                    let made = MADE_BY_THE_KUBELET.iter().any(|made| Path::new(made) == inside);
                    assert!(
                        path.is_file() || made,
                        "{choice}{component} on {host}: {}",
                        path.display()
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn a_controller_manager_without_the_ca_key_is_not_told_to_sign() {
    for (keys, signs) in [("all", true), ("signing", true), ("none", false)] {
        let cluster = Cluster::init(&format!("{CLUSTER}caKeys: {keys}\n"));
        let printed = cluster
            .verb(["flags", "kube-controller-manager", "--host=m1"])
            .success()
            .stdout;
        assert_eq!(printed.contains("--cluster-signing-cert-file="), signs, "{keys}");
        assert_eq!(printed.contains("--cluster-signing-key-file="), signs, "{keys}");
    }
}

#[test]
fn an_api_server_advertises_an_address_of_its_first_service_subnets_family() {
    for (subnets, host, advertised) in [
        ("[10.96.0.0/12]", "m2", "--advertise-address=192.0.2.12"),
        ("[\"fd00:10:96::/112\"]", "m2", "--advertise-address=2001:db8::12"),
        (
            "[\"fd00:10:96::/112\", 10.96.0.0/12]",
            "m2",
            "--advertise-address=2001:db8::12",
        ),
        // It has none, so it is left to find one.
        ("[\"fd00:10:96::/112\"]", "m1", "--secure-port=6443"),
    ] {
        let dual = "[10.96.0.0/12, \"fd00:10:96::/112\"]";
        let cluster = Cluster::init(&CLUSTER.replace(dual, subnets));
        let printed = cluster
            .verb(["flags", "kube-apiserver", "--host", host])
            .success()
            .stdout;
        let first = printed.lines().next().unwrap();
        assert_eq!(first, advertised, "{subnets}");
    }
}

#[test]
fn a_component_has_flags_only_where_it_runs() {
    let cluster = Cluster::init(CLUSTER);
    for (arguments, said) in [
        (
            ["etcd", "--host=w1", "-oflags"],
            "etcd does not run on w1; it runs on m1, m2, e3",
        ),
        (
            ["kube-apiserver", "--host=e3", "-oflags"],
            "kube-apiserver does not run on e3",
        ),
        (
            ["kube-apiserver", "--host=m1", "-oenv"],
            "kube-apiserver takes no environment variables, only etcd does",
        ),
        (
            ["etcd", "--in-place", "-oflags"],
            "etcd runs on several hosts; name one with --host: m1, m2, e3",
        ),
        (["etcd", "--host=m9", "-oflags"], "m9"),
    ] {
        let output = cluster.verb([["flags"].as_slice(), &arguments].concat());
        assert_eq!((output.code(), output.stdout.as_str()), (Some(2), ""), "{output}");
        assert!(output.stderr.contains(said), "{output}");
    }
}
