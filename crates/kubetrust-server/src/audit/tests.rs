//! The whole way: a request, its record, and the lines in the log.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::Response;
use kubetrust_auth::authn::LastToken;
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use super::*;
use crate::http::body::Answer;
use crate::http::respond::{self, Reply};
use counters::Counters;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0";

fn clock() -> Timestamp {
    "2026-11-24T11:28:48.5Z".parse().unwrap()
}

/// What was written, and a gate that holds the writer up while it is shut.
#[derive(Clone, Default)]
struct Paper(Arc<Sheet>);

#[derive(Default)]
struct Sheet {
    written: Mutex<Vec<u8>>,
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Paper {
    fn shut(&self, shut: bool) {
        *self.0.is_shut.lock() = shut;
        self.0.opened.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.written.lock().clone()).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut is_shut = self.0.is_shut.lock();
        while *is_shut {
            self.0.opened.wait(&mut is_shut);
        }
        self.0.written.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn policy(rules: &str) -> Policy {
    Policy::parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}\n").as_bytes()).unwrap()
}

fn audit(rules: &str) -> (Audit, Paper) {
    let paper = Paper::default();
    let log = Log::to_writer(Box::new(paper.clone()), Counters::default()).unwrap();
    (Audit::new(policy(rules), log, clock), paper)
}

/// What a [`Request`] borrows.
struct Sent {
    head: Parts,
    info: RequestInfo,
    connection: Connection,
}

impl Sent {
    fn new(line: &str) -> Self {
        let (method, uri) = line.split_once(' ').unwrap();
        let builder = http::Request::builder().method(method).uri(uri);
        let builder = builder
            .header("user-agent", "kubectl/v1.37")
            .header("authorization", format!("Bearer {TOKEN}"));
        let (head, ()) = builder.body(()).unwrap().into_parts();
        let info = RequestInfo::of(&head.method, &head.uri).unwrap();
        Self {
            head,
            info,
            connection: Connection {
                remote: "10.0.0.9:4711".parse().unwrap(),
                peer: None,
                last_token: LastToken::default(),
            },
        }
    }

    fn request(&self) -> Request<'_> {
        let Self { head, info, connection } = self;
        Request {
            id: "f8b0",
            head,
            info,
            connection,
            now: "2026-11-24T11:28:48.123456789Z".parse().unwrap(),
        }
    }
}

fn admin() -> Arc<User> {
    Arc::new(User {
        name: "kubernetes-admin".into(),
        uid: "7".into(),
        groups: vec!["system:masters".into(), "system:authenticated".into()],
        extra: BTreeMap::from([(
            "authentication.kubernetes.io/credential-id".into(),
            vec!["X509SHA256=ab".into()],
        )]),
    })
}

async fn events(audit: &Audit, paper: &Paper) -> Vec<Value> {
    assert!(audit.flush().await);
    paper.events()
}

fn stages(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| event["stage"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

fn pretty(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| serde_json::to_string_pretty(event).unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn json_reply(code: u16, value: &Value) -> Reply {
    respond::bytes(code, "application/json", value.to_string())
}

#[tokio::test]
async fn the_events_of_a_write_are_as_upstream_writes_them() {
    let (audit, paper) = audit("rules: [{level: RequestResponse}]");
    let sent = Sent::new("POST /apis/apps/v1/namespaces/default/deployments?dryRun=All&access_token=abc");
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "u-1", "resourceVersion": "5"}});
    let record = audit.begin(&sent.request(), &admin()).await;
    record.impersonated(&Arc::new(User {
        name: "jane".into(),
        groups: vec!["developers".into()],
        ..User::default()
    }));
    record.authorized(true, "RBAC: allowed by ClusterRoleBinding \"admins\"");
    record.request_object(&object);
    let reply = json_reply(201, &object);
    record.response(&reply);
    let reply = record.finish(reply).await;
    assert_eq!(reply.status(), 201);
    insta::assert_snapshot!(pretty(&events(&audit, &paper).await));
}

