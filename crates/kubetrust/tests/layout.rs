//! Which host holds which files (S14, S16), and that nothing changes them but a reason to.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kubetrust_testkit::{Output, peers, run};
use support::{Cluster, folder};

const ONE_OF_EACH: &str = "\
hosts:
- {name: master, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: node, addresses: [192.0.2.21]}
";

const TWO_MASTERS: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane]}
- {name: m2, addresses: [192.0.2.12], roles: [control-plane]}
- {name: node, addresses: [192.0.2.21]}
";

const SEPARATE_ETCD: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane]}
- {name: e1, addresses: [192.0.2.31], roles: [etcd]}
- {name: node, addresses: [192.0.2.21]}
";

/// S14: 27 files.
const DOCUMENT_MASTER: &str = "\
0644 etcd/pki/ca.crt
0600 etcd/pki/ca.key
0644 etcd/pki/ca.srl
0644 etcd/pki/peer.crt
0600 etcd/pki/peer.key
0644 etcd/pki/server.crt
0600 etcd/pki/server.key
0600 kubernetes/auth/admin.conf
0600 kubernetes/auth/controller-manager.conf
0600 kubernetes/auth/scheduler.conf
0644 kubernetes/pki/apiserver-etcd-client.crt
0600 kubernetes/pki/apiserver-etcd-client.key
0644 kubernetes/pki/apiserver-kubelet-client.crt
0600 kubernetes/pki/apiserver-kubelet-client.key
0644 kubernetes/pki/apiserver.crt
0600 kubernetes/pki/apiserver.key
0644 kubernetes/pki/ca.crt
0600 kubernetes/pki/ca.key
0644 kubernetes/pki/ca.srl
0644 kubernetes/pki/front-proxy-ca.crt
0600 kubernetes/pki/front-proxy-ca.key
0644 kubernetes/pki/front-proxy-ca.srl
0644 kubernetes/pki/front-proxy-client.crt
0600 kubernetes/pki/front-proxy-client.key
0600 kubernetes/pki/sa.key
0644 kubernetes/pki/sa.pub
0600 kubernetes/token.csv
";

/// S14: 3 files.
const DOCUMENT_WORKER: &str = "\
0600 kubernetes/auth/bootstrap.conf
0600 kubernetes/auth/kube-proxy.conf
0644 kubernetes/pki/ca.crt
";

/// What `kubeadm init` leaves, and what a kubelet has after it.
const KUBEADM_FIRST: &str = "\
0644 kubelet/pki/kubelet-client.crt
0600 kubelet/pki/kubelet-client.key
0600 kubernetes/admin.conf
0600 kubernetes/controller-manager.conf
0600 kubernetes/kubelet.conf
0644 kubernetes/pki/apiserver-etcd-client.crt
0600 kubernetes/pki/apiserver-etcd-client.key
0644 kubernetes/pki/apiserver-kubelet-client.crt
0600 kubernetes/pki/apiserver-kubelet-client.key
0644 kubernetes/pki/apiserver.crt
0600 kubernetes/pki/apiserver.key
0644 kubernetes/pki/ca.crt
0600 kubernetes/pki/ca.key
0644 kubernetes/pki/etcd/ca.crt
0600 kubernetes/pki/etcd/ca.key
0644 kubernetes/pki/etcd/healthcheck-client.crt
0600 kubernetes/pki/etcd/healthcheck-client.key
0644 kubernetes/pki/etcd/peer.crt
0600 kubernetes/pki/etcd/peer.key
0644 kubernetes/pki/etcd/server.crt
0600 kubernetes/pki/etcd/server.key
0644 kubernetes/pki/front-proxy-ca.crt
0600 kubernetes/pki/front-proxy-ca.key
0644 kubernetes/pki/front-proxy-client.crt
0600 kubernetes/pki/front-proxy-client.key
0600 kubernetes/pki/sa.key
0644 kubernetes/pki/sa.pub
0600 kubernetes/scheduler.conf
0600 kubernetes/super-admin.conf
";

const KUBEADM_WORKER: &str = "\
0600 kubernetes/bootstrap-kubelet.conf
0644 kubernetes/pki/ca.crt
";

