//! CAs whose keys are elsewhere: requests go out, signed certificates come back, and only what was asked for gets in.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of any #[test]")]

#[path = "support/openssl.rs"]
mod openssl;
mod support;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubetrust_pki::kubeconfig::{Credential, KeySource, Kubeconfig, Source};
use openssl::{Ca, DAY, How, P256, openssl, public_key};
use serde_json::Value;
use support::Cluster;

const HOSTS: &str = "
clusterName: horse
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.21], names: [w1.example.org]}
";

/// What a request asks for, as `openssl req -text` has it.
struct Request {
    /// Where it lies, without `.csr`.
    stem: &'static str,
    /// Who signs it.
    authority: &'static str,
    subject: &'static str,
    sans: &'static str,
    usage: &'static str,
}

const fn request(
    stem: &'static str,
    authority: &'static str,
    subject: &'static str,
    sans: &'static str,
    usage: &'static str,
) -> Request {
    Request {
        stem,
        authority,
        subject,
        sans,
        usage,
    }
}

const CLIENT: &str = "TLS Web Client Authentication";
const SERVER: &str = "TLS Web Server Authentication";
const ETCD_SANS: &str = "DNS:localhost, DNS:m1, IP Address:127.0.0.1, IP Address:192.0.2.11, \
                         IP Address:0:0:0:0:0:0:0:1";

/// Every request of [`HOSTS`] in the document's layout, with serving and client certificates of kubelets.
#[rustfmt::skip]
const REQUESTS: &[Request] = &[
    request("m1/etcd/pki/server", "etcd", "CN = m1", ETCD_SANS, SERVER),
    request("m1/etcd/pki/peer", "etcd", "CN = m1", ETCD_SANS, "TLS Web Server Authentication, TLS Web Client Authentication"),
    request("m1/kubernetes/pki/apiserver-etcd-client", "etcd", "CN = kube-apiserver-etcd-client", "", CLIENT),
    request("m1/kubernetes/pki/apiserver", "kubernetes", "CN = kube-apiserver",
        "DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, \
         DNS:m1, IP Address:10.96.0.1, IP Address:192.0.2.11", SERVER),
    request("m1/kubernetes/pki/apiserver-kubelet-client", "kubernetes", "CN = kube-apiserver-kubelet-client", "", CLIENT),
    request("m1/kubernetes/pki/front-proxy-client", "frontProxy", "CN = front-proxy-client", "", CLIENT),
    request("m1/kubernetes/auth/admin", "kubernetes", "O = system:masters, CN = kubernetes-admin", "", CLIENT),
    request("m1/kubernetes/auth/controller-manager", "kubernetes", "CN = system:kube-controller-manager", "", CLIENT),
    request("m1/kubernetes/auth/scheduler", "kubernetes", "CN = system:kube-scheduler", "", CLIENT),
    request("w1/kubelet/pki/kubelet-client", "kubernetes", "O = system:nodes, CN = system:node:w1", "", CLIENT),
    request("w1/kubernetes/pki/kubelet", "kubernetes", "O = system:nodes, CN = system:node:w1",
        "DNS:w1, DNS:w1.example.org, IP Address:192.0.2.21", SERVER),
    request("w1/kubernetes/auth/kube-proxy", "kubernetes", "CN = system:kube-proxy", "", CLIENT),
];

/// The names of the CAs that the company keeps, and the mode that has them.
struct Kept {
    mode: &'static str,
    authorities: &'static [&'static str],
    /// Where the signed certificate is put, after the request's path without `.csr`.
    place: &'static str,
    /// Whether `openssl x509` signs, or `openssl ca`.
    simply: bool,
}

const KEPT: &[Kept] = &[
    Kept {
        mode: "separate",
        authorities: &["kubernetes"],
        place: ".csr.crt",
        simply: true,
    },
    Kept {
        mode: "separate",
        authorities: &["etcd", "kubernetes", "frontProxy"],
        place: ".crt",
        simply: false,
    },
    Kept {
        mode: "single",
        authorities: &["single"],
        place: ".csr.crt",
        simply: true,
    },
];

