//! Whom each certificate names, and by which names its server is called: no more, and no fewer.

use std::collections::BTreeSet;
use std::path::Path;

use kubetrust_testkit::{peers, run};

use crate::support::Cluster;
use crate::support::folder;
use crate::{Algorithm, samples};

/// Where a certificate lies, its subject (CN, then O) and its subject alternative names.
type Row = (&'static str, &'static str, &'static str);

/// Dual stack (the service `kubernetes` has one address all the same), two addresses, further names, one CA for each
/// purpose.
#[rustfmt::skip]
const DOCUMENT: &[Row] = &[
    ("etcd/pki/ca.crt", "CN=etcd-ca", ""),
    ("etcd/pki/server.crt", "CN=one", "DNS:one DNS:one.example.org DNS:localhost IP:192.0.2.11 IP:2001:db8::11 IP:127.0.0.1 IP:::1"),
    ("etcd/pki/peer.crt", "CN=one", "DNS:one DNS:one.example.org DNS:localhost IP:192.0.2.11 IP:2001:db8::11 IP:127.0.0.1 IP:::1"),
    ("kubernetes/pki/ca.crt", "CN=kubernetes", ""),
    ("kubernetes/pki/front-proxy-ca.crt", "CN=front-proxy-ca", ""),
    ("kubernetes/pki/apiserver.crt", "CN=kube-apiserver", "DNS:one DNS:one.example.org IP:192.0.2.11 IP:2001:db8::11 DNS:kubernetes DNS:kubernetes.default DNS:kubernetes.default.svc DNS:kubernetes.default.svc.corp.internal IP:10.96.0.1 DNS:api.example.org DNS:*.kube.example.org IP:203.0.113.10"),
    ("kubernetes/pki/apiserver-etcd-client.crt", "CN=kube-apiserver-etcd-client", ""),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "CN=kube-apiserver-kubelet-client", ""),
    ("kubernetes/pki/front-proxy-client.crt", "CN=front-proxy-client", ""),
    ("kubernetes/pki/kubelet.crt", "CN=system:node:one,O=system:nodes", "DNS:one DNS:one.example.org IP:192.0.2.11 IP:2001:db8::11"),
    ("kubernetes/auth/admin.conf", "CN=kubernetes-admin,O=system:masters", ""),
    ("kubernetes/auth/controller-manager.conf", "CN=system:kube-controller-manager", ""),
    ("kubernetes/auth/scheduler.conf", "CN=system:kube-scheduler", ""),
    ("kubernetes/auth/kube-proxy.conf", "CN=system:kube-proxy", ""),
    ("kubelet/pki/kubelet-client.crt", "CN=system:node:one,O=system:nodes", ""),
];