const AUTHORITY: &str = "\
0600 bootstrap-token.yaml
0644 etcd-ca.crt
0600 etcd-ca.key
0644 etcd-ca.srl
0644 front-proxy-ca.crt
0600 front-proxy-ca.key
0644 front-proxy-ca.srl
0644 kubernetes-ca.crt
0600 kubernetes-ca.key
0644 kubernetes-ca.srl
0600 sa.key
0644 sa.pub
0600 token.csv
";

#[test]
fn the_documents_tree_is_27_files_on_a_master_and_3_on_a_worker() {
    let cluster = Cluster::init(ONE_OF_EACH);
    assert_eq!(DOCUMENT_MASTER.lines().count(), 27);
    assert_eq!(DOCUMENT_WORKER.lines().count(), 3);
    assert_eq!(of(&cluster, "hosts/master"), DOCUMENT_MASTER);
    assert_eq!(of(&cluster, "hosts/node"), DOCUMENT_WORKER);
    assert_eq!(of(&cluster, "authority"), AUTHORITY);
    assert_eq!(of(&cluster, "manifests"), "0600 bootstrap-token.yaml\n0644 rbac.yaml\n");
    let top: BTreeSet<_> = fs::read_dir(cluster.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        top,
        ["authority", "cluster.yaml", "hosts", "manifests"]
            .map(Into::into)
            .into()
    );
}

#[test]
fn kubeadms_tree_is_the_one_that_kubeadm_leaves() {
    let cluster = Cluster::init(&format!("{TWO_MASTERS}layout: kubeadm\n"));
    assert_eq!(of(&cluster, "hosts/m1"), KUBEADM_FIRST);
    // `kubeadm join` makes no super-admin.conf.
    assert_eq!(
        of(&cluster, "hosts/m2"),
        KUBEADM_FIRST.replace("0600 kubernetes/super-admin.conf\n", "")
    );
    assert_eq!(of(&cluster, "hosts/node"), KUBEADM_WORKER);
}

#[test]
fn an_etcd_host_holds_what_etcd_reads_and_nothing_else() {
    for (layout, etcd) in [
        (
            "document",
            "\
0644 etcd/pki/ca.crt
0644 etcd/pki/peer.crt
0600 etcd/pki/peer.key
0644 etcd/pki/server.crt
0600 etcd/pki/server.key
",
        ),
        (
            "kubeadm",
            "\
0644 kubernetes/pki/etcd/ca.crt
0644 kubernetes/pki/etcd/healthcheck-client.crt
0600 kubernetes/pki/etcd/healthcheck-client.key
0644 kubernetes/pki/etcd/peer.crt
0600 kubernetes/pki/etcd/peer.key
0644 kubernetes/pki/etcd/server.crt
0600 kubernetes/pki/etcd/server.key
",
        ),
    ] {
        let cluster = Cluster::init(&format!("{SEPARATE_ETCD}layout: {layout}\ncaKeys: signing\n"));
        assert_eq!(of(&cluster, "hosts/e1"), etcd);
        let master = of(&cluster, "hosts/m1");
        for absent in [
            "peer.",
            "etcd/pki/server.",
            "etcd/server.",
            "healthcheck-client.",
            "etcd/pki/ca.key",
            "etcd/ca.key",
        ] {
            assert!(!master.contains(absent), "{layout}: {absent} in\n{master}");
        }
        assert!(master.contains("pki/apiserver-etcd-client.key"), "{master}");
    }
}