#[tokio::test]
async fn each_level_holds_what_it_should() {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}});
    for (level, held) in [
        ("None", None),
        ("Metadata", Some((false, false))),
        ("Request", Some((true, false))),
        ("RequestResponse", Some((true, true))),
    ] {
        let (audit, paper) = audit(&format!("omitStages: [RequestReceived]\nrules: [{{level: {level}}}]"));
        let sent = Sent::new("POST /api/v1/namespaces/n/configmaps");
        let record = audit.begin(&sent.request(), &admin()).await;
        record.request_object(&object);
        let reply = json_reply(201, &object);
        record.response(&reply);
        record.finish(reply).await;
        let found = events(&audit, &paper).await;
        let has = found.first().map(|event| {
            (
                event.get("requestObject").is_some(),
                event.get("responseObject").is_some(),
            )
        });
        assert_eq!(has, held, "{level}");
        assert!(found.iter().all(|event| event["objectRef"]["name"] == "c"), "{level}");
        assert_eq!(
            audit.counters().unwrap().events.get(),
            u64::from(held.is_some()),
            "{level}"
        );
    }
}

#[tokio::test]
async fn failed_authentication_is_one_event_of_nobody() {
    let (audit, paper) = audit("rules: [{level: Request}]");
    audit
        .refused(
            &Sent::new("GET /api/v1/namespaces/default/pods").request(),
            &Status::unauthorized(),
        )
        .await;
    insta::assert_snapshot!(pretty(&events(&audit, &paper).await));
}

#[tokio::test]
async fn a_refusal_carries_its_status_and_the_decision() {
    let (audit, paper) = audit("omitStages: [RequestReceived]\nrules: [{level: Metadata}]");
    let record = audit
        .begin(&Sent::new("DELETE /api/v1/namespaces/kube-system").request(), &admin())
        .await;
    let status = Status::forbidden("", "namespaces", "kube-system", "no");
    record.authorized(false, "");
    record.failed(&status);
    record.finish(respond::failure(&status)).await;
    let found = events(&audit, &paper).await;
    assert_eq!(
        found[0]["annotations"],
        json!({"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""})
    );
    assert_eq!(
        found[0]["responseStatus"],
        json!({"metadata": {}, "status": "Failure", "message": status.message, "reason": "Forbidden",
            "details": {"name": "kube-system", "kind": "namespaces"}, "code": 403})
    );
}

#[tokio::test]
async fn a_delete_tells_the_status_that_it_answered() {
    let (audit, paper) = audit("omitStages: [RequestReceived]\nrules: [{level: Metadata}]");
    let record = audit
        .begin(&Sent::new("DELETE /api/v1/namespaces/n/pods/p").request(), &admin())
        .await;
    let reply = json_reply(
        200,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"name": "p", "kind": "pods"}}),
    );
    record.response(&reply);
    record.finish(reply).await;
    let found = events(&audit, &paper).await;
    let want = json!({"metadata": {}, "status": "Success", "details": {"name": "p", "kind": "pods"}, "code": 200});
    assert_eq!(found[0]["responseStatus"], want);
}

#[tokio::test]
async fn stages_come_in_their_order() {
    let watch = "GET /api/v1/pods?watch=1";
    let get = "GET /api/v1/namespaces/n/pods/p";
    for (omitted, line, want) in [
        ("", get, "RequestReceived ResponseComplete"),
        ("RequestReceived", get, "ResponseComplete"),
        ("RequestReceived, ResponseComplete", get, ""),
        ("", watch, "RequestReceived ResponseStarted ResponseComplete"),
        ("ResponseStarted", watch, "RequestReceived ResponseComplete"),
        ("", "GET /healthz", "RequestReceived ResponseComplete"),
    ] {
        let (audit, paper) = audit(&format!("omitStages: [{omitted}]\nrules: [{{level: Metadata}}]"));
        let record = audit.begin(&Sent::new(line).request(), &admin()).await;
        record.finish(json_reply(200, &json!({}))).await;
        assert_eq!(stages(&events(&audit, &paper).await), want, "{line} without {omitted}");
    }
}

#[tokio::test]
async fn a_watch_is_complete_when_it_ends_or_its_client_leaves() {
    for ends in [true, false] {
        let (audit, paper) = audit("rules: [{level: RequestResponse}]");
        let record = audit
            .begin(&Sent::new("GET /api/v1/pods?watch=1").request(), &admin())
            .await;
        let frames = futures_util::stream::iter(["one", "two"].map(Bytes::from));
        let reply = record.finish(Response::new(Answer::stream(frames))).await;
        assert_eq!(stages(&events(&audit, &paper).await), "RequestReceived ResponseStarted");
        let Answer::Stream(mut stream) = reply.into_body() else {
            panic!("no stream")
        };
        if ends {
            assert_eq!(stream.by_ref().count().await, 2);
        } else {
            stream.next().await;
            drop(stream);
        }
        let found = events(&audit, &paper).await;
        assert_eq!(
            stages(&found),
            "RequestReceived ResponseStarted ResponseComplete",
            "{ends}"
        );
        assert_eq!(found[2]["responseStatus"], json!({"metadata": {}, "code": 200}));
    }
}

