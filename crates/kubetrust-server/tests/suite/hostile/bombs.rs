//! Requests that are meant to cost: each gets its `Status` (or the end of its connection) soon, and the next one is
//! served.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::wire::Wire;
use super::world::{World, method, refused};
use crate::support::{Credential, Engine, Reply};

on_both!(
    bombs_are_refused_soon_and_leave_nothing_behind,
    a_compressed_body_is_never_unpacked,
    a_watch_may_ask_for_any_time,
    what_is_not_spoken_is_not_acceptable,
    requests_that_lie_about_themselves_are_refused_or_end_the_connection,
    an_endless_body_ends_at_the_limit,
);

/// No refusal takes longer, on a slow machine that does other things too.
const SOON: Duration = Duration::from_secs(10);
/// What all bombs together may leave behind in this process, the sender's own memory included.
const MEMORY: u64 = 768 * 1024 * 1024;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/map";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const MIB: usize = 1024 * 1024;

/// Method, path, content type, body, and the codes that are right.
type Bomb = (
    &'static str,
    &'static str,
    String,
    &'static str,
    Vec<u8>,
    &'static [u16],
);

fn map(rest: &str) -> Vec<u8> {
    format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"new\"{rest}}}}}").into_bytes()
}

fn repeated(prefix: &str, part: &str, count: usize, suffix: &str) -> Vec<u8> {
    [prefix, &part.repeat(count), suffix].concat().into_bytes()
}

