//! Explanations of authentication: told of one's own credential, of another's only to who may ask, and of a refused one
//! to nobody who shows it.

use http::Method;
use serde_json::{Value, json};

use super::world::{World, refused, text};
use crate::support::{Client, Cluster, Credential, Engine, Reply};

on_both!(
    every_credential_is_explained_to_whoever_shows_it,
    why_a_credential_is_refused_is_told_to_nobody_who_shows_it,
    an_administrator_is_told_of_anothers_credential,
);

const PATH: &str = "/debug/authentication";

/// Who, with which headers, who that is, and the way there.
type Case<'a> = (&'a str, Credential, &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

/// `scheme outcome` of each scheme that had an opinion or was asked for one, in order.
fn way(explanation: &Value) -> Vec<String> {
    let schemes = explanation["schemes"].as_array().unwrap();
    let said = |field: &str, scheme: &Value| scheme[field].as_str().unwrap_or_default().to_owned();
    schemes
        .iter()
        .filter(|scheme| !matches!(scheme["outcome"].as_str(), Some("not asked" | "off")))
        .map(|scheme| format!("{} {}", said("scheme", scheme), said("outcome", scheme)))
        .collect()
}

/// No answer holds what proves somebody.
fn shows_no_secret(reply: &Reply, secrets: &[&str], case: &str) {
    let answer = String::from_utf8_lossy(&reply.body);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        assert!(!answer.contains(secret), "{case} shows {secret}");
    }
    assert!(
        !answer.contains("PRIVATE KEY") && !answer.contains("BEGIN CERTIFICATE"),
        "{case}: {answer}"
    );
}

async fn ask(client: &Client, certificate: &str, authorization: &str) -> Reply {
    client
        .post(
            PATH,
            &json!({"certificate": certificate, "authorization": authorization}),
        )
        .await
}

/// A bootstrap token of the cluster.
async fn bootstrap_token(world: &World) -> String {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"},
    });
    world.create("/api/v1/namespaces/kube-system/secrets", &secret).await;
    "abcdef.0123456789abcdef".into()
}

async fn every_credential_is_explained_to_whoever_shows_it(engine: Engine) {
    let world = World::start_with(engine, kubetrust_server::listen::Limits::default(), |options| {
        let file = options
            .token_auth_file
            .as_ref()
            .unwrap()
            .with_file_name("passwords.csv");
        std::fs::write(&file, "open-sesame,ali,7,\"thieves\"\n").unwrap();
        options.basic_auth_file = Some(file);
    })
    .await;
    let robot = world.robot("robot").await;
    let boot = bootstrap_token(&world).await;
    let listed = text(&world.cluster.file("token.csv"))
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let proxied = [("x-remote-user", "alice"), ("x-remote-group", "dev")];
    let jane = [("impersonate-user", "jane")];
    let basic = [("authorization", "Basic YWxpOm9wZW4tc2VzYW1l")];
    let token = |token: &str| Credential::token(token);
    let cluster = &world.cluster;
    #[rustfmt::skip] // a line a case
    let cases: Vec<Case<'_>> = vec![
        ("an administrator", cluster.kubeconfig("admin"), &[], "kubernetes-admin",
            &["front-proxy refused", "x509 authenticated"]),
        ("the scheduler", cluster.kubeconfig("scheduler"), &[], "system:kube-scheduler",
            &["front-proxy refused", "x509 authenticated"]),
        ("a proxy", cluster.pair("front-proxy-client"), &proxied, "alice", &["front-proxy authenticated"]),
        ("no proxy", cluster.kubeconfig("scheduler"), &proxied, "system:kube-scheduler",
            &["front-proxy refused", "x509 authenticated"]),
        ("a listed token", token(&listed), &[], "system:bootstrapper",
            &["front-proxy declined", "x509 declined", "token-file authenticated"]),
        ("an account", robot.clone(), &[], "system:serviceaccount:default:robot",
            &["front-proxy declined", "x509 declined", "token-file declined", "legacy-service-account declined", "service-account authenticated"]),
        ("a bootstrap token", token(&boot), &[], "system:bootstrap:abcdef",
            &["front-proxy declined", "x509 declined", "token-file declined", "legacy-service-account declined",
              "service-account declined", "bootstrap-token authenticated"]),
        ("a password", Credential::none(), &basic, "ali",
            &["front-proxy declined", "x509 declined", "bearer declined", "websocket declined", "password-file authenticated"]),
        ("a certificate and a bad token", cluster.kubeconfig("admin").with_token("nobody"), &[], "kubernetes-admin",
            &["front-proxy refused", "x509 authenticated"]),
        ("an administrator as jane", cluster.kubeconfig("admin"), &jane, "kubernetes-admin",
            &["front-proxy refused", "x509 authenticated"]),
    ];
    for (case, credential, headers, user, want) in cases {
        let secret = credential.token.clone().unwrap_or_default();
        let has_certificate = credential.pair.is_some();
        let reply = world.client(credential).request(Method::GET, PATH, headers, None).await;
        assert_eq!(reply.code, 200, "{case}: {}", reply.message());
        shows_no_secret(&reply, &[&secret, "open-sesame"], case);
        let said = reply.json();
        assert_eq!(said["user"]["username"], user, "{case}: {said}");
        assert_eq!(way(&said), want, "{case}: {said:#}");
        let acting = if headers == jane { json!("jane") } else { Value::Null };
        assert_eq!(said["actingAs"]["username"], acting, "{case}: {said}");
        // Which schemes are off is not for everyone to know.
        assert!(!said.to_string().contains("\"off\""), "{case}: {said}");
        let pools = said["certificate"]["pools"].as_array();
        assert_eq!(pools.map(Vec::len), has_certificate.then_some(2), "{case}: {said}");
    }

    let said = world.admin().get(PATH).await.json();
    let certificate = &said["certificate"];
    assert_eq!(
        certificate["subject"], "CN=kubernetes-admin,O=system:masters",
        "{said:#}"
    );
    let pools = [("--client-ca-file", true), ("--requestheader-client-ca-file", false)];
    for (pool, (flag, trusted)) in certificate["pools"].as_array().unwrap().iter().zip(pools) {
        assert_eq!(
            (&pool["pool"], &pool["trusted"]),
            (&json!(flag), &json!(trusted)),
            "{said:#}"
        );
    }
    world.running.stop().await;
}