#[tokio::test]
async fn a_panic_is_the_last_event() {
    let (audit, paper) = audit("rules: [{level: Metadata}]");
    let sent = Sent::new("GET /api/v1/pods");
    let served = async {
        let record = audit.begin(&sent.request(), &admin()).await;
        tokio::task::yield_now().await;
        record.authorized(true, "");
        panic!("as planned");
    };
    assert!(AssertUnwindSafe(served).catch_unwind().await.is_err());
    let found = events(&audit, &paper).await;
    assert_eq!(stages(&found), "RequestReceived Panic");
    assert_eq!(found[1]["responseStatus"]["code"], 500);
}

#[tokio::test]
async fn a_client_that_leaves_is_told_too() {
    for (line, want) in [
        ("GET /api/v1/namespaces/n/pods/p", "RequestReceived ResponseComplete"),
        (
            "GET /api/v1/pods?watch=1",
            "RequestReceived ResponseStarted ResponseComplete",
        ),
    ] {
        let (audit, paper) = audit("rules: [{level: Metadata}]");
        drop(audit.begin(&Sent::new(line).request(), &admin()).await);
        let found = events(&audit, &paper).await;
        assert_eq!(stages(&found), want);
        assert_eq!(
            found.last().unwrap()["responseStatus"]["message"],
            "Connection closed early"
        );
    }
}

#[tokio::test]
async fn no_secret_and_no_token_is_recorded_whatever_the_policy_says() {
    const SECRET: &str = "aHVudGVyMg==";
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s", "annotations":
        {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":{{\"a\":\"{SECRET}\"}}}}")}}, "data": {"a": SECRET}});
    let list = json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": [secret]});
    let review = json!({"kind": "TokenReview", "spec": {"token": TOKEN}});
    let issued = json!({"kind": "TokenRequest", "status": {"token": TOKEN}});
    let none = json!({});
    for (line, sent_object, answered) in [
        ("POST /api/v1/namespaces/n/secrets", &secret, &secret),
        ("PUT /api/v1/namespaces/n/secrets/s", &secret, &secret),
        ("GET /api/v1/namespaces/n/secrets/s", &none, &secret),
        ("GET /api/v1/secrets?token=eyJhbGciOiJSUzI1NiJ9.c2VjcmV0", &none, &list),
        ("DELETE /api/v1/namespaces/n/secrets", &none, &list),
        ("POST /apis/authentication.k8s.io/v1/tokenreviews", &review, &review),
        ("POST /api/v1/namespaces/n/serviceaccounts/a/token", &none, &issued),
        ("POST /api/v1/namespaces/n/configmaps", &secret, &none),
    ] {
        let (audit, paper) = audit("rules: [{level: RequestResponse}]");
        for form in 0..4 {
            let record = audit.begin(&Sent::new(line).request(), &admin()).await;
            record.request_object(sent_object);
            let reply = match form {
                0 => json_reply(200, answered),
                1 => respond::bytes(200, "application/yaml", serde_saphyr::to_string(answered).unwrap()),
                2 => {
                    let text = answered.to_string();
                    let (head, tail) = text.split_at(text.len() / 2);
                    let pieces = VecDeque::from([Bytes::from(head.to_owned()), Bytes::from(tail.to_owned())]);
                    json_reply(200, &none).map(|_| Answer::pieces(pieces))
                }
                _ => {
                    record.request_patch(sent_object.to_string().as_bytes());
                    record.request_patch(serde_saphyr::to_string(sent_object).unwrap().as_bytes());
                    json_reply(200, answered)
                }
            };
            record.response(&reply);
            record.finish(reply).await;
        }
        let patch = json!([{"op": "add", "path": "/data/a", "value": SECRET}]).to_string();
        let record = audit
            .begin(&Sent::new("PATCH /api/v1/namespaces/n/secrets/s").request(), &admin())
            .await;
        record.request_patch(patch.as_bytes());
        drop(record);
        let found = events(&audit, &paper).await;
        assert_eq!(found.len(), 10, "{line}");
        let text = pretty(&found);
        assert!(text.contains("REDACTED"), "{line}: {text}");
        assert!(!text.contains(SECRET) && !text.contains("c2VjcmV0"), "{line}: {text}");
        assert!(
            found
                .iter()
                .filter(|event| event["stage"] == "ResponseComplete")
                .take(4)
                .all(|event| event.get("responseObject").is_some()),
            "{line}: {text}"
        );
    }
}

