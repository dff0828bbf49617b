//! Credentials that are refused, one of each kind.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use kubetrust_auth::authn::service_account::issue::{TokenAsk, TokenIssuer};
use kubetrust_auth::authn::service_account::{Reference, SigningKey};
use kubetrust_pki::certificate::Certificate;
use kubetrust_server::options::Options;
use serde_json::json;

use super::world::{World, text};
use crate::reload::files::Ca;
use crate::support::{Cluster, Credential, Engine};

/// Revokes the scheduler's certificate.
pub fn revoke(options: &mut Options) {
    let kubeconfig = options
        .token_auth_file
        .as_ref()
        .unwrap()
        .with_file_name("auth/scheduler.conf");
    let (pem, _) = Credential::kubeconfig(&kubeconfig).pair.unwrap();
    let certificate = Certificate::all_from_pem(&pem).unwrap().remove(0);
    let list = kubeconfig.with_file_name("revoked.txt");
    fs::write(&list, certificate.serial_hex()).unwrap();
    options.client_revoked_serials_file = Some(list);
}

/// All of them, for a world in which [`revoke`] was done.
pub async fn all(world: &World) -> Vec<(&'static str, Credential)> {
    let mut all = certificates(world);
    all.extend(tokens(world).await);
    let stranger = Cluster::issue(Engine::Embedded).kubeconfig("admin");
    all.push(("two that are both refused", stranger.with_token("nobody-knows-this")));
    all
}

fn certificates(world: &World) -> Vec<(&'static str, Credential)> {
    let cluster = &world.cluster;
    let ca = Ca::of(cluster, "kubernetes-ca");
    let masters: &[&str] = &["system:masters"];
    let [ended, begins] = ca.out_of_time("admin", masters).map(|leaf| leaf.credential());
    let long = "a".repeat(10 * 1024);
    vec![
        (
            "a certificate of another cluster's CA",
            Cluster::issue(Engine::Embedded).kubeconfig("admin"),
        ),
        (
            "a certificate of a CA of the same name",
            Ca::new("kubernetes").client("admin", masters).credential(),
        ),
        (
            "a certificate of a CA that is for etcd",
            cluster.pair("apiserver-etcd-client"),
        ),
        ("a serving certificate", cluster.pair("apiserver")),
        (
            "a CA's own certificate",
            Credential::pair(&cluster.file("pki/ca.crt"), &cluster.file("pki/ca.key")),
        ),
        ("a certificate that has ended", ended),
        ("a certificate that has not begun", begins),
        ("a certificate that was revoked", cluster.kubeconfig("scheduler")),
        (
            "a proxy's certificate that speaks for nobody",
            cluster.pair("front-proxy-client"),
        ),
        (
            "a CN with a NUL",
            ca.client("kubernetes-admin\0.example.com", masters).credential(),
        ),
        ("a CN of 10 KiB", ca.client(&long, masters).credential()),
    ]
}

async fn tokens(world: &World) -> Vec<(&'static str, Credential)> {
    const OURS: &str = "https://kubernetes.default.svc.cluster.local";
    let account = |name: &str| format!("/api/v1/namespaces/default/serviceaccounts/{name}");
    let good = world.robot("robot").await.token.unwrap();
    let gone = world.robot("gone").await.token.unwrap();
    assert_eq!(world.admin().delete(&account("gone")).await.code, 200);
    let robot = world.admin().get(&account("robot")).await.json();
    let uid = robot["metadata"]["uid"].as_str().unwrap();
    let issued = |issuer: &str, audience: &str, at: Timestamp| {
        let key = SigningKey::from_pem("sa.key", &fs::read(world.cluster.file("pki/sa.key")).unwrap()).unwrap();
        let issuer = TokenIssuer::new(issuer.into(), key, vec![OURS.into()], None, false);
        let ask = TokenAsk {
            namespace: "default".into(),
            account: Reference {
                name: "robot".into(),
                uid: uid.into(),
            },
            audiences: vec![audience.into()],
            expiration_seconds: 600,
            ..TokenAsk::default()
        };
        issuer.issue(ask, at).unwrap().token.to_string()
    };
    let now = Timestamp::now();
    let hours = SignedDuration::from_hours(2);
    // What makes the others bad is the one thing that is said of them.
    let control = world.client(Credential::token(&issued(OURS, OURS, now)));
    assert_eq!(control.get("/version").await.code, 200);

    let parts: Vec<&str> = good.split('.').collect();
    let encode = |header: serde_json::Value| URL_SAFE_NO_PAD.encode(header.to_string());
    let public = text(&world.cluster.file("pki/sa.pub"));
    let signed = format!("{}.{}", encode(json!({"alg": "HS256", "typ": "JWT"})), parts[1]);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    let tampered = format!("{}AAAAAAAAAA", &good[..good.len() - 10]);
    let past = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "expiration": "2020-01-01T00:00:00Z"},
    });
    world.create("/api/v1/namespaces/kube-system/secrets", &past).await;
    [
        ("a token that nobody knows", "nobody-knows-this".to_owned()),
        ("a token that is no JWT", "a.b.c".to_owned()),
        (
            "a JWT of nobody",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.".to_owned(),
        ),
        (
            "our JWT, unsigned",
            format!("{}.{}.", encode(json!({"alg": "none"})), parts[1]),
        ),
        ("our JWT by HS256 over the public key", format!("{signed}.{tag}")),
        (
            "our JWT with another kid",
            format!(
                "{}.{}.{}",
                encode(json!({"alg": "ES256", "kid": "x"})),
                parts[1],
                parts[2]
            ),
        ),
        ("our JWT with another signature", tampered),
        ("our JWT for another audience", issued(OURS, "vault", now)),
        (
            "our JWT by another issuer",
            issued("https://elsewhere.example", OURS, now),
        ),
        ("our JWT that has ended", issued(OURS, OURS, now - hours)),
        ("our JWT that has not begun", issued(OURS, OURS, now + hours)),
        ("our JWT of an account that is gone", gone),
        (
            "a bootstrap token that is not there",
            "ghijkl.0123456789abcdef".to_owned(),
        ),
        ("a bootstrap token that has ended", "abcdef.0123456789abcdef".to_owned()),
        ("a token of strange bytes", "%00%ff/../\"'<>".to_owned()),
    ]
    .map(|(name, token)| (name, Credential::token(&token)))
    .to_vec()
}