#[test]
fn what_is_requested_is_signed_elsewhere_and_taken_up() {
    for kept in KEPT {
        let office = Office::new(kept);
        let cluster = &office.cluster;
        let spec = office.spec("kubelets: {serving: cluster-ca, client: issued}\n");
        let refused = cluster.try_init(&spec);
        assert_eq!(refused.code(), Some(1), "{refused}");

        let requests = office.requests();
        let stems: BTreeSet<_> = requests.iter().map(|request| request.stem.to_owned()).collect();
        assert_eq!(stems, hosts_requests(&cluster.root()));
        for request in &requests {
            office.is_pending(request);
            let hint = format!(
                "have it signed, put the certificate at hosts/{}.csr.crt, and run apply again",
                request.stem
            );
            assert!(refused.stderr.contains(&hint), "{refused}");
        }
        // Nothing has come back yet.
        let before = tree::read(&cluster.root());
        assert_eq!(cluster.verb(["apply"]).code(), Some(1));
        assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());

        // One comes back sooner than the others.
        let (first, others) = requests.split_first().unwrap();
        office.sign(first);
        let applied = cluster.verb(["apply", "-o", "json"]);
        assert_eq!(applied.code(), Some(1), "{applied}");
        assert_eq!(steps(&applied.stdout), [taken_up(first)]);
        office.is_taken_up(first);
        for request in others {
            office.is_pending(request);
            office.sign(request);
        }
        let applied = cluster.verb(["apply", "-o", "json"]).success();
        let expected: BTreeSet<_> = others.iter().map(|request| taken_up(request)).collect();
        assert_eq!(BTreeSet::from_iter(steps(&applied.stdout)), expected);
        for request in &requests {
            office.is_taken_up(request);
        }
        assert_eq!(hosts_requests(&cluster.root()), BTreeSet::new());

        let before = tree::read(&cluster.root());
        let again = cluster.verb(["apply"]).success();
        assert!(again.stderr.contains("Nothing to do"), "{again}");
        assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());
    }
}

#[test]
fn a_named_pair_is_taken_up_where_the_kubeconfig_names_it() {
    let office = Office::new(&KEPT[0]);
    office
        .cluster
        .try_init(&office.spec("layout: kubeadm\nkubeconfigs: {components: files, admin: files}\n"))
        .failure();
    let root = office.cluster.root();
    let requests = hosts_requests(&root);
    for stem in &requests {
        let stem = root.join("hosts").join(stem);
        office
            .ca("kubernetes")
            .sign_simply(&with(&stem, ".csr"), &with(&stem, ".crt"));
    }
    office.cluster.verb(["apply"]).success();
    assert_eq!(hosts_requests(&root), BTreeSet::new());
    for user in ["admin", "scheduler", "controller-manager", "super-admin"] {
        let text = fs::read_to_string(office.cluster.host_file("m1", &format!("kubernetes/{user}.conf"))).unwrap();
        let Credential::Certificate { certificate, .. } = Kubeconfig::from_yaml(&text).unwrap().credential else {
            panic!("{user}.conf has no certificate")
        };
        assert_eq!(certificate, Source::File(format!("pki/{user}.crt")));
        assert!(requests.contains(&format!("m1/kubernetes/pki/{user}")));
        let file = office.cluster.host_file("m1", &format!("kubernetes/pki/{user}.crt"));
        office.verifies("kubernetes", &file, CLIENT);
    }
}

#[test]
fn an_old_pair_is_in_force_until_its_successor_arrives() {
    let (office, before, after) = Office::renewing();
    let stem = office.cluster.host_file("m1", "kubernetes/pki/apiserver");
    let request = public_key(&with(&stem, ".csr"));
    assert_eq!(request, public_key(&with(&stem, ".csr.key")));
    assert_ne!(request, public_key(&with(&stem, ".crt")));
    let expected = [
        "+ hosts/m1/kubernetes/pki/apiserver.csr",
        "+ hosts/m1/kubernetes/pki/apiserver.csr.key",
    ];
    let mut changed = tree::changes(&before, &after);
    changed.remove("~ cluster.yaml");
    assert_eq!(changed, expected.map(str::to_owned).into());

    // The same request stands, however often it is asked for.
    assert_eq!(office.cluster.verb(["apply"]).code(), Some(1));
    assert_eq!(
        tree::changes(&after, &tree::read(&office.cluster.root())),
        BTreeSet::new()
    );

    let until = Some(DAY * 300);
    let ca = office.ca("kubernetes");
    ca.sign(
        &with(&stem, ".csr"),
        &with(&stem, ".csr.crt"),
        &How {
            until,
            ..How::default()
        },
    );
    office.cluster.verb(["apply"]).success();
    assert_eq!(public_key(&with(&stem, ".crt")), request);
    assert_eq!(public_key(&with(&stem, ".key")), request);
    assert_eq!(hosts_requests(&office.cluster.root()), BTreeSet::new());
    // The old pair lies in the backup.
    let old = |name: &str| &before[&format!("hosts/m1/kubernetes/pki/apiserver.{name}")].content;
    let backup = backups(&office.cluster.root())
        .pop()
        .unwrap()
        .join("hosts/m1/kubernetes/pki");
    for name in ["crt", "key"] {
        assert_eq!(&fs::read(backup.join(format!("apiserver.{name}"))).unwrap(), old(name));
    }
}

#[test]
fn a_renewal_may_be_put_over_the_old_certificate() {
    let (office, ..) = Office::renewing();
    let stem = office.cluster.host_file("m1", "kubernetes/pki/apiserver");
    let request = public_key(&with(&stem, ".csr"));
    office
        .ca("kubernetes")
        .sign_simply(&with(&stem, ".csr"), &with(&stem, ".crt"));
    office.cluster.verb(["apply"]).success();
    assert_eq!(public_key(&with(&stem, ".key")), request);
    assert_eq!(hosts_requests(&office.cluster.root()), BTreeSet::new());
}