#[tokio::test]
async fn managed_fields_are_left_out_where_the_policy_says_so() {
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "c", "managedFields": [{}]}});
    let list = json!({"kind": "ConfigMapList", "metadata": {}, "items": [object]});
    for omits in [true, false] {
        let (audit, paper) = audit(&format!(
            "omitManagedFields: {omits}\nomitStages: [RequestReceived]\nrules: [{{level: RequestResponse}}]"
        ));
        let record = audit
            .begin(&Sent::new("GET /api/v1/configmaps").request(), &admin())
            .await;
        record.request_object(&object);
        record.response(&json_reply(200, &list));
        record.finish(json_reply(200, &list)).await;
        let found = events(&audit, &paper).await;
        assert_eq!(
            pretty(&found).matches("managedFields").count(),
            if omits { 0 } else { 2 }
        );
    }
}

#[tokio::test]
async fn an_object_that_is_too_large_is_left_out_and_the_event_says_so() {
    let large = json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "x".repeat(MAX_OBJECT)}});
    for in_pieces in [false, true] {
        let (audit, paper) = audit("omitStages: [RequestReceived]\nrules: [{level: RequestResponse}]");
        let record = audit
            .begin(&Sent::new("POST /api/v1/namespaces/n/configmaps").request(), &admin())
            .await;
        record.request_object(&large);
        let reply = json_reply(201, &large);
        let reply = if in_pieces {
            reply.map(|_| Answer::pieces(VecDeque::from([Bytes::from(large.to_string())])))
        } else {
            reply
        };
        record.response(&reply);
        record.finish(reply).await;
        let found = events(&audit, &paper).await;
        assert!(found[0].get("requestObject").is_none() && found[0].get("responseObject").is_none());
        assert_eq!(found[0]["annotations"], json!({"audit.k8s.io/truncated": "true"}));
        assert_eq!(found[0]["objectRef"]["name"], "c");
    }
}

#[tokio::test]
async fn what_is_no_resource_has_no_objects() {
    let (audit, paper) = audit("omitStages: [RequestReceived]\nrules: [{level: RequestResponse}]");
    let record = audit.begin(&Sent::new("GET /version").request(), &admin()).await;
    record.response(&json_reply(200, &json!({"major": "1"})));
    record.finish(json_reply(200, &json!({"major": "1"}))).await;
    let record = audit
        .begin(&Sent::new("GET /api/v1/namespaces/n/pods/p/log").request(), &admin())
        .await;
    let reply = respond::text(200, "the log says hunter2");
    record.response(&reply);
    record.finish(reply).await;
    let found = events(&audit, &paper).await;
    assert!(!pretty(&found).contains("Object\""), "{}", pretty(&found));
    assert!(found[0].get("objectRef").is_none());
}

#[tokio::test]
async fn the_first_annotation_stays_and_there_are_only_so_many() {
    let keys: Vec<&'static str> = (0..MAX_ANNOTATIONS + 9)
        .map(|index| &*format!("k{index}").leak())
        .collect();
    let (audit, paper) = audit("omitStages: [RequestReceived]\nrules: [{level: Metadata}]");
    let record = audit.begin(&Sent::new("GET /").request(), &admin()).await;
    for key in &keys {
        record.annotate(key, "first");
        record.annotate(key, "second");
    }
    drop(record);
    let found = events(&audit, &paper).await;
    let annotations = found[0]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), MAX_ANNOTATIONS);
    assert!(annotations.values().all(|value| value == "first"));
}

