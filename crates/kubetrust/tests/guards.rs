//! What `apply` refuses to do, and what it closes: the doors that a careless hand leaves open.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kubetrust_testkit::{peers, run};
use support::Cluster;

const ONE: &str = "hosts: [{name: m1, addresses: [192.0.2.11], roles: [control-plane]}]\n";

#[test]
fn an_authority_that_hosts_still_hold_is_never_made_anew() {
    let cases: [(&[&str], &str); 4] = [
        (
            &["kubernetes-ca.crt", "kubernetes-ca.key"],
            "kubernetes-ca.crt and .key",
        ),
        (&["etcd-ca.crt", "etcd-ca.key"], "etcd-ca.crt and .key"),
        (
            &["front-proxy-ca.crt", "front-proxy-ca.key"],
            "front-proxy-ca.crt and .key",
        ),
        (&["sa.key", "sa.pub"], "sa.key and sa.pub"),
    ];
    for (lost, named) in cases {
        let cluster = Cluster::init(ONE);
        let held = fs::read(cluster.host_file("m1", "kubernetes/pki/ca.key")).unwrap();
        for file in lost {
            fs::remove_file(cluster.root().join("authority").join(file)).unwrap();
        }
        let refused = cluster.verb(["apply"]).failure();
        assert_eq!(refused.code(), Some(1));
        assert!(
            refused.stderr.contains(&format!("it has lost {named}")),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("put them back"), "{}", refused.stderr);
        assert_eq!(
            fs::read(cluster.host_file("m1", "kubernetes/pki/ca.key")).unwrap(),
            held
        );
    }
}

#[test]
fn what_others_can_read_in_authority_is_closed() {
    let cluster = Cluster::init(ONE);
    let authority = cluster.root().join("authority");
    let open = [
        ("kubernetes-ca.key", 0o644),
        ("sa.key", 0o640),
        ("token.csv", 0o666),
        ("bootstrap-token.yaml", 0o604),
    ];
    let mut before = Vec::new();
    for (file, mode) in open {
        before.push(fs::read(authority.join(file)).unwrap());
        chmod(&authority.join(file), mode);
    }
    chmod(&authority, 0o755);
    let planned = cluster.verb(["plan"]).success().stdout;
    assert!(planned.contains("mode is 0644, must be 0600"), "{planned}");
    assert!(planned.contains("mode is 0755, must be 0700"), "{planned}");
    cluster.verb(["apply"]).success();
    assert_eq!(mode(&authority), 0o700);
    for ((file, _), content) in open.into_iter().zip(before) {
        assert_eq!(mode(&authority.join(file)), 0o600, "{file}");
        assert_eq!(fs::read(authority.join(file)).unwrap(), content, "{file}");
    }
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
}

#[test]
fn what_is_no_hosts_folder_is_the_users() {
    let cluster = Cluster::init(ONE);
    let hosts = cluster.root().join("hosts");
    for name in [".git", "notes", "Old Host"] {
        fs::create_dir(hosts.join(name)).unwrap();
        fs::write(hosts.join(name).join("kept"), name).unwrap();
    }
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
    assert_eq!(fs::read_to_string(hosts.join("notes/kept")).unwrap(), "notes");
}

/// A line a case: how the brought CA is made, and what the refusal says.
#[test]
fn a_brought_ca_that_cannot_sign_what_it_must_is_refused() {
    let cases = [
        (
            "its usages leave out clients",
            "rsa:2048",
            "extendedKeyUsage=serverAuth",
            "extended key usage",
        ),
        (
            "it is confined to names",
            "rsa:2048",
            "nameConstraints=permitted;DNS:example.org",
            "confined to certain names",
        ),
        ("its key is short", "rsa:1024", "subjectKeyIdentifier=hash", "rsa-1024"),
    ];
    for (what, key, extension, said) in cases {
        let cluster = Cluster::nowhere();
        self_signed(cluster.beside(), "brought", key, extension);
        let spec = format!("{ONE}authorities: {{bring: {{kubernetes: {{certificate: brought.crt}}}}}}\n");
        let refused = cluster.try_init(&spec).failure();
        assert_eq!(refused.code(), Some(2), "{what}");
        assert!(refused.stderr.contains(said), "{what}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("authorities.bring.kubernetes.certificate"),
            "{what}: {}",
            refused.stderr
        );
        assert!(!cluster.root().exists(), "{what}");
    }
}

#[test]
fn one_ca_for_several_authorities_is_refused_outside_single_mode() {
    let cluster = Cluster::nowhere();
    self_signed(cluster.beside(), "one", "rsa:2048", "subjectKeyIdentifier=hash");
    let ca = "{certificate: one.crt, key: one.key}";
    let spec = format!("{ONE}authorities: {{bring: {{etcd: {ca}, kubernetes: {ca}}}}}\n");
    let refused = cluster.try_init(&spec).failure();
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("the same key as etcd's"), "{}", refused.stderr);
    assert!(!cluster.root().exists());
}

#[test]
fn names_by_which_etcd_knows_its_clients_are_refused_under_single() {
    let cluster = Cluster::nowhere();
    let spec = "clusterName: horse\nauthorities: {mode: single}\nextraSANs: [client.etcd.horse.internal]\n";
    let refused = cluster.try_init(&format!("{spec}{ONE}")).failure();
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains(":3:13: extraSANs[0]"), "{}", refused.stderr);
}

#[test]
fn back_dating_makes_no_certificate_due_at_once() {
    let cluster = Cluster::init(&format!("{ONE}validity: {{client: 2h, server: 2h}}\nbackdate: 24h\n"));
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
}

#[test]
fn a_shorter_validity_is_applied_to_what_lives_longer() {
    let cluster = Cluster::init(ONE);
    cluster.write_spec(&format!("{ONE}validity: {{server: 720h}}\n"));
    let planned = cluster.verb(["plan", "-o", "json"]).success().stdout;
    assert!(planned.contains("LivesTooLong"), "{planned}");
    cluster.verb(["apply"]).success();
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
}

#[test]
fn an_init_that_was_killed_before_it_issued_anything_can_be_run_again() {
    let cluster = Cluster::nowhere();
    self_signed(cluster.beside(), "one", "rsa:2048", "subjectKeyIdentifier=hash");
    let spec = format!("{ONE}authorities: {{bring: {{kubernetes: {{certificate: one.crt, key: one.key}}}}}}\n");
    fs::create_dir(cluster.root()).unwrap();
    cluster.write_spec(&spec);
    cluster.try_init(&spec).success();
    // Taken up, the CA may go where it came from.
    fs::remove_file(cluster.beside().join("one.crt")).unwrap();
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
}

#[test]
fn a_spec_that_is_no_file_is_refused_without_waiting_for_it() {
    let cluster = Cluster::nowhere();
    let pipe = cluster.beside().join("pipe");
    run(peers::isolated("mkfifo").arg(&pipe)).success();
    let root = cluster.root();
    let refused = run(support::kubetrust(["init", "-d"]).arg(&root).arg("-f").arg(&pipe)).failure();
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("not a regular file"), "{}", refused.stderr);
}

fn self_signed(folder: &Path, name: &str, key: &str, extension: &str) {
    run(peers::openssl().current_dir(folder).args([
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        key,
        "-days",
        "3650",
        "-subj",
        "/O=Corp/CN=Corporate CA",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-addext",
        extension,
        "-keyout",
        &format!("{name}.key"),
        "-out",
        &format!("{name}.crt"),
    ]))
    .success();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
