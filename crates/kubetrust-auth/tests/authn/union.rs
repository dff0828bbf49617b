//! One credential and several: who decides, who can't veto, and what never becomes anonymous.

use http::HeaderMap;
use kubetrust_auth::authn::Scheme::{Bootstrap, FrontProxy, PasswordFile, ServiceAccount, TokenFile, X509};
use kubetrust_auth::authn::service_account::issue::BoundTo;
use kubetrust_auth::authn::{Anonymous, Authenticators, Config, Nothing, PeerChain, Presented, Scheme};

use crate::support::x509::*;
use crate::support::*;

const REFUSED: Option<(Scheme, &str)> = None;
const ANONYMOUS: Option<(Scheme, &str)> = Some((Scheme::Anonymous, "system:anonymous"));

/// What an `Authorization` header and a certificate make together.
#[test]
fn every_credential_has_its_verdict() {
    let world = &*WORLD;
    let all = world.authenticators();
    let token = world.token(BoundTo::Account);
    let bad_token = world.token(BoundTo::Node(reference("node-0", "another")));
    let good = || Some(world.client("jane"));
    let foreign = || Some(peer(&[world.namesake.issue(&Wish::client("jane"))]));
    let (good_password, bad_password) = (basic("bob", "swordfish"), basic("bob", "word"));
    let bearer = |token: &str| format!("Bearer {token}");
    let robot = "system:serviceaccount:app:robot";

    let cases: Vec<(&str, Option<PeerChain>, Vec<String>, Option<(Scheme, &str)>)> = vec![
        ("nothing", None, vec![], ANONYMOUS),
        ("a certificate", good(), vec![], Some((X509, "jane"))),
        ("a foreign certificate", foreign(), vec![], REFUSED),
        (
            "a static token",
            None,
            vec![bearer("static-token")],
            Some((TokenFile, "alice")),
        ),
        (
            "a bootstrap token",
            None,
            vec![bearer(BOOTSTRAP)],
            Some((Bootstrap, "system:bootstrap:abcdef")),
        ),
        (
            "a wrong bootstrap token",
            None,
            vec![bearer("abcdef.0123456789abcdee")],
            REFUSED,
        ),
        (
            "an account's token",
            None,
            vec![bearer(&token)],
            Some((ServiceAccount, robot)),
        ),
        ("an account's bad token", None, vec![bearer(&bad_token)], REFUSED),
        (
            "a password",
            None,
            vec![good_password.clone()],
            Some((PasswordFile, "bob")),
        ),
        ("a wrong password", None, vec![bad_password.clone()], REFUSED),
        ("no user's password", None, vec![basic("", "")], REFUSED),
        ("an unknown token", None, vec![bearer("who")], REFUSED),
        ("half a token", None, vec![bearer(&token[..token.len() - 1])], REFUSED),
        // As upstream: what is no credential of a known scheme was not presented.
        ("no token", None, vec!["Bearer".into()], ANONYMOUS),
        ("an empty token", None, vec!["Bearer ".into()], ANONYMOUS),
        (
            "a token after two spaces",
            None,
            vec!["Bearer  static-token".into()],
            ANONYMOUS,
        ),
        ("another scheme", None, vec!["Negotiate abc".into()], ANONYMOUS),
        ("malformed Basic", None, vec!["Basic ###".into()], ANONYMOUS),
        // Two credentials: the first that is good decides.
        (
            "certificate + good token",
            good(),
            vec![bearer("static-token")],
            Some((X509, "jane")),
        ),
        (
            "certificate + invalid token",
            good(),
            vec![bearer("who")],
            Some((X509, "jane")),
        ),
        (
            "certificate + wrong password",
            good(),
            vec![bad_password],
            Some((X509, "jane")),
        ),
        (
            "foreign certificate + good token",
            foreign(),
            vec![bearer("static-token")],
            Some((TokenFile, "alice")),
        ),
        (
            "foreign certificate + good password",
            foreign(),
            vec![good_password.clone()],
            Some((PasswordFile, "bob")),
        ),
        (
            "foreign certificate + invalid token",
            foreign(),
            vec![bearer("who")],
            REFUSED,
        ),
        (
            "foreign certificate + no token",
            foreign(),
            vec!["Bearer ".into()],
            REFUSED,
        ),
        (
            "two tokens",
            None,
            vec![bearer("static-token"), bearer("static-token")],
            REFUSED,
        ),
        (
            "token + password",
            None,
            vec![bearer("static-token"), good_password.clone()],
            REFUSED,
        ),
        (
            "password + token",
            None,
            vec![good_password, bearer("static-token")],
            REFUSED,
        ),
        (
            "certificate + two tokens",
            good(),
            vec![bearer("a"), bearer("b")],
            Some((X509, "jane")),
        ),
    ];
    for (what, peer, authorization, expected) in cases {
        let pairs: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let headers = headers(&pairs);
        let presented = presented(peer.as_ref(), &headers);
        let (result, explanation) = all.explain(&presented, &world.cluster);
        let found = result
            .as_ref()
            .ok()
            .map(|found| (found.scheme, found.user.name.as_str()));
        assert_eq!(found, expected, "{what}: {explanation}");
        assert_eq!(all.authenticate(&presented, &world.cluster).is_ok(), expected.is_some());
        for secret in ["static-token", "swordfish", "0123456789abcde", token.as_str()] {
            assert!(!explanation.to_string().contains(secret), "{explanation}");
            assert!(!format!("{result:?}").contains(secret), "{result:?}");
        }
        if let Ok(found) = result {
            let proven = found.user.in_group("system:authenticated");
            assert_eq!(proven, found.scheme != Scheme::Anonymous, "{what}");
            assert_eq!(found.user.in_group("system:unauthenticated"), !proven, "{what}");
        }
    }
}