async fn why_a_credential_is_refused_is_told_to_nobody_who_shows_it(engine: Engine) {
    let world = World::start(engine).await;
    let stranger = Cluster::issue(engine);
    for (case, credential) in [
        ("a stranger", stranger.kubeconfig("admin")),
        ("a server", world.cluster.pair("apiserver")),
        ("an unknown token", Credential::token("nobody")),
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = world
                .client(credential.clone())
                .request(method, PATH, &[], Some(&json!({})))
                .await;
            let other = world.client(credential.clone()).get("/version").await;
            assert_eq!(reply.code, 401, "{case}");
            assert_eq!(reply.body, other.body, "{case}: no more is said than elsewhere");
        }
    }
    // Whoever is known asks of itself alone.
    for (case, credential) in [
        ("nobody", Credential::none()),
        ("the scheduler", world.cluster.kubeconfig("scheduler")),
        ("an account", world.robot("robot").await),
    ] {
        let reply = ask(&world.client(credential), "", "Bearer nobody").await;
        assert_eq!(reply.code, 403, "{case}");
        let said = refused(&reply, case)["message"].as_str().unwrap().to_owned();
        assert!(
            said.ends_with("cannot post path \"/debug/authentication\""),
            "{case}: {said}"
        );
    }
    assert_eq!(world.client(Credential::none()).get(PATH).await.code, 403);
    // Who may not ask who they are may not ask this.
    let basic = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:basic-user";
    assert_eq!(world.admin().delete(basic).await.code, 200);
    let scheduler = world.client(world.cluster.kubeconfig("scheduler"));
    assert_eq!(scheduler.get(PATH).await.code, 403);
    world.running.stop().await;
}

