//! What a change of the spec touches, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;

use support::Cluster;

const BEFORE: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: m2, addresses: [192.0.2.12], roles: [control-plane]}
- {name: w1, addresses: [192.0.2.21]}
controlPlaneEndpoint: api.example.org
kubelets: {serving: cluster-ca}
";

/// A line a case: what is replaced in the spec by what, and every file that changes. `+ hosts/w2` stands for whatever
/// is below it. `authority/kubernetes-ca.srl` moves with whatever that CA signs.
const CASES: &[(&str, &str, &str, &[&str])] = &[
    (
        "a worker",
        "controlPlaneEndpoint",
        "- {name: w2, addresses: [192.0.2.22]}\ncontrolPlaneEndpoint",
        &["+ hosts/w2", "~ authority/kubernetes-ca.srl"],
    ),
    (
        "a name of the API server",
        "kubelets:",
        "extraSANs: [kube.example.org]\nkubelets:",
        &[
            "~ authority/kubernetes-ca.srl",
            "~ hosts/m1/kubernetes/pki/apiserver.crt",
            "~ hosts/m1/kubernetes/pki/apiserver.key",
            "~ hosts/m1/kubernetes/pki/ca.srl",
            "~ hosts/m2/kubernetes/pki/apiserver.crt",
            "~ hosts/m2/kubernetes/pki/apiserver.key",
            "~ hosts/m2/kubernetes/pki/ca.srl",
        ],
    ),
    (
        "an address of a worker",
        "192.0.2.21",
        "192.0.2.29",
        &[
            "~ authority/kubernetes-ca.srl",
            "~ hosts/w1/kubernetes/pki/kubelet.crt",
            "~ hosts/w1/kubernetes/pki/kubelet.key",
        ],
    ),
    (
        "a control-plane host",
        "- {name: w1",
        "- {name: m3, addresses: [192.0.2.13], roles: [control-plane]}\n- {name: w1",
        &[
            "+ hosts/m3",
            "~ authority/etcd-ca.srl",
            "~ authority/front-proxy-ca.srl",
            "~ authority/kubernetes-ca.srl",
        ],
    ),
    (
        "where a CA's key may lie",
        "kubelets:",
        "caKeys: signing\nkubelets:",
        &[
            "- hosts/m1/etcd/pki/ca.key",
            "- hosts/m1/etcd/pki/ca.srl",
            "- hosts/m1/kubernetes/pki/front-proxy-ca.key",
            "- hosts/m1/kubernetes/pki/front-proxy-ca.srl",
            "- hosts/m2/etcd/pki/ca.key",
            "- hosts/m2/etcd/pki/ca.srl",
            "- hosts/m2/kubernetes/pki/front-proxy-ca.key",
            "- hosts/m2/kubernetes/pki/front-proxy-ca.srl",
        ],
    ),
    (
        "a host less",
        "- {name: w1, addresses: [192.0.2.21]}\n",
        "",
        &["- hosts/w1"],
    ),
    ("nothing that a file says", "kubelets:", "# a remark\nkubelets:", &[]),
];

#[test]
fn a_change_touches_what_depends_on_it_and_nothing_else() {
    for (what, old, new, expected) in CASES {
        let cluster = Cluster::init(BEFORE);
        let before = tree::read(&cluster.root());
        let spec = BEFORE.replace(old, new);
        assert_ne!(spec, BEFORE, "{what}");
        cluster.write_spec(&spec);
        let planned = cluster.verb(["plan", "-o", "json"]).success().stdout;
        let applied = cluster.verb(["apply", "-o", "json"]).success().stdout;
        assert_eq!(planned, applied, "{what}");
        let mut changed = tree::changes(&before, &tree::read(&cluster.root()));
        assert!(changed.remove("~ cluster.yaml"), "{what}");
        let whole: Vec<_> = expected
            .iter()
            .filter(|line| line.matches('/').count() == 1 && !line.starts_with('~'))
            .collect();
        let changed: BTreeSet<_> = changed
            .into_iter()
            .map(|line| {
                whole
                    .iter()
                    .find(|whole| line.starts_with(&format!("{whole}/")))
                    .map_or(line.clone(), |whole| (**whole).to_owned())
            })
            .collect();
        assert_eq!(
            changed,
            expected.iter().map(|line| (*line).to_owned()).collect(),
            "{what}"
        );
        assert!(
            cluster.verb(["apply"]).success().stderr.contains("Nothing to do"),
            "{what}"
        );
    }
}

#[test]
fn what_was_replaced_lies_in_the_backup() {
    let cluster = Cluster::init(BEFORE);
    let old = fs::read(cluster.host_file("w1", "kubernetes/pki/kubelet.key")).unwrap();
    cluster.write_spec(&BEFORE.replace("- {name: w1, addresses: [192.0.2.21]}\n", ""));
    cluster.verb(["apply"]).success();
    let stamps: Vec<_> = fs::read_dir(cluster.root().join("backup")).unwrap().collect();
    let [stamp] = stamps.as_slice() else {
        panic!("{stamps:?}")
    };
    let kept = stamp
        .as_ref()
        .unwrap()
        .path()
        .join("hosts/w1/kubernetes/pki/kubelet.key");
    assert_eq!(fs::read(kept).unwrap(), old);
}