#[test]
fn headers_of_a_proxy_are_believed_from_the_proxy_only() {
    let world = &*WORLD;
    let all = world.authenticators();
    let jane = [
        ("X-Remote-User", "jane"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Extra-Scope", "a"),
    ];
    let proxy_ca = |wish: &Wish| Some(peer(&[world.proxy_ca.issue(wish)]));
    let proxy = || Wish::client("front-proxy-client");
    let cases: Vec<(&str, Option<PeerChain>, &[(&str, &str)], Option<(Scheme, &str)>)> = vec![
        ("the proxy", Some(world.proxy()), &jane, Some((FrontProxy, "jane"))),
        (
            "the proxy, lower case",
            Some(world.proxy()),
            &[("x-remote-user", "jane")],
            Some((FrontProxy, "jane")),
        ),
        ("the proxy for itself", Some(world.proxy()), &[], REFUSED),
        (
            "the proxy, an empty user",
            Some(world.proxy()),
            &[("X-Remote-User", "")],
            REFUSED,
        ),
        (
            "the proxy, two users",
            Some(world.proxy()),
            &[("X-Remote-User", "a"), ("X-Remote-User", "b")],
            REFUSED,
        ),
        (
            "the proxy, underscores",
            Some(world.proxy()),
            &[("X_Remote_User", "jane")],
            REFUSED,
        ),
        ("nobody", None, &jane, ANONYMOUS),
        ("a client", Some(world.client("bob")), &jane, Some((X509, "bob"))),
        (
            "a client of the proxy's name",
            Some(world.client("front-proxy-client")),
            &jane,
            Some((X509, "front-proxy-client")),
        ),
        (
            "another name of the proxy's CA",
            proxy_ca(&Wish::client("other")),
            &jane,
            REFUSED,
        ),
        (
            "no name of the proxy's CA",
            proxy_ca(&Wish::subject(dn(&[(ORGANIZATION, UTF8, b"front-proxy-client")]))),
            &jane,
            REFUSED,
        ),
        (
            "an expired proxy",
            proxy_ca(&proxy().valid("250101000000Z", "260101000000Z")),
            &jane,
            REFUSED,
        ),
        (
            "a serving certificate of the proxy's CA",
            proxy_ca(&proxy().usages(Some(vec![SERVER_AUTH]))),
            &jane,
            REFUSED,
        ),
        (
            "a name with more after NUL",
            proxy_ca(&Wish::client("front-proxy-client\0")),
            &jane,
            REFUSED,
        ),
        (
            "the proxy's CA",
            Some(peer(std::slice::from_ref(&world.proxy_ca.certificate))),
            &jane,
            REFUSED,
        ),
    ];
    for (what, peer, pairs, expected) in cases {
        let headers = headers(pairs);
        let (result, explanation) = all.explain(&presented(peer.as_ref(), &headers), &world.cluster);
        let found = result
            .as_ref()
            .ok()
            .map(|found| (found.scheme, found.user.name.as_str()));
        assert_eq!(found, expected, "{what}: {explanation}");
    }
    let headers = headers(&jane);
    let found = all
        .authenticate(&presented(Some(&world.proxy()), &headers), &world.cluster)
        .unwrap();
    assert_eq!(found.user.groups, ["dev", "system:authenticated"]);
    assert_eq!(found.user.extra["scope"], ["a"]);
}

#[test]
fn an_empty_list_of_names_allows_every_proxy_of_the_ca() {
    let world = &*WORLD;
    let mut config = world.config(Vec::new(), "");
    let pool = kubetrust_auth::authn::x509::Pool::from_pem("p", world.proxy_ca.pem().as_bytes()).unwrap();
    let verifier = kubetrust_auth::authn::x509::Verifier::new(pool, std::sync::Arc::default());
    let standard = kubetrust_auth::authn::RemoteHeaders::standard();
    config.front_proxy = Some(kubetrust_auth::authn::FrontProxy::new(verifier, Vec::new(), standard));
    let headers = headers(&[("X-Remote-User", "jane")]);
    let peer = peer(&[world.proxy_ca.issue(&Wish::client("anybody"))]);
    let result = Authenticators::new(config).authenticate(&presented(Some(&peer), &headers), &world.cluster);
    assert_eq!(name(&result), Ok("jane"));
}

#[test]
fn anonymous_is_served_where_it_is_open() {
    let world = &*WORLD;
    let ask = |anonymous: Anonymous, path: &str| {
        let all = Authenticators::new(Config {
            anonymous,
            ..world.config(Vec::new(), "")
        });
        let headers = HeaderMap::new();
        let presented = Presented {
            path,
            ..presented(None, &headers)
        };
        all.authenticate(&presented, &world.cluster).is_ok()
    };
    let livez = || Anonymous::Paths(["/livez".to_owned()].into());
    assert!(ask(Anonymous::Everywhere, "/api"));
    assert!(!ask(Anonymous::Off, "/livez"));
    assert!(ask(livez(), "/livez"));
    assert!(!ask(livez(), "/livez/"));
}

#[test]
fn a_server_without_schemes_knows_nobody_and_lets_no_credential_pass_as_none() {
    let all = Authenticators::new(Config {
        anonymous: Anonymous::Everywhere,
        ..Config::default()
    });
    for (value, expected) in [
        (None, Ok("system:anonymous")),
        (Some("Bearer x"), Err("bearer: invalid bearer token")),
    ] {
        let pairs: Vec<_> = value.into_iter().map(|value| ("authorization", value)).collect();
        let headers = headers(&pairs);
        let result = all.authenticate(&presented(None, &headers), &Nothing);
        assert_eq!(name(&result), expected.map_err(str::to_owned));
    }
    let nothing = Authenticators::new(Config::default());
    let headers = HeaderMap::new();
    assert!(nothing.authenticate(&presented(None, &headers), &Nothing).is_err());
}

#[test]
fn a_websocket_may_carry_the_token() {
    use base64::Engine as _;
    let world = &*WORLD;
    let all = world.authenticators();
    let ask = |token: &str| {
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token);
        let protocols = format!("base64url.bearer.authorization.k8s.io.{encoded}, v5.channel.k8s.io");
        let mut headers = headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", &protocols),
        ]);
        let result = all.authenticate(&presented(None, &headers), &world.cluster);
        all.strip(&mut headers);
        assert_eq!(headers["sec-websocket-protocol"], "v5.channel.k8s.io");
        name(&result).map(str::to_owned)
    };
    assert_eq!(ask("static-token"), Ok("alice".into()));
    assert_eq!(ask("static-toke"), Err("websocket: invalid bearer token".into()));
}

