//! `kubetrust up`: a cluster's API server from nothing, and the matrix of who gets in as whom.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use kubetrust_testkit::loopback::Loopback;
use kubetrust_testkit::{Output, run};
use serde_json::Value;
use support::{Cluster, kubetrust};

/// A cluster of a control plane that is a worker as well, and of a worker.
fn spec(network: &Loopback, choices: &str) -> String {
    format!(
        "clusterName: horse\nhosts:\n\
         - {{name: m1, addresses: [{}], roles: [control-plane, worker]}}\n\
         - {{name: w1, addresses: [{}]}}\n{choices}\n",
        network.host(1),
        network.host(2)
    )
}

#[track_caller]
fn matrix(cluster: &Cluster) -> Value {
    let output = cluster.verb(["up", "--once", "-o", "json"]).success();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// Each identity, and whom the server takes it for.
fn taken(matrix: &Value) -> BTreeMap<&str, &str> {
    let identities = matrix["identities"].as_array().unwrap();
    let names = identities.iter().map(|row| {
        (
            row["identity"].as_str().unwrap(),
            row["takenFor"]["user"]["username"].as_str().unwrap(),
        )
    });
    names.collect()
}

/// Identities, and whom the server takes them for.
type Who = &'static [(&'static str, &'static str)];

/// Those that every cluster of two hosts has.
const EVERYWHERE: Who = &[
    ("admin.conf", "kubernetes-admin"),
    ("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
    ("controller-manager.conf", "system:kube-controller-manager"),
    ("front proxy for jane", "jane"),
    ("nothing at all", "system:anonymous"),
    ("scheduler.conf", "system:kube-scheduler"),
    ("service-account token", "system:serviceaccount:kube-system:default"),
];

const DOCUMENT: Who = &[
    ("bootstrap-token.yaml", "system:bootstrapper"),
    ("kube-proxy.conf", "system:kube-proxy"),
    ("token.csv, line 1", "system:bootstrapper"),
    ("w1: kube-proxy.conf", "system:kube-proxy"),
];

/// Choices of the spec, and the identities that follow from them.
#[rustfmt::skip]
const CLUSTERS: &[(&str, &[Who])] = &[
    ("layout: document", &[EVERYWHERE, DOCUMENT, &[
        ("bootstrap.conf", "system:bootstrapper"),
        ("w1: bootstrap.conf", "system:bootstrapper"),
    ]]),
    ("kubelets: {client: issued, serving: kubelet-ca}\nkubeconfigs: {components: files, admin: files}", &[EVERYWHERE, DOCUMENT, &[
        ("kubelet.conf", "system:node:m1"),
        ("w1: kubelet.conf", "system:node:w1"),
    ]]),
    // One CA: what etcd trusts, the API server knows too, as somebody who may nothing.
    ("authorities: {mode: single}\nkeyAlgorithm: rsa-2048", &[EVERYWHERE, DOCUMENT, &[
        ("apiserver-etcd-client", "kube-apiserver-etcd-client"),
        ("bootstrap.conf", "system:bootstrapper"),
        ("etcd/peer", "m1"),
        ("front-proxy-client", "front-proxy-client"),
        ("w1: bootstrap.conf", "system:bootstrapper"),
    ]]),
    ("layout: kubeadm", &[EVERYWHERE, &[
        ("bootstrap-token.yaml", "system:bootstrap:"),
        ("kubelet.conf", "system:node:m1"),
        ("super-admin.conf", "kubernetes-super-admin"),
        ("w1: bootstrap-kubelet.conf", "system:bootstrap:"),
    ]]),
];

#[test]
fn every_identity_is_let_in_as_itself_and_nothing_else_is() {
    for (choices, identities) in CLUSTERS {
        let network = Loopback::reserve();
        let cluster = Cluster::init(&spec(&network, choices));
        let matrix = matrix(&cluster);
        let found = taken(&matrix);
        let must_be: BTreeMap<&str, &str> = identities.iter().copied().flatten().copied().collect();
        let names = |map: &BTreeMap<&str, &str>| map.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&must_be), "{choices}");
        for (name, user) in must_be {
            // The name of a bootstrap token's user ends with its id.
            let is = found[name];
            assert!(
                is == user || (user.ends_with(':') && is.starts_with(user)),
                "{choices}: {name} is {is}"
            );
        }
        assert_eq!(matrix["wrong"], serde_json::json!([]), "{choices}");
        assert_eq!(matrix["notTried"], serde_json::json!([]), "{choices}");
        let refused = matrix["refused"].as_array().unwrap();
        assert!(refused.len() >= 22, "{choices}: {refused:#?}");
        for tried in refused {
            let answer = tried["takenFor"]["answer"].as_str().unwrap();
            let user = tried["takenFor"]["user"]["username"].as_str();
            let is_refused = (answer.starts_with("401") && user.is_none()) || answer.starts_with("403");
            let is_somebody_else = answer.starts_with("201") && user != Some("jane");
            assert!(is_refused || is_somebody_else, "{choices}: {tried}");
        }
    }
}

