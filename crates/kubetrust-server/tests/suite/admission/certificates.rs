//! The plugins about certificate signing requests.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use kubetrust_pki::issue;
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::profile::{Kind, Profile, Subject, Usages};
use kubetrust_pki::spec::{KeyAlgorithm, SubjectExtras};
use kubetrust_server::admission::{CertificateApproval, CertificateSigning, CertificateSubjectRestriction};
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, grant, update, user};
use crate::support::Engine;

on_both!(
    who_approves_may_approve_for_that_signer,
    who_signs_may_sign_for_that_signer
);

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// A signing request with a PKCS#10 request in it.
pub fn request(signer: &str, common_name: &str, organizations: &[&str]) -> Value {
    let profile = Profile {
        subject: Subject {
            common_name: common_name.into(),
            organizations: organizations.iter().map(|name| (*name).to_owned()).collect(),
            extras: SubjectExtras::default(),
        },
        sans: BTreeSet::new(),
        kind: Kind::Leaf(Usages::Client),
        lifetime: SignedDuration::from_hours(1),
    };
    let pem = issue::request(&profile, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap();
    json!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": STANDARD.encode(pem)}})
}

fn plain(signer: &str, status: Value) -> Value {
    json!({"metadata": {"name": "r"}, "spec": {"signerName": signer}, "status": status})
}

/// jane may do this with one signer, joe with a domain, max with all.
async fn world(engine: Engine, verb: &str) -> World {
    let group = "certificates.k8s.io";
    let objects = [
        grant("jane", verb, group, "signers", "example.com/one"),
        grant("joe", verb, group, "signers", "example.com/*"),
        grant("max", verb, group, "signers", ""),
        grant("eve", "get,update", group, "signers", ""),
    ];
    World::of(engine, objects.as_flattened()).await
}

/// Who may, among the users of [`world`], with requests for which signer.
const RIGHTS: [(&str, &str, bool); 12] = [
    ("jane", "example.com/one", true),
    ("jane", "example.com/two", false),
    ("jane", "example.com", false),
    ("joe", "example.com/one", true),
    ("joe", "example.com/two", true),
    ("joe", "example.com/two/three", true),
    ("joe", "sub.example.com/one", false),
    ("joe", "example.org/one", false),
    ("max", "example.org/one", true),
    ("max", CLIENT, true),
    ("eve", "example.com/one", false),
    ("nobody", "example.com/one", false),
];

async fn who_approves_may_approve_for_that_signer(engine: Engine) {
    let world = world(engine, "approve").await;
    let plugin = CertificateApproval::new(&world.authorizer);
    let what = "certificatesigningrequests/approval";
    for (who, signer, allowed) in RIGHTS {
        let why = format!(
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "{signer}""#
        );
        let approved = plain(signer, json!({"conditions": [{"type": "Approved"}]}));
        let request = update(&user(who, &[]), what, plain(signer, json!({})), approved);
        decide(&plugin, &[(request, if allowed { "" } else { &why })]).await;
    }
    let (jane, nobody) = (user("jane", &[]), user("nobody", &[]));
    let (one, two) = (plain("example.com/one", json!({})), plain("example.com/two", json!({})));
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        // The signer that it has counts, not the one that is sent along.
        (update(&jane, what, two.clone(), one.clone()),
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "example.com/two""#),
        (update(&jane, what, one.clone(), two.clone()), ""),
        (update(&nobody, "certificatesigningrequests", one.clone(), one.clone()), ""),
        (update(&nobody, "certificatesigningrequests/status", one.clone(), one.clone()), ""),
        (create(&nobody, "certificatesigningrequests", one), ""),
        (update(&user("root", &["system:masters"]), what, two.clone(), two), ""),
    ];
    decide(&plugin, cases).await;
}

async fn who_signs_may_sign_for_that_signer(engine: Engine) {
    let world = world(engine, "sign").await;
    let plugin = CertificateSigning::new(&world.authorizer);
    let what = "certificatesigningrequests/status";
    for (who, signer, allowed) in RIGHTS {
        let why = format!(
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to sign requests with signerName "{signer}""#
        );
        let request = update(
            &user(who, &[]),
            what,
            plain(signer, json!({})),
            plain(signer, json!({"certificate": "eA=="})),
        );
        decide(&plugin, &[(request, if allowed { "" } else { &why })]).await;
    }
    let nobody = user("nobody", &[]);
    let with = |status: Value| plain("example.com/one", status);
    let failed = || with(json!({"conditions": [{"type": "Failed", "status": "True"}]}));
    let why = r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to sign requests with signerName "example.com/one""#;
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (update(&nobody, what, with(json!({})), failed()), why),
        (update(&nobody, what, failed(), with(json!({}))), why),
        (update(&nobody, what, with(json!({"certificate": "eA=="})), with(json!({}))), why),
        (update(&nobody, what, failed(), failed()), ""),
        (update(&nobody, what, with(json!({})), with(json!({"conditions": []}))), ""),
        (update(&nobody, what, plain("example.com/two", json!({})), with(json!({}))), ""),
        (update(&nobody, "certificatesigningrequests", with(json!({})), with(json!({"certificate": "eA=="}))), ""),
    ];
    decide(&plugin, cases).await;
}

#[tokio::test]
async fn nobody_asks_for_a_certificate_of_those_who_may_everything() {
    let plugin = CertificateSubjectRestriction;
    let root = user("root", &["system:masters"]);
    let what = "certificatesigningrequests";
    let masters = request(CLIENT, "jane", &["dev", "system:masters"]);
    let broken = |text: &str| json!({"metadata": {"name": "r"}, "spec": {"signerName": CLIENT, "request": text}});
    let unreadable = r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: failed to parse CSR: PEM block type must be CERTIFICATE REQUEST"#;
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&root, what, request(CLIENT, "jane", &["dev"])), ""),
        (create(&root, what, request(CLIENT, "system:masters", &["system:masters2"])), ""),
        (create(&root, what, masters.clone()),
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#),
        (create(&root, what, request("example.com/one", "jane", &["system:masters"])), ""),
        (create(&root, what, broken("!")), unreadable),
        (create(&root, what, broken("")), unreadable),
        (create(&root, what, broken(&STANDARD.encode("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))), unreadable),
        (update(&root, what, masters.clone(), masters.clone()), ""),
        (delete(&root, what, masters), ""),
    ];
    decide(&plugin, cases).await;
}