const DOCUMENT_SPEC: &str = "\
hosts: [{name: one, addresses: [192.0.2.11, \"2001:db8::11\"], names: [one.example.org], roles: [control-plane, etcd, worker]}]
networking: {dnsDomain: corp.internal, serviceSubnets: [10.96.0.0/12, \"fd00:10:96::/112\"]}
controlPlaneEndpoint: api.example.org:8443
extraSANs: [\"*.kube.example.org\", 203.0.113.10]
kubelets: {serving: cluster-ca, client: issued}
";

/// What `kubeadm init phase certs all` and `kubeadm init phase kubeconfig all` of v1.36 make of the same cluster, and
/// the kubelet's serving certificate, which kubeadm leaves to the kubelet.
#[rustfmt::skip]
const KUBEADM: &[Row] = &[
    ("kubernetes/pki/etcd/ca.crt", "CN=etcd-ca", "DNS:etcd-ca"),
    ("kubernetes/pki/etcd/server.crt", "CN=cp1", "DNS:cp1 DNS:localhost IP:192.0.2.11 IP:127.0.0.1 IP:::1"),
    ("kubernetes/pki/etcd/peer.crt", "CN=cp1", "DNS:cp1 DNS:localhost IP:192.0.2.11 IP:127.0.0.1 IP:::1"),
    ("kubernetes/pki/etcd/healthcheck-client.crt", "CN=kube-etcd-healthcheck-client", ""),
    ("kubernetes/pki/ca.crt", "CN=kubernetes", "DNS:kubernetes"),
    ("kubernetes/pki/front-proxy-ca.crt", "CN=front-proxy-ca", "DNS:front-proxy-ca"),
    ("kubernetes/pki/apiserver.crt", "CN=kube-apiserver", "DNS:cp1 DNS:kubernetes DNS:kubernetes.default DNS:kubernetes.default.svc DNS:kubernetes.default.svc.cluster.local IP:10.96.0.1 IP:192.0.2.11 DNS:api.example.org DNS:extra.example.org"),
    ("kubernetes/pki/apiserver-etcd-client.crt", "CN=kube-apiserver-etcd-client", ""),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "CN=kube-apiserver-kubelet-client", ""),
    ("kubernetes/pki/front-proxy-client.crt", "CN=front-proxy-client", ""),
    ("kubernetes/admin.conf", "CN=kubernetes-admin,O=kubeadm:cluster-admins", ""),
    ("kubernetes/super-admin.conf", "CN=kubernetes-super-admin,O=system:masters", ""),
    ("kubernetes/controller-manager.conf", "CN=system:kube-controller-manager", ""),
    ("kubernetes/scheduler.conf", "CN=system:kube-scheduler", ""),
    ("kubelet/pki/kubelet-client.crt", "CN=system:node:cp1,O=system:nodes", ""),
    ("kubelet/pki/kubelet.crt", "CN=system:node:cp1,O=system:nodes", "DNS:cp1 IP:192.0.2.11"),
];

const KUBEADM_SPEC: &str = "\
hosts: [{name: cp1, addresses: [192.0.2.11], roles: [control-plane]}]
controlPlaneEndpoint: api.example.org
extraSANs: [extra.example.org]
layout: kubeadm
kubelets: {serving: cluster-ca}
";

/// What mode `single` adds to the names, and what it makes of the CAs.
#[rustfmt::skip]
const SINGLE: &[Row] = &[
    ("etcd/pki/ca.crt", "CN=kubernetes", ""),
    ("etcd/pki/server.crt", "CN=node-1", "DNS:node-1 DNS:localhost IP:127.0.0.1 IP:::1"),
    ("etcd/pki/peer.crt", "CN=node-1", "DNS:node-1 DNS:localhost IP:127.0.0.1 IP:::1 DNS:peer.etcd.horse.internal"),
    ("kubernetes/pki/ca.crt", "CN=kubernetes", ""),
    ("kubernetes/pki/front-proxy-ca.crt", "CN=kubernetes", ""),
    ("kubernetes/pki/apiserver.crt", "CN=kube-apiserver", "DNS:node-1 DNS:kubernetes DNS:kubernetes.default DNS:kubernetes.default.svc DNS:kubernetes.default.svc.cluster.local IP:10.96.0.1 IP:127.0.0.1"),
    ("kubernetes/pki/apiserver-etcd-client.crt", "CN=kube-apiserver-etcd-client", "DNS:client.etcd.horse.internal"),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "CN=kube-apiserver-kubelet-client", ""),
    ("kubernetes/pki/front-proxy-client.crt", "CN=front-proxy-client", ""),
    ("kubernetes/auth/admin.conf", "CN=kubernetes-admin,O=system:masters", ""),
    ("kubernetes/auth/controller-manager.conf", "CN=system:kube-controller-manager", ""),
    ("kubernetes/auth/scheduler.conf", "CN=system:kube-scheduler", ""),
    ("kubernetes/auth/kube-proxy.conf", "CN=system:kube-proxy", ""),
];

#[test]
fn a_certificate_names_exactly_whom_and_what_it_must() {
    for (spec, host, rows) in [
        (DOCUMENT_SPEC, "one", DOCUMENT),
        (KUBEADM_SPEC, "cp1", KUBEADM),
        ("clusterName: horse\nauthorities: {mode: single}\n", "node-1", SINGLE),
    ] {
        let cluster = Cluster::init(spec);
        let found = folder::credentials(&cluster.root().join("hosts").join(host), cluster.beside());
        let places: BTreeSet<&str> = found.iter().map(|credential| credential.place.as_str()).collect();
        assert_eq!(places, rows.iter().map(|(place, ..)| *place).collect());
        for (place, subject, sans) in rows {
            let credential = found.iter().find(|credential| credential.place == *place).unwrap();
            assert_eq!(subject_of(&credential.certificate), *subject, "{place}");
            let must_be = sans.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(sans_of(&credential.certificate), must_be, "{place}");
        }
    }
}

#[test]
fn further_attributes_leave_user_and_groups_as_they_are() {
    let sample = &samples(Algorithm::EcdsaP256)[0];
    for (place, subject) in [
        (
            "kubernetes/auth/admin.conf",
            "CN=kubernetes-admin,OU=Platform,O=system:masters,L=Frankfurt,ST=Hesse,C=DE",
        ),
        (
            "kubernetes/pki/ca.crt",
            "CN=kubernetes,OU=Platform,L=Frankfurt,ST=Hesse,C=DE",
        ),
    ] {
        assert_eq!(subject_of(&sample.at(place).certificate), subject);
    }
}

fn subject_of(file: &Path) -> String {
    let output = run(peers::openssl()
        .args(["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in"])
        .arg(file));
    output
        .success()
        .stdout
        .trim()
        .strip_prefix("subject=")
        .unwrap()
        .to_owned()
}

fn sans_of(file: &Path) -> BTreeSet<String> {
    let output = run(peers::openssl()
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(file))
    .success();
    let names = output.stdout.lines().skip(1).flat_map(|line| line.split(','));
    names
        .map(|name| match name.trim().strip_prefix("IP Address:") {
            // openssl writes IPv6 addresses in a form of its own.
            Some(address) => format!("IP:{}", address.parse::<std::net::IpAddr>().unwrap()),
            None => name.trim().to_owned(),
        })
        .collect()
}
