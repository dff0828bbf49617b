//! Bodies that the real kubectl writes as protobuf, against the JSON that it prints for the same object.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;

use kubetrust_api::protobuf;
use kubetrust_testkit::peers;
use serde_json::{Value, json};

/// What discovery says, as far as these commands ask for it. Any other answer is an object without fields.
const DISCOVERY: [(&str, &str); 4] = [
    ("/api", r#"{"kind": "APIVersions", "versions": ["v1"]}"#),
    (
        "/apis",
        r#"{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps",
            "versions": [{"groupVersion": "apps/v1", "version": "v1"}]}]}"#,
    ),
    (
        "/api/v1",
        r#"{"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "pods", "singularName": "pod",
            "namespaced": true, "kind": "Pod", "verbs": ["get", "list"]}]}"#,
    ),
    (
        "/apis/apps/v1",
        r#"{"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [{"name": "deployments",
            "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["get", "list"]}]}"#,
    ),
];

/// What kubectl posts when it is called with these arguments.
fn posted(arguments: &[&str]) -> Vec<u8> {
    let (output, mut bodies) = served(arguments);
    assert_eq!(bodies.len(), 1, "{arguments:?}: {output:?}");
    bodies.remove(0)
}

/// What kubectl prints for the object that it would post.
fn printed(arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = match arguments.iter().position(|argument| *argument == "--") {
        Some(at) => [&arguments[..at], &["--dry-run=client", "-o", "json"], &arguments[at..]].concat(),
        None => [arguments, &["--dry-run=client", "-o", "json"]].concat(),
    };
    let (output, bodies) = served(&arguments);
    assert!(output.status.success() && bodies.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs kubectl against a server, and gives the bodies that it posted there.
fn served(arguments: &[&str]) -> (Output, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut bodies = Vec::new();
        while let Some((method, body)) = request(&listener.accept().unwrap().0) {
            if method == "POST" {
                bodies.push(body);
            }
        }
        bodies
    });
    let output = peers::kubectl()
        .args(["--server", &format!("http://{address}")])
        .args(arguments)
        .output()
        .unwrap();
    // A connection without a request ends the server.
    drop(TcpStream::connect(address).unwrap());
    (output, server.join().unwrap())
}

/// Method and body of a request, which is answered.
fn request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = path.split('?').next().unwrap_or_default();
    let answer = DISCOVERY
        .iter()
        .find(|(known, _)| *known == path)
        .map_or("{}", |(_, answer)| answer);
    let mut to = stream;
    write!(
        to,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
    .unwrap();
    Some((method, body))
}

#[test]
fn what_kubectl_posts_is_what_it_prints() {
    for arguments in [
        &["create", "configmap", "a", "--from-literal=b=c", "--from-literal=d="][..],
        &[
            "create",
            "secret",
            "generic",
            "a",
            "--from-literal=b=c",
            "--type=example.com/t",
        ],
        &[
            "create",
            "secret",
            "docker-registry",
            "a",
            "--docker-username=u",
            "--docker-password=p",
        ],
        &["create", "namespace", "a"],
        &["create", "serviceaccount", "a"],
        &["create", "deployment", "a", "--image=b", "--replicas=3", "--port=80"],
        &[
            "create",
            "role",
            "a",
            "--verb=get,list",
            "--resource=pods,deployments.apps",
        ],
        &[
            "create",
            "clusterrole",
            "a",
            "--verb=get",
            "--non-resource-url=/healthz",
        ],
        &[
            "create",
            "rolebinding",
            "a",
            "--clusterrole=view",
            "--user=u",
            "--serviceaccount=n:s",
        ],
        &["create", "clusterrolebinding", "a", "--clusterrole=view", "--group=g"],
        &["create", "service", "clusterip", "a", "--tcp=80:8080"],
        &[
            "create",
            "service",
            "nodeport",
            "a",
            "--tcp=80:http",
            "--node-port=30000",
        ],
        &["create", "service", "externalname", "a", "--external-name=example.com"],
        &["create", "job", "a", "--image=b", "--", "c", "d"],
        &["create", "cronjob", "a", "--image=b", "--schedule=* * * * *"],
        &[
            "create",
            "ingress",
            "a",
            "--rule=example.com/b*=c:80,tls=d",
            "--class=e",
        ],
        &[
            "create",
            "poddisruptionbudget",
            "a",
            "--selector=b=c",
            "--min-available=50%",
        ],
        &["create", "priorityclass", "a", "--value=1000", "--description=b"],
        &[
            "create",
            "quota",
            "a",
            "--hard=cpu=1500m,memory=1Gi,pods=2",
            "--scopes=BestEffort",
        ],
    ] {
        let body = posted(arguments);
        let read = protobuf::decode(&body).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}"));
        assert_eq!(read, printed(arguments), "{arguments:?}");
        assert_eq!(protobuf::encode(&read).unwrap(), body, "{arguments:?}");
    }
}

#[test]
fn what_kubectl_asks_is_read() {
    let review = posted(&["auth", "whoami"]);
    assert_eq!(
        protobuf::decode(&review).unwrap(),
        json!({
            "kind": "SelfSubjectReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {},
            "status": {"userInfo": {}},
        })
    );
    let token = posted(&[
        "create",
        "token",
        "builder",
        "--duration=10m",
        "--audience=a",
        "--audience=b",
    ]);
    assert_eq!(
        protobuf::decode(&token).unwrap(),
        json!({
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {},
            "spec": {"audiences": ["a", "b"], "expirationSeconds": 600, "boundObjectRef": null},
            "status": {"token": "", "expirationTimestamp": null},
        })
    );
    let access = posted(&["auth", "can-i", "get", "pods", "--subresource=log", "-n", "a"]);
    let access = protobuf::decode(&access).unwrap();
    assert_eq!(access["kind"], "SelfSubjectAccessReview");
    assert_eq!(
        access["spec"]["resourceAttributes"],
        json!({"namespace": "a", "verb": "get", "resource": "pods", "subresource": "log"})
    );
}