async fn an_administrator_is_told_of_anothers_credential(engine: Engine) {
    let world = World::start(engine).await;
    let stranger = Cluster::issue(engine);
    let cluster = &world.cluster;
    let pem = |credential: &Credential| String::from_utf8(credential.pair.clone().unwrap().0).unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let robot = world.robot("robot").await.token.unwrap();
    let gone = world.robot("gone").await.token.unwrap();
    let account = "/api/v1/namespaces/default/serviceaccounts/gone";
    assert_eq!(world.admin().delete(account).await.code, 200);
    let (kept, _) = robot.split_at(robot.len() - 10);
    let tampered = format!("{kept}AAAAAAAAAA");
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50Iiwic3ViIjoieCJ9.";
    // What is asked about, and who that is or what of the refusal has to be told.
    #[rustfmt::skip] // a line a case
    let cases: Vec<(&str, String, String, Result<&str, &str>)> = vec![
        ("an administrator", pem(&cluster.kubeconfig("admin")), String::new(), Ok("kubernetes-admin")),
        ("an account", String::new(), bearer(&robot), Ok("system:serviceaccount:default:robot")),
        ("nothing", String::new(), String::new(), Ok("system:anonymous")),
        ("a stranger", pem(&stranger.kubeconfig("admin")), String::new(), Err("x509: its signature, or one of its chain, is not by the CA it names")),
        ("a server", pem(&cluster.pair("apiserver")), String::new(), Err("x509: the certificate, or one of its chain, is not good for client authentication")),
        ("a CA", text(&cluster.file("pki/ca.crt")), String::new(), Err("x509: the certificate is a CA's, not a client's")),
        ("a proxy for nobody", pem(&cluster.pair("front-proxy-client")), String::new(), Err("x509: it was signed by no known CA")),
        ("another of the proxies' CA", pem(&world.forge("front-proxy-ca", "/CN=x")), String::new(), Err("front-proxy: x509: subject with cn=\"x\" is not in the allowed list")),
        ("an unknown token", String::new(), bearer("nobody"), Err("bearer: invalid bearer token")),
        ("a token of who is gone", String::new(), bearer(&gone), Err("service-account: ")),
        ("a tampered token", String::new(), bearer(&tampered), Err("service-account: the token's signature is by none of the service-account keys")),
        ("an unsigned token", String::new(), bearer(unsigned), Err("service-account: ")),
        ("both", pem(&stranger.kubeconfig("admin")), bearer("nobody"), Err("bearer: invalid bearer token")),
    ];
    for (case, certificate, authorization, want) in cases {
        let reply = ask(&world.admin(), &certificate, &authorization).await;
        assert_eq!(reply.code, 201, "{case}: {}", reply.message());
        let secret = authorization.trim_start_matches("Bearer ");
        shows_no_secret(&reply, &[secret], case);
        let said = reply.json();
        let refusal = said["refusal"].as_str().unwrap_or_default();
        match want {
            Ok(user) => assert_eq!(
                (said["user"]["username"].as_str(), refusal),
                (Some(user), ""),
                "{case}: {said:#}"
            ),
            Err(why) => {
                assert!(refusal.contains(why), "{case}: {refusal:?} does not say {why:?}");
                assert_eq!(
                    (&said["authenticated"], &said["user"]),
                    (&json!(false), &Value::Null),
                    "{case}"
                );
            }
        }
        let schemes: Vec<_> = said["schemes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["scheme"])
            .collect();
        assert!(
            schemes.contains(&&json!("x509")) && schemes.contains(&&json!("anonymous")),
            "{case}: {said}"
        );
        let off: Vec<_> = said["schemes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["outcome"] == "off")
            .collect();
        assert_eq!(off, [&json!({"scheme": "password-file", "outcome": "off"})], "{case}");
    }
    let long = "x".repeat(70_000);
    #[rustfmt::skip] // a line a case
    let questions: Vec<(&str, String, u16)> = vec![
        ("no JSON", "x".into(), 400),
        ("a list", "[]".into(), 400),
        ("another field", json!({"token": "x"}).to_string(), 400),
        ("a number", json!({"authorization": 7}).to_string(), 400),
        ("a header over two lines", json!({"authorization": "a\r\nb: c"}).to_string(), 400),
        ("a header that is too long", json!({"authorization": long}).to_string(), 400),
        ("no PEM", json!({"certificate": "x"}).to_string(), 400),
        ("damaged PEM", json!({"certificate": "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"}).to_string(), 400),
        ("a key", json!({"certificate": "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"}).to_string(), 400),
        ("no certificate inside", json!({"certificate": "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"}).to_string(), 201),
        ("a thousand certificates", json!({"certificate": "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".repeat(1000)}).to_string(), 201),
        ("too much", json!({"certificate": "x".repeat(300_000)}).to_string(), 413),
        ("deep", "[".repeat(100_000), 400),
    ];
    for (case, question, code) in questions {
        let reply = world.admin().attempt(Method::POST, PATH, &[], question).await.unwrap();
        assert_eq!(reply.code, code, "{case}: {}", String::from_utf8_lossy(&reply.body));
        if code != 201 {
            refused(&reply, case);
        }
    }
    world.serves("questions").await;
    world.running.stop().await;
}
