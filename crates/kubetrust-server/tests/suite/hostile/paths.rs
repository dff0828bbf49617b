//! Tricks with the request line: whoever may not read a secret reads none, however it is spelled.

use serde_json::json;

use super::wire::{Wire, find};
use super::world::{MARK, World, refused};
use crate::support::{Credential, Engine};

on_both!(
    no_spelling_of_a_path_shows_a_secret_to_whoever_may_not_read_it,
    very_long_targets_are_refused_by_a_status,
    no_method_and_no_header_makes_a_request_another_one,
    who_may_read_one_secret_reads_no_other_by_any_selector,
);

/// A request line's target, and what a service account without rights and anonymous get for it; 0 is an answer of
/// HTTP/1.1 itself (400 without a body) or an end of the connection.
const TARGETS: &[(&[u8], u16, u16)] = &[
    (b"/api/v1/namespaces/hidden/secrets/mine", 403, 403),
    (b"/api/v1/secrets", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine/", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine?watch=1", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine?namespace=own&name=x", 403, 403),
    (b"/api/v1/watch/secrets", 403, 403),
    (b"/api/v1/watch/namespaces/hidden/secrets/mine", 403, 403),
    (b"/api/v1/proxy/namespaces/hidden/secrets/mine", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine#/healthz", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine%23/healthz", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine;/healthz", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine%3f/healthz", 403, 403),
    // Empty segments.
    (b"//api/v1/namespaces/hidden/secrets/mine", 403, 403),
    (b"///api///v1///secrets", 400, 400),
    (b"/api//v1/namespaces/hidden/secrets/mine", 400, 400),
    (b"/api/v1//namespaces/hidden/secrets/mine", 400, 400),
    (b"/api/v1/namespaces//secrets/mine", 400, 400),
    (b"/api/v1/namespaces/hidden//secrets/mine", 400, 400),
    (b"/apis//v1/namespaces/hidden/secrets/mine", 400, 400),
    // Encoded slashes, dots, percent signs, twice.
    (b"/api%2fv1%2fnamespaces%2fhidden%2fsecrets%2fmine", 403, 403),
    (b"/api/v1/namespaces%2Fhidden%2Fsecrets%2Fmine", 403, 403),
    (b"%2fapi%2fv1%2fsecrets", 0, 0),
    (b"/%2fapi/v1/secrets", 403, 403),
    (b"/%61%70%69/v1/namespaces/hidden/secrets/mine", 403, 403),
    (b"/api/v1/namespaces/hidden/%73ecrets/mine", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets%252fmine", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/%2e/mine", 400, 400),
    (b"/api/v1/namespaces/own/../hidden/secrets/mine", 400, 400),
    (b"/api/v1/namespaces/own/%2e%2e/hidden/secrets/mine", 400, 400),
    (b"/api/v1/namespaces/own/%2E%2e/hidden/secrets/mine", 400, 400),
    (b"/api/v1/namespaces/own%2f..%2fhidden/secrets/mine", 400, 400),
    (b"/api/v1/namespaces/own/..%5chidden/secrets/mine", 403, 403),
    (b"/api/v1/namespaces/./hidden/secrets/mine", 400, 400),
    (b"/api/../api/v1/secrets", 400, 400),
    (b"/apis/../api/v1/secrets", 400, 400),
    (b"/apis/./v1/secrets", 400, 400),
    // Out of what everyone may, into what is hidden.
    (b"/healthz/../api/v1/secrets", 403, 403),
    (b"/healthz/%2e%2e/api/v1/secrets", 403, 403),
    (b"/healthz%2f..%2fapi/v1/secrets", 403, 403),
    (b"/version/../api/v1/secrets", 403, 403),
    (b"/version/%2e%2e/metrics", 403, 403),
    (b"/openapi/../api/v1/secrets", 404, 403),
    (b"/openapi/v3/../../api/v1/secrets", 404, 403),
    (b"/openapi/v3/%2e%2e/%2e%2e/metrics", 404, 403),
    (b"/../../../etc/passwd", 403, 403),
    (b"/openapi/../../../../etc/passwd", 404, 403),
    (b"/..%2f..%2f..%2fetc%2fpasswd", 403, 403),
    // Case is part of a name.
    (b"/API/V1/SECRETS", 403, 403),
    (b"/Api/v1/secrets", 403, 403),
    (b"/api/V1/secrets", 403, 403),
    (b"/api/v1/Secrets", 403, 403),
    (b"/api/v1/namespaces/HIDDEN/secrets/mine", 403, 403),
    (b"/api/v1/Namespaces/hidden/secrets/mine", 403, 403),
    (b"/HEALTHZ", 403, 403),
    // Bytes.
    (b"/api/v1/namespaces/hidden/secrets/mine%00", 400, 400),
    (b"/api/v1/namespaces/hidden%00own/secrets/mine", 400, 400),
    (b"/healthz%00/api/v1/secrets", 400, 400),
    (b"/api/v1/namespaces/hidden/secrets/%ff%fe", 400, 400),
    (b"/api/v1/namespaces/hidden/secrets/%c0%ae%c0%ae", 400, 400),
    (
        b"/api/v1/namespaces/hidden/secrets/mine%0d%0aX-Remote-User:%20admin",
        403,
        403,
    ),
    (b"/api/v1/namespaces/hidden/secrets/mine%", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mine%zz", 403, 403),
    (b"/api/v1/namespaces/hidden/secrets/mi\x00ne", 0, 0),
    (b"/api/v1/namespaces/hidden/secrets/\xff\xfe", 400, 400),
    (b"/api/v1/namespaces/hidden/secrets/mi\x7fne", 0, 0),
    (b"/api/v1/namespaces/hidden/secrets/\xe2\x80\xae", 403, 403),
    // Other forms of a target.
    (b"http://10.0.0.1/api/v1/secrets", 403, 403),
    (b"https://admin:admin@localhost/api/v1/secrets", 403, 403),
    (b"file:///api/v1/secrets", 0, 0),
    (b"*", 400, 400),
    (b"", 0, 0),
    (b"api/v1/secrets", 400, 400),
    (b"?watch=1", 0, 0),
    // Discovery, for who is somebody: nothing hidden in it.
    (b"/api/v1/", 200, 403),
    (b"/api/v2/secrets", 403, 403),
    (b"/apis/nothing/v1/secrets", 403, 403),
];

async fn no_spelling_of_a_path_shows_a_secret_to_whoever_may_not_read_it(engine: Engine) {
    let world = World::start(engine).await;
    world.with_secrets().await;
    let robot = world.robot("robot").await;
    let bearer = format!("authorization: Bearer {}\r\n", robot.token.unwrap());
    let mut wrong = Vec::new();
    for (target, for_robot, for_anonymous) in TARGETS {
        for (who, header, want) in [
            ("robot", bearer.as_str(), *for_robot),
            ("anonymous", "", *for_anonymous),
        ] {
            for verb in ["GET", "HEAD"] {
                let mut wire = Wire::http1(&world, &Credential::none()).await;
                let line = [
                    verb.as_bytes(),
                    b" ",
                    target,
                    b" HTTP/1.1\r\nhost: kubernetes\r\nconnection: close\r\n",
                    header.as_bytes(),
                    b"\r\n",
                ];
                let _ = wire.send(&line.concat()).await;
                let what = format!("{verb} {} as {who}", String::from_utf8_lossy(target));
                if verb == "HEAD" {
                    // `head` of what is no resource is a verb of its own, which no default role has.
                    let want = if matches!(want, 200 | 404) { 403 } else { want };
                    let head = wire.head().await;
                    if head != want && !(want == 0 && head == 400) {
                        wrong.push(format!("{what}: {head} instead of {want}"));
                    }
                    continue;
                }
                match wire.answer().await {
                    None if want == 0 => {}
                    None => wrong.push(format!("{what}: no answer instead of {want}")),
                    // HTTP/1.1's own.
                    Some(reply) if matches!(want, 0 | 400) && reply.code == 400 && reply.body.is_empty() => {}
                    Some(reply) if reply.code != want => {
                        wrong.push(format!("{what}: {} instead of {want}", reply.code));
                    }
                    Some(reply) if reply.code == 200 => {
                        assert!(find(&reply.body, MARK.as_bytes()).is_none(), "{what} shows the secret");
                    }
                    Some(reply) => {
                        refused(&reply, &what);
                    }
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    world.serves("tricks with paths").await;
    world.running.stop().await;
}

async fn very_long_targets_are_refused_by_a_status(engine: Engine) {
    let world = World::start(engine).await;
    let anonymous = world.client(Credential::none());
    for (name, target, want) in [
        (
            "a path just within the limit",
            format!("/{}", "a".repeat(8 * 1024 - 1)),
            403,
        ),
        ("a path above it", format!("/{}", "a".repeat(8 * 1024)), 414),
        (
            "a query above it",
            format!("/healthz?{}", "a".repeat(32 * 1024 + 1)),
            414,
        ),
        ("a deep path", format!("/api/v1{}", "/a".repeat(4000)), 403),
        ("many empty segments", format!("/api/v1{}", "/".repeat(8000)), 403),
        ("many dots", format!("/api/v1{}", "/..".repeat(2000)), 400),
        ("many parameters", format!("/healthz?{}", "a=b&".repeat(8000)), 200),
    ] {
        let reply = anonymous.get(&target).await;
        assert_eq!(reply.code, want, "{name}");
        if want != 200 {
            refused(&reply, name);
        }
    }
    world.running.stop().await;
}

/// Method, further headers, and the code for a service account without rights.
const METHODS: &[(&str, &str, u16)] = &[
    ("OPTIONS", "", 403),
    ("TRACE", "", 403),
    ("PROPFIND", "", 403),
    ("get", "", 403),
    ("G\u{45}T", "", 403),
    ("POST", "x-http-method-override: GET\r\ncontent-length: 0\r\n", 403),
    ("POST", "x-http-method: GET\r\ncontent-length: 0\r\n", 403),
    ("POST", "x-method-override: GET\r\ncontent-length: 0\r\n", 403),
    ("GET", "x-http-method-override: DELETE\r\n", 403),
    ("GET", "x-original-url: /healthz\r\nx-rewrite-url: /healthz\r\n", 403),
    (
        "GET",
        "x-forwarded-uri: /healthz\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n",
        403,
    ),
    (
        "GET",
        "x-forwarded-client-cert: Subject=\"CN=kubernetes-admin,O=system:masters\"\r\n",
        403,
    ),
    (
        "GET",
        "x-ssl-client-verify: SUCCESS\r\nx-ssl-client-s-dn: CN=kubernetes-admin,O=system:masters\r\n",
        403,
    ),
    ("GET", "host: localhost\r\nhost: 127.0.0.1\r\n", 403),
    ("GET", "host: \r\n", 403),
    ("GET", "host: kubernetes/healthz?\r\n", 403),
    (
        "GET",
        "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        403,
    ),
    ("GET", "upgrade: SPDY/3.1\r\nconnection: upgrade\r\n", 403),
    ("GET", "connection: authorization\r\n", 403),
    ("GET", "authorization: Basic YWRtaW46YWRtaW4=\r\n", 401),
    ("GET", "cookie: token=admin\r\n", 403),
    ("GET", "expect: 100-continue\r\ncontent-length: 0\r\n", 403),
    ("GET", "range: bytes=0-\r\nif-none-match: *\r\n", 403),
    ("PUT", "content-length: 0\r\n", 403),
    ("PATCH", "content-length: 0\r\n", 403),
    ("DELETE", "", 403),
];

async fn no_method_and_no_header_makes_a_request_another_one(engine: Engine) {
    let world = World::start(engine).await;
    world.with_secrets().await;
    let token = world.robot("robot").await.token.unwrap();
    for (method, headers, want) in METHODS {
        let mut wire = Wire::http1(&world, &Credential::none()).await;
        let request = format!(
            "{method} /api/v1/namespaces/hidden/secrets/mine HTTP/1.1\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        );
        wire.send(request.as_bytes()).await.unwrap();
        let what = format!("{method} with {headers:?}");
        let reply = wire.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(reply.code, *want, "{what}");
        refused(&reply, &what);
    }
    // Whoever may everything learns that there is no such method.
    for method in ["OPTIONS", "TRACE", "PROPFIND", "get"] {
        for path in [
            "/api/v1/namespaces/hidden/secrets/mine",
            "/api/v1/watch/secrets",
            "/healthz",
        ] {
            let reply = world
                .admin()
                .request(super::world::method(method), path, &[], None)
                .await;
            assert_eq!(reply.code, 405, "{method} {path}");
            refused(&reply, &format!("{method} {path}"));
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let path = "/api/v1/watch/namespaces/hidden/secrets";
        let reply = world
            .admin()
            .request(super::world::method(method), path, &[], Some(&json!({})))
            .await;
        assert_eq!(reply.code, 405, "{method} {path}");
    }
    world.running.stop().await;
}

/// What somebody who may read `own`'s secret `mine` alone asks for, and gets.
const NAMED: &[(&str, u16)] = &[
    ("/api/v1/namespaces/own/secrets/mine", 200),
    ("/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine", 200),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3D%3Dmine",
        200,
    ),
    (
        "/api/v1/namespaces/own/secrets?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dmine",
        200,
    ),
    ("/api/v1/watch/namespaces/own/secrets/mine?timeoutSeconds=1", 200),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine&fieldSelector=metadata.name%3Dmine-too",
        200,
    ),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine&watch=1&watch=0&timeoutSeconds=1",
        200,
    ),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine&limit=1&continue=",
        200,
    ),
    (
        "/api/v1/namespaces/own/secrets/mine?fieldSelector=metadata.name%3Dmine-too",
        200,
    ),
    ("/api/v1/namespaces/own/secrets/mine?resourceVersion=0", 200),
    ("/api/v1/namespaces/own/secrets/mine-too", 403),
    ("/api/v1/namespaces/own/secrets", 403),
    ("/api/v1/namespaces/own/secrets?fieldSelector=", 403),
    ("/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3D", 403),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name!%3Dmine",
        403,
    ),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine-too&fieldSelector=metadata.name%3Dmine",
        403,
    ),
    ("/api/v1/namespaces/own/secrets?fieldselector=metadata.name%3Dmine", 403),
    (
        "/api/v1/namespaces/own/secrets?fieldSelector=metadata.name%3Dmine%2Cmetadata.name%3Dmine-too",
        200,
    ),
    ("/api/v1/namespaces/own/secrets?labelSelector=metadata.name%3Dmine", 403),
    ("/api/v1/namespaces/own/secrets?watch=1", 403),
    ("/api/v1/namespaces/own/secrets?name=mine", 403),
    ("/api/v1/secrets?fieldSelector=metadata.name%3Dmine", 403),
    ("/api/v1/secrets?fieldSelector=metadata.namespace%3Down", 403),
    ("/api/v1/namespaces/own/secrets/mine/status", 403),
    ("/api/v1/namespaces/own/secrets/mine%2f..%2fmine-too", 400),
    (
        "/api/v1/namespaces/hidden/secrets?fieldSelector=metadata.name%3Dmine,metadata.namespace%3Down",
        403,
    ),
    ("/api/v1/namespaces/own/pods/mine", 403),
    ("/apis/apps/v1/namespaces/own/secrets/mine", 403),
    ("/api/v2/namespaces/own/secrets/mine", 404),
];

async fn who_may_read_one_secret_reads_no_other_by_any_selector(engine: Engine) {
    let world = World::start(engine).await;
    world.with_secrets().await;
    let robot = world.robot("robot").await;
    let rule = json!({
        "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"], "resourceNames": ["mine"],
    });
    world.grant("robot", "own", &rule).await;
    let client = world.client(robot);
    for (path, want) in NAMED {
        let reply = client.get(path).await;
        assert_eq!(reply.code, *want, "{path}: {}", String::from_utf8_lossy(&reply.body));
        assert!(find(&reply.body, MARK.as_bytes()).is_none(), "{path} shows the secret");
        if *want != 200 {
            refused(&reply, path);
        }
    }
    world.running.stop().await;
}