#[test]
fn a_request_that_nothing_waits_for_any_more_goes() {
    let (office, before, _) = Office::renewing();
    office
        .cluster
        .write_spec(&String::from_utf8_lossy(&before["cluster.yaml"].content));
    let plan = office.cluster.verb(["plan", "-o", "json"]).success();
    assert_eq!(steps(&plan.stdout), ["remove file m1: this host must not hold it"; 2]);
    office.cluster.verb(["apply"]).success();
    let mut changed = tree::changes(&before, &tree::read(&office.cluster.root()));
    changed.remove("~ cluster.yaml");
    assert_eq!(changed, BTreeSet::new());
}

// What came back wrong

/// How the CA signs the request for the API server's certificate, and why that is refused.
struct Wrong {
    what: &'static str,
    how: How<'static>,
    reason: &'static str,
}

const HOW: How<'static> = How {
    extensions: "",
    only_those: false,
    subject: None,
    from: None,
    until: None,
};

const SANS: &str = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
                    DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:192.0.2.11";

#[rustfmt::skip]
fn wrong() -> Vec<Wrong> {
    let wrong = |what, how, reason| Wrong { what, how, reason };
    let extensions = |text: &str| How { extensions: Box::leak(text.to_owned().into_boxed_str()), ..HOW };
    vec![
        wrong("another subject", How { subject: Some("/CN=kubernetes-admin"), ..HOW },
            "subject is CN=kubernetes-admin, must be CN=kube-apiserver"),
        wrong("a group besides", How { subject: Some("/O=system:masters/CN=kube-apiserver"), ..HOW },
            "subject is CN=kube-apiserver,O=system:masters, must be CN=kube-apiserver"),
        wrong("a SAN missing", extensions(&format!("subjectAltName = {SANS}")),
            "SANs differ: lacks m1"),
        wrong("a SAN more", extensions(&format!("subjectAltName = {SANS},DNS:m1,DNS:*.example.org")),
            "SANs differ: must not have *.example.org"),
        wrong("an e-mail address more", extensions(&format!("subjectAltName = {SANS},DNS:m1,email:root@example.org")),
            "SANs differ: must not have email:root@example.org"),
        wrong("a client instead of a server", extensions("extendedKeyUsage = clientAuth"),
            "usages differ: must be a server's alone"),
        wrong("server and client", extensions("extendedKeyUsage = serverAuth,clientAuth"),
            "usages differ: must be a server's alone"),
        wrong("any usage", How { only_those: true, ..extensions(&format!("subjectAltName = {SANS},DNS:m1")) },
            "usages differ: must be a server's alone"),
        wrong("a key that may not sign what TLS needs", extensions("keyUsage = critical,keyEncipherment"),
            "usages differ: must be a server's alone"),
        wrong("a CA", extensions("basicConstraints = critical,CA:TRUE"),
            "usages differ: must be a server's alone"),
        wrong("a key that may sign certificates", extensions("keyUsage = critical,digitalSignature,keyCertSign"),
            "usages differ: must be a server's alone"),
        wrong("one that has expired", How { from: Some(DAY * -30), until: Some(DAY * -1), ..HOW },
            "expired on DATE"),
        wrong("one that is not valid yet", How { from: Some(DAY), ..HOW },
            "not valid before DATE: is a clock wrong?"),
        wrong("one that must soon be renewed", How { until: Some(DAY * 29), ..HOW },
            "expires on DATE, within the renewal window"),
        wrong("one that outlives its CA", How { until: Some(DAY * 3660), ..HOW },
            "it outlives the CA that signed it"),
        wrong("two faults", How { subject: Some("/CN=apiserver"), ..extensions("extendedKeyUsage = clientAuth") },
            "subject is CN=apiserver, must be CN=kube-apiserver; usages differ: must be a server's alone"),
    ]
}