#[test]
fn further_roles_and_choices_add_exactly_their_files() {
    for (choice, host, added) in [
        (
            "kubelets: {client: issued}",
            "node",
            "+0644 kubelet/pki/kubelet-client.crt +0600 kubelet/pki/kubelet-client.key +0600 kubernetes/auth/kubelet.conf -0600 kubernetes/auth/bootstrap.conf",
        ),
        (
            "kubelets: {serving: cluster-ca}",
            "node",
            "+0644 kubernetes/pki/kubelet.crt +0600 kubernetes/pki/kubelet.key",
        ),
        (
            "kubelets: {serving: kubelet-ca}",
            "node",
            "+0644 kubernetes/pki/kubelet.crt +0600 kubernetes/pki/kubelet.key",
        ),
        ("kubelets: {serving: kubelet-ca}", "master", ""),
        (
            "kubeconfigs: {components: files}",
            "node",
            "+0644 kubernetes/pki/kube-proxy.crt +0600 kubernetes/pki/kube-proxy.key",
        ),
        (
            "kubeconfigs: {components: files}",
            "master",
            "+0644 kubernetes/pki/controller-manager.crt +0600 kubernetes/pki/controller-manager.key +0644 kubernetes/pki/scheduler.crt +0600 kubernetes/pki/scheduler.key",
        ),
        (
            "kubeconfigs: {admin: files}",
            "master",
            "+0644 kubernetes/pki/admin.crt +0600 kubernetes/pki/admin.key",
        ),
    ] {
        let cluster = Cluster::init(&format!("{ONE_OF_EACH}{choice}\n"));
        let plain = if host == "node" {
            DOCUMENT_WORKER
        } else {
            DOCUMENT_MASTER
        };
        let mut must_be: BTreeSet<String> = plain.lines().map(str::to_owned).collect();
        let mut words = added.split(' ').filter(|word| !word.is_empty());
        while let (Some(mode), Some(path)) = (words.next(), words.next()) {
            let changed = match mode.split_at(1) {
                ("+", mode) => must_be.insert(format!("{mode} {path}")),
                (_, mode) => must_be.remove(&format!("{mode} {path}")),
            };
            assert!(changed, "{path}");
        }
        let found: BTreeSet<String> = of(&cluster, &format!("hosts/{host}"))
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(found, must_be, "{choice}: {host}");
    }
}

#[test]
fn a_kubelet_cas_key_stays_in_authority() {
    for layout in ["document", "kubeadm"] {
        let cluster = Cluster::init(&format!(
            "{ONE_OF_EACH}layout: {layout}\nkubelets: {{serving: kubelet-ca}}\n"
        ));
        let key = fs::read_to_string(cluster.root().join("authority/kubelet-ca/node.key")).unwrap();
        let hosts = cluster.root().join("hosts");
        for file in folder::files(&hosts) {
            assert!(
                !fs::read_to_string(hosts.join(&file)).unwrap().contains(key.trim()),
                "{file}"
            );
        }
        // Only hosts with a kubelet have one: kubeadm's masters are nodes.
        let cas = folder::files(&cluster.root().join("authority/kubelet-ca"));
        let masters: &[&str] = if layout == "kubeadm" {
            &["master.crt", "master.key"]
        } else {
            &[]
        };
        assert_eq!(cas, [masters, &["node.crt", "node.key"]].concat());
    }
}

/// Which CA keys lie on a control-plane host, by `caKeys` and mode.
#[rustfmt::skip]
const CA_KEYS: &[(&str, &str, &str, &[&str])] = &[
    ("document", "separate", "all", &["etcd/pki/ca", "kubernetes/pki/ca", "kubernetes/pki/front-proxy-ca"]),
    ("document", "separate", "signing", &["kubernetes/pki/ca"]),
    ("document", "separate", "none", &[]),
    ("document", "single", "all", &["etcd/pki/ca", "kubernetes/pki/ca", "kubernetes/pki/front-proxy-ca"]),
    ("document", "single", "signing", &["kubernetes/pki/ca"]),
    ("document", "single", "none", &[]),
    ("kubeadm", "separate", "all", &["kubernetes/pki/ca", "kubernetes/pki/etcd/ca", "kubernetes/pki/front-proxy-ca"]),
    ("kubeadm", "separate", "signing", &["kubernetes/pki/ca"]),
    ("kubeadm", "separate", "none", &[]),
    ("kubeadm", "single", "all", &["kubernetes/pki/ca", "kubernetes/pki/etcd/ca", "kubernetes/pki/front-proxy-ca"]),
    ("kubeadm", "single", "signing", &["kubernetes/pki/ca"]),
    ("kubeadm", "single", "none", &[]),
];

#[test]
fn a_ca_key_lies_only_where_the_spec_lets_it() {
    for (layout, mode, keys, held) in CA_KEYS {
        let choice = format!("layout: {layout}\nauthorities: {{mode: {mode}}}\ncaKeys: {keys}\n");
        let cluster = Cluster::init(&format!("{TWO_MASTERS}{choice}"));
        for host in ["m1", "m2"] {
            assert_eq!(ca_keys(&cluster, host), *held, "{choice}{host}");
        }
        assert!(ca_keys(&cluster, "node").is_empty(), "{choice}");
    }
}

