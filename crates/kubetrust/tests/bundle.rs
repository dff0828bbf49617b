//! The tar of a host: all that it must hold, as it lies on the host, and never a CA key where none belongs.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubetrust_testkit::{peers, run};
use support::{Cluster, folder, kubetrust};

const HOSTS: &str = "\
hosts:
- {name: master, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: node, addresses: [192.0.2.21]}
";

/// Mode, owner, group and content of each file, by its name in the tar.
type Entries = BTreeMap<String, (u32, u64, u64, Vec<u8>)>;

#[test]
fn a_bundle_is_the_hosts_folder_with_its_modes_and_owners_as_it_lies_on_the_host() {
    for (spec, places) in [
        (
            "kubelets: {client: issued}\n",
            [
                ("kubernetes", "etc/kubernetes"),
                ("etcd", "etc/etcd"),
                ("kubelet", "var/lib/kubelet"),
            ],
        ),
        (
            "layout: kubeadm\npaths: {kubernetes: /opt/k8s}\n",
            [("kubernetes", "opt/k8s"), ("etcd", "-"), ("kubelet", "var/lib/kubelet")],
        ),
    ] {
        let cluster = Cluster::init(&format!("{HOSTS}{spec}"));
        for host in ["master", "node"] {
            let folder = cluster.root().join("hosts").join(host);
            // Only root may give a file away; what remains of the test holds for everybody.
            let _ = chown(folder.join("kubernetes/pki/ca.crt"), Some(1234), Some(2345));
            // Not the catalog's, so not packed, and no reason to refuse.
            fs::write(folder.join("kubernetes/notes.txt"), "mine").unwrap();
            let mut must_be = Entries::new();
            for file in folder::files(&folder)
                .iter()
                .filter(|file| !file.ends_with("notes.txt"))
            {
                let path = folder.join(file);
                let facts = path.metadata().unwrap();
                let (from, to) = places
                    .iter()
                    .find(|(from, _)| file.split('/').next() == Some(from))
                    .unwrap();
                let facts = (
                    facts.mode() & 0o7777,
                    facts.uid().into(),
                    facts.gid().into(),
                    fs::read(path).unwrap(),
                );
                must_be.insert(file.replacen(from, to, 1), facts);
            }
            let output = kubetrust(["bundle", host, "-d"]).arg(cluster.root()).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            assert_eq!(entries(&output.stdout), must_be);

            let tar = cluster.beside().join("host.tar");
            cluster.verb(["bundle", host, "-o", tar.to_str().unwrap()]).success();
            assert_eq!(fs::read(&tar).unwrap(), output.stdout);
            assert_eq!(tar.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            // Whatever was readable by everybody before is so no longer.
            fs::set_permissions(&tar, fs::Permissions::from_mode(0o666)).unwrap();
            fs::write(&tar, vec![0; 1 << 20]).unwrap();
            cluster.verb(["bundle", host, "-o", tar.to_str().unwrap()]).success();
            assert_eq!(fs::read(&tar).unwrap(), output.stdout);
            assert_eq!(tar.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

fn entries(tar: &[u8]) -> Entries {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let (mode, uid, gid) = {
            let header = entry.header();
            (
                header.mode().unwrap() & 0o7777,
                header.uid().unwrap(),
                header.gid().unwrap(),
            )
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, (mode, uid, gid, content))
    });
    entries.collect()
}

#[test]
fn an_incomplete_host_is_not_bundled() {
    let cluster = Cluster::init(HOSTS);
    fs::remove_file(cluster.host_file("node", "kubernetes/pki/ca.crt")).unwrap();
    let said = refused(&cluster, "node");
    assert!(
        said.contains("hosts/node/kubernetes/pki/ca.crt is missing; run apply first"),
        "{said}"
    );
}

/// A way by which a CA's key, given as PEM, comes to a host's folder.
type Way = (&'static str, &'static str, fn(&Path, &str));

const WAYS: &[Way] = &[
    ("a stray file", "kubernetes/stray.key", |file, key| {
        fs::write(file, key).unwrap();
    }),
    ("a stray file deep down", "deep/er/still/x", |file, key| {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, key).unwrap();
    }),
    (
        "where a control-plane host has it",
        "kubernetes/pki/ca.key",
        |file, key| fs::write(file, key).unwrap(),
    ),
    (
        "appended to the CA's certificate",
        "kubernetes/pki/ca.crt",
        |file, key| {
            let certificate = fs::read_to_string(file).unwrap();
            fs::write(file, certificate + key).unwrap();
        },
    ),
    ("after a block that is damaged", "kubernetes/pki/ca.crt", |file, key| {
        fs::write(
            file,
            format!("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n{key}"),
        )
        .unwrap();
    }),
    (
        "embedded in a kubeconfig",
        "kubernetes/auth/bootstrap.conf",
        |file, key| {
            let data = format!(
                "    client-certificate-data: eA==\n    client-key-data: {}\n",
                STANDARD.encode(key)
            );
            fs::write(file, fs::read_to_string(file).unwrap() + &data).unwrap();
        },
    ),
    (
        "embedded for a user that no context names",
        "kubernetes/auth/kube-proxy.conf",
        |file, key| {
            let user = format!(
                "- name: other\n  user: {{client-key-data: \"{}\"}}\n",
                STANDARD.encode(key)
            );
            fs::write(file, fs::read_to_string(file).unwrap() + &user).unwrap();
        },
    ),
    (
        "in a Secret's manifest, indented",
        "kubernetes/secret.yaml",
        |file, key| {
            fs::write(
                file,
                format!("stringData:\n  key: |\n    {}\n", key.trim().replace('\n', "\n    ")),
            )
            .unwrap();
        },
    ),
    (
        "in the form that openssl ec and openssl rsa write",
        "kubernetes/old.key",
        |file, key| {
            fs::write(file, converted(key, &["pkey", "-traditional"])).unwrap();
        },
    ),
    ("in DER", "kubernetes/key.der", |file, key| {
        fs::write(file, converted(key, &["pkey", "-outform", "DER"])).unwrap();
    }),
    ("in DER, in base64", "kubernetes/key.txt", |file, key| {
        fs::write(file, STANDARD.encode(converted(key, &["pkey", "-outform", "DER"]))).unwrap();
    }),
];

fn converted(key: &str, arguments: &[&str]) -> Vec<u8> {
    let temp = tempfile::NamedTempFile::new().unwrap();
    fs::write(temp.path(), key).unwrap();
    let output = peers::openssl()
        .args(arguments)
        .arg("-in")
        .arg(temp.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_ca_key_never_leaves_with_a_workers_bundle_however_it_got_there() {
    for algorithm in ["ecdsa-p256", "rsa-2048"] {
        let cluster = Cluster::init(&format!(
            "{HOSTS}keyAlgorithm: {algorithm}\nkubelets: {{serving: kubelet-ca}}\n"
        ));
        let read = |name: &str| fs::read_to_string(cluster.root().join("authority").join(name)).unwrap();
        for ca in ["kubernetes-ca", "etcd-ca", "front-proxy-ca", "kubelet-ca/node"] {
            let key = read(&format!("{ca}.key"));
            for (way, place, put) in WAYS {
                let file = cluster.host_file("node", place);
                let before = fs::read(&file).ok();
                put(&file, &key);
                let said = refused(&cluster, "node");
                let ca = ca.split('/').next().unwrap();
                let why = format!("hosts/node/{place} contains the key of {ca}, which node must never hold");
                assert!(said.contains(&why), "{way}: {said}");
                match before {
                    Some(before) => fs::write(&file, before).unwrap(),
                    None => fs::remove_file(&file).unwrap(),
                }
            }
        }
        cluster
            .verb([
                "bundle",
                "node",
                "-o",
                cluster.beside().join("node.tar").to_str().unwrap(),
            ])
            .success();
    }
}

#[test]
fn a_control_plane_host_holds_only_the_ca_keys_that_the_spec_gives_it_each_in_its_place() {
    for (keys, place, ca) in [
        ("none", "kubernetes/pki/ca.key", "kubernetes-ca"),
        ("signing", "etcd/pki/ca.key", "etcd-ca"),
        ("signing", "kubernetes/pki/ca.key", "etcd-ca"),
        ("all", "kubernetes/pki/ca.crt", "kubernetes-ca"),
        ("all", "kubernetes/auth/admin.conf", "etcd-ca"),
    ] {
        let cluster = Cluster::init(&format!("{HOSTS}caKeys: {keys}\n"));
        let key = fs::read(cluster.root().join(format!("authority/{ca}.key"))).unwrap();
        fs::write(cluster.host_file("master", place), key).unwrap();
        let said = refused(&cluster, "master");
        assert!(
            said.contains(&format!("hosts/master/{place} contains the key of {ca}")),
            "{keys}: {said}"
        );
    }
}

/// There is no bundle: nothing on standard output, no file, and exit code 1. Returns why.
#[track_caller]
fn refused(cluster: &Cluster, host: &str) -> String {
    let tar: PathBuf = cluster.beside().join("refused.tar");
    let to_file = cluster.verb(["bundle", host, "-o", tar.to_str().unwrap()]);
    assert_eq!(to_file.code(), Some(1), "{to_file}");
    assert!(!tar.exists());
    let to_stdout = run(kubetrust(["bundle", host, "-d"]).arg(cluster.root()));
    assert_eq!(
        (to_stdout.code(), to_stdout.stdout.as_str()),
        (Some(1), ""),
        "{to_stdout}"
    );
    to_stdout.stderr
}
