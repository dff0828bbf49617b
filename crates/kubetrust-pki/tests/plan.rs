//! What mends what: a directory is damaged or gets older, and the plan has the steps for that and no other.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of any #[test]")]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the names are the catalog's own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kubetrust_pki::catalog;
use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::cluster::{self, LoadError, Loaded};
use kubetrust_pki::inventory::{self, Authorities, authority_stem};
use kubetrust_pki::issue::{self, Issuer, Serial};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::plan::Plan;
use kubetrust_pki::profile::{Kind, Profile, Usages};
use kubetrust_pki::spec::{Authority, HostOrIp, KeyAlgorithm};
use kubetrust_pki::write::{Directory, RealDisk};
use rayon::prelude::*;
use tempfile::TempDir;

/// Every certificate has its own pair of files here, except the admin's, and no host has a CA's key.
const SPEC: &str = "
clusterName: horse
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.21]}
kubeconfigs: {components: files}
kubelets: {serving: cluster-ca}
caKeys: none
validity: {bootstrapToken: 99999h}
";

const DAY: SignedDuration = SignedDuration::from_hours(24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// When the directories are made.
fn made() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

// Damage

/// What is done to a directory, and the steps and findings (`!`) that this alone leads to.
struct Case {
    what: &'static str,
    damage: fn(&Place),
    expected: &'static [&'static str],
}