#[test]
fn taking_the_ca_keys_off_the_hosts_removes_them_and_nothing_else() {
    let cluster = Cluster::init(TWO_MASTERS);
    let before = contents(&cluster.root().join("hosts"));
    let gone = |path: &str| ["ca.key", "ca.srl"].iter().any(|end| path.ends_with(end));
    cluster.write_spec(&format!("{TWO_MASTERS}caKeys: none\n"));
    cluster.verb(["apply"]).success();
    let mut must_be = before.clone();
    must_be.retain(|path, _| !gone(path));
    assert_eq!(must_be.len() + 12, before.len());
    assert_eq!(contents(&cluster.root().join("hosts")), must_be);
    assert_eq!(of(&cluster, "authority"), AUTHORITY);
    nothing_to_do(&cluster);
    // And back.
    cluster.write_spec(TWO_MASTERS);
    cluster.verb(["apply"]).success();
    assert_eq!(contents(&cluster.root().join("hosts")), before);
}

/// The path of each CA's key in a host's folder, without extension.
fn ca_keys(cluster: &Cluster, host: &str) -> Vec<String> {
    let files = folder::files(&cluster.root().join("hosts").join(host));
    let keys = files.iter().filter_map(|file| file.strip_suffix("ca.key"));
    keys.map(|path| format!("{path}ca")).collect()
}

#[test]
fn openssl_carries_on_from_the_last_serial_number() {
    let cluster = Cluster::init(ONE_OF_EACH);
    let folder = cluster.root().join("hosts/master");
    let scratch = cluster.beside();
    let leaves = folder::credentials(&folder, scratch);
    let workers = folder::credentials(&cluster.root().join("hosts/node"), scratch);
    openssl(
        scratch,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "mine.key",
            "-subj",
            "/CN=mine",
            "-out",
            "mine.csr",
        ],
    );
    for (ca, kept) in [
        ("etcd/pki/ca", "etcd-ca"),
        ("kubernetes/pki/ca", "kubernetes-ca"),
        ("kubernetes/pki/front-proxy-ca", "front-proxy-ca"),
    ] {
        let path = |extension: &str| folder.join(format!("{ca}.{extension}"));
        let last = fs::read_to_string(path("srl")).unwrap();
        assert_eq!(
            last,
            fs::read_to_string(cluster.root().join(format!("authority/{kept}.srl"))).unwrap()
        );
        let issuer = fact(&path("crt"), "-subject_hash");
        let signed = leaves
            .iter()
            .chain(&workers)
            .filter(|leaf| !leaf.place.ends_with("ca.crt") && fact(&leaf.certificate, "-issuer_hash") == issuer);
        let serials: Vec<String> = signed.map(|leaf| serial(&leaf.certificate)).collect();
        assert!(
            serials.contains(&last.trim().to_owned()),
            "{last} is none of {serials:?}"
        );

        for step in 1..=2 {
            let [certificate, key, serials] =
                ["crt", "key", "srl"].map(|extension| path(extension).to_str().unwrap().to_owned());
            openssl(
                scratch,
                &[
                    "x509",
                    "-req",
                    "-in",
                    "mine.csr",
                    "-CA",
                    &certificate,
                    "-CAkey",
                    &key,
                    "-CAserial",
                    &serials,
                    "-days",
                    "1",
                    "-out",
                    "mine.crt",
                ],
            );
            let next = number(&serial(&scratch.join("mine.crt")));
            assert_eq!(next, number(&last).wrapping_add(step));
            assert_eq!(number(&fs::read_to_string(path("srl")).unwrap()), next);
        }
    }
    nothing_to_do(&cluster);

    // A CA that signs again has a new last serial number; those that do not keep what openssl left.
    let moved = |ca: &str| fs::read_to_string(folder.join(format!("{ca}.srl"))).unwrap();
    let (etcd, kubernetes) = (moved("etcd/pki/ca"), moved("kubernetes/pki/ca"));
    cluster.write_spec(&format!("{ONE_OF_EACH}extraSANs: [extra.example.org]\n"));
    cluster.verb(["apply"]).success();
    assert_eq!(moved("etcd/pki/ca"), etcd);
    assert_ne!(moved("kubernetes/pki/ca"), kubernetes);
    assert_eq!(
        moved("kubernetes/pki/ca").trim(),
        serial(&folder.join("kubernetes/pki/apiserver.crt"))
    );
}

