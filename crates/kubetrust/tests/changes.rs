//! What a change of the spec touches, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::Cluster;

const BEFORE: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: m2, addresses: [192.0.2.12], roles: [control-plane]}
- {name: w1, addresses: [192.0.2.21]}
controlPlaneEndpoint: api.example.org
kubelets: {serving: cluster-ca}
";

/// As [`BEFORE`], with a CA for each kubelet.
const KUBELET_CAS: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.21]}
- {name: w2, addresses: [192.0.2.22]}
kubelets: {serving: kubelet-ca}
";

/// A change, and every file that changes: another one (`~`), a new one (`+`), one that goes (`-`), each where
/// `{a,b}` stands for one and the other. A file that is not listed is the same file as before, not just an equal one.
struct Case {
    what: &'static str,
    spec: &'static str,
    /// What is replaced in the spec by what.
    change: [&'static str; 2],
    expected: &'static [&'static str],
}

const fn case(
    what: &'static str,
    spec: &'static str,
    change: [&'static str; 2],
    expected: &'static [&'static str],
) -> Case {
    Case {
        what,
        spec,
        change,
        expected,
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("nothing that a file says", BEFORE, ["kubelets:", "# a remark\nkubelets:"], &[]),
    case("where the files lie on the hosts", BEFORE, ["kubelets:", "paths: {kubernetes: /opt/kubernetes}\nkubelets:"], &[]),

    case("a worker", BEFORE, ["- {name: w1", "- {name: w2, addresses: [192.0.2.22]}\n- {name: w1"], &[
        "+ hosts/w2/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/ca.crt,pki/kubelet.crt,pki/kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("a control-plane host", BEFORE,
        ["- {name: w1", "- {name: m3, addresses: [192.0.2.13], roles: [control-plane]}\n- {name: w1"], &[
        "+ hosts/m3/etcd/pki/{ca.crt,ca.key,ca.srl}",
        "+ hosts/m3/kubernetes/token.csv",
        "+ hosts/m3/kubernetes/auth/{admin.conf,controller-manager.conf,scheduler.conf}",
        "+ hosts/m3/kubernetes/pki/{ca.crt,ca.key,ca.srl,front-proxy-ca.crt,front-proxy-ca.key,front-proxy-ca.srl}",
        "+ hosts/m3/kubernetes/pki/{apiserver.crt,apiserver.key,sa.key,sa.pub}",
        "+ hosts/m3/kubernetes/pki/{apiserver-etcd-client.crt,apiserver-etcd-client.key}",
        "+ hosts/m3/kubernetes/pki/{apiserver-kubelet-client.crt,apiserver-kubelet-client.key}",
        "+ hosts/m3/kubernetes/pki/{front-proxy-client.crt,front-proxy-client.key}",
        "~ authority/{etcd-ca.srl,front-proxy-ca.srl,kubernetes-ca.srl}",
    ]),
    case("an etcd host", BEFORE, ["- {name: w1", "- {name: e1, addresses: [192.0.2.31], roles: [etcd]}\n- {name: w1"], &[
        "+ hosts/e1/etcd/pki/{ca.crt,peer.crt,peer.key,server.crt,server.key}",
        "~ authority/etcd-ca.srl",
    ]),
    case("etcd on every control-plane host", BEFORE, ["roles: [control-plane, etcd]", "roles: [control-plane]"], &[
        "+ hosts/m2/etcd/pki/{peer.crt,peer.key,server.crt,server.key}",
        "~ hosts/m2/etcd/pki/ca.srl",
        "~ authority/etcd-ca.srl",
    ]),
    case("a host that works too", BEFORE, ["roles: [control-plane]", "roles: [control-plane, worker]"], &[
        "+ hosts/m2/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/kubelet.crt,pki/kubelet.key}",
        "~ hosts/m2/kubernetes/pki/ca.srl",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("a host that does less", BEFORE, ["roles: [control-plane]", "roles: [worker]"], &[
        "- hosts/m2/etcd/pki/{ca.crt,ca.key,ca.srl}",
        "- hosts/m2/kubernetes/token.csv",
        "- hosts/m2/kubernetes/auth/{admin.conf,controller-manager.conf,scheduler.conf}",
        "- hosts/m2/kubernetes/pki/{ca.key,ca.srl,front-proxy-ca.crt,front-proxy-ca.key,front-proxy-ca.srl}",
        "- hosts/m2/kubernetes/pki/{apiserver.crt,apiserver.key,sa.key,sa.pub}",
        "- hosts/m2/kubernetes/pki/{apiserver-etcd-client.crt,apiserver-etcd-client.key}",
        "- hosts/m2/kubernetes/pki/{apiserver-kubelet-client.crt,apiserver-kubelet-client.key}",
        "- hosts/m2/kubernetes/pki/{front-proxy-client.crt,front-proxy-client.key}",
        "+ hosts/m2/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/kubelet.crt,pki/kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("a host less", BEFORE, ["- {name: w1, addresses: [192.0.2.21]}\n", ""], &[
        "- hosts/w1/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/ca.crt,pki/kubelet.crt,pki/kubelet.key}",
    ]),

    case("a name of the API server", BEFORE, ["kubelets:", "extraSANs: [kube.example.org]\nkubelets:"], &[
        "~ hosts/{m1,m2}/kubernetes/pki/{apiserver.crt,apiserver.key,ca.srl}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("the services' domain", BEFORE, ["kubelets:", "networking: {dnsDomain: horse.local}\nkubelets:"], &[
        "~ hosts/{m1,m2}/kubernetes/pki/{apiserver.crt,apiserver.key,ca.srl}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("the services' addresses", BEFORE, ["kubelets:", "networking: {serviceSubnets: [10.32.0.0/16]}\nkubelets:"], &[
        "~ hosts/{m1,m2}/kubernetes/pki/{apiserver.crt,apiserver.key,ca.srl}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("the endpoint", BEFORE, ["api.example.org", "api.example.net"], &[
        "~ hosts/{m1,m2}/kubernetes/{auth/admin.conf,pki/apiserver.crt,pki/apiserver.key,pki/ca.srl}",
        "~ hosts/w1/kubernetes/auth/{bootstrap.conf,kube-proxy.conf}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("the endpoint's port", BEFORE, ["api.example.org", "api.example.org:443"], &[
        "~ hosts/{m1,m2}/kubernetes/auth/admin.conf",
        "~ hosts/w1/kubernetes/auth/{bootstrap.conf,kube-proxy.conf}",
    ]),
    case("the cluster's name", BEFORE, ["kubelets:", "clusterName: horse\nkubelets:"], &[
        "~ hosts/{m1,m2}/kubernetes/auth/{admin.conf,controller-manager.conf,scheduler.conf}",
        "~ hosts/w1/kubernetes/auth/{bootstrap.conf,kube-proxy.conf}",
    ]),
    case("an address of a worker", BEFORE, ["192.0.2.21", "192.0.2.29"], &[
        "~ hosts/w1/kubernetes/pki/{kubelet.crt,kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("a name of an etcd member", BEFORE, ["[192.0.2.11]", "[192.0.2.11], names: [m1.example.org]"], &[
        "~ hosts/m1/etcd/pki/{ca.srl,peer.crt,peer.key,server.crt,server.key}",
        "~ hosts/m1/kubernetes/pki/{apiserver.crt,apiserver.key,ca.srl}",
        "~ authority/{etcd-ca.srl,kubernetes-ca.srl}",
    ]),

    case("which CA keys a host may hold", BEFORE, ["kubelets:", "caKeys: signing\nkubelets:"], &[
        "- hosts/{m1,m2}/{etcd/pki/ca,kubernetes/pki/front-proxy-ca}.{key,srl}",
    ]),
    case("kubeconfigs that name their certificates", BEFORE, ["kubelets:", "kubeconfigs: {components: files}\nkubelets:"], &[
        "+ hosts/{m1,m2}/kubernetes/pki/{controller-manager,scheduler}.{crt,key}",
        "~ hosts/{m1,m2}/kubernetes/{auth/controller-manager.conf,auth/scheduler.conf,pki/ca.srl}",
        "+ hosts/w1/kubernetes/pki/kube-proxy.{crt,key}",
        "~ hosts/w1/kubernetes/auth/kube-proxy.conf",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("an admin's kubeconfig that names its certificate", BEFORE, ["kubelets:", "kubeconfigs: {admin: files}\nkubelets:"], &[
        "+ hosts/{m1,m2}/kubernetes/pki/admin.{crt,key}",
        "~ hosts/{m1,m2}/kubernetes/{auth/admin.conf,pki/ca.srl}",
        "~ authority/kubernetes-ca.srl",
    ]),
    // They keep the certificates that they have, and embed the CA too.
    case("kubeconfigs that embed everything", BEFORE, ["kubelets:", "kubeconfigs: {components: embedded}\nkubelets:"], &[
        "~ hosts/{m1,m2}/kubernetes/auth/{controller-manager.conf,scheduler.conf}",
        "~ hosts/w1/kubernetes/auth/{bootstrap.conf,kube-proxy.conf}",
    ]),
    case("no serving certificates of kubelets", BEFORE, ["serving: cluster-ca", "serving: none"], &[
        "- hosts/w1/kubernetes/pki/kubelet.{crt,key}",
    ]),
    case("client certificates of kubelets", BEFORE, ["serving: cluster-ca", "serving: cluster-ca, client: issued"], &[
        "+ hosts/w1/kubernetes/auth/kubelet.conf",
        "+ hosts/w1/kubelet/pki/kubelet-client.{crt,key}",
        "- hosts/w1/kubernetes/auth/bootstrap.conf",
        "~ authority/kubernetes-ca.srl",
    ]),
    // What both layouts have at the same place stays: the API server's pairs, the CAs, the service accounts' key.
    case("the layout", BEFORE, ["kubelets:", "layout: kubeadm\nkubelets:"], &[
        "- hosts/{m1,m2}/etcd/pki/ca.{crt,key,srl}",
        "+ hosts/{m1,m2}/kubernetes/pki/etcd/ca.{crt,key}",
        "- hosts/m1/etcd/pki/{peer,server}.{crt,key}",
        "+ hosts/m1/kubernetes/pki/etcd/{healthcheck-client,peer,server}.{crt,key}",
        "- hosts/{m1,m2}/kubernetes/{pki/ca.srl,pki/front-proxy-ca.srl,token.csv}",
        "- hosts/{m1,m2}/kubernetes/auth/{admin,controller-manager,scheduler}.conf",
        "+ hosts/{m1,m2}/kubernetes/{admin,controller-manager,kubelet,scheduler}.conf",
        "+ hosts/m1/kubernetes/super-admin.conf",
        "+ hosts/{m1,m2}/kubelet/pki/{kubelet,kubelet-client}.{crt,key}",
        "- hosts/w1/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/kubelet.crt,pki/kubelet.key}",
        "+ hosts/w1/{kubelet/pki/kubelet.crt,kubelet/pki/kubelet.key,kubernetes/bootstrap-kubelet.conf}",
        "~ authority/{etcd-ca,kubernetes-ca}.srl",
        "~ manifests/rbac.yaml",
    ]),

    case("a worker with a CA of its kubelet's own", KUBELET_CAS,
        ["kubelets:", "- {name: w3, addresses: [192.0.2.23]}\nkubelets:"], &[
        "+ authority/kubelet-ca/w3.{crt,key}",
        "+ hosts/w3/kubernetes/{auth/bootstrap.conf,auth/kube-proxy.conf,pki/ca.crt,pki/kubelet.crt,pki/kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("an address of a worker with a CA of its kubelet's own", KUBELET_CAS, ["192.0.2.21", "192.0.2.29"], &[
        "~ authority/kubelet-ca/w1.crt",
        "~ hosts/w1/kubernetes/pki/{kubelet.crt,kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
    case("kubelets under the cluster CA", KUBELET_CAS, ["kubelet-ca", "cluster-ca"], &[
        "~ hosts/{w1,w2}/kubernetes/pki/{kubelet.crt,kubelet.key}",
        "~ authority/kubernetes-ca.srl",
    ]),
];

#[test]
fn a_change_touches_what_depends_on_it_and_nothing_else() {
    for Case {
        what,
        spec,
        change: [old, new],
        expected,
    } in CASES
    {
        let cluster = Cluster::init(spec);
        let root = cluster.root();
        let before = tree::read(&root);
        let changed_spec = spec.replace(old, new);
        assert_ne!(changed_spec, *spec, "{what}");
        cluster.write_spec(&changed_spec);

        let planned = cluster.verb(["plan", "-o", "json"]).success().stdout;
        let applied = cluster.verb(["apply", "-o", "json"]).success().stdout;
        assert_eq!(planned, applied, "{what}");
        let mut changed = tree::changes(&before, &tree::read(&root));
        assert!(changed.remove("~ cluster.yaml"), "{what}");
        let expected: BTreeSet<_> = expected.iter().flat_map(|line| expanded(line)).collect();
        assert_eq!(changed, expected, "{what}");
        assert_eq!(
            without_serials(changed.iter().map(|line| &line[2..])),
            files(&planned, &before),
            "{what}"
        );

        // What is no more, or is another, lies where it was, below the stamp of that run.
        for line in changed.iter().filter(|line| !line.starts_with('+')) {
            let path = &line[2..];
            assert_eq!(
                fs::read(backup(&root).join(path)).unwrap(),
                before[path].content,
                "{what}: {path}"
            );
        }
        let after = tree::read(&root);
        let again = cluster.verb(["apply"]).success();
        assert!(again.stderr.contains("Nothing to do"), "{what}: {again}");
        assert_eq!(tree::changes(&after, &tree::read(&root)), BTreeSet::new(), "{what}");
    }
}

#[test]
fn a_layout_changed_and_changed_back_leaves_no_file_of_the_other() {
    let cluster = Cluster::init(BEFORE);
    let before = tree::read(&cluster.root());
    for spec in [&format!("{BEFORE}layout: kubeadm\n"), BEFORE] {
        cluster.write_spec(spec);
        cluster.verb(["apply"]).success();
    }
    let after = tree::read(&cluster.root());
    assert!(after.keys().eq(before.keys()));
    // Whatever did not have to move is still the same file.
    for path in [
        "kubernetes/pki/apiserver.key",
        "kubernetes/pki/sa.key",
        "kubernetes/pki/ca.key",
    ] {
        let path = format!("hosts/m1/{path}");
        assert!(after[&path] == before[&path], "{path}");
    }
}

#[test]
fn a_ca_that_allows_none_below_it_does_not_get_kubelet_cas() {
    let cluster = Cluster::init(BEFORE);
    cluster.write_spec(&BEFORE.replace("cluster-ca", "kubelet-ca"));
    let before = tree::read(&cluster.root());
    let refused = cluster.verb(["apply"]).failure();
    let expected =
        "kubernetes-ca.crt: its path length 0 forbids the kubelet CAs that kubelets.serving: kubelet-ca needs";
    assert!(refused.stderr.contains(expected), "{refused}");
    assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());
}

/// A line for each of the alternatives in braces.
fn expanded(line: &str) -> Vec<String> {
    let Some((start, rest)) = line.split_once('{') else {
        return vec![line.to_owned()];
    };
    let (alternatives, end) = rest.split_once('}').unwrap();
    let lines = alternatives.split(',').map(|one| format!("{start}{one}{end}"));
    lines.flat_map(|line| expanded(&line)).collect()
}

/// The files of the steps; a removed host's are all those that were in its folder.
fn files(plan: &str, before: &tree::Tree) -> BTreeSet<String> {
    let plan: Value = serde_json::from_str(plan).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let files = steps.iter().flat_map(|step| step["files"].as_array().unwrap());
    let whole = |file: &str| -> Vec<String> {
        let folder = format!("{file}/");
        before
            .keys()
            .filter(|path| path.starts_with(&folder))
            .cloned()
            .collect()
    };
    let files: Vec<_> = files
        .flat_map(|file| {
            let file = file.as_str().unwrap();
            if file.matches('/').count() == 1 && file.starts_with("hosts/") {
                whole(file)
            } else {
                vec![file.to_owned()]
            }
        })
        .collect();
    without_serials(files.iter().map(String::as_str))
}

/// Without the last serial numbers in `authority/`, which go on whenever a CA signs, and are in no step.
fn without_serials<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let is_serial = |path: &str| path.starts_with("authority/") && Path::new(path).extension() == Some("srl".as_ref());
    paths.filter(|path| !is_serial(path)).map(str::to_owned).collect()
}

/// The one folder of backups.
fn backup(root: &Path) -> PathBuf {
    let stamps: Vec<_> = fs::read_dir(root.join("backup")).unwrap().collect();
    assert_eq!(stamps.len(), 1, "{stamps:?}");
    stamps[0].as_ref().unwrap().path()
}