const fn case(what: &'static str, damage: fn(&Place), expected: &'static [&'static str]) -> Case {
    Case { what, damage, expected }
}

#[rustfmt::skip]
const DAMAGED: &[Case] = &[
    case("nothing", |_| {}, &[]),
    case("a file of the user's own", |place| place.write("hosts/m1/kubernetes/pki/notes.txt", "mine"), &[]),

    case("no certificate", |place| place.remove("hosts/m1/kubernetes/pki/apiserver.crt"),
        &["issue apiserver m1: missing"]),
    case("no key", |place| place.remove("hosts/m1/etcd/pki/peer.key"),
        &["issue etcd-peer m1: missing"]),
    case("no copy of a CA", |place| place.remove("hosts/m1/etcd/pki/ca.crt"),
        &["write etcd-ca m1: missing"]),
    case("no kubeconfig that names its pair", |place| place.remove("hosts/m1/kubernetes/auth/scheduler.conf"),
        &["write scheduler m1: missing"]),
    case("no kubeconfig that embeds its pair", |place| place.remove("hosts/m1/kubernetes/auth/admin.conf"),
        &["issue admin m1: missing"]),
    case("no kubeconfig with the token", |place| place.remove("hosts/w1/kubernetes/auth/bootstrap.conf"),
        &["write bootstrap w1: missing"]),
    case("no host's folder", |place| fs::remove_dir_all(place.path("hosts/w1")).unwrap(), &[
        "write kubernetes-ca w1: missing",
        "issue kubelet-serving w1: missing",
        "issue kube-proxy w1: missing",
        "write bootstrap w1: missing",
    ]),
    case("no manifest", |place| place.remove("manifests/rbac.yaml"),
        &["write manifests: missing"]),
    case("no public key of the service accounts", |place| place.remove("authority/sa.pub"),
        &["write service-account: missing"]),
    case("no static tokens", |place| place.remove("authority/token.csv"),
        &["write bootstrap: missing"]),

    case("a damaged certificate", |place| place.write("hosts/m1/kubernetes/pki/apiserver.crt", "-- gone --"),
        &["issue apiserver m1: unreadable: there is no certificate in it (expected a PEM block CERTIFICATE)"]),
    case("a damaged key", |place| place.write("hosts/m1/kubernetes/pki/apiserver.key", "-- gone --"),
        &["issue apiserver m1: unreadable: there is no private key in it (expected a PEM block PRIVATE KEY, \
           RSA PRIVATE KEY or EC PRIVATE KEY)"]),
    case("an empty kubeconfig that names its pair", |place| place.write("hosts/m1/kubernetes/auth/scheduler.conf", ""),
        &["write scheduler m1: content differs from what the spec makes"]),

    case("another key", |place| place.write("hosts/m1/kubernetes/pki/apiserver.key", &new_key(KeyAlgorithm::EcdsaP256)),
        &["issue apiserver m1: the key is not the certificate's"]),

    case("another name", |place| place.forge("m1", "scheduler", |draft| {
        "system:kube-controller-manager".clone_into(&mut draft.profile.subject.common_name);
    }), &["issue scheduler m1: subject is CN=system:kube-controller-manager, must be CN=system:kube-scheduler"]),
    case("a group", |place| place.forge("m1", "scheduler", |draft| {
        draft.profile.subject.organizations.push("system:masters".to_owned());
    }), &["issue scheduler m1: subject is CN=system:kube-scheduler,O=system:masters, must be CN=system:kube-scheduler"]),

    case("a name too few", |place| place.forge("m1", "apiserver", |draft| {
        draft.profile.sans.remove(&HostOrIp::Name("kubernetes.default".to_owned()));
        draft.profile.sans.remove(&HostOrIp::Ip([10, 96, 0, 1].into()));
    }), &["issue apiserver m1: SANs differ: lacks kubernetes.default, 10.96.0.1"]),
    case("a name too many", |place| place.forge("m1", "apiserver", |draft| {
        draft.profile.sans.insert(HostOrIp::Name("*.example.org".to_owned()));
    }), &["issue apiserver m1: SANs differ: must not have *.example.org"]),
    case("one name for another", |place| place.forge("w1", "kubelet-serving", |draft| {
        draft.profile.sans = [HostOrIp::Name("w1".to_owned()), HostOrIp::Ip([192, 0, 2, 22].into())].into();
    }), &["issue kubelet-serving w1: SANs differ: lacks 192.0.2.21; must not have 192.0.2.22"]),

    case("a client for a server", |place| place.forge("m1", "apiserver", |draft| {
        draft.profile.kind = Kind::Leaf(Usages::Client);
    }), &["issue apiserver m1: usages differ: must be a server's alone"]),
    case("a server for a client", |place| place.forge("m1", "front-proxy-client", |draft| {
        draft.profile.kind = Kind::Leaf(Usages::Server);
    }), &["issue front-proxy-client m1: usages differ: must be a client's alone"]),
    case("both usages for one", |place| place.forge("m1", "etcd-server", |draft| {
        draft.profile.kind = Kind::Leaf(Usages::ServerAndClient);
    }), &["issue etcd-server m1: usages differ: must be a server's alone"]),
    case("one usage for both", |place| place.forge("m1", "etcd-peer", |draft| {
        draft.profile.kind = Kind::Leaf(Usages::Server);
    }), &["issue etcd-peer m1: usages differ: must be a server's and a client's"]),
    case("a CA for a server", |place| place.forge("m1", "apiserver", |draft| {
        draft.profile.kind = Kind::Authority { path_len: 0, confined_to: None };
        draft.deep = true;
    }), &["issue apiserver m1: usages differ: must be a server's alone"]),

    case("another algorithm", |place| place.forge("m1", "apiserver", |draft| draft.algorithm = KeyAlgorithm::EcdsaP384),
        &["issue apiserver m1: key algorithm is ecdsa-p384, must be ecdsa-p256"]),

    case("another CA of the cluster", |place| place.forge("m1", "apiserver", |draft| {
        draft.authority = Authority::Etcd;
    }), &["issue apiserver m1: signed by another CA (CN=etcd-ca)"]),
    case("a CA of the same name", |place| place.forge("m1", "apiserver", |draft| draft.impostor = true),
        &["issue apiserver m1: signed by another CA (CN=kubernetes)"]),

    // Nor may a host hold it: a CA that a host still holds is to be put back.
    case("no CA", |place| for name in ["front-proxy-ca.crt", "front-proxy-ca.key", "front-proxy-ca.srl"] {
        place.remove(&format!("authority/{name}"));
        let _ = fs::remove_file(place.path(&format!("hosts/m1/kubernetes/pki/{name}")));
    }, &[
        "create front-proxy-ca: missing",
        "write front-proxy-ca m1: missing",
        "issue front-proxy-client m1: its CA is new",
    ]),

    case("a chain where none must be", |place| {
        let root = place.read("authority/kubernetes-ca.crt");
        place.append("hosts/m1/kubernetes/pki/apiserver.crt", &root);
    }, &["issue apiserver m1: the chain after it differs"]),

    case("one that has expired", |place| place.forge("m1", "apiserver", |draft| draft.profile.lifetime = DAY / 2),
        &["issue apiserver m1: expired on 2026-06-02"]),
    case("one that will soon expire", |place| place.forge("m1", "apiserver", |draft| {
        draft.profile.lifetime = DAY + DAY / 4;
    }), &["issue apiserver m1: expires on 2026-06-02, within the renewal window"]),
    case("one that outlives its CA", |place| place.forge("m1", "apiserver", |draft| draft.longevity = true),
        &["issue apiserver m1: it outlives the CA that signed it"]),
    // A new certificate would not be valid either by this clock, so that is for people to look at.
    case("one from the future", |place| place.forge("m1", "apiserver", |draft| draft.now += DAY * 2),
        &["! NotYetValid apiserver m1: not valid before 2026-06-03T11:55:00Z: is a clock wrong?"]),
    case("a wrong one from the future", |place| place.forge("m1", "apiserver", |draft| {
        draft.now += DAY * 2;
        draft.profile.sans.clear();
    }), &["issue apiserver m1: SANs differ: lacks kubernetes, kubernetes.default, kubernetes.default.svc, \
           kubernetes.default.svc.cluster.local, m1, 10.96.0.1, 192.0.2.11; \
           not valid before 2026-06-03T11:55:00Z: is a clock wrong?"]),
    case("wrong in every way", |place| place.forge("m1", "apiserver", |draft| {
        "etcd".clone_into(&mut draft.profile.subject.common_name);
        draft.profile.sans = [HostOrIp::Name("etcd".to_owned())].into();
        draft.profile.kind = Kind::Leaf(Usages::Client);
        draft.profile.lifetime = DAY / 2;
        draft.algorithm = KeyAlgorithm::Ed25519;
    }), &["issue apiserver m1: subject is CN=etcd, must be CN=kube-apiserver; \
           SANs differ: lacks kubernetes, kubernetes.default, kubernetes.default.svc, \
           kubernetes.default.svc.cluster.local, m1, 10.96.0.1, 192.0.2.11; must not have etcd; \
           usages differ: must be a server's alone; key algorithm is ed25519, must be ecdsa-p256; \
           expired on 2026-06-02"]),

    case("another CA on a host", |place| {
        let other = place.read("authority/etcd-ca.crt");
        place.write("hosts/w1/kubernetes/pki/ca.crt", &other);
    }, &["write kubernetes-ca w1: content differs from what the spec makes"]),
    case("two CAs in a file for one", |place| {
        let other = place.read("authority/etcd-ca.crt");
        place.append("hosts/m1/kubernetes/pki/ca.crt", &other);
    }, &["write kubernetes-ca m1: content differs from what the spec makes"]),
    case("another address in a kubeconfig that embeds its pair", |place| {
        let text = place.read("hosts/m1/kubernetes/auth/admin.conf");
        place.write("hosts/m1/kubernetes/auth/admin.conf", &text.replace(":6443", ":443"));
    }, &["write admin m1: content differs from what the spec makes"]),
    case("another token in a kubeconfig", |place| {
        let text = place.read("authority/bootstrap-token.yaml");
        let secret = text.lines().find_map(|line| line.trim().strip_prefix("token-secret: ")).unwrap();
        let text = place.read("hosts/w1/kubernetes/auth/bootstrap.conf");
        place.write("hosts/w1/kubernetes/auth/bootstrap.conf", &text.replace(secret.trim_matches('"'), "0123456789abcdef"));
    }, &["write bootstrap w1: content differs from what the spec makes"]),
    case("other bindings", |place| place.append("manifests/rbac.yaml", "---\n"),
        &["write manifests: content differs from what the spec makes"]),
    case("the service accounts' old key first", |place| {
        let current = place.read("authority/sa.pub");
        let old = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public().to_pem();
        place.write("authority/sa.pub", &format!("{old}{current}"));
        place.write("hosts/m1/kubernetes/pki/sa.pub", &format!("{current}{old}"));
    }, &["write service-account: content differs from what the spec makes"]),
    case("static tokens without the bootstrap token's line", |place| {
        place.write("authority/token.csv", "0123456789abcdef,auditor,7,\"view\"\n");
    }, &[
        "write bootstrap: content differs from what the spec makes",
        "write bootstrap m1: content differs from what the spec makes",
    ]),

    case("a key that others can read", |place| place.mode("hosts/m1/kubernetes/pki/apiserver.key", 0o640),
        &["write apiserver m1: mode is 0640, must be 0600"]),
    case("a kubeconfig that others can read", |place| place.mode("hosts/m1/kubernetes/auth/admin.conf", 0o644),
        &["write admin m1: mode is 0644, must be 0600"]),
    case("a certificate that others can write", |place| place.mode("hosts/w1/kubernetes/pki/ca.crt", 0o666),
        &["write kubernetes-ca w1: mode is 0666, must be 0644"]),
    case("a token that others can read", |place| place.mode("manifests/bootstrap-token.yaml", 0o644),
        &["write manifests: mode is 0644, must be 0600"]),

    case("no key of the service accounts", |place| for path in ["authority", "hosts/m1/kubernetes/pki"] {
        place.remove(&format!("{path}/sa.key"));
        place.remove(&format!("{path}/sa.pub"));
    }, &[
        "create service-account: missing",
        "write service-account m1: missing",
    ]),
    case("no bootstrap token", |place| place.remove("authority/bootstrap-token.yaml"), &[
        "create bootstrap: missing",
        "write manifests: contains the bootstrap token, which changes",
        "write bootstrap m1: contains the bootstrap token, which changes",
        "write bootstrap w1: contains the bootstrap token, which changes",
    ]),

    case("a host that the spec does not have", |place| place.write("hosts/w9/kubernetes/pki/ca.crt", "?"),
        &["remove host w9: host removed from the spec"]),
    case("a CA's key on a worker", |place| {
        let key = place.read("authority/kubernetes-ca.key");
        place.write("hosts/w1/kubernetes/pki/ca.key", &key);
    }, &["remove file w1: this host must not hold it"]),
    case("what the other layout has", |place| place.write("hosts/m1/kubernetes/super-admin.conf", "?"),
        &["remove file m1: this host must not hold it"]),

    case("several at once, on both hosts", |place| {
        place.remove("hosts/m1/etcd/pki/server.crt");
        place.mode("hosts/m1/kubernetes/pki/sa.key", 0o644);
        place.write("hosts/w1/kubernetes/pki/kubelet.crt", "?");
    }, &[
        "issue etcd-server m1: missing",
        "write service-account m1: mode is 0644, must be 0600",
        "issue kubelet-serving w1: unreadable: there is no certificate in it (expected a PEM block CERTIFICATE)",
    ]),
];

#[test]
fn each_damage_is_mended_for_its_reason_and_nothing_else_is_touched() {
    let later = made() + DAY;
    DAMAGED.par_iter().for_each(|Case { what, damage, expected }| {
        let place = Place::new(SPEC);
        damage(&place);
        let plan = place.plan(later);
        assert_eq!(lines(&plan), *expected, "{what}");

        let planned = files(&plan);
        let before = place.snapshot();
        place.apply(later);
        assert_eq!(changed(&before, &place.snapshot()), planned, "{what}");
        let after = place.plan(later);
        let remaining: Vec<_> = expected.iter().filter(|line| line.starts_with('!')).collect();
        assert_eq!(
            lines(&after),
            remaining.into_iter().copied().collect::<Vec<_>>(),
            "{what}"
        );
        assert!(after.is_empty(), "{what}");
    });
}

#[test]
fn the_serial_file_follows_what_its_ca_signs_on_that_host() {
    let place = Place::new(&SPEC.replace("caKeys: none", "caKeys: all"));
    place.remove("hosts/m1/kubernetes/pki/apiserver.crt");
    assert_eq!(
        lines(&place.plan(made())),
        [
            "write kubernetes-ca m1: contains the last serial number, which changes",
            "issue apiserver m1: missing",
        ]
    );
}

// Dates

/// The credentials whose certificates are clients' alone, which live shorter than the others here.
const CLIENTS: [&str; 7] = [
    "apiserver-etcd-client m1",
    "apiserver-kubelet-client m1",
    "front-proxy-client m1",
    "admin m1",
    "controller-manager m1",
    "scheduler m1",
    "kube-proxy w1",
];

#[test]
fn a_certificate_is_renewed_from_its_window_on_and_not_a_second_sooner() {
    let short = SignedDuration::from_hours(300);
    let third = short / 3;
    let explicit = SignedDuration::from_hours(24);
    // The field; how long before the end; what then.
    let cases = [
        ("", third + SECOND, None),
        ("", third, Some("expires on 2026-06-14, within the renewal window")),
        (
            "",
            third - SECOND,
            Some("expires on 2026-06-14, within the renewal window"),
        ),
        ("renewBefore: 24h", third, None),
        ("renewBefore: 24h", explicit + SECOND, None),
        (
            "renewBefore: 24h",
            explicit,
            Some("expires on 2026-06-14, within the renewal window"),
        ),
        (
            "renewBefore: 24h",
            SECOND,
            Some("expires on 2026-06-14, within the renewal window"),
        ),
        ("renewBefore: 24h", SignedDuration::ZERO, Some("expired on 2026-06-14")),
        ("renewBefore: 24h", -SECOND, Some("expired on 2026-06-14")),
    ];
    for (field, before_end, reason) in cases {
        let spec = SPEC.replace("validity: {", "validity: {client: 300h, ") + field;
        let place = Place::new(&spec);
        let now = made() + short - before_end;
        let expected: Vec<_> = match reason {
            None => Vec::new(),
            Some(reason) => CLIENTS
                .iter()
                .map(|client| format!("issue {client}: {reason}"))
                .collect(),
        };
        assert_eq!(
            lines(&place.plan(now)),
            expected,
            "{field}, {before_end:?} before the end"
        );
        place.apply(now);
        assert!(place.plan(now).is_empty());
    }
}

#[test]
fn a_bootstrap_token_is_replaced_when_it_has_ended() {
    let place = Place::new(&SPEC.replace("99999h", "720h"));
    let end = made() + SignedDuration::from_hours(720);
    assert!(place.plan(end - SECOND).is_empty());
    let expected = [
        "create bootstrap: expired on 2026-07-01",
        "write manifests: contains the bootstrap token, which changes",
        "write bootstrap m1: contains the bootstrap token, which changes",
        "write bootstrap w1: contains the bootstrap token, which changes",
    ];
    assert_eq!(lines(&place.plan(end)), expected);
    place.append("authority/token.csv", "0123456789abcdef,auditor,7,\"view\"\n");
    place.apply(end);
    assert!(place.plan(end).is_empty());
    // What people added stays, and one line of ours is there, not two.
    let tokens = place.read("hosts/m1/kubernetes/token.csv");
    let users: Vec<_> = tokens.lines().map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(users, ["auditor", "system:bootstrapper"]);
}

#[test]
fn the_end_of_a_ca_is_said_early_and_destroys_nothing() {
    let place = Place::new(SPEC);
    let end = made() + SignedDuration::from_hours(87600);
    let window = end.duration_since(made()) / 3;
    let finding = |code: &str, message: &str| -> Vec<String> {
        let stems = ["etcd-ca", "kubernetes-ca", "front-proxy-ca"];
        stems.map(|stem| format!("! {code} {stem}: {message}")).into()
    };
    let ageing = finding(
        "AuthorityExpires",
        "the CA expires on 2036-05-29T12:00:00Z, within the renewal window",
    );
    let expired = finding(
        "AuthorityExpired",
        "the CA expired on 2036-05-29T12:00:00Z: nothing that it signed is valid",
    );

    let findings = |now: Timestamp| -> Vec<String> {
        let mut lines = lines(&place.plan(now));
        lines.retain(|line| line.starts_with('!'));
        lines
    };
    assert_eq!(findings(end - window - SECOND), Vec::<String>::new());
    assert_eq!(findings(end - window), ageing);
    assert!(place.plan(end - window).finishes());
    place.apply(end - DAY);
    assert_eq!(lines(&place.plan(end - SECOND)), ageing);

    let before = place.snapshot();
    let plan = place.plan(end);
    assert!(!plan.finishes());
    assert_eq!(lines(&plan), expired);
    place.apply(end + DAY);
    assert_eq!(changed(&before, &place.snapshot()), BTreeSet::new());
}

#[test]
fn an_expired_ca_does_not_hold_up_the_others() {
    let place = Place::new(&SPEC.replace("validity: {", "validity: {server: 100h, client: 100h, "));
    place.shorten(Authority::Etcd, DAY);
    place.apply(made());
    assert!(place.plan(made()).is_empty());
    let now = made() + SignedDuration::from_hours(99);
    let plan = lines(&place.plan(now));
    assert_eq!(
        plan,
        [
            "issue apiserver m1: expires on 2026-06-05, within the renewal window",
            "issue apiserver-kubelet-client m1: expires on 2026-06-05, within the renewal window",
            "issue front-proxy-client m1: expires on 2026-06-05, within the renewal window",
            "issue admin m1: expires on 2026-06-05, within the renewal window",
            "issue controller-manager m1: expires on 2026-06-05, within the renewal window",
            "issue scheduler m1: expires on 2026-06-05, within the renewal window",
            "issue kubelet-serving w1: expires on 2026-06-05, within the renewal window",
            "issue kube-proxy w1: expires on 2026-06-05, within the renewal window",
            "! AuthorityExpired etcd-ca: the CA expired on 2026-06-02T12:00:00Z: nothing that it signed is valid",
        ]
    );
    place.apply(now);
    assert!(place.plan(now).is_empty());
}

#[test]
fn over_its_whole_life_a_cluster_is_renewed_and_never_twice_for_one_end() {
    let place = Place::new(SPEC);
    let end = made() + SignedDuration::from_hours(87600);
    let mut renewals = Vec::new();
    let mut now = made();
    while now < end {
        let plan = place.plan(now);
        if !plan.is_empty() {
            renewals.push(plan.steps().len());
            place.apply(now);
            assert!(place.plan(now).is_empty(), "{now}");
        }
        for (path, certificate) in place.leaves() {
            assert!(
                certificate.not_after > now && certificate.not_before <= now,
                "{path} at {now}"
            );
            assert!(certificate.not_after <= end, "{path} at {now}");
        }
        now += DAY * 20;
    }
    // 11 leaves, each after two thirds of a year, the last ones ending with their CA.
    assert!(renewals.iter().all(|steps| *steps == 11), "{renewals:?}");
    assert_eq!(renewals.len(), 13);
}

#[test]
fn the_key_of_another_algorithm_is_made_for_all_but_the_cas() {
    let place = Place::new(SPEC);
    place.write("cluster.yaml", &format!("{SPEC}keyAlgorithm: ed25519\n"));
    let plan = place.plan(made());
    let expected = "key algorithm is ecdsa-p256, must be ed25519";
    assert_eq!(plan.steps().len(), 11);
    for line in lines(&plan) {
        assert!(line.starts_with("issue ") && line.ends_with(expected), "{line}");
    }
}

#[test]
fn a_ca_key_without_its_certificate_stops_everything() {
    for stem in ["etcd-ca", "kubernetes-ca", "front-proxy-ca"] {
        let place = Place::new(SPEC);
        place.remove(&format!("authority/{stem}.crt"));
        let before = place.snapshot();
        let refused = Loaded::read(&place.root, made()).unwrap_err();
        let expected = format!("{stem}.key: a CA key without its certificate; put {stem}.crt back beside it");
        assert!(
            matches!(&refused, LoadError::Obstacles(_)) && refused.to_string().contains(&expected),
            "{refused}"
        );
        assert_eq!(changed(&before, &place.snapshot()), BTreeSet::new());
    }
}

// A directory

struct Place {
    _temp: TempDir,
    root: PathBuf,
}

impl Place {
    /// A directory made from that spec.
    fn new(spec: &str) -> Self {
        let temp = TempDir::new().unwrap();
        let place = Self {
            root: temp.path().to_owned(),
            _temp: temp,
        };
        place.write("cluster.yaml", spec);
        place.apply(made());
        place
    }

    fn plan(&self, now: Timestamp) -> Plan {
        Loaded::read(&self.root, now).unwrap().plan(&self.root).unwrap()
    }

    fn apply(&self, now: Timestamp) {
        let directory = Directory::open(&self.root, RealDisk).unwrap();
        let loaded = Loaded::read(&self.root, now).unwrap();
        let plan = loaded.plan(&self.root).unwrap();
        if !plan.is_empty() {
            loaded.apply(&directory, plan, &()).unwrap();
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Writes as a person would: into the file that is there, whose mode stays.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        self.write(path, &(self.read(path) + text));
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn authorities(&self) -> Authorities {
        inventory::authorities(&self.root, &cluster::read_spec(&self.root).unwrap().cluster).unwrap()
    }

    /// Puts another certificate, with its key, in the place of a row's.
    fn forge(&self, host: &str, row: &str, change: impl FnOnce(&mut Draft)) {
        let cluster = cluster::read_spec(&self.root).unwrap().cluster;
        let host = cluster.host(host).unwrap();
        let row = catalog::row(row).unwrap();
        let catalog::What::Leaf { signer, .. } = row.what else {
            panic!("{} is no leaf", row.name)
        };
        let mut draft = Draft {
            profile: catalog::leaf_profile(&cluster, host, row).unwrap(),
            algorithm: cluster.key_algorithm,
            authority: match signer {
                catalog::Signer::Authority(authority) => authority,
                catalog::Signer::Kubelet => Authority::Kubernetes,
            },
            now: made(),
            impostor: false,
            longevity: false,
            deep: false,
        };
        change(&mut draft);
        let (certificate, key) = draft.sign(&self.authorities());
        let files = catalog::host_files(&cluster, host);
        let path = |part| {
            let file = files
                .iter()
                .find(|file| file.row == row.name && file.part == part)
                .unwrap();
            format!("hosts/{}/{}", host.name, file.path)
        };
        self.write(&path(catalog::Part::Certificate), &certificate.to_pem());
        self.write(&path(catalog::Part::Key), &key.to_pem().unwrap());
    }

    /// Gives a CA another certificate that ends so much after [`made`], with the same key.
    fn shorten(&self, authority: Authority, lifetime: SignedDuration) {
        let cluster = cluster::read_spec(&self.root).unwrap().cluster;
        let mut profile = catalog::authority_profile(&cluster, authority);
        profile.lifetime = lifetime;
        let key = self.authorities().cas.remove(&authority).unwrap().key.unwrap();
        let shorter =
            issue::self_sign(&profile, &key, Serial::random().unwrap(), made(), SignedDuration::ZERO).unwrap();
        self.write(
            &format!("authority/{}.crt", authority_stem(authority)),
            &shorter.to_pem(),
        );
    }

    /// Every certificate in a file of its own that is no CA's.
    fn leaves(&self) -> Vec<(String, Certificate)> {
        let certificates = self.snapshot().into_iter().filter(|(path, _)| path.ends_with(".crt"));
        certificates
            .map(|(path, (content, _))| (path, Certificate::all_from_pem(&content).unwrap().remove(0)))
            .filter(|(_, certificate)| certificate.authority.is_none())
            .collect()
    }

    /// Every file but the backups: its bytes and its mode.
    fn snapshot(&self) -> Snapshot {
        fn walk(root: &Path, folder: &Path, files: &mut Snapshot) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                if path.is_dir() && name != "backup" {
                    walk(root, &path, files);
                } else if path.is_file() {
                    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
                    files.insert(name, (fs::read(&path).unwrap(), mode));
                }
            }
        }
        let mut files = Snapshot::new();
        walk(&self.root, &self.root, &mut files);
        files
    }
}

type Snapshot = BTreeMap<String, (Vec<u8>, u32)>;

/// The files that differ. The serial numbers of `authority/` go on whenever a CA signs, and are in no step.
fn changed(before: &Snapshot, after: &Snapshot) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    paths
        .filter(|path| before.get(*path) != after.get(*path))
        .filter(|path| !(path.starts_with("authority/") && path.ends_with(".srl")))
        .cloned()
        .collect()
}