#[test]
fn every_api_server_verifies_tokens_with_the_same_keys_and_the_current_one_first() {
    let cluster = Cluster::init(TWO_MASTERS);
    let of = |host: &str| fs::read_to_string(cluster.host_file(host, "kubernetes/pki/sa.pub")).unwrap();
    let current = of("m1");
    assert_eq!(current, of("m2"));
    let key = |host: &str| fs::read(cluster.host_file(host, "kubernetes/pki/sa.key")).unwrap();
    assert_eq!(key("m1"), key("m2"));
    let own = cluster.host_file("m1", "kubernetes/pki/sa.key");
    assert_eq!(
        openssl(cluster.beside(), &["pkey", "-pubout", "-in", own.to_str().unwrap()]).stdout,
        current
    );

    openssl(
        cluster.beside(),
        &["genpkey", "-algorithm", "RSA", "-out", "previous.key"],
    );
    let previous = openssl(cluster.beside(), &["pkey", "-pubout", "-in", "previous.key"]).stdout;
    let kept = cluster.root().join("authority/sa.pub");
    // Wherever the previous key was put.
    for given in [format!("{current}{previous}"), format!("{previous}{current}")] {
        fs::write(&kept, given).unwrap();
        cluster.verb(["apply"]).success();
        for host in ["m1", "m2"] {
            assert_eq!(of(host), format!("{current}{previous}"));
        }
        nothing_to_do(&cluster);
    }
    // Taken out again, it is gone everywhere.
    fs::write(&kept, &current).unwrap();
    cluster.verb(["apply"]).success();
    assert_eq!((of("m1"), of("m2")), (current.clone(), current));
}

#[test]
fn a_second_apply_touches_nothing() {
    let example = support::kubetrust(["spec", "example"]).output().unwrap().stdout;
    let kubeadm = format!(
        "{SEPARATE_ETCD}layout: kubeadm\nauthorities: {{mode: single}}\ncaKeys: none\nkeyAlgorithm: ed25519\nkubelets: {{serving: cluster-ca, client: issued}}\nkubeconfigs: {{components: files, admin: files}}\n"
    );
    for spec in [ONE_OF_EACH.to_owned(), String::from_utf8(example).unwrap(), kubeadm] {
        let cluster = Cluster::init(&spec);
        nothing_to_do(&cluster);
        // Nor does a look at it.
        let before = folder::state(&cluster.root());
        let host = if spec == ONE_OF_EACH { "master" } else { "m1" };
        for verb in [
            vec!["plan", "-o", "json"],
            vec!["show", "-o", "wide"],
            vec!["bundle", host],
            vec!["flags", "kube-apiserver", "--host", host],
        ] {
            cluster.verb(verb).success();
            assert_unchanged(&before, &cluster.root());
        }
    }
}

/// `apply` says that there is nothing to do, and does nothing.
#[track_caller]
fn nothing_to_do(cluster: &Cluster) {
    let before = folder::state(&cluster.root());
    let output = cluster.verb(["apply"]).success();
    assert!(output.stderr.contains("Nothing to do"), "{output}");
    assert_unchanged(&before, &cluster.root());
}

#[track_caller]
fn assert_unchanged(before: &BTreeMap<PathBuf, (String, Vec<u8>)>, root: &Path) {
    let after = folder::state(root);
    for (path, was) in before {
        assert_eq!(Some(was), after.get(path), "{}", path.display());
    }
    assert_eq!(before.len(), after.len());
}

/// The listing of a folder of the cluster's directory.
fn of(cluster: &Cluster, folder: &str) -> String {
    folder::listing(&cluster.root().join(folder))
        .into_iter()
        .map(|line| line + "\n")
        .collect()
}

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    folder::files(root)
        .into_iter()
        .map(|file| (file.clone(), fs::read(root.join(file)).unwrap()))
        .collect()
}

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    run(peers::openssl().args(arguments).current_dir(folder)).success()
}

fn fact(certificate: &Path, what: &str) -> String {
    run(peers::openssl().args(["x509", "-noout", what, "-in"]).arg(certificate))
        .success()
        .stdout
        .trim()
        .to_owned()
}

fn serial(certificate: &Path) -> String {
    fact(certificate, "-serial").replace("serial=", "")
}

fn number(serial: &str) -> u128 {
    u128::from_str_radix(serial.trim(), 16).unwrap()
}