#[test]
fn what_came_back_wrong_is_refused_for_its_reason_and_changes_nothing() {
    let (office, ..) = Office::renewing();
    let stem = office.cluster.host_file("m1", "kubernetes/pki/apiserver");
    let (request, answer) = (with(&stem, ".csr"), with(&stem, ".csr.crt"));
    let before = tree::read(&office.cluster.root());
    let refused = |what: &str, reason: &str| {
        let answered = tree::read(&office.cluster.root());
        let output = office.cluster.verb(["apply", "-o", "json"]);
        assert_eq!(output.code(), Some(1), "{what}: {output}");
        let found = findings(&output.stdout);
        let expected = format!(
            "SignedCertificateRefused apiserver m1: the certificate signed for hosts/m1/kubernetes/pki/apiserver.csr \
             is not what it must be: {reason}"
        );
        assert_eq!(
            found.iter().map(|line| without_dates(line)).collect::<Vec<_>>(),
            [expected],
            "{what}"
        );
        assert_eq!(steps(&output.stdout), [""; 0], "{what}");
        assert_eq!(
            tree::changes(&answered, &tree::read(&office.cluster.root())),
            BTreeSet::new(),
            "{what}"
        );
        fs::remove_file(&answer).unwrap();
    };
    let ca = office.ca("kubernetes");
    for Wrong { what, how, reason } in wrong() {
        ca.sign(&request, &answer, &how);
        refused(what, reason);
    }

    let other = Ca::root(&office.cluster.beside().join("other"), "/CN=Other", P256);
    other.sign(&request, &answer, &HOW);
    refused("another CA", "signed by another CA (CN=Other)");
    let other = Ca::root(&office.cluster.beside().join("impostor"), "/CN=kubernetes", P256);
    other.sign(&request, &answer, &HOW);
    refused("another CA of the same name", "signed by another CA (CN=kubernetes)");
    ca.sign(&other.request("/CN=kube-apiserver"), &answer, &HOW);
    refused("another key", "the key is not the certificate's");
    fs::copy(with(&stem, ".crt"), &answer).unwrap();
    refused("the old certificate", "the key is not the certificate's");
    for (what, text) in [
        ("no certificate", "-- gone --\n"),
        ("nothing", ""),
        ("a request", "REQUEST"),
    ] {
        let text = if text == "REQUEST" {
            fs::read_to_string(&request).unwrap()
        } else {
            text.to_owned()
        };
        fs::write(&answer, text).unwrap();
        refused(what, "unreadable: kubernetes/pki/apiserver.csr.crt is no certificate");
    }

    // After all that, the right one is taken up.
    assert_eq!(
        tree::changes(&before, &tree::read(&office.cluster.root())),
        BTreeSet::new()
    );
    ca.sign(&request, &answer, &HOW);
    office.cluster.verb(["apply"]).success();
}

#[test]
fn a_first_certificate_that_is_wrong_is_refused_in_its_place_too() {
    let office = Office::new(&KEPT[0]);
    office.cluster.try_init(&office.spec("")).failure();
    let ca = office.ca("kubernetes");
    let other = Ca::root(&office.cluster.beside().join("other"), "/CN=Other", P256);
    for (stem, subject) in [
        ("pki/apiserver", "/CN=kube-apiserver"),
        ("auth/scheduler", "/CN=system:kube-scheduler"),
    ] {
        let stem = office.cluster.host_file("m1", &format!("kubernetes/{stem}"));
        let said = |reason: &str| {
            let output = office.cluster.verb(["apply"]).failure();
            let expected = format!(".csr is not what it must be: {reason}\n");
            assert!(output.stderr.contains(&expected), "{stem:?}: {output}");
            assert!(!with(&stem, ".key").exists() && !with(&stem, ".conf").exists());
        };
        other.sign(&with(&stem, ".csr"), &with(&stem, ".crt"), &HOW);
        said("signed by another CA (CN=Other)");
        ca.sign(&other.request(subject), &with(&stem, ".crt"), &HOW);
        said("the key is not the certificate's");
        fs::write(with(&stem, ".crt"), "-- gone --").unwrap();
        let place = stem.strip_prefix(office.cluster.root().join("hosts/m1")).unwrap();
        said(&format!("unreadable: {}.crt is no certificate", place.display()));
        fs::remove_file(with(&stem, ".crt")).unwrap();
    }
}

#[test]
fn a_request_for_what_is_no_longer_wanted_is_made_anew() {
    let office = Office::new(&KEPT[0]);
    let spec = office.spec("");
    office.cluster.try_init(&spec).failure();
    let stem = office.cluster.host_file("m1", "kubernetes/pki/apiserver");
    let old = fs::read(with(&stem, ".csr.key")).unwrap();
    let before = tree::read(&office.cluster.root());
    office
        .cluster
        .write_spec(&format!("{spec}extraSANs: [kube.example.org]\n"));
    office.cluster.verb(["apply"]).failure();
    let mut changed = tree::changes(&before, &tree::read(&office.cluster.root()));
    changed.remove("~ cluster.yaml");
    changed.remove("~ hosts/m1/kubernetes/pki/apiserver.csr.key");
    assert_eq!(changed, ["~ hosts/m1/kubernetes/pki/apiserver.csr".to_owned()].into());
    // An answer to the first request may be on its way, and is no answer to another key.
    assert_eq!(fs::read(with(&stem, ".csr.key")).unwrap(), old);
    let text = openssl(["req", "-noout", "-text"])
        .arg("-in", &with(&stem, ".csr"))
        .done();
    assert!(text.stdout.contains("DNS:kube.example.org"), "{text}");
}

// A key taken away later