/// What the identities of a cluster by the document are answered, in the order of the probes.
const ANSWERS: &[(&str, &str)] = &[
    ("admin.conf", "200 200 200 404 200 201 200 201 201 201 201 200"),
    (
        "controller-manager.conf",
        "200 200 200 403 200 403 200 201 403 201 201 403",
    ),
    ("scheduler.conf", "200 200 200 404 200 403 403 403 403 201 201 403"),
    ("kube-proxy.conf", "200 403 200 404 403 403 403 403 403 403 403 403"),
    (
        "apiserver-kubelet-client",
        "200 403 200 404 403 403 403 403 403 403 403 403",
    ),
    ("kubelet.conf", "200 403 403 404 403 403 403 403 201 201 201 403"),
    ("w1: kubelet.conf", "200 403 403 403 403 403 403 403 403 201 201 403"),
    ("token.csv, line 1", "200 403 403 403 403 403 403 403 201 403 403 403"),
    (
        "service-account token",
        "200 403 403 403 403 403 403 403 403 403 403 403",
    ),
    ("nothing at all", "200 403 403 403 403 403 403 403 403 403 403 403"),
];

#[test]
fn everybody_may_what_their_work_is() {
    let network = Loopback::reserve();
    let cluster = Cluster::init(&spec(&network, "kubelets: {client: issued}"));
    let matrix = matrix(&cluster);
    for (name, answers) in ANSWERS {
        let rows = matrix["identities"].as_array().unwrap();
        let row = rows.iter().find(|row| row["identity"] == *name).unwrap();
        let codes: Vec<String> = row["probes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell["code"].to_string())
            .collect();
        assert_eq!(codes.join(" "), *answers, "{name}: {row:#}");
    }
}

#[test]
fn the_table_fits_and_says_the_same() {
    let network = Loopback::reserve();
    let cluster = Cluster::init(&spec(&network, ""));
    let output = cluster.verb(["up", "--once"]).success();
    for fragment in [
        &format!("listens on {}:6443", network.host(1)),
        "admin.conf",
        "in system:masters",
        "etcd/peer.crt, of the CA etcd",
        "401 Unauthorized",
        "X-Remote-User from nobody",
        "answers are as they must be",
    ] {
        assert!(output.stdout.contains(fragment), "no {fragment:?} in {output}");
    }
    let tables = output.stdout.lines().filter(|line| !line.contains("kubectl"));
    let widest = tables.map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 120, "{widest} columns: {output}");
}

#[test]
fn a_second_start_keeps_all_data() {
    let network = Loopback::reserve();
    let cluster = Cluster::init(&spec(&network, ""));
    let account = |matrix: &Value| {
        let rows = matrix["identities"].as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["identity"] == "service-account token")
            .unwrap();
        row["takenFor"]["user"]["uid"].as_str().unwrap().to_owned()
    };
    let first = account(&matrix(&cluster));
    assert!(!first.is_empty());
    assert_eq!(account(&matrix(&cluster)), first, "the account was made anew");
}

#[track_caller]
fn wrong(output: &Output, fragments: &[&str]) {
    assert_eq!(output.code(), Some(1), "{output}");
    for fragment in fragments {
        assert!(output.stdout.contains(fragment), "no {fragment:?} in {output}");
    }
    assert!(!output.stderr.contains("panicked"), "{output}");
}

#[test]
fn what_was_tampered_with_is_wrong_by_name() {
    let network = Loopback::reserve();
    let cluster = Cluster::init(&spec(&network, ""));
    let other = Cluster::init(&spec(&network, ""));
    let [admin, ca] = ["kubernetes/auth/admin.conf", "kubernetes/pki/ca.crt"].map(|path| {
        let (own, others) = (cluster.host_file("m1", path), other.host_file("m1", path));
        (own.clone(), fs::read(&own).unwrap(), fs::read(others).unwrap())
    });

    // The kubeconfig of another cluster: its CA does not vouch for this server.
    fs::write(&admin.0, &admin.2).unwrap();
    wrong(&cluster.verb(["up", "--once"]), &["Wrong: admin.conf: ", "no answer!"]);
    fs::write(&admin.0, &admin.1).unwrap();

    // Another client CA: nobody who holds a certificate gets in.
    fs::write(&ca.0, &ca.2).unwrap();
    wrong(
        &cluster.verb(["up", "--once"]),
        &[
            "Wrong: admin.conf: it must be taken for kubernetes-admin",
            "401 Unauthorized!",
        ],
    );
    fs::write(&ca.0, &ca.1).unwrap();
    cluster.verb(["up", "--once"]).success();
}

#[test]
fn what_can_not_start_says_why() {
    let network = Loopback::reserve();
    let cluster = Cluster::init(&spec(&network, ""));
    let taken = TcpListener::bind((network.host(1), 6443)).unwrap();
    let output = cluster.verb(["up", "--once"]).failure();
    assert!(output.stderr.contains("can't be listened on"), "{output}");
    drop(taken);

    let output = cluster.verb(["up", "--once", "--host", "w9"]).failure();
    assert!(output.stderr.contains("there is no host w9"), "{output}");

    fs::write(cluster.host_file("m1", "kubernetes/pki/apiserver.key"), "no key").unwrap();
    let output = cluster.verb(["up", "--once"]).failure();
    assert!(
        output.stderr.contains("--tls-private-key-file") || output.stderr.contains("--tls-cert-file"),
        "{output}"
    );

    let unissued = Cluster::nowhere();
    fs::create_dir(unissued.root()).unwrap();
    unissued.write_spec(&spec(&network, ""));
    let output = run(kubetrust(["up", "--once", "-d"]).arg(unissued.root())).failure();
    assert!(output.stderr.contains("run: kubetrust apply -d"), "{output}");
}