#[tokio::test]
async fn a_changed_policy_is_in_force_and_a_bad_one_is_not() {
    let (audit, paper) = audit("rules: [{level: None}]");
    let sent = Sent::new("GET /version");
    let begin_and_end = async || drop(audit.begin(&sent.request(), &admin()).await);
    begin_and_end().await;
    let error = audit
        .reload(b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]\n")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("3:17: rules[0].level: \"All\" is no level"),
        "{error}"
    );
    begin_and_end().await;
    assert_eq!(events(&audit, &paper).await.len(), 0);
    let before = audit.begin(&sent.request(), &admin()).await;
    audit
        .reload(b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
        .unwrap();
    drop(before);
    assert_eq!(events(&audit, &paper).await.len(), 0, "it began before");
    begin_and_end().await;
    assert_eq!(events(&audit, &paper).await.len(), 2);
    assert_eq!(audit.counters().unwrap().level(Level::None).get(), 3);
    assert_eq!(audit.counters().unwrap().level(Level::Metadata).get(), 1);
}

#[tokio::test]
async fn it_is_off_without_a_log() {
    let audit = Audit::off();
    let record = audit.begin(&Sent::new("GET /").request(), &admin()).await;
    record.authorized(true, "");
    record.finish(json_reply(200, &json!({}))).await;
    audit
        .refused(&Sent::new("GET /").request(), &Status::unauthorized())
        .await;
    audit
        .reload(b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
        .unwrap();
    assert!(audit.flush().await);
    assert!(audit.counters().is_none());
}

#[tokio::test]
async fn a_log_that_hangs_costs_one_wait_and_events_but_neither_memory_nor_the_server() {
    let paper = Paper::default();
    let log = Log::to_writer(Box::new(paper.clone()), Counters::default()).unwrap();
    paper.shut(true);
    let line = [vec![b'1'; 1 << 20], b"\n".to_vec()].concat();
    let began = std::time::Instant::now();
    for _ in 0..200 {
        log.send(line.clone()).await;
    }
    log.send_now(line.clone());
    let dropped = log.counters().dropped.get();
    // 64 MiB wait; each line takes a unit more than its mebibyte.
    assert_eq!(dropped, 201 - 63);
    // Had each waited it would be 138 times as long.
    assert!(began.elapsed() < log::MAX_WAIT * 40, "{:?}", began.elapsed());
    paper.shut(false);
    assert!(log.flush().await);
    // It works again, and waits again.
    log.send(b"2\n".to_vec()).await;
    assert!(log.flush().await);
    assert_eq!(paper.text().lines().count(), 64);
    assert_eq!(log.counters().dropped.get(), dropped);
    assert_eq!(log.counters().failed.get(), 0);
}

#[tokio::test]
async fn a_full_disk_is_counted_and_does_not_stop_anything() {
    let options = log::Options {
        path: "/dev/full".into(),
        ..log::Options::default()
    };
    let log = Log::open(options, clock(), Counters::default()).unwrap();
    for _ in 0..5 {
        log.send(b"{}\n".to_vec()).await;
    }
    assert!(log.flush().await);
    assert_eq!(log.counters().failed.get(), 5);
    assert_eq!(log.counters().dropped.get(), 0);
}

#[tokio::test]
async fn rotation_under_many_requests_loses_no_event() {
    const REQUESTS: usize = 4000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit/kube.log");
    let options = log::Options {
        path,
        max_size: 1,
        ..log::Options::default()
    };
    let log = Log::open(options, clock(), Counters::default()).unwrap();
    let audit = Audit::new(policy("rules: [{level: Request}]"), log, clock);
    let sent = Sent::new("POST /api/v1/namespaces/n/configmaps");
    let object = json!({"metadata": {"name": "c"}, "data": {"a": "x".repeat(600)}});
    for index in 0..REQUESTS {
        let id = index.to_string();
        let record = audit
            .begin(
                &Request {
                    id: &id,
                    ..sent.request()
                },
                &admin(),
            )
            .await;
        record.request_object(&object);
        record.finish(json_reply(201, &json!({}))).await;
    }
    assert!(audit.flush().await);
    let mut files: Vec<_> = fs::read_dir(folder.path().join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // The file that is written now sorts last: a point comes after a hyphen.
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    let mut ids = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.len() <= 1 << 20 && text.ends_with('\n'), "{}", file.display());
        ids.extend(text.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            (
                event["auditID"].as_str().unwrap().parse::<usize>().unwrap(),
                event["stage"] == "ResponseComplete",
            )
        }));
    }
    let want: Vec<_> = (0..REQUESTS)
        .flat_map(|index| [(index, false), (index, true)])
        .collect();
    assert_eq!(ids, want);
}