#[test]
fn a_key_that_goes_offline_later_turns_what_comes_next_into_requests() {
    for keys in ["all", "none"] {
        let spec = format!("{HOSTS}caKeys: {keys}\nkubelets: {{serving: cluster-ca}}\n");
        let cluster = Cluster::init(&spec);
        let vault = cluster.beside().join("ca.key");
        fs::rename(cluster.root().join("authority/kubernetes-ca.key"), &vault).unwrap();
        let before = tree::read(&cluster.root());
        let output = cluster.verb(["apply"]).success();
        assert!(output.stderr.contains("Nothing to do"), "{output}");
        assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());

        cluster.write_spec(&spec.replace("- {name: w1", "- {name: w2, addresses: [192.0.2.22]}\n- {name: w1"));
        let output = cluster.verb(["apply", "-o", "json"]);
        assert_eq!(output.code(), Some(1), "{output}");
        let changed = tree::changes(&before, &tree::read(&cluster.root()));
        let expected = [
            "+ hosts/w2/kubernetes/auth/bootstrap.conf",
            "+ hosts/w2/kubernetes/auth/kube-proxy.csr",
            "+ hosts/w2/kubernetes/auth/kube-proxy.csr.key",
            "+ hosts/w2/kubernetes/pki/ca.crt",
            "+ hosts/w2/kubernetes/pki/kubelet.csr",
            "+ hosts/w2/kubernetes/pki/kubelet.csr.key",
            "~ cluster.yaml",
        ];
        assert_eq!(changed, expected.map(str::to_owned).into(), "{keys}");

        // The key comes back for once: what was requested is simply issued.
        fs::rename(&vault, cluster.root().join("authority/kubernetes-ca.key")).unwrap();
        cluster.verb(["apply"]).success();
        assert_eq!(hosts_requests(&cluster.root()), BTreeSet::new());
        assert!(cluster.host_file("w2", "kubernetes/pki/kubelet.crt").exists());
        assert!(!cluster.host_file("w2", "kubernetes/pki/kubelet.csr.key").exists());
    }
}

// Kubelet CAs

/// A cluster with kubelet CAs below an offline CA, everything else signed already.
fn kubelet_cas() -> (Office, PathBuf) {
    let office = Office::new(&KEPT[0]);
    let spec = office.spec("kubelets: {serving: kubelet-ca}\n");
    let output = office.cluster.try_init(&spec).failure();
    let root = office.cluster.root();
    for stem in hosts_requests(&root) {
        let stem = root.join("hosts").join(stem);
        office
            .ca("kubernetes")
            .sign_simply(&with(&stem, ".csr"), &with(&stem, ".csr.crt"));
    }
    let hint = "put the certificate at authority/kubelet-ca/w1.csr.crt, and run apply again";
    assert!(output.stderr.contains(hint), "{output}");
    let output = office.cluster.verb(["apply", "-o", "json"]);
    assert_eq!(output.code(), Some(1), "{output}");
    assert_eq!(
        findings(&output.stdout),
        [
            "WaitsForSignature kubelet-ca w1: authority/kubelet-ca/w1.csr waits for the CA",
            "WaitsForKubeletCa kubelet-serving w1: its kubelet CA is not signed yet",
        ]
    );
    (office, root.join("authority/kubelet-ca/w1"))
}

#[test]
fn a_kubelet_ca_is_signed_elsewhere_and_signs_here() {
    for place in [".csr.crt", ".crt"] {
        let (office, stem) = kubelet_cas();
        let text = openssl(["req", "-verify", "-noout", "-text"])
            .arg("-in", &with(&stem, ".csr"))
            .done()
            .stdout;
        for line in [
            "Subject: CN = kubelet-ca:w1",
            "CA:TRUE, pathlen:0",
            "DNS:w1.example.org",
            "IP:192.0.2.21/255.255.255.255",
            SERVER,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!with(&stem, ".crt").exists());

        office
            .ca("kubernetes")
            .sign_simply(&with(&stem, ".csr"), &with(&stem, place));
        let output = office.cluster.verb(["apply", "-o", "json"]).success();
        assert_eq!(
            steps(&output.stdout),
            [
                "take up kubelet-ca w1: the signed certificate has arrived",
                "issue kubelet-serving w1: missing",
            ]
        );
        assert_eq!(public_key(&with(&stem, ".crt")), public_key(&with(&stem, ".key")));
        assert!(!with(&stem, ".csr").exists() && !with(&stem, ".csr.crt").exists());

        let serving = office.cluster.host_file("w1", "kubernetes/pki/kubelet.crt");
        assert_eq!(certificates(&serving).len(), 2);
        openssl([
            "verify",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            "w1.example.org",
            "-x509_strict",
        ])
        .arg("-CAfile", &office.ca("kubernetes").certificate())
        .arg("-untrusted", &serving)
        .path(&serving)
        .done();
        let again = office.cluster.verb(["apply"]).success();
        assert!(again.stderr.contains("Nothing to do"), "{again}");
    }
}