#[test]
fn nothing_that_proves_anything_is_passed_on() {
    let all = WORLD.authenticators();
    let mut headers = headers(&[
        ("Authorization", "Bearer a"),
        ("Authorization", "Bearer b"),
        ("X-Remote-User", "a"),
        ("X-Remote-Extra-K", "a"),
        ("Impersonate-User", "kept"),
        ("Sec-WebSocket-Protocol", "kept"),
    ]);
    all.strip(&mut headers);
    let left: std::collections::BTreeSet<_> = headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(left, ["impersonate-user", "sec-websocket-protocol"].into());
}

#[test]
fn a_space_too_many_is_warned_of() {
    let headers = headers(&[("authorization", "Bearer  static-token")]);
    let found = WORLD
        .authenticators()
        .authenticate(&presented(None, &headers), &WORLD.cluster)
        .unwrap();
    assert!(found.warnings[0].contains("extra space before the bearer token"));
}

#[test]
fn an_explanation_tells_the_whole_way() {
    let world = &*WORLD;
    let peer = world.client("jane");
    let headers = bearer("static-token");
    let (_, explanation) = world
        .authenticators()
        .explain(&presented(Some(&peer), &headers), &world.cluster);
    assert_eq!(
        explanation.to_string(),
        "front-proxy refused: it was signed by no known CA; an intermediate certificate that the client did not send \
         may be missing; x509 authenticated: \"jane\""
    );
    let headers = bearer("who");
    let (_, explanation) = world
        .authenticators()
        .explain(&presented(None, &headers), &world.cluster);
    assert_eq!(
        explanation.to_string(),
        "front-proxy declined: no client certificate was presented; x509 declined: no client certificate was \
         presented; token-file declined: the token is not in the token file; legacy-service-account declined: the \
         token is not a JSON Web Token; service-account declined: the token is not a JSON Web Token; bootstrap-token \
         declined: the token is not of the form [a-z0-9]{6}.[a-z0-9]{16}; bearer refused: invalid bearer token; \
         websocket declined: no WebSocket subprotocol carries a token; password-file declined: the Authorization \
         header is not of this scheme, or has no credential"
    );
}

