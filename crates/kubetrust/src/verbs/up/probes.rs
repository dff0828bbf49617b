//! The requests that every identity makes.

use http::Method;
use kubetrust_auth::authz::{Attributes, ResourceAttributes};
use serde_json::{Value, json};

/// A request, and what it is to the authorizers.
pub struct Probe {
    /// Stands for it in the table: `A`, `B`, …
    pub letter: String,
    /// In words.
    pub what: String,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body, where it has one.
    pub body: Option<Value>,
    /// What the authorizers are asked.
    pub attributes: Attributes,
}

/// What is in the body of a probe.
#[derive(Clone, Copy)]
enum Body {
    None,
    Pod,
    Token,
    Request,
    TokenReview,
    AccessReview,
}

/// Verb, group, version, resource, namespace, name, body. Whatever is stored is only tried (`dryRun`).
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Body,
);

/// Stands for the name of the host's node.
const NODE: &str = "{node}";

/// Each of them is what somebody's work is, and what somebody else must not do.
#[rustfmt::skip]
const ROWS: [Row; 11] = [
    ("list",   "",                      "v1", "namespaces",                 "",            "",                Body::None),
    ("list",   "",                      "v1", "nodes",                      "",            "",                Body::None),
    ("get",    "",                      "v1", "nodes",                      "",            NODE,              Body::None),
    ("list",   "",                      "v1", "pods",                       "",            "",                Body::None),
    ("create", "",                      "v1", "pods",                       "default",     "",                Body::Pod),
    ("list",   "",                      "v1", "secrets",                    "kube-system", "",                Body::None),
    ("create", "",                      "v1", "serviceaccounts/token",      "kube-system", "default",         Body::Token),
    ("create", "certificates.k8s.io",   "v1", "certificatesigningrequests", "",            "",                Body::Request),
    ("create", "authentication.k8s.io", "v1", "tokenreviews",               "",            "",                Body::TokenReview),
    ("create", "authorization.k8s.io",  "v1", "subjectaccessreviews",       "",            "",                Body::AccessReview),
    ("delete", "",                      "v1", "namespaces",                 "",            "kube-node-lease", Body::None),
];

/// A path that is no resource's, which everybody may ask for.
const HEALTH: &str = "/healthz";

/// The probes for the host of this name. `request` is a PKCS#10 request in PEM.
pub fn probes(node: &str, request: &str) -> Vec<Probe> {
    let health = Probe {
        letter: String::new(),
        what: format!("get {HEALTH}"),
        method: Method::GET,
        path: HEALTH.to_owned(),
        body: None,
        attributes: Attributes::NonResource {
            verb: "get".to_owned(),
            path: HEALTH.to_owned(),
        },
    };
    let resources = ROWS.iter().map(|row| of_row(row, node, request));
    let mut probes: Vec<Probe> = std::iter::once(health).chain(resources).collect();
    for (probe, letter) in probes.iter_mut().zip('A'..='Z') {
        probe.letter = letter.to_string();
    }
    probes
}

/// Asks the server who one is: `SelfSubjectReview`.
pub fn who_am_i() -> Probe {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let asked = attributes(
        &(
            "create",
            "authentication.k8s.io",
            "v1",
            "selfsubjectreviews",
            "",
            "",
            Body::None,
        ),
        "",
    );
    Probe {
        letter: String::new(),
        what: "create selfsubjectreviews".to_owned(),
        method: Method::POST,
        path: crate::verbs::whoami::SELF.to_owned(),
        body: Some(review),
        attributes: Attributes::Resource(asked),
    }
}

fn of_row(row: &Row, node: &str, request: &str) -> Probe {
    let asked = attributes(row, node);
    let tried = matches!(row.6, Body::Pod | Body::Request) || asked.verb == "delete";
    Probe {
        letter: String::new(),
        what: words(&asked, tried),
        method: match asked.verb.as_str() {
            "create" => Method::POST,
            "delete" => Method::DELETE,
            _ => Method::GET,
        },
        path: format!("{}{}", path(&asked), if tried { "?dryRun=All" } else { "" }),
        body: body(row.6, request),
        attributes: Attributes::Resource(asked),
    }
}

fn attributes(row: &Row, node: &str) -> ResourceAttributes {
    let (verb, group, version, what, namespace, name, _) = *row;
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    // The name of a new object is in its body, and a namespace lies in itself.
    let namespace = if resource == "namespaces" { name } else { namespace };
    ResourceAttributes {
        verb: verb.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: if name == NODE { node.to_owned() } else { name.to_owned() },
        ..ResourceAttributes::default()
    }
}

fn path(asked: &ResourceAttributes) -> String {
    let mut path = match asked.group.as_str() {
        "" => format!("/api/{}", asked.version),
        group => format!("/apis/{group}/{}", asked.version),
    };
    let in_namespace = !asked.namespace.is_empty() && asked.resource != "namespaces";
    let parts = [
        if in_namespace { "namespaces" } else { "" },
        if in_namespace { &asked.namespace } else { "" },
        &asked.resource,
        &asked.name,
        &asked.subresource,
    ];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
    }
    path
}

fn words(asked: &ResourceAttributes, tried: bool) -> String {
    let mut words = format!("{} {}", asked.verb, asked.resource);
    if !asked.subresource.is_empty() {
        words = format!("{words}/{}", asked.subresource);
    }
    if !asked.name.is_empty() {
        words = format!("{words} {}", asked.name);
    }
    if !asked.namespace.is_empty() && asked.resource != "namespaces" {
        words = format!("{words} in {}", asked.namespace);
    }
    if tried {
        words.push_str(" (dry run)");
    }
    words
}

fn body(body: Body, request: &str) -> Option<Value> {
    Some(match body {
        Body::None => return None,
        Body::Pod => json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "kubetrust-up-"},
            "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]},
        }),
        Body::Token => json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 600},
        }),
        Body::Request => json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "kubetrust-up-"},
            "spec": {
                "request": base64(request),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        }),
        Body::TokenReview => json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": "of nobody"},
        }),
        Body::AccessReview => json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
        }),
    })
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