fn members(count: usize, member: impl Fn(usize) -> String) -> String {
    (0..count).map(member).collect::<Vec<_>>().join(",")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[rustfmt::skip] // a line a case
fn bombs() -> Vec<Bomb> {
    let maps = || MAPS.to_owned();
    let at = |query: &str| format!("{MAPS}?{query}");
    let deep_yaml = (0..5000).map(|depth| " ".repeat(depth % 200)).collect::<Vec<_>>().join("a:\n");
    let laughs: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain((1..30).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))))
        .collect();
    let copies = |count: usize| {
        format!(
            "[{}]",
            members(count, |_| r#"{"op":"copy","from":"/data","path":"/data/x"}"#.into())
        )
        .into_bytes()
    };
    vec![
        // Depth.
        ("100,000 open arrays", "POST", maps(), JSON, repeated("", "[", 100_000, ""), &[400]),
        ("3,000,000 open arrays", "POST", maps(), JSON, repeated("", "[", 3_000_000, ""), &[400]),
        ("500,000 nested objects", "POST", maps(), JSON, repeated("", "{\"a\":", 500_000, ""), &[400]),
        ("closed nested arrays", "POST", maps(), JSON, map(&format!(",\"x\":{}{}", "[".repeat(9000), "]".repeat(9000))), &[400]),
        ("nested objects in a known field", "POST", maps(), JSON, map(&format!(",\"labels\":{}1{}", "{\"a\":".repeat(9000), "}".repeat(9000))), &[400]),
        ("deep YAML flow", "POST", maps(), YAML, repeated("a: ", "[", 100_000, ""), &[400]),
        ("deep YAML blocks", "POST", maps(), YAML, deep_yaml.into_bytes(), &[400]),
        ("YAML aliases of aliases", "POST", maps(), YAML, laughs.into_bytes(), &[400]),
        ("a YAML alias of itself", "POST", maps(), YAML, b"a: &a [*a]\n".to_vec(), &[400]),
        ("YAML tags", "POST", maps(), YAML, b"!!python/object/apply:os.system ['true']\n".to_vec(), &[400]),
        ("a deep merge patch", "PATCH", MAP.into(), MERGE, repeated("", "{\"a\":", 300_000, "1"), &[400]),
        ("a deep strategic patch", "PATCH", MAP.into(), STRATEGIC, repeated("{\"metadata\":", "{\"a\":", 300_000, "1"), &[400]),
        ("a deep value in a JSON patch", "PATCH", MAP.into(), JSON_PATCH, repeated("[{\"op\":\"add\",\"path\":\"/data/a\",\"value\":", "[", 300_000, ""), &[400, 422]),
        // Size.
        ("4 MiB of spaces", "POST", maps(), JSON, vec![b' '; 4 * MIB], &[413]),
        ("4 MiB of object", "POST", maps(), JSON, map(&format!(",\"x\":\"{}\"", "a".repeat(4 * MIB))), &[413]),
        ("an object above what is stored", "POST", maps(), JSON, format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"new\"}},\"binaryData\":{{\"k\":\"{}\"}}}}", "a".repeat(2 * MIB)).into_bytes(), &[413, 422]),
        ("2 MiB of annotations", "POST", maps(), JSON, map(&format!(",\"annotations\":{{\"a\":\"{}\"}}", "a".repeat(2 * MIB))), &[422]),
        ("a name of 1 MiB", "POST", maps(), JSON, format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{}\"}}}}", "a".repeat(MIB)).into_bytes(), &[422]),
        ("a kind of 1 MiB", "POST", maps(), JSON, format!("{{\"apiVersion\":\"v1\",\"kind\":\"{}\"}}", "a".repeat(MIB)).into_bytes(), &[400]),
        ("100,000 wrong labels", "POST", maps(), JSON, map(&format!(",\"labels\":{{{}}}", members(100_000, |n| format!("\"a{n}/b/\":\"!\"")))), &[400, 422]),
        ("100,000 owners", "POST", maps(), JSON, map(&format!(",\"ownerReferences\":[{}]", members(100_000, |_| "{}".into()))), &[400, 422]),
        ("100,000 finalizers", "POST", maps(), JSON, map(&format!(",\"finalizers\":[{}]", members(100_000, |_| "\"!\"".into()))), &[400, 422]),
        ("600,000 numbers", "POST", maps(), JSON, map(&format!(",\"x\":[{}]", members(600_000, |_| "1".into()))), &[400]),
        ("a number of 1,000,000 digits", "POST", maps(), JSON, map(&format!(",\"generation\":{}", "9".repeat(1_000_000))), &[400]),
        ("a huge exponent", "POST", maps(), JSON, map(",\"generation\":1e999999999"), &[400]),
        ("a string of 1,000,000 escapes", "POST", maps(), JSON, map(&format!(",\"namespace\":\"{}\"", "\\u0061".repeat(400_000))), &[400, 422]),
        // Fields that stand there twice.
        ("the name twice, strictly", "POST", at("fieldValidation=Strict"), JSON, map(",\"name\":\"other\""), &[400]),
        ("200,000 labels of one name, strictly", "POST", at("fieldValidation=Strict"), JSON, map(&format!(",\"labels\":{{{}}}", members(200_000, |_| "\"a\":\"b\"".into()))), &[400]),
        ("100,000 unknown fields, strictly", "POST", at("fieldValidation=Strict"), JSON, map(&format!(",{}", members(100_000, |n| format!("\"x{n}\":1")))), &[400]),
        ("100,000 unknown fields, with warnings", "POST", at("dryRun=All"), JSON, map(&format!(",{}", members(100_000, |n| format!("\"x{n}\":1")))), &[201]),
        ("100,000 fields twice, with warnings", "POST", at("dryRun=All"), JSON, map(&format!(",\"labels\":{{{}}}", members(100_000, |_| "\"a\":\"b\"".into()))), &[201]),
        ("the kind twice", "POST", at("dryRun=All"), JSON, br#"{"apiVersion":"v1","kind":"Secret","kind":"ConfigMap","metadata":{"name":"k"}}"#.to_vec(), &[201, 400]),
        // No JSON, no UTF-8.
        ("nothing", "POST", maps(), JSON, Vec::new(), &[400]),
        ("null", "POST", maps(), JSON, b"null".to_vec(), &[400, 422]),
        ("a string", "POST", maps(), JSON, b"\"a\"".to_vec(), &[400]),
        ("bytes", "POST", maps(), JSON, vec![0xff; 1000], &[400]),
        ("a NUL in a name", "POST", maps(), JSON, br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a\u0000b"}}"#.to_vec(), &[400, 422]),
        ("half a surrogate", "POST", maps(), JSON, br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"\ud800"}}"#.to_vec(), &[400, 422]),
        ("two objects", "POST", maps(), JSON, [map(""), map("")].concat(), &[400]),
        ("a dot-dot for a name", "POST", maps(), JSON, br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":".."}}"#.to_vec(), &[422]),
        ("a slash in a name", "POST", maps(), JSON, br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"../x"}}"#.to_vec(), &[422]),
        ("another namespace inside", "POST", maps(), JSON, map(",\"namespace\":\"kube-system\""), &[400]),
        // What is not spoken here.
        ("text", "POST", maps(), "text/plain", map(""), &[415]),
        ("a form", "POST", maps(), "application/x-www-form-urlencoded", b"a=b".to_vec(), &[415]),
        ("several types", "POST", maps(), "application/json, text/plain", map(""), &[415]),
        ("a broken type", "POST", maps(), ";;;=", map(""), &[415]),
        ("XML", "POST", maps(), "application/xml", b"<!DOCTYPE a [<!ENTITY b \"c\">]>".to_vec(), &[415]),
        ("a patch as JSON", "PATCH", MAP.into(), JSON, b"{}".to_vec(), &[415]),
        ("a patch as text", "PATCH", MAP.into(), "text/plain", b"{}".to_vec(), &[415]),
        // Selectors and options.
        ("a selector of 3,000 demands", "GET", at(&format!("labelSelector={}", members(3000, |n| format!("a{n}")))), JSON, Vec::new(), &[200]),
        ("a set of 10,000 values", "GET", at(&format!("labelSelector=a+in+({})", members(10_000, |n| format!("{n}"))).chars().take(30_000).collect::<String>()), JSON, Vec::new(), &[200, 400]),
        ("a selector of parentheses", "GET", at(&format!("labelSelector={}", "(".repeat(30_000))), JSON, Vec::new(), &[400]),
        ("a selector of commas", "GET", at(&format!("labelSelector={}", ",".repeat(30_000))), JSON, Vec::new(), &[200, 400]),
        ("a field selector of commas", "GET", at(&format!("fieldSelector={}", ",".repeat(30_000))), JSON, Vec::new(), &[200, 400]),
        ("a field selector of backslashes", "GET", at(&format!("fieldSelector={}", "%5C".repeat(9000))), JSON, Vec::new(), &[400]),
        ("an unknown field", "GET", at("fieldSelector=data.password%3Dx"), JSON, Vec::new(), &[400]),
        ("a continue token of rubbish", "GET", at(&format!("continue={}", "A".repeat(30_000))), JSON, Vec::new(), &[400]),
        ("a negative limit", "GET", at("limit=-1"), JSON, Vec::new(), &[200, 400]),
        ("a huge limit", "GET", at("limit=9223372036854775807"), JSON, Vec::new(), &[200]),
        ("a limit beyond numbers", "GET", at("limit=99999999999999999999999"), JSON, Vec::new(), &[400]),
        ("a revision of the future", "GET", at("resourceVersion=18446744073709551615"), JSON, Vec::new(), &[504]),
        ("a revision of the future, exactly", "GET", at("resourceVersion=9223372036854775807&resourceVersionMatch=Exact"), JSON, Vec::new(), &[410, 504]),
        ("a negative revision", "GET", at("resourceVersion=-1"), JSON, Vec::new(), &[422]),
        ("a watch from the future", "GET", at("watch=1&resourceVersion=18446744073709551615"), JSON, Vec::new(), &[504]),
        ("a grace beyond numbers", "DELETE", format!("{MAP}-x?gracePeriodSeconds=99999999999999999999"), JSON, Vec::new(), &[400, 404]),
        // Patches.
        ("10,001 operations", "PATCH", MAP.into(), JSON_PATCH, format!("[{}]", members(10_001, |_| r#"{"op":"test","path":"/kind","value":"ConfigMap"}"#.into())).into_bytes(), &[413]),
        ("doubling by copies", "PATCH", MAP.into(), JSON_PATCH, copies(64), &[400, 413, 422]),
        ("many copies", "PATCH", MAP.into(), JSON_PATCH, copies(9_999), &[400, 413, 422]),
        ("a pointer of 100,000 steps", "PATCH", MAP.into(), JSON_PATCH, format!("[{{\"op\":\"add\",\"path\":\"{}\",\"value\":1}}]", "/a".repeat(100_000)).into_bytes(), &[400, 422]),
        ("a move into itself", "PATCH", MAP.into(), JSON_PATCH, br#"[{"op":"move","from":"/data","path":"/data/x"}]"#.to_vec(), &[400, 422]),
        ("an index beyond numbers", "PATCH", MAP.into(), JSON_PATCH, br#"[{"op":"add","path":"/metadata/finalizers/99999999999999999999999","value":"a/b"}]"#.to_vec(), &[400, 422]),
        ("a removal of everything", "PATCH", MAP.into(), JSON_PATCH, br#"[{"op":"remove","path":""}]"#.to_vec(), &[400, 422]),
        ("a replacement by a string", "PATCH", MAP.into(), JSON_PATCH, br#"[{"op":"replace","path":"","value":"a"}]"#.to_vec(), &[400, 422]),
        ("a merge patch that is a list", "PATCH", MAP.into(), MERGE, b"[]".to_vec(), &[400]),
        ("an unknown directive", "PATCH", MAP.into(), STRATEGIC, br#"{"$patch":"explode"}"#.to_vec(), &[400, 422, 500]),
        ("a deletion of all by directive", "PATCH", MAP.into(), STRATEGIC, br#"{"$patch":"delete"}"#.to_vec(), &[400, 422]),
        ("directives of the wrong type", "PATCH", MAP.into(), STRATEGIC, br#"{"metadata":{"$setElementOrder/finalizers":{"a":1},"$retainKeys":1}}"#.to_vec(), &[400, 422, 500]),
        ("a patch to another name", "PATCH", MAP.into(), MERGE, br#"{"metadata":{"name":"other","namespace":"kube-system"}}"#.to_vec(), &[400, 422]),
        ("a patch to another kind", "PATCH", MAP.into(), MERGE, br#"{"kind":"Secret"}"#.to_vec(), &[400, 422]),
    ]
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

fn judge(name: &str, reply: &Reply, want: &[u16], took: Duration) -> Option<String> {
    let shown: String = String::from_utf8_lossy(&reply.body).chars().take(300).collect();
    if !want.contains(&reply.code) {
        return Some(format!("{name}: {} instead of {want:?}: {shown}", reply.code));
    }
    if took > SOON {
        return Some(format!("{name}: took {took:?}"));
    }
    if reply.code >= 400 {
        refused(reply, name);
    }
    None
}

async fn bombs_are_refused_soon_and_leave_nothing_behind(engine: Engine) {
    let world = World::start(engine).await;
    let admin = world.admin();
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"a": "b".repeat(1000)}});
    world.create(MAPS, &object).await;
    let before = resident();
    let mut wrong = Vec::new();
    for (name, verb, path, content_type, body, want) in bombs() {
        let begun = Instant::now();
        let headers = [("content-type", content_type)];
        match admin.attempt(method(verb), &path, &headers, Bytes::from(body)).await {
            Ok(reply) => wrong.extend(judge(name, &reply, want, begun.elapsed())),
            Err(error) => wrong.push(format!("{name}: no answer: {error}")),
        }
        world.serves(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let grown = resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB are still held", grown / 1024 / 1024);
    world.running.stop().await;
}

async fn a_compressed_body_is_never_unpacked(engine: Engine) {
    let world = World::start(engine).await;
    let admin = world.admin();
    let bomb = gzip(&map(&format!(",\"x\":\"{}\"", "a".repeat(64 * MIB))));
    assert!(bomb.len() < MIB);
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"] {
        for body in [gzip(&map("")), bomb.clone()] {
            let headers = [("content-type", JSON), ("content-encoding", coding)];
            let reply = admin.attempt(method("POST"), MAPS, &headers, body).await.unwrap();
            assert!(matches!(reply.code, 400 | 415), "{coding}: {}", reply.code);
            refused(&reply, coding);
        }
    }
    world.running.stop().await;
}

async fn a_watch_may_ask_for_any_time(engine: Engine) {
    let world = World::start(engine).await;
    for seconds in ["18446744073709551615", "9223372036854775807", "4294967296", "0"] {
        let mut wire = Wire::http1(&world, &world.cluster.kubeconfig("admin")).await;
        let line = format!("GET {MAPS}?watch=1&timeoutSeconds={seconds} HTTP/1.1\r\nhost: k\r\n\r\n");
        wire.send(line.as_bytes()).await.unwrap();
        assert_eq!(wire.head().await, 200, "{seconds}");
    }
    for seconds in ["-1", "1e3", "x"] {
        let reply = world
            .admin()
            .get(&format!("{MAPS}?watch=1&timeoutSeconds={seconds}"))
            .await;
        assert_eq!(reply.code, 400, "{seconds}");
        refused(&reply, seconds);
    }
    world.running.stop().await;
}

/// `Accept`, and the code of a GET with it.
const ACCEPTED: &[(&str, u16)] = &[
    ("application/json", 200),
    ("text/html", 406),
    ("image/*", 406),
    ("application/json;as=Nothing;v=v1;g=meta.k8s.io", 406),
    ("application/cbor", 406),
    ("application/json;q=0", 406),
    (",,,;;;", 406),
    ("text/html,*/*", 200),
];

async fn what_is_not_spoken_is_not_acceptable(engine: Engine) {
    let world = World::start(engine).await;
    for (accept, want) in ACCEPTED {
        let headers = [("accept", *accept)];
        let reply = world
            .admin()
            .request(method("GET"), "/api/v1/namespaces/default", &headers, None)
            .await;
        assert_eq!(reply.code, *want, "{accept}");
        if *want != 200 {
            refused(&reply, accept);
        }
    }
    let many = "text/html;q=0.9,".repeat(3000);
    let reply = world
        .admin()
        .request(method("GET"), "/api/v1/namespaces/default", &[("accept", &many)], None)
        .await;
    assert_eq!(reply.code, 406);
    world.running.stop().await;
}

/// What an HTTP/1.1 connection does with bytes that lie about themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// An answer of this code; a `Status` if it is not HTTP/1.1's own.
    Code(u16),
    /// An answer of one of these codes, or the end of the connection.
    RefusedOrClosed(&'static [u16]),
}

/// An HTTP/1.1 request by an administrator, whole.
#[rustfmt::skip] // a line a case
fn liars() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    use Outcome::{Code, RefusedOrClosed};
    let post = |headers: &str, body: &[u8]| {
        let head =
            format!("POST {MAPS}?dryRun=All HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n{headers}\r\n");
        [head.as_bytes(), body].concat()
    };
    let object = map("");
    let length = object.len();
    let chunked = |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
    let smuggled = b"GET /api/v1/namespaces/kube-system HTTP/1.1\r\nhost: k\r\n\r\n";
    vec![
        ("a good request", post(&format!("content-length: {length}\r\n"), &object), Code(201)),
        ("a good request in chunks", post("transfer-encoding: chunked\r\n", &chunked(&object)), Code(201)),
        ("a length that is too short", post(&format!("content-length: {}\r\n", length - 1), &object), Code(400)),
        ("a length of nothing", post("content-length: 0\r\n", &object), Code(400)),
        ("no length", post("", &object), Code(400)),
        ("a negative length", post("content-length: -1\r\n", &object), RefusedOrClosed(&[400])),
        ("a length in hex", post("content-length: 0x10\r\n", &object), RefusedOrClosed(&[400])),
        ("a length with a plus", post(&format!("content-length: +{length}\r\n"), &object), RefusedOrClosed(&[400])),
        ("a length beyond numbers", post("content-length: 99999999999999999999999\r\n", &object), RefusedOrClosed(&[400, 413])),
        ("a length of 1 TiB", post("content-length: 1099511627776\r\n", &object), Code(413)),
        ("two lengths", post(&format!("content-length: {length}\r\ncontent-length: 5\r\n"), &object), RefusedOrClosed(&[400])),
        ("two lengths in one", post(&format!("content-length: {length}, 5\r\n"), &object), RefusedOrClosed(&[400])),
        ("length and chunks", post("content-length: 4\r\ntransfer-encoding: chunked\r\n", &[&chunked(&object)[..], smuggled].concat()), RefusedOrClosed(&[201, 400])),
        ("chunks and another coding", post("transfer-encoding: chunked, identity\r\n", &chunked(&object)), RefusedOrClosed(&[400, 501])),
        ("an unknown transfer coding", post("transfer-encoding: xchunked\r\n", &chunked(&object)), RefusedOrClosed(&[400, 501])),
        ("a chunk beyond numbers", post("transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n"), RefusedOrClosed(&[400])),
        ("a chunk without a size", post("transfer-encoding: chunked\r\n", b"\r\n\r\n"), RefusedOrClosed(&[400])),
        ("a chunk with a long extension", post("transfer-encoding: chunked\r\n", &[b"1;", &[b'a'; 100_000][..], b"\r\n{\r\n0\r\n\r\n"].concat()), RefusedOrClosed(&[400])),
        ("endless trailers", post("transfer-encoding: chunked\r\n", &[b"0\r\n", &b"a: b\r\n".repeat(100_000)[..], b"\r\n"].concat()), RefusedOrClosed(&[400])),
        ("an identity in a trailer", post("transfer-encoding: chunked\r\ntrailer: impersonate-user\r\n", &[&chunked(&object)[..chunked(&object).len() - 2], b"impersonate-user: bob\r\n\r\n"].concat()), Code(201)),
        ("a header of 100 KB", post(&format!("x-a: {}\r\n", "a".repeat(100_000)), &object), RefusedOrClosed(&[400, 431])),
        ("1,000 headers", post(&"x-a: b\r\n".repeat(1000), &object), RefusedOrClosed(&[431])),
        ("a target of 100 KB", format!("GET /{} HTTP/1.1\r\nhost: k\r\n\r\n", "a".repeat(100_000)).into_bytes(), RefusedOrClosed(&[414, 431])),
        ("HTTP/3.0", b"GET /version HTTP/3.0\r\nhost: k\r\n\r\n".to_vec(), RefusedOrClosed(&[400, 505])),
        ("HTTP/0.9", b"GET /version\r\n\r\n".to_vec(), RefusedOrClosed(&[400])),
        ("bare line feeds", b"GET /version HTTP/1.1\nhost: k\n\n".to_vec(), RefusedOrClosed(&[200, 400])),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), RefusedOrClosed(&[400, 505])),
        ("no HTTP", vec![0xff; 200_000], RefusedOrClosed(&[400, 431])),
    ]
}

async fn requests_that_lie_about_themselves_are_refused_or_end_the_connection(engine: Engine) {
    let world = World::start(engine).await;
    let admin = world.cluster.kubeconfig("admin");
    let mut wrong = Vec::new();
    for (name, bytes, want) in liars() {
        let mut wire = Wire::http1(&world, &admin).await;
        let begun = Instant::now();
        // The server may end it before everything is sent.
        let _ = wire.send(&bytes).await;
        let reply = wire.answer().await;
        let code = reply.as_ref().map(|reply| reply.code);
        let fine = match (want, code) {
            (Outcome::Code(want), Some(code)) => code == want,
            (Outcome::RefusedOrClosed(codes), Some(code)) => codes.contains(&code),
            (Outcome::RefusedOrClosed(_), None) => true,
            (Outcome::Code(_), None) => false,
        };
        if !fine {
            wrong.push(format!("{name}: {code:?} instead of {want:?}"));
        }
        if let Some(reply) = reply.filter(|reply| reply.code >= 400 && !reply.body.is_empty()) {
            refused(&reply, name);
        }
        if begun.elapsed() > SOON {
            wrong.push(format!("{name}: took {:?}", begun.elapsed()));
        }
        world.serves(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.running.stop().await;
}

async fn an_endless_body_ends_at_the_limit(engine: Engine) {
    let world = World::start(engine).await;
    for (who, credential, want) in [
        ("an administrator", world.cluster.kubeconfig("admin"), 413),
        ("nobody", Credential::none(), 403),
        ("a stranger", Credential::token("nobody-knows-this"), 401),
    ] {
        let mut wire = Wire::http1(&world, &credential).await;
        let bearer = credential
            .token
            .map(|token| format!("authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "POST {MAPS} HTTP/1.1\r\nhost: k\r\n{bearer}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        wire.send(head.as_bytes()).await.unwrap();
        let chunk = [b"10000\r\n", &vec![b' '; 65536][..], b"\r\n"].concat();
        let mut sent = 0;
        // Ends only if the server stops taking it.
        while sent < 256 * MIB && wire.send(&chunk).await.is_ok() {
            sent += chunk.len();
            if sent % (2 * MIB) < chunk.len() && wire.has_answer().await {
                break;
            }
        }
        assert!(sent < 64 * MIB, "{who} was let send {sent} bytes");
        if let Some(reply) = wire.answer().await {
            assert_eq!(reply.code, want, "{who}");
            refused(&reply, who);
        }
        world.serves(who).await;
    }
    world.running.stop().await;
}
