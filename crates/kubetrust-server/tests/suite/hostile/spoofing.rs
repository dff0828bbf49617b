//! Saying to be somebody: only the front proxy is believed, only who may impersonates, and of two credentials the order
//! of the schemes decides.

use serde_json::json;

use super::wire::Wire;
use super::world::{World, refused, text};
use crate::support::{Credential, Engine};

on_both!(
    nobody_but_the_proxy_is_believed_in_any_spelling,
    the_proxy_is_believed_what_it_says_once,
    every_part_of_an_impersonation_is_authorized,
    of_two_credentials_the_order_of_the_schemes_decides,
);

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Whom the server takes the sender of these header lines for: the name and its groups, or the code of the refusal; 0
/// is the end of the connection.
async fn whoami(world: &World, credential: &Credential, headers: &[u8]) -> Result<String, u16> {
    whoami_at(world, credential, REVIEW, headers).await
}

async fn whoami_at(world: &World, credential: &Credential, path: &str, headers: &[u8]) -> Result<String, u16> {
    let mut wire = Wire::http1(world, credential).await;
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let bearer = credential
        .token
        .as_ref()
        .map(|token| format!("authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{bearer}",
        body.len()
    );
    let _ = wire
        .send(&[head.as_bytes(), headers, b"\r\n", body.as_bytes()].concat())
        .await;
    let reply = wire.answer().await.ok_or(0_u16)?;
    if reply.code != 201 {
        if !reply.body.is_empty() {
            refused(&reply, &String::from_utf8_lossy(headers));
        }
        return Err(reply.code);
    }
    let info = reply.json()["status"]["userInfo"].clone();
    let groups: Vec<&str> = info["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| group.as_str())
        .collect();
    Ok(format!("{} [{}]", info["username"].as_str().unwrap(), groups.join(" ")))
}

/// Header lines that a proxy would be believed by, or nearly, and whether HTTP/1.1 itself has no such header.
#[rustfmt::skip] // a line a case
const SPELLINGS: &[(&[u8], bool)] = &[
    (b"X-Remote-User: kubernetes-admin\r\nX-Remote-Group: system:masters\r\n", false),
    (b"x-remote-user: kubernetes-admin\r\nx-remote-group: system:masters\r\n", false),
    (b"X-REMOTE-USER: kubernetes-admin\r\nX-REMOTE-GROUP: system:masters\r\n", false),
    (b"X_Remote_User: kubernetes-admin\r\nX_Remote_Group: system:masters\r\n", false),
    (b"X-Remote_User: kubernetes-admin\r\n", false),
    (b"X.Remote.User: kubernetes-admin\r\n", false),
    (b"HTTP_X_REMOTE_USER: kubernetes-admin\r\n", false),
    (b"X-Remote-User:kubernetes-admin\r\n", false),
    (b"X-Remote-User:\tkubernetes-admin\t\r\n", false),
    (b"X-Remote-User: a\r\nX-Remote-User: kubernetes-admin\r\nX-Remote-Group: system:masters\r\n", false),
    (b"X-Remote-Group: system:masters\r\n", false),
    (b"X-Remote-Uid: 1\r\n", false),
    (b"X-Remote-Extra-Scopes: all\r\n", false),
    (b"X-Remote-User: \xff\xfe\r\n", false),
    (b"Connection: X-Remote-User\r\nX-Remote-User: kubernetes-admin\r\n", false),
    (b"Remote-User: kubernetes-admin\r\nX-Forwarded-User: kubernetes-admin\r\nX-User: kubernetes-admin\r\n", false),
    (b"X-Remote-User : kubernetes-admin\r\n", true),
    (b"X-Remote-User\t: kubernetes-admin\r\n", true),
    (b" X-Remote-User: kubernetes-admin\r\n", true),
    (b"X-A: b\r\n X-Remote-User: kubernetes-admin\r\n", true),
    (b"X-Remote-User: kubernetes-\r\n admin\r\n", true),
    (b"X-Remote-User\x00: kubernetes-admin\r\n", true),
    (b"X-Remote-User: kubernetes\x00admin\r\n", true),
    (b"\xefX-Remote-User: kubernetes-admin\r\n", true),
    (b"X-A: b\rX-Remote-User: kubernetes-admin\r\n", true),
];

async fn nobody_but_the_proxy_is_believed_in_any_spelling(engine: Engine) {
    let world = World::start(engine).await;
    let robot = world.robot("robot").await;
    let robots = "system:serviceaccount:default:robot [system:serviceaccounts system:serviceaccounts:default \
                  system:authenticated]";
    #[rustfmt::skip] // a line a case
    let everyone: Vec<(&str, Credential, Result<&str, u16>)> = vec![
        ("nobody", Credential::none(), Err(403)),
        ("a service account", robot, Ok(robots)),
        ("an administrator", world.cluster.kubeconfig("admin"), Ok("kubernetes-admin [system:masters system:authenticated]")),
        ("the scheduler", world.cluster.kubeconfig("scheduler"), Ok("system:kube-scheduler [system:authenticated]")),
        ("a client called as the proxy", world.forge("ca", "/CN=front-proxy-client"), Ok("front-proxy-client [system:authenticated]")),
        ("somebody else of the proxies' CA", world.forge("front-proxy-ca", "/CN=somebody"), Err(401)),
        ("a proxy with a longer name", world.forge("front-proxy-ca", "/CN=front-proxy-client.x"), Err(401)),
        ("a proxy in another case", world.forge("front-proxy-ca", "/CN=Front-Proxy-Client"), Err(401)),
        ("a proxy with the name as its organization", world.forge("front-proxy-ca", "/O=front-proxy-client"), Err(401)),
        ("an administrator of the proxies' CA", world.forge("front-proxy-ca", "/O=system:masters/CN=admin"), Err(401)),
        ("an unknown token", Credential::token("nobody-knows-this"), Err(401)),
    ];
    let mut wrong = Vec::new();
    for (name, credential, want) in everyone {
        let want = want.map(str::to_owned);
        for (headers, is_no_header) in SPELLINGS {
            let is = whoami(&world, &credential, headers).await;
            let fine = if *is_no_header {
                matches!(is, Err(0 | 400))
            } else {
                is == want
            };
            if !fine {
                wrong.push(format!(
                    "{name} with {}: {is:?} instead of {want:?}",
                    headers.escape_ascii()
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    world.running.stop().await;
}

/// What the proxy says, and whom the server takes that for.
#[rustfmt::skip] // a line a case
const SAID: &[(&[u8], Result<&str, u16>)] = &[
    (b"x-remote-user: alice\r\nx-remote-group: dev\r\nx-remote-group: ops\r\n", Ok("alice [dev ops system:authenticated]")),
    (b"X-REMOTE-USER: alice\r\n", Ok("alice [system:authenticated]")),
    (b"x-remote-user: alice\r\nx_remote_group: system:masters\r\n", Ok("alice [system:authenticated]")),
    (b"x-remote-user: alice\r\nx-remote-group: \r\n", Ok("alice [system:authenticated]")),
    (b"x-remote-user: alice\r\nauthorization: Bearer nobody-knows-this\r\n", Ok("alice [system:authenticated]")),
    (b"x-remote-user: alice\r\nx-remote-user: kubernetes-admin\r\n", Err(401)),
    (b"x-remote-user: alice\r\nx-remote-uid: 1\r\nx-remote-uid: 2\r\n", Err(401)),
    (b"x-remote-user: \xff\r\n", Err(401)),
    (b"x-remote-user: alice\r\nx-remote-group: \xff\r\n", Err(401)),
    (b"x-remote-user: \r\n", Err(401)),
    (b"x_remote_user: alice\r\n", Err(401)),
    (b"x-remote-group: system:masters\r\n", Err(401)),
    (b"", Err(401)),
    // Whom the proxy names may impersonate what that one may.
    (b"x-remote-user: alice\r\nimpersonate-user: bob\r\n", Err(403)),
    (b"x-remote-user: root\r\nx-remote-group: system:masters\r\nimpersonate-user: bob\r\n", Ok("bob [system:authenticated]")),
    (b"x-remote-user: alice\r\nimpersonate-user: alice\r\n", Err(403)),
];

async fn the_proxy_is_believed_what_it_says_once(engine: Engine) {
    let world = World::start(engine).await;
    let proxy = world.cluster.pair("front-proxy-client");
    for (headers, want) in SAID {
        let is = whoami(&world, &proxy, headers).await;
        assert_eq!(is, want.map(str::to_owned), "{}", headers.escape_ascii());
    }
    world.running.stop().await;
}

/// Who asks, the headers, and who the request is made as. `some` may impersonate the users `bob` and `carol` and the
/// value `view` of the extra `scopes`; `every` any user, but no group, no service account and no extra.
#[rustfmt::skip] // a line a case
const IMPERSONATED: &[(&str, &[u8], Result<&str, u16>)] = &[
    ("admin", b"impersonate-user: bob\r\n", Ok("bob [system:authenticated]")),
    ("admin", b"IMPERSONATE-USER: bob\r\nImPersonate-group: dev\r\n", Ok("bob [dev system:authenticated]")),
    ("admin", b"impersonate-user: bob\r\nimpersonate-user: carol\r\n", Ok("bob [system:authenticated]")),
    ("admin", b"impersonate-user: system:anonymous\r\n", Err(403)),
    ("admin", b"impersonate-user: a\r\nimpersonate-group: system:masters\r\n", Ok("a [system:masters system:authenticated]")),
    ("admin", b"impersonate-group: system:masters\r\n", Err(500)),
    ("admin", b"impersonate-uid: 1\r\n", Err(500)),
    ("admin", b"impersonate-extra-scopes: view\r\n", Err(500)),
    ("admin", b"impersonate-user: \r\n", Ok("kubernetes-admin [system:masters system:authenticated]")),
    ("admin", b"impersonate_user: bob\r\n", Ok("kubernetes-admin [system:masters system:authenticated]")),
    ("admin", b"impersonate-user: \xff\r\n", Err(400)),
    ("admin", b"impersonate-user : bob\r\n", Err(400)),
    ("admin", b"impersonate-user: bob\r\nx-remote-user: alice\r\n", Ok("bob [system:authenticated]")),
    ("admin", b"x-remote-user: alice\r\n", Ok("kubernetes-admin [system:masters system:authenticated]")),
    ("nobody", b"impersonate-user: bob\r\n", Err(403)),
    ("nobody", b"impersonate-user: system:anonymous\r\n", Err(403)),
    ("none", b"impersonate-user: bob\r\n", Err(403)),
    ("none", b"impersonate-user: system:serviceaccount:default:none\r\n", Err(403)),
    ("none", b"impersonate-group: system:masters\r\n", Err(500)),
    ("none", b"impersonate-user: a\r\nimpersonate-group: system:masters\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: Bob\r\n", Err(403)),
    ("some", b"impersonate-user: bob \r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: bob,kubernetes-admin\r\n", Err(403)),
    ("some", b"impersonate-user: kubernetes-admin\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-user: kubernetes-admin\r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: kubernetes-admin\r\nimpersonate-user: bob\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-group: system:masters\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-group: dev\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-group: \r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-uid: 1\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scopes: view\r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-SCOPES: view\r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scop%65s: view\r\n", Ok("bob [system:authenticated]")),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scopes: all\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scopes: view\r\nimpersonate-extra-scopes: all\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scopes: view\r\nimpersonate-extra-scope%73: all\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-scopes%2fx: view\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-: view\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nimpersonate-extra-authentication.kubernetes.io%2fnode-name: m1\r\n", Err(403)),
    ("some", b"impersonate-user: bob\r\nx-remote-group: system:masters\r\n", Ok("bob [system:authenticated]")),
    ("every", b"impersonate-user: kubernetes-admin\r\n", Ok("kubernetes-admin [system:authenticated]")),
    ("every", b"impersonate-user: system:node:m1\r\n", Ok("system:node:m1 [system:authenticated]")),
    ("every", b"impersonate-user: system:node:m1\r\nimpersonate-group: system:nodes\r\n", Err(403)),
    ("every", b"impersonate-user: system:serviceaccount:kube-system:default\r\n", Err(403)),
    ("every", b"impersonate-user: system:serviceaccount:default:every\r\n", Err(403)),
];

async fn every_part_of_an_impersonation_is_authorized(engine: Engine) {
    let world = World::start(engine).await;
    let credentials = [
        ("admin", world.cluster.kubeconfig("admin")),
        ("nobody", Credential::none()),
        ("none", world.robot("none").await),
        ("some", world.robot("some").await),
        ("every", world.robot("every").await),
    ];
    let users = json!({
        "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob", "carol"],
    });
    let scopes = json!({
        "apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"],
        "verbs": ["get", "impersonate"], "resourceNames": ["view"],
    });
    world.grant("some", "", &users).await;
    world.grant("some", "", &scopes).await;
    world
        .grant(
            "every",
            "",
            &json!({"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}),
        )
        .await;
    let mut wrong = Vec::new();
    for (who, headers, want) in IMPERSONATED {
        let (_, credential) = credentials.iter().find(|(name, _)| name == who).unwrap();
        let is = whoami(&world, credential, headers).await;
        if is != want.map(str::to_owned) {
            wrong.push(format!(
                "{who} with {}: {is:?} instead of {want:?}",
                headers.escape_ascii()
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());

    // Whoever is impersonated has its own rights, not those of the one who asks.
    let bob = [("impersonate-user", "bob")];
    let reply = world
        .admin()
        .request(http::Method::GET, "/api/v1/secrets", &bob, None)
        .await;
    assert_eq!(reply.code, 403);
    assert!(
        reply.message().contains("User \"bob\" cannot list"),
        "{}",
        reply.message()
    );
    // Each value is an authorization: there is an end to them.
    let groups: Vec<(&str, &str)> = std::iter::repeat_n(("impersonate-group", "g"), 400)
        .chain(bob)
        .collect();
    let reply = world
        .admin()
        .request(http::Method::GET, "/api/v1/secrets", &groups, None)
        .await;
    assert_eq!(reply.code, 400);
    refused(&reply, "400 groups");
    world.running.stop().await;
}

async fn of_two_credentials_the_order_of_the_schemes_decides(engine: Engine) {
    let world = World::start(engine).await;
    let cluster = &world.cluster;
    let robot = world.robot("robot").await.token.unwrap();
    let other = world.robot("other").await.token.unwrap();
    let csv = text(&cluster.file("token.csv"));
    let of_file = csv.split(',').next().unwrap();
    let named = |name: &str| {
        format!(
            "system:serviceaccount:default:{name} [system:serviceaccounts system:serviceaccounts:default system:authenticated]"
        )
    };
    let admin = "kubernetes-admin [system:masters system:authenticated]".to_owned();
    let scheduler = || cluster.kubeconfig("scheduler");
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let stranger = crate::support::Cluster::issue(Engine::Embedded);
    #[rustfmt::skip] // a line a case
    let cases: Vec<(&str, Credential, String, Result<String, u16>)> = vec![
        ("certificate and good token", scheduler(), bearer(&robot), Ok("system:kube-scheduler [system:authenticated]".into())),
        ("certificate and bad token", cluster.kubeconfig("admin"), bearer("nothing"), Ok(admin.clone())),
        ("certificate and broken header", cluster.kubeconfig("admin"), "authorization: \u{ff}\r\n".into(), Ok(admin)),
        ("strange certificate and good token", stranger.kubeconfig("admin"), bearer(&robot), Ok(named("robot"))),
        ("strange certificate and bad token", stranger.kubeconfig("admin"), bearer("nothing"), Err(401)),
        ("proxy without headers and good token", cluster.pair("front-proxy-client"), bearer(&robot), Ok(named("robot"))),
        ("two good tokens", Credential::none(), bearer(&robot) + &bearer(&other), Err(401)),
        ("the same token twice", Credential::none(), bearer(&robot) + &bearer(&robot), Err(401)),
        ("a good and a bad token", Credential::none(), bearer(&robot) + &bearer("nothing"), Err(401)),
        ("token and password", Credential::none(), bearer(&robot) + "authorization: Basic YTpi\r\n", Err(401)),
        ("two tokens in one header", Credential::none(), format!("authorization: Bearer {robot}, Bearer {other}\r\n"), Err(401)),
        ("a token, then a space and another", Credential::none(), format!("authorization: Bearer {robot} {other}\r\n"), Ok(named("robot"))),
        ("another case of the scheme", Credential::none(), format!("authorization: bEARER {robot}\r\n"), Ok(named("robot"))),
        ("another scheme", Credential::none(), format!("authorization: Token {robot}\r\n"), Err(403)),
        ("two spaces", Credential::none(), format!("authorization: Bearer  {robot}\r\n"), Err(403)),
        ("in the proxy's header", Credential::none(), format!("proxy-authorization: Bearer {robot}\r\n"), Err(403)),
        ("in a cookie", Credential::none(), format!("cookie: token={robot}; access_token={robot}\r\n"), Err(403)),
        ("of the file", Credential::none(), bearer(of_file), Ok("system:bootstrapper [system:bootstrappers system:authenticated]".into())),
        ("of the file, in another case", Credential::none(), bearer(&of_file.to_uppercase()), Err(401)),
        ("of the file, cut short", Credential::none(), bearer(&of_file[..of_file.len() - 1]), Err(401)),
        ("of the file, and more", Credential::none(), bearer(&format!("{of_file}x")), Err(401)),
    ];
    for (name, credential, headers, want) in cases {
        // Latin-1, so that a character is a byte.
        let headers: Vec<u8> = headers.chars().map(|char| char as u8).collect();
        assert_eq!(whoami(&world, &credential, &headers).await, want, "{name}");
    }
    for query in ["access_token", "token", "bearer"] {
        let path = format!("{REVIEW}?{query}={robot}");
        assert_eq!(
            whoami_at(&world, &Credential::none(), &path, b"").await,
            Err(403),
            "{query}"
        );
    }
    world.running.stop().await;
}