#[test]
fn a_kubelet_ca_that_came_back_wrong_signs_nothing() {
    let (office, stem) = kubelet_cas();
    let request = with(&stem, ".csr");
    let ca = office.ca("kubernetes");
    let confined = "a CA's for the servers of this host alone";
    let extensions = |constraints: &str, usage: &str, names: &str| {
        format!(
            "basicConstraints = {constraints}\nkeyUsage = critical,digitalSignature,keyCertSign,cRLSign\n\
             extendedKeyUsage = {usage}\nnameConstraints = {names}\n"
        )
    };
    let right = ["critical,CA:TRUE,pathlen:0", "serverAuth"];
    let names = "critical,permitted;DNS:w1,permitted;DNS:w1.example.org,permitted;IP:192.0.2.21/255.255.255.255";
    let everything = "critical,permitted;DNS:example.org";
    let cases = [
        ("no path length", extensions("critical,CA:TRUE", right[1], names)),
        (
            "a CA below it",
            extensions("critical,CA:TRUE,pathlen:1", right[1], names),
        ),
        ("no CA", extensions("critical,CA:FALSE", right[1], names)),
        ("clients too", extensions(right[0], "serverAuth,clientAuth", names)),
        ("other names", extensions(right[0], right[1], everything)),
    ];
    for place in [".csr.crt", ".crt"] {
        let refused = |what: &str, reason: &str| {
            let before = tree::read(&office.cluster.root());
            let output = office.cluster.verb(["apply", "-o", "json"]);
            assert_eq!(output.code(), Some(1), "{what}: {output}");
            let expected = format!(
                "SignedCertificateRefused kubelet-ca w1: the certificate signed for authority/kubelet-ca/w1.csr is \
                 not what it must be: {reason}"
            );
            assert_eq!(without_dates(&findings(&output.stdout)[0]), expected, "{what}");
            assert_eq!(
                tree::changes(&before, &tree::read(&office.cluster.root())),
                BTreeSet::new(),
                "{what}"
            );
            fs::remove_file(with(&stem, place)).unwrap();
        };
        for (what, extensions) in &cases {
            let how = How {
                extensions,
                only_those: true,
                ..HOW
            };
            ca.sign(&request, &with(&stem, place), &how);
            refused(what, &format!("usages differ: must be {confined}"));
        }
        ca.sign(
            &request,
            &with(&stem, place),
            &How {
                subject: Some("/CN=kubelet-ca:w2"),
                ..HOW
            },
        );
        refused(
            "another host's",
            "subject is CN=kubelet-ca:w2, must be CN=kubelet-ca:w1",
        );
        ca.sign(
            &request,
            &with(&stem, place),
            &How {
                from: Some(DAY * -9),
                until: Some(DAY * 4000),
                ..HOW
            },
        );
        refused("one that outlives its CA", "it outlives the CA that signed it");
        let other = Ca::root(
            &office.cluster.beside().join(format!("other{place}")),
            "/CN=Other",
            P256,
        );
        other.sign(&request, &with(&stem, place), &HOW);
        refused("another CA", "signed by another CA (CN=Other)");
        ca.sign(&other.request("/CN=kubelet-ca:w1"), &with(&stem, place), &HOW);
        refused("another key", "the key is not the certificate's");
    }
    fs::write(with(&stem, ".csr.crt"), "-- gone --").unwrap();
    let output = office.cluster.verb(["apply"]).failure();
    assert!(
        output.stderr.contains("unreadable: w1.csr.crt is no certificate"),
        "{output}"
    );
    ca.sign(&request, &with(&stem, ".csr.crt"), &HOW);
    office.cluster.verb(["apply"]).success();
}