#[test]
fn a_token_review_asks_for_its_audiences() {
    let world = &*WORLD;
    let all = world.authenticators();
    let vault = ["vault".to_owned()];
    let both = ["vault".to_owned(), AUDIENCE.to_owned()];
    let mut ask = ask(BoundTo::Account);
    ask.audiences = vault.to_vec();
    let for_vault = issuer(&world.rsa).issue(ask, now()).unwrap().token;
    let for_us = world.token(BoundTo::Account);
    let review = |token: &str, audiences: Option<&[String]>| {
        all.authenticate_token(token, audiences, &world.cluster, now())
            .ok()
            .map(|found| found.audiences.to_vec())
    };
    assert_eq!(review(&for_vault, Some(&vault)), Some(vault.to_vec()));
    assert_eq!(review(&for_vault, Some(&both)), Some(vault.to_vec()));
    assert_eq!(review(&for_vault, None), None);
    assert_eq!(review(&for_us, Some(&both)), Some(vec![AUDIENCE.to_owned()]));
    assert_eq!(review(&for_us, Some(&vault)), None);
    assert_eq!(review("static-token", Some(&both)), Some(vec![AUDIENCE.to_owned()]));
    assert_eq!(review("static-token", Some(&vault)), None);
    assert_eq!(review(BOOTSTRAP, Some(&vault)), None);
    assert_eq!(review("", None), None);
}