/// The files of a plan's steps; a removed host's are all those in its folder.
fn files(plan: &Plan) -> BTreeSet<String> {
    let files = plan.steps().into_iter().flat_map(|step| step.files);
    files
        .map(|file| {
            if file == "hosts/w9" {
                format!("{file}/kubernetes/pki/ca.crt")
            } else {
                file
            }
        })
        .collect()
}

/// A plan as the cases have it.
fn lines(plan: &Plan) -> Vec<String> {
    let on = |host: &Option<String>| host.as_ref().map_or(String::new(), |host| format!(" {host}"));
    let steps = plan.steps().into_iter().map(|step| {
        let reasons: Vec<_> = step.reasons.iter().map(ToString::to_string).collect();
        format!(
            "{} {}{}: {}",
            step.action,
            step.credential,
            on(&step.host),
            reasons.join("; ")
        )
    });
    let findings = plan.findings.iter().map(|finding| {
        format!(
            "! {} {}{}: {}",
            finding.code,
            finding.credential,
            on(&finding.host),
            finding.message
        )
    });
    steps.chain(findings).collect()
}

/// A certificate that is not what it must be.
struct Draft {
    profile: Profile,
    algorithm: KeyAlgorithm,
    authority: Authority,
    now: Timestamp,
    /// By a CA of the same name with another key.
    impostor: bool,
    /// By the CA's key, under a certificate of it that ends a day later.
    longevity: bool,
    /// By the CA's key, under a certificate of it that allows CAs below.
    deep: bool,
}

