//! The peers themselves: each is there, answers, and can tell good from bad.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of any #[test]")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kubetrust_testkit::etcd::{Client, Cluster, Member};
use kubetrust_testkit::loopback::Loopback;
use kubetrust_testkit::pkilint::{self, Severity};
use kubetrust_testkit::{peers, run};

#[test]
fn each_program_starts() {
    run(peers::etcd().arg("--version")).success();
    run(peers::etcdctl().arg("version")).success();
    run(peers::kubectl().args(["version", "--client"])).success();
    run(peers::openssl().arg("version")).success();
    run(peers::pkilint().args(["-m", "pkilint.bin.lint_pkix_cert", "validations"])).success();
}

#[test]
fn nothing_of_the_user_is_seen() {
    let seen = run(peers::isolated("env").env_remove("TMPDIR").env_remove("PATH"))
        .success()
        .stdout;
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["HOME=/dev/null", "LC_ALL=C.UTF-8", "TZ=UTC"]);
}

#[test]
fn the_linter_objects_to_a_bad_certificate_and_to_no_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let good = authority(directory.path(), "good", GOOD_AUTHORITY);
    // RFC 5280, 4.2.1.2: conforming CAs MUST mark the subject key identifier as non-critical.
    let bad = authority(
        directory.path(),
        "bad",
        "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=critical,hash",
    );

    let findings = pkilint::lint(&[good.cert.clone(), bad.cert.clone()]);
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity >= Severity::Error)
        .collect();
    assert!(
        errors
            .iter()
            .any(|finding| finding.code == "pkix.certificate_skid_extension_critical"),
        "{findings:#?}"
    );
    assert!(errors.iter().all(|finding| finding.file == bad.cert), "{findings:#?}");
    assert_eq!(pkilint::violations(&[good.cert]), []);
}

#[test]
fn hundreds_of_certificates_are_linted_in_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let good = authority(directory.path(), "good", GOOD_AUTHORITY);
    let bundle = directory.path().join("bundle.crt");
    fs::write(&bundle, fs::read_to_string(good.cert).unwrap().repeat(150)).unwrap();

    let start = Instant::now();
    assert_eq!(pkilint::violations(&[bundle.clone(), bundle]), []);
    assert!(
        start.elapsed().as_secs() < 30,
        "300 certificates took {:?}",
        start.elapsed()
    );
}

#[test]
#[should_panic(expected = "no certificate")]
fn the_linter_does_not_pass_over_a_file_without_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("empty.crt");
    fs::write(&file, "nothing\n").unwrap();
    let _ = pkilint::lint(&[file]);
}

#[test]
fn etcd_serves_who_has_a_certificate_and_refuses_who_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let network = Loopback::reserve();
    let (member, client) = single_node(directory.path(), &network);

    let mut cluster = Cluster::start(vec![member], client);
    cluster.etcdctl(&["put", "greeting", "hello"]).success();
    cluster.restart(0);
    assert_eq!(
        cluster
            .etcdctl(&["get", "greeting", "--print-value-only"])
            .success()
            .stdout,
        "hello\n"
    );

    let stranger = Client {
        cert: None,
        key: None,
        ..cluster.client().clone()
    };
    assert_eq!(cluster.refusal(&stranger), "tls: client didn't provide a certificate");
}

#[test]
#[should_panic(expected = "etcd member `horse-1` ended")]
fn an_etcd_that_cannot_start_is_reported_with_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let network = Loopback::reserve();
    let (mut member, client) = single_node(directory.path(), &network);
    fs::remove_file(directory.path().join("server.key")).unwrap();
    member.name = "horse-1".to_owned();
    let _ = Cluster::start(vec![member], client);
}

const GOOD_AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature\n\
                              subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid";

struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

/// A self-signed certificate with exactly these extensions.
fn authority(directory: &Path, name: &str, extensions: &str) -> Pair {
    issue(directory, name, extensions, None)
}

/// A certificate made by openssl, so that no code of ours vouches for itself.
fn issue(directory: &Path, name: &str, extensions: &str, issuer: Option<&Pair>) -> Pair {
    let path = |kind: &str| directory.join(format!("{name}.{kind}"));
    let pair = Pair {
        cert: path("crt"),
        key: path("key"),
    };
    let config = path("cnf");
    let text =
        format!("[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN={name}\n[ext]\n{extensions}\n");
    fs::write(&config, text).unwrap();
    let mut openssl = peers::openssl();
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl
        .arg("-config")
        .arg(config)
        .arg("-keyout")
        .arg(&pair.key)
        .arg("-out")
        .arg(&pair.cert);
    if let Some(issuer) = issuer {
        openssl.arg("-CA").arg(&issuer.cert).arg("-CAkey").arg(&issuer.key);
    }
    run(&mut openssl).success();
    pair
}

fn single_node(directory: &Path, network: &Loopback) -> (Member, Client) {
    let host = network.host(1);
    let ca = authority(directory, "etcd-ca", GOOD_AUTHORITY);
    let usage = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth";
    let server = issue(
        directory,
        "server",
        &format!("{usage}\nsubjectAltName=IP:{host}"),
        Some(&ca),
    );
    let client = issue(directory, "client", usage, Some(&ca));

    let (clients, members) = (format!("https://{host}:2379"), format!("https://{host}:2380"));
    let files = [
        ("cert-file", &server.cert),
        ("key-file", &server.key),
        ("trusted-ca-file", &ca.cert),
    ];
    let mut arguments: Vec<String> = ["", "peer-"]
        .into_iter()
        .flat_map(|prefix| files.map(|(flag, file)| format!("--{prefix}{flag}={}", file.display())))
        .collect();
    arguments.extend([
        "--name=one".to_owned(),
        "--client-cert-auth".to_owned(),
        "--peer-client-cert-auth".to_owned(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={members}"),
        format!("--initial-advertise-peer-urls={members}"),
        format!("--initial-cluster=one={members}"),
    ]);
    let member = Member {
        name: "one".to_owned(),
        arguments,
        data_dir: directory.join("data"),
        ..Member::default()
    };
    let access = Client {
        endpoints: vec![clients],
        cacert: Some(ca.cert),
        cert: Some(client.cert),
        key: Some(client.key),
    };
    (member, access)
}
