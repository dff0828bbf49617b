//! Service-account tokens: forged, stolen, old, bound to what is gone, and good.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use kubetrust_auth::authn::service_account::issue::{BoundTo, IssueError, TokenAsk, TokenIssuer};
use kubetrust_auth::authn::service_account::{Keys, SigningKey, discovery};
use kubetrust_auth::authn::{Authenticated, Authenticators, Config, Presented, ServiceAccounts};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::spec::KeyAlgorithm;
use serde_json::{Value, json};

use crate::support::x509::Wish;
use crate::support::*;

const ROBOT: &str = "system:serviceaccount:app:robot";

fn ask_at(token: &str, cluster: &Cluster, now: Timestamp) -> Result<Authenticated, String> {
    ask_of(&WORLD.authenticators(), token, cluster, now)
}

fn ask_of(all: &Authenticators, token: &str, cluster: &Cluster, now: Timestamp) -> Result<Authenticated, String> {
    let headers = bearer(token);
    let result = all.authenticate(
        &Presented {
            now,
            ..presented(None, &headers)
        },
        cluster,
    );
    result.map_err(|refusal| refusal.to_string())
}

fn said(token: &str) -> String {
    ask_at(token, &WORLD.cluster, now()).map_or_else(|said| said, |found| found.user.name.clone())
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

#[test]
fn a_bound_token_is_its_account() {
    let world = &*WORLD;
    let node = || Some(reference("node-0", "u-node"));
    for (bound_to, extra) in [
        (BoundTo::Account, vec![]),
        (BoundTo::Secret(reference("bound", "u-secret")), vec![]),
        (
            BoundTo::Node(reference("node-0", "u-node")),
            vec![("node-name", "node-0"), ("node-uid", "u-node")],
        ),
        (
            BoundTo::Pod(reference("pod-0", "u-pod"), None),
            vec![("pod-name", "pod-0"), ("pod-uid", "u-pod")],
        ),
        (
            BoundTo::Pod(reference("pod-0", "u-pod"), node()),
            vec![
                ("node-name", "node-0"),
                ("node-uid", "u-node"),
                ("pod-name", "pod-0"),
                ("pod-uid", "u-pod"),
            ],
        ),
    ] {
        let token = world.token(bound_to);
        let found = ask_at(&token, &world.cluster, now()).unwrap();
        let user = &found.user;
        assert_eq!((user.name.as_str(), user.uid.as_str()), (ROBOT, "u-robot"));
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:app",
                "system:authenticated"
            ]
        );
        let (_, claims) = parts(&token);
        let mut expected: Vec<_> = extra
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        expected.push((
            "credential-id".into(),
            format!("JTI={}", claims["jti"].as_str().unwrap()),
        ));
        expected.sort();
        let found: Vec<_> = user
            .extra
            .iter()
            .map(|(key, values)| (key.replace("authentication.kubernetes.io/", ""), values.join(",")))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_token_dies_with_what_it_is_bound_to() {
    let world = &*WORLD;
    let pod = world.token(BoundTo::Pod(
        reference("pod-0", "u-pod"),
        Some(reference("node-0", "u-node")),
    ));
    let secret = world.token(BoundTo::Secret(reference("bound", "u-secret")));
    let node = world.token(BoundTo::Node(reference("node-0", "u-node")));
    let all = world.authenticators();
    for token in [&pod, &secret, &node] {
        assert!(
            ask_of(&all, token, &world.cluster, now()).is_ok(),
            "and from now on its signature is known"
        );
    }
    let deleted = |key: &str, time: &str| {
        world
            .cluster
            .clone()
            .with(key, |object| object["metadata"]["deletionTimestamp"] = time.into())
    };
    let renewed = |key: &str| {
        world
            .cluster
            .clone()
            .with(key, |object| object["metadata"]["uid"] = "new".into())
    };
    let (robot, pod_0, bound, node_0) = (
        "serviceaccounts/app/robot",
        "pods/app/pod-0",
        "secrets/app/bound",
        "nodes/node-0",
    );
    // Within the minute of leeway, and just past it.
    let (recently, earlier) = ("2026-05-31T23:59:00Z", "2026-05-31T23:58:59Z");
    let cases = [
        (
            &pod,
            world.cluster.clone().without(robot),
            Err("the service account of the token does not exist"),
        ),
        (
            &pod,
            renewed(robot),
            Err("the service account of the token was deleted and made anew"),
        ),
        (&pod, deleted(robot, recently), Ok(())),
        (
            &pod,
            deleted(robot, earlier),
            Err("the service account of the token has been deleted"),
        ),
        (
            &pod,
            world.cluster.clone().without(pod_0),
            Err("the pod of the token does not exist"),
        ),
        (
            &pod,
            renewed(pod_0),
            Err("the pod of the token was deleted and made anew"),
        ),
        (&pod, deleted(pod_0, "2026-06-01T00:00:30Z"), Ok(())),
        (&pod, deleted(pod_0, recently), Ok(())),
        (
            &pod,
            deleted(pod_0, earlier),
            Err("the pod of the token has been deleted"),
        ),
        (
            &pod,
            deleted(pod_0, "soon"),
            Err("the pod of the token has been deleted"),
        ),
        (&pod, world.cluster.clone().without(node_0), Ok(())),
        (
            &secret,
            world.cluster.clone().without(bound),
            Err("the secret of the token does not exist"),
        ),
        (
            &secret,
            renewed(bound),
            Err("the secret of the token was deleted and made anew"),
        ),
        (
            &secret,
            deleted(bound, earlier),
            Err("the secret of the token has been deleted"),
        ),
        (
            &node,
            world.cluster.clone().without(node_0),
            Err("the node of the token does not exist"),
        ),
        (
            &node,
            renewed(node_0),
            Err("the node of the token was deleted and made anew"),
        ),
        (
            &node,
            deleted(node_0, earlier),
            Err("the node of the token has been deleted"),
        ),
    ];
    for (token, cluster, expected) in cases {
        match (ask_of(&all, token, &cluster, now()), expected) {
            (Ok(found), Ok(())) => assert_eq!(found.user.name, ROBOT),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_token_has_its_time() {
    let world = &*WORLD;
    let all = world.authenticators();
    let token = world.token(BoundTo::Account);
    for (seconds, expected) in [
        (-61, Err("not valid yet")),
        (-60, Ok(())),
        (0, Ok(())),
        (3660, Ok(())),
        (3661, Err("has expired")),
        (0, Ok(())),
    ] {
        match (ask_of(&all, &token, &world.cluster, after(seconds)), expected) {
            (Ok(_), Ok(())) => {}
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (found, _) => panic!("{seconds}: {found:?}"),
        }
    }
    let (header, mut claims) = parts(&token);
    for claim in ["exp", "nbf"] {
        claims.as_object_mut().unwrap().remove(claim);
    }
    claims["iat"] = (now().as_second() + 61).into();
    assert!(said(&jwt(&world.rsa, &header, &claims)).contains("issued in the future"));
}

#[test]
fn no_forgery_is_anybody() {
    let world = &*WORLD;
    let token = world.token(BoundTo::Account);
    let (header, claims) = parts(&token);
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    let [head, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let unsigned = |header: &Value, signature: &str| format!("{}.{body}.{signature}", encode(&header.to_string()));
    let hmac = |alg: &str, secret: &[u8]| {
        let hash = match alg {
            "HS256" => aws_lc_rs::hmac::HMAC_SHA256,
            _ => aws_lc_rs::hmac::HMAC_SHA512,
        };
        let signed = format!("{}.{body}", encode(&with("alg", alg.into()).to_string()));
        let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(hash, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let public = world.rsa.public();
    let ec_kid = parts(&issuer(&world.ec).issue(ask(BoundTo::Account), now()).unwrap().token).0["kid"].clone();
    let thief = PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let no_kid = json!({"alg": "RS256"});
    let algorithm = "algorithm is not one";
    let by_none = "by none of the service-account keys";
    let mut flipped = signature.to_owned();
    flipped.replace_range(10..11, if signature.as_bytes()[10] == b'A' { "B" } else { "A" });

    let cases: Vec<(&str, String, &str)> = vec![
        ("itself", token.clone(), ROBOT),
        (
            "without kid every key is tried",
            jwt(&world.rsa, &no_kid, &claims),
            ROBOT,
        ),
        (
            "an empty kid is none",
            jwt(&world.rsa, &with("kid", "".into()), &claims),
            ROBOT,
        ),
        ("none", unsigned(&json!({"alg": "none"}), ""), algorithm),
        ("None", unsigned(&json!({"alg": "None"}), signature), algorithm),
        (
            "HS256 over the PEM",
            hmac("HS256", public.to_pem().as_bytes()),
            algorithm,
        ),
        (
            "HS256 over the PEM, trimmed",
            hmac("HS256", public.to_pem().trim().as_bytes()),
            algorithm,
        ),
        ("HS512 over the DER", hmac("HS512", &public.spki), algorithm),
        (
            "PS256",
            jwt(&world.rsa, &with("alg", "PS256".into()), &claims),
            algorithm,
        ),
        (
            "ES256 by RSA",
            jwt(&world.rsa, &with("alg", "ES256".into()), &claims),
            by_none,
        ),
        (
            "RS384 by RS256",
            jwt(&world.rsa, &with("alg", "RS384".into()), &claims),
            by_none,
        ),
        (
            "lower case",
            jwt(&world.rsa, &with("alg", "rs256".into()), &claims),
            algorithm,
        ),
        (
            "no algorithm",
            jwt(&world.rsa, &json!({"kid": header["kid"]}), &claims),
            "header is malformed",
        ),
        (
            "two algorithms",
            {
                let twice = encode(&format!(
                    "{{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":{}}}",
                    header["kid"]
                ));
                format!("{twice}.{body}.{signature}")
            },
            "header is malformed",
        ),
        (
            "the other key's kid",
            jwt(&world.rsa, &with("kid", ec_kid), &claims),
            by_none,
        ),
        (
            "no key's kid",
            jwt(&world.rsa, &with("kid", "x".into()), &claims),
            "no keys found",
        ),
        (
            "a kid that is a path",
            jwt(&world.rsa, &with("kid", "../../dev/null".into()), &claims),
            "no keys found",
        ),
        (
            "a key of its own",
            jwt(&thief, &with("jwk", json!({"kty": "RSA"})), &claims),
            by_none,
        ),
        ("another key", jwt(&thief, &header, &claims), by_none),
        ("another key, no kid", jwt(&thief, &no_kid, &claims), by_none),
        (
            "critical parameters",
            jwt(&world.rsa, &with("crit", json!(["b64"])), &claims),
            "critical",
        ),
        ("a flipped signature", format!("{head}.{body}.{flipped}"), by_none),
        ("no signature", format!("{head}.{body}."), by_none),
        (
            "a padded signature",
            format!("{head}.{body}.{signature}=="),
            "signature is malformed",
        ),
        (
            "another payload",
            format!(
                "{head}.{}.{signature}",
                encode(&claims.to_string().replace("robot", "admin"))
            ),
            by_none,
        ),
        ("four parts", format!("{token}.x"), "invalid bearer token"),
        ("two parts", format!("{head}.{body}"), "invalid bearer token"),
        (
            "JSON form",
            json!({"payload": body, "protected": head, "signature": signature}).to_string(),
            "invalid bearer token",
        ),
    ];
    for (what, token, expected) in cases {
        let said = said(&token);
        assert!(said.contains(expected), "{what}: {said}");
        assert!(expected == ROBOT || !said.contains("robot"), "{what}: {said}");
    }
}

#[test]
fn claims_must_be_those_of_a_good_token() {
    let world = &*WORLD;
    let (header, claims) = parts(&world.token(BoundTo::Account));
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        said(&jwt(&world.rsa, &header, &claims))
    };
    for (name, value, expected) in [
        ("aud", json!([AUDIENCE, "vault"]), ROBOT),
        ("aud", json!(AUDIENCE), ROBOT),
        ("aud", json!([]), ROBOT),
        ("aud", json!(["vault"]), "is invalid for the target audiences"),
        (
            "aud",
            json!([format!("{AUDIENCE}/")]),
            "is invalid for the target audiences",
        ),
        ("aud", json!(7), "claims are malformed"),
        ("iss", json!("https://elsewhere"), "invalid bearer token"),
        ("iss", json!(""), "invalid bearer token"),
        ("iss", json!([ISSUER]), "invalid bearer token"),
        ("iss", json!("kubernetes/serviceaccount"), "claim is missing"),
        ("exp", json!("never"), "claims are malformed"),
        ("kubernetes.io", Value::Null, "kubernetes.io claim is missing"),
        ("kubernetes.io", json!({}), "kubernetes.io claim is missing"),
        (
            "kubernetes.io",
            json!({"namespace": "app", "serviceaccount": {"name": "other", "uid": "u-robot"}}),
            "does not exist",
        ),
        (
            "kubernetes.io",
            json!({"namespace": "kube-system", "serviceaccount": {"name": "robot", "uid": "u-robot"}}),
            "does not exist",
        ),
        (
            "kubernetes.io",
            json!({"namespace": "app", "serviceaccount": {"name": "robot"}}),
            "made anew",
        ),
    ] {
        let said = with(name, value.clone());
        assert!(said.contains(expected), "{name} {value}: {said}");
    }
}

fn with_legacy_token() -> (String, Cluster) {
    let world = &*WORLD;
    let token = issuer(&world.rsa)
        .issue_legacy("app", &reference("robot", "u-robot"), "robot-token")
        .unwrap();
    let encoded = STANDARD.encode(token.as_bytes());
    let mut cluster = world.cluster.clone();
    let secret = json!({"metadata": {"uid": "u-held"}, "data": {"token": encoded}});
    cluster.0.insert("secrets/app/robot-token".into(), secret);
    (token.to_string(), cluster)
}

#[test]
fn a_legacy_token_is_good_while_its_secret_holds_it() {
    let (token, cluster) = with_legacy_token();
    let found = ask_at(&token, &cluster, after(400 * 24 * 3600)).unwrap();
    assert_eq!(found.user.name, ROBOT);
    assert!(found.user.extra.is_empty());
    let used = found.used_secret.unwrap();
    assert_eq!(
        (used.name.as_str(), used.uid.as_str(), used.day.as_str()),
        ("robot-token", "u-held", "2027-07-06")
    );
    let annotations: Vec<_> = found
        .annotations
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    assert_eq!(
        annotations,
        [
            ("authentication.k8s.io/legacy-token-manual-secret", "robot-token"),
            ("authentication.k8s.io/legacy-token", ROBOT),
        ]
    );

    let secret = "secrets/app/robot-token";
    let label = |key: &str, value: &str| {
        let (key, value) = (format!("kubernetes.io/{key}"), value.to_owned());
        cluster
            .clone()
            .with(secret, |object| object["metadata"]["labels"] = json!({key: value}))
    };
    let fresh = ask_at(&token, &label("legacy-token-last-used", "2026-06-01"), now()).unwrap();
    assert_eq!(fresh.used_secret, None);
    let generated = cluster.clone().with("serviceaccounts/app/robot", |account| {
        account["secrets"] = json!([{"name": "robot-token"}]);
    });
    assert!(ask_at(&token, &generated, now()).unwrap().warnings[0].contains("auto-generated"));

    let delete = |key: &str| {
        cluster.clone().with(key, |object| {
            object["metadata"]["deletionTimestamp"] = "2026-06-01T00:00:00Z".into();
        })
    };
    for (cluster, expected) in [
        (
            cluster.clone().without(secret),
            "the secret of the token does not exist",
        ),
        (delete(secret), "the secret of the token has been deleted"),
        (
            cluster
                .clone()
                .with(secret, |object| object["data"]["token"] = "b3RoZXI=".into()),
            "server's copy",
        ),
        (
            cluster.clone().with(secret, |object| object["data"] = Value::Null),
            "server's copy",
        ),
        (
            label("legacy-token-invalid-since", "2026-01-01"),
            "has been marked invalid",
        ),
        (
            cluster.clone().without("serviceaccounts/app/robot"),
            "service account of the token does not exist",
        ),
        (
            delete("serviceaccounts/app/robot"),
            "service account of the token has been deleted",
        ),
        (
            cluster.clone().with("serviceaccounts/app/robot", |object| {
                object["metadata"]["uid"] = "x".into();
            }),
            "made anew",
        ),
    ] {
        let said = ask_at(&token, &cluster, now()).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_claims_of_a_legacy_token_agree() {
    let (token, cluster) = with_legacy_token();
    let (header, claims) = parts(&token);
    for (name, value, expected) in [
        ("sub", "system:serviceaccount:app:admin", "sub claim is invalid"),
        ("sub", "robot", "sub claim is invalid"),
        ("sub", "", "sub claim is missing"),
        (
            "kubernetes.io/serviceaccount/namespace",
            "kube-system",
            "sub claim is invalid",
        ),
        (
            "kubernetes.io/serviceaccount/secret.name",
            "",
            "secretName claim is missing",
        ),
        (
            "kubernetes.io/serviceaccount/service-account.name",
            "admin",
            "sub claim is invalid",
        ),
        (
            "kubernetes.io/serviceaccount/service-account.uid",
            "",
            "serviceAccountUID claim is missing",
        ),
        ("aud", "vault", "is invalid for the target audiences"),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.into();
        let said = ask_at(&jwt(&WORLD.rsa, &header, &claims), &cluster, now()).unwrap_err();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_token_says_what_upstream_puts_into_it() {
    let world = &*WORLD;
    let pod = || BoundTo::Pod(reference("pod-0", "u-pod"), Some(reference("node-0", "u-node")));
    let kubelets = TokenAsk {
        expiration_seconds: 3607,
        ..ask(pod())
    };
    let issued = issuer(&world.rsa).issue(kubelets, now()).unwrap();
    let (header, mut claims) = parts(&issued.token);
    assert_eq!(header["alg"], "RS256");
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().map(str::len), Some(36));
    assert_eq!(issued.credential_id, format!("JTI={}", jti.as_str().unwrap()));
    let start = now().as_second();
    assert_eq!(
        claims,
        json!({
            "aud": [AUDIENCE], "exp": start + 31_536_000, "iat": start, "iss": ISSUER, "nbf": start, "sub": ROBOT,
            "kubernetes.io": {
                "namespace": "app", "node": {"name": "node-0", "uid": "u-node"}, "pod": {"name": "pod-0", "uid": "u-pod"},
                "serviceaccount": {"name": "robot", "uid": "u-robot"}, "warnafter": start + 3607,
            },
        })
    );
    assert_eq!((issued.expiration, issued.expiration_seconds), (after(3607), 3607));

    let late = ask_at(&issued.token, &world.cluster, after(3700)).unwrap();
    let note = (
        "authentication.k8s.io/stale-token",
        format!("subject: {ROBOT}, seconds after warning threshold: 93"),
    );
    assert_eq!(late.annotations, [note]);
    assert!(
        ask_at(&issued.token, &world.cluster, after(3607))
            .unwrap()
            .annotations
            .is_empty()
    );
}

#[test]
fn lifetimes_have_bounds() {
    let world = &*WORLD;
    let with = |longest, extend| {
        let key = SigningKey::from_pem("sa.key", world.ec.to_pem().unwrap().as_bytes()).unwrap();
        TokenIssuer::new(ISSUER.into(), key, vec![AUDIENCE.into()], longest, extend)
    };
    let life = |issuer: &TokenIssuer, ask: TokenAsk| {
        let issued = issuer.issue(ask, now())?;
        let life = parts(&issued.token).1["exp"].as_i64().unwrap() - now().as_second();
        Ok((life, issued.expiration_seconds, issued.warning))
    };
    let pod = || BoundTo::Pod(reference("pod-0", "u-pod"), None);
    let for_seconds = |expiration_seconds, bound_to| TokenAsk {
        expiration_seconds,
        ..ask(bound_to)
    };
    let free = with(None, true);
    assert_eq!(
        life(&free, for_seconds(599, BoundTo::Account)),
        Err(IssueError::TooShort)
    );
    assert_eq!(life(&free, for_seconds(600, BoundTo::Account)), Ok((600, 600, None)));
    assert_eq!(
        life(&free, for_seconds(1 << 32, BoundTo::Account)),
        Ok((1 << 32, 1 << 32, None))
    );
    assert_eq!(
        life(&free, for_seconds((1 << 32) + 1, BoundTo::Account)),
        Err(IssueError::TooLong)
    );
    assert_eq!(
        life(&free, for_seconds(i64::MIN, BoundTo::Account)),
        Err(IssueError::TooShort)
    );
    assert_eq!(life(&free, for_seconds(3607, pod())), Ok((31_536_000, 3607, None)));
    assert_eq!(life(&free, for_seconds(3606, pod())), Ok((3606, 3606, None)));
    assert_eq!(life(&free, for_seconds(3607, BoundTo::Account)), Ok((3607, 3607, None)));
    let elsewhere = TokenAsk {
        audiences: vec!["vault".into()],
        ..for_seconds(3607, pod())
    };
    assert_eq!(life(&free, elsewhere), Ok((3607, 3607, None)));
    assert_eq!(
        life(&with(None, false), for_seconds(3607, pod())),
        Ok((3607, 3607, None))
    );
    let warning = "requested expiration of 7200 seconds shortened to 3600 seconds".to_owned();
    assert_eq!(
        life(&with(Some(3600), true), for_seconds(7200, BoundTo::Account)),
        Ok((3600, 3600, Some(warning)))
    );
}

#[test]
fn every_kind_of_key_signs_and_verifies_its_own_tokens_only() {
    let world = &*WORLD;
    let keys: Vec<_> = [KeyAlgorithm::Rsa2048, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384]
        .map(|algorithm| PrivateKey::generate(algorithm).unwrap())
        .into_iter()
        .chain([PrivateKey::from_pem(crate::peers::p521().as_bytes()).unwrap()])
        .collect();
    let all: Vec<_> = keys
        .iter()
        .map(|key| {
            let keys = Keys::from_pem("sa.pub", key.public().to_pem().as_bytes()).unwrap();
            let accounts = ServiceAccounts::new(keys, [ISSUER.to_owned()], [AUDIENCE.to_owned()]).unwrap();
            Authenticators::new(Config {
                service_accounts: Some(Arc::new(accounts)),
                ..Config::default()
            })
        })
        .collect();
    for (signer, (key, algorithm)) in keys.iter().zip(["RS256", "ES256", "ES384", "ES512"]).enumerate() {
        let token = issuer(key).issue(ask(BoundTo::Account), now()).unwrap().token;
        assert_eq!(parts(&token).0["alg"], algorithm);
        for (verifier, all) in all.iter().enumerate() {
            let good = ask_of(all, &token, &world.cluster, now()).is_ok();
            assert_eq!(good, signer == verifier, "{algorithm} by {verifier}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_with_its_place() {
    let world = &*WORLD;
    let ed25519 = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let good = world.ec.public().to_pem();
    for (text, start) in [
        (
            format!("{good}\n{}", ed25519.public().to_pem()),
            "sa.pub:6: the key is ed25519; Kubernetes signs",
        ),
        (crate::peers::rsa_1024(), "sa.pub:1: the key is"),
        (String::new(), "sa.pub: there is no public key in it"),
        (pem("PUBLIC KEY", b"junk"), "sa.pub:1: the key is damaged"),
        (pem("ENCRYPTED PRIVATE KEY", b"junk"), "sa.pub:1: the key is encrypted"),
    ] {
        let error = Keys::from_pem("sa.pub", text.as_bytes()).err().unwrap().to_string();
        assert!(error.starts_with(start), "{error}");
    }
    assert!(SigningKey::from_pem("sa.key", good.as_bytes()).is_err());
    let halves = [
        world.ec.to_pem().unwrap().to_string(),
        good.clone(),
        format!("{good}{good}"),
        pem("CERTIFICATE", &world.ca.sign(&Wish::client("sa"), world.ec.public())),
    ];
    let ids = halves.map(|text| {
        let keys = Keys::from_pem("sa", text.as_bytes()).unwrap();
        keys.ids().map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|each| each.len() == 1 && *each == ids[0]), "{ids:?}");
}

#[test]
fn the_discovery_document_is_upstreams() {
    let accounts = WORLD.service_accounts();
    let document = discovery::configuration(ISSUER, "https://10.0.0.1:6443/openid/v1/jwks", accounts.keys()).unwrap();
    assert_eq!(
        document,
        json!({
            "issuer": ISSUER, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks",
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        })
    );
    for issuer in ["http://x", "kubernetes", "https://x?y", "https://x#y", ""] {
        assert!(
            discovery::configuration(issuer, "https://x", accounts.keys()).is_err(),
            "{issuer}"
        );
    }
    assert!(discovery::configuration(ISSUER, "http://x", accounts.keys()).is_err());
}