impl Draft {
    fn sign(self, authorities: &Authorities) -> (Certificate, PrivateKey) {
        let ca = &authorities.cas[&self.authority];
        let own = ca.certificate.as_ref().unwrap();
        let mut profile = Profile {
            subject: self.profile.subject.clone(),
            sans: BTreeSet::new(),
            kind: Kind::Authority {
                path_len: u8::from(self.deep),
                confined_to: None,
            },
            lifetime: own.not_after.duration_since(made()),
        };
        profile.subject.common_name = own.common_name().unwrap();
        profile.subject.organizations.clear();
        if self.longevity {
            profile.lifetime += DAY;
        }
        let other_key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let ca_key = if self.impostor {
            &other_key
        } else {
            ca.key.as_ref().unwrap()
        };
        let serial = || Serial::random().unwrap();
        let ca = issue::self_sign(&profile, ca_key, serial(), made(), SignedDuration::from_mins(5)).unwrap();

        let mut leaf = self.profile;
        if self.longevity {
            leaf.lifetime = profile.lifetime;
        }
        let key = PrivateKey::generate(self.algorithm).unwrap();
        let issuer = Issuer::new(&ca, ca_key).unwrap();
        let backdate = SignedDuration::from_mins(5);
        let certificate = issuer.sign(&leaf, key.public(), serial(), self.now, backdate).unwrap();
        (certificate, key)
    }
}

fn new_key(algorithm: KeyAlgorithm) -> String {
    PrivateKey::generate(algorithm).unwrap().to_pem().unwrap().to_string()
}