#[test]
fn a_host_of_another_name_gets_a_request_for_its_kubelet_ca() {
    let (office, stem) = kubelet_cas();
    let ca = office.ca("kubernetes");
    ca.sign_simply(&with(&stem, ".csr"), &with(&stem, ".csr.crt"));
    office.cluster.verb(["apply"]).success();
    let key = public_key(&with(&stem, ".key"));
    let before = tree::read(&office.cluster.root());

    let spec = fs::read_to_string(office.cluster.root().join("cluster.yaml")).unwrap();
    office
        .cluster
        .write_spec(&spec.replace("names: [w1.example.org]", "names: [w1.example.net]"));
    let output = office.cluster.verb(["apply", "-o", "json"]);
    assert_eq!(output.code(), Some(1), "{output}");
    // The old CA must not sign for that name: the old certificate stays until the new CA is here.
    let changed = tree::changes(&before, &tree::read(&office.cluster.root()));
    assert_eq!(
        changed,
        ["+ authority/kubelet-ca/w1.csr", "~ cluster.yaml"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(public_key(&with(&stem, ".csr")), key);
    ca.sign_simply(&with(&stem, ".csr"), &with(&stem, ".csr.crt"));
    office.cluster.verb(["apply"]).success();
    let serving = office.cluster.host_file("w1", "kubernetes/pki/kubelet.crt");
    openssl(["verify", "-purpose", "sslserver", "-verify_hostname", "w1.example.net"])
        .arg("-CAfile", &ca.certificate())
        .arg("-untrusted", &serving)
        .path(&serving)
        .done();
}

// The company that keeps the CAs

struct Office {
    cluster: Cluster,
    kept: &'static Kept,
}

impl Office {
    fn new(kept: &'static Kept) -> Self {
        let cluster = Cluster::nowhere();
        for authority in kept.authorities {
            Ca::root(
                &cluster.beside().join(authority),
                &format!("/O=Example/CN={authority} CA"),
                P256,
            );
        }
        Self { cluster, kept }
    }

    /// A cluster with everything signed, in which the API server's certificate then comes into its renewal window;
    /// and its files before and after the request for another.
    fn renewing() -> (Self, tree::Tree, tree::Tree) {
        let office = Self::new(&KEPT[0]);
        let spec = office.spec("renewBefore: 240h\n");
        office.cluster.try_init(&spec).failure();
        let root = office.cluster.root();
        for stem in hosts_requests(&root) {
            let until = if stem.ends_with("/apiserver") {
                DAY * 20
            } else {
                DAY * 300
            };
            let stem = root.join("hosts").join(stem);
            let how = How {
                until: Some(until),
                ..HOW
            };
            office
                .ca("kubernetes")
                .sign(&with(&stem, ".csr"), &with(&stem, ".csr.crt"), &how);
        }
        office.cluster.verb(["apply"]).success();
        let before = tree::read(&root);
        office.cluster.write_spec(&spec.replace("240h", "720h"));
        let output = office.cluster.verb(["apply", "-o", "json"]);
        assert_eq!(output.code(), Some(1), "{output}");
        assert_eq!(
            steps(&output.stdout)
                .iter()
                .map(|line| without_dates(line))
                .collect::<Vec<_>>(),
            ["request apiserver m1: expires on DATE, within the renewal window"]
        );
        let after = tree::read(&root);
        (office, before, after)
    }

    fn ca(&self, authority: &str) -> Ca {
        Ca::at(&self.cluster.beside().join(authority))
    }

    fn spec(&self, more: &str) -> String {
        let bring: Vec<_> = self
            .kept
            .authorities
            .iter()
            .map(|authority| format!("{authority}: {{certificate: {authority}/ca.crt}}"))
            .collect();
        format!(
            "{HOSTS}authorities: {{mode: {}, bring: {{{}}}}}\n{more}",
            self.kept.mode,
            bring.join(", ")
        )
    }

    /// Which of the company's CAs signs what `authority` signs.
    fn keeper(&self, authority: &'static str) -> Option<&'static str> {
        let acting = if self.kept.mode == "single" {
            "single"
        } else {
            authority
        };
        self.kept.authorities.iter().copied().find(|kept| *kept == acting)
    }

    fn requests(&self) -> Vec<&'static Request> {
        REQUESTS
            .iter()
            .filter(|request| self.keeper(request.authority).is_some())
            .collect()
    }

    fn path(&self, request: &Request, extension: &str) -> PathBuf {
        let path = self.cluster.root().join("hosts").join(request.stem);
        with(&path, extension)
    }

    /// The request is what it must be, and nothing else is there.
    #[track_caller]
    fn is_pending(&self, request: &Request) {
        let csr = self.path(request, ".csr");
        let text = openssl(["req", "-verify", "-noout", "-text"]).arg("-in", &csr).done();
        assert!(text.stderr.contains("verify OK"), "{text}");
        let lines: Vec<_> = text.stdout.lines().map(str::trim).collect();
        let after = |name: &str| {
            let place = lines
                .iter()
                .position(|line| line.trim_end_matches(" critical").trim_end() == name)?;
            Some(lines[place + 1])
        };
        assert!(
            lines.contains(&format!("Subject: {}", request.subject).as_str()),
            "{text}"
        );
        assert_eq!(after("X509v3 Extended Key Usage:"), Some(request.usage), "{text}");
        let confined = match (self.kept.mode, request.stem.rsplit('/').next()) {
            ("single", Some("peer")) => Some("DNS:peer.etcd.horse.internal"),
            ("single", Some("apiserver-etcd-client")) => Some("DNS:client.etcd.horse.internal"),
            _ => None,
        };
        let names = |text: &str| -> BTreeSet<String> {
            text.split(", ")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut expected = names(request.sans);
        expected.extend(confined.map(str::to_owned));
        let found = after("X509v3 Subject Alternative Name:").unwrap_or_default();
        assert_eq!(names(found), expected, "{text}");

        let key = self.path(request, ".csr.key");
        assert_eq!(public_key(&csr), public_key(&key));
        let tree = tree::read(key.parent().unwrap());
        assert_eq!(tree[key.file_name().unwrap().to_str().unwrap()].mode, 0o600);
        for extension in [".crt", ".key", ".conf"] {
            let path = self.path(request, extension);
            assert!(!path.exists(), "{}", path.display());
        }
    }

    fn sign(&self, request: &Request) {
        let ca = self.ca(self.keeper(request.authority).unwrap());
        let (csr, place) = (self.path(request, ".csr"), self.path(request, self.kept.place));
        if self.kept.simply {
            ca.sign_simply(&csr, &place);
        } else {
            ca.sign(&csr, &place, &HOW);
        }
        fs::copy(&place, self.copy(request)).unwrap();
    }

    /// Where the company keeps a copy of what it signed.
    fn copy(&self, request: &Request) -> PathBuf {
        self.cluster.beside().join(request.stem.replace('/', "_") + ".crt")
    }

    /// The certificate that was signed is in force, with its key, and is good.
    #[track_caller]
    fn is_taken_up(&self, request: &Request) {
        for extension in [".csr", ".csr.key", ".csr.crt"] {
            assert!(!self.path(request, extension).exists(), "{}{extension}", request.stem);
        }
        let signed = self.copy(request);
        let conf = self.path(request, ".conf");
        let key = if conf.exists() {
            let text = fs::read_to_string(&conf).unwrap();
            let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
            match kubeconfig.credential {
                Credential::Certificate {
                    certificate: Source::Data(certificate),
                    key: KeySource::Data(key),
                } => {
                    assert_eq!(certificate, pem(&signed));
                    assert!(!self.path(request, ".crt").exists());
                    let file = self.cluster.beside().join("embedded.key");
                    fs::write(&file, key.as_str()).unwrap();
                    file
                }
                _ => panic!("{}", conf.display()),
            }
        } else {
            assert_eq!(fs::read_to_string(self.path(request, ".crt")).unwrap(), pem(&signed));
            self.path(request, ".key")
        };
        assert_eq!(public_key(&key), public_key(&signed));
        self.verifies(self.keeper(request.authority).unwrap(), &signed, request.usage);
    }

    #[track_caller]
    fn verifies(&self, authority: &str, certificate: &Path, usage: &str) {
        let purpose = if usage.contains(SERVER) {
            "sslserver"
        } else {
            "sslclient"
        };
        openssl(["verify", "-purpose", purpose])
            .arg("-CAfile", &self.ca(authority).certificate())
            .path(certificate)
            .done();
    }
}

fn taken_up(request: &Request) -> String {
    let host = request.stem.split('/').next().unwrap();
    let name = match request.stem.split_once('/').unwrap().1 {
        "etcd/pki/server" => "etcd-server",
        "etcd/pki/peer" => "etcd-peer",
        "kubernetes/pki/kubelet" => "kubelet-serving",
        "kubelet/pki/kubelet-client" => "kubelet",
        other => other.rsplit('/').next().unwrap(),
    };
    format!("take up {name} {host}: the signed certificate has arrived")
}

/// A path with more at its end.
fn with(stem: &Path, extension: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(extension);
    path.into()
}

/// The requests in the hosts' folders, without `.csr`; each with its key, and no key without a request.
fn hosts_requests(root: &Path) -> BTreeSet<String> {
    let tree = tree::read(&root.join("hosts"));
    let ending = |end: &str| -> BTreeSet<String> {
        tree.keys()
            .filter_map(|path| path.strip_suffix(end))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(ending(".csr"), ending(".csr.key"));
    ending(".csr")
}

/// The folders of backups, oldest first.
fn backups(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(root.join("backup"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort_by_key(|folder| folder.metadata().unwrap().modified().unwrap());
    folders
}

/// The PEM blocks of certificates in a file.
fn certificates(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split_inclusive("-----END CERTIFICATE-----\n");
    blocks
        .filter(|block| block.contains("BEGIN CERTIFICATE"))
        .map(str::to_owned)
        .collect()
}

/// The first certificate of a file, as openssl writes it.
fn pem(path: &Path) -> String {
    openssl(["x509"]).arg("-in", path).done().stdout
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn on(entry: &Value) -> String {
    entry["host"].as_str().map_or(String::new(), |host| format!(" {host}"))
}

fn steps(text: &str) -> Vec<String> {
    let steps = json(text)["steps"].as_array().unwrap().clone();
    let line = |step: &Value| {
        let reasons = step["reasons"].as_array().unwrap();
        let reasons: Vec<_> = reasons
            .iter()
            .map(|reason| reason["message"].as_str().unwrap())
            .collect();
        let text = |name: &str| step[name].as_str().unwrap();
        format!(
            "{} {}{}: {}",
            text("action"),
            text("credential"),
            on(step),
            reasons.join("; ")
        )
    };
    steps.iter().map(line).collect()
}

fn findings(text: &str) -> Vec<String> {
    let findings = json(text)["findings"].as_array().unwrap().clone();
    let line = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap();
        format!(
            "{} {}{}: {}",
            text("code"),
            text("credential"),
            on(finding),
            text("message")
        )
    };
    findings.iter().map(line).collect()
}

/// The text with `DATE` for each date or time.
fn without_dates(text: &str) -> String {
    let is_date = |word: &str| word.len() >= 10 && word.starts_with("20") && word.as_bytes()[4] == b'-';
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ':', ';']);
        if is_date(bare) {
            word.replacen(bare, "DATE", 1)
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
