//! A server with a secret in it, and those who would like to read it.

use std::path::Path;

use http::Method;
use kubetrust_server::listen::Limits;
use kubetrust_server::options::Options;
use kubetrust_server::start::{Running, start_within};
use kubetrust_testkit::{peers, run};
use serde_json::{Value, json};

use crate::support::{Client, Cluster, Credential, Engine, Reply};

/// The data of the secret, as it stands in JSON: no answer to somebody without rights contains it.
pub const MARK: &str = "aGlkZGVuLWZyb20tdGhlbQ==";

/// A running server.
pub struct World {
    pub cluster: Cluster,
    pub running: Running,
}

impl World {
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, Limits::default(), |_| ()).await
    }

    pub async fn start_with(engine: Engine, limits: Limits, change: impl FnOnce(&mut Options)) -> Self {
        let mut cluster = Cluster::issue(engine);
        change(&mut cluster.options);
        let running = start_within(cluster.options.clone(), limits).await.unwrap();
        Self { cluster, running }
    }

    pub fn client(&self, credential: Credential) -> Client {
        self.cluster.client(self.running.address, credential)
    }

    pub fn admin(&self) -> Client {
        self.client(self.cluster.kubeconfig("admin"))
    }

    /// Creates an object below a collection's path.
    pub async fn create(&self, path: &str, object: &Value) -> Value {
        let reply = self.admin().post(path, object).await;
        assert_eq!(reply.code, 201, "{path}: {}", reply.message());
        reply.json()
    }

    /// Namespaces `own` and `hidden`, each with secrets `mine` and `mine-too` that only `hidden` marks.
    pub async fn with_secrets(&self) {
        for (namespace, data) in [("own", "b3Blbg=="), ("hidden", MARK)] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.create("/api/v1/namespaces", &object).await;
            for (name, data) in [("mine", data), ("mine-too", MARK)] {
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"key": data},
                });
                self.create(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret)
                    .await;
            }
        }
    }

    /// A service account of the namespace `default`, with a token.
    pub async fn robot(&self, name: &str) -> Credential {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.create("/api/v1/namespaces/default/serviceaccounts", &account)
            .await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("/api/v1/namespaces/default/serviceaccounts/{name}/token");
        Credential::token(self.create(&path, &request).await["status"]["token"].as_str().unwrap())
    }

    /// Lets a service account of `default` do what one rule says, in a namespace or (where it is empty) everywhere.
    pub async fn grant(&self, account: &str, namespace: &str, allowed: &Value) {
        let (prefix, infix) = match namespace {
            "" => ("Cluster", String::new()),
            namespace => ("", format!("namespaces/{namespace}/")),
        };
        let base = format!("/apis/rbac.authorization.k8s.io/v1/{infix}{}", prefix.to_lowercase());
        let metadata = json!({"name": format!("{account}-in-{namespace}-{}", allowed["verbs"][0].as_str().unwrap())});
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{prefix}Role"),
            "metadata": metadata, "rules": [allowed],
        });
        self.create(&format!("{base}roles"), &role).await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{prefix}RoleBinding"), "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{prefix}Role"), "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
        });
        self.create(&format!("{base}rolebindings"), &binding).await;
    }

    /// A good request is answered, by a new connection.
    pub async fn serves(&self, after: &str) {
        let reply = self.admin().get("/api/v1/namespaces/kube-system").await;
        assert_eq!(reply.code, 200, "after {after}: {}", reply.message());
    }

    /// A client certificate for any subject, from an authority of the cluster: `ca`, `front-proxy-ca`.
    pub fn forge(&self, authority: &str, subject: &str) -> Credential {
        let folder = tempfile::tempdir().unwrap();
        let ca = self.cluster.file("pki").join(authority);
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out crt -days 1 \
             -addext extendedKeyUsage=clientAuth -addext basicConstraints=critical,CA:FALSE";
        let mut openssl = peers::openssl();
        openssl
            .current_dir(folder.path())
            .args(words.split_whitespace())
            .args(["-subj", subject]);
        openssl
            .arg("-CA")
            .arg(ca.with_extension("crt"))
            .arg("-CAkey")
            .arg(ca.with_extension("key"));
        run(&mut openssl).success();
        Credential::pair(&folder.path().join("crt"), &folder.path().join("key"))
    }
}

/// The `Status` that a refused request gets: of the right code, complete, and for everybody to read.
#[track_caller]
pub fn refused(reply: &Reply, what: &str) -> Value {
    let status = reply.json();
    assert_eq!(status["kind"], "Status", "{what}: {status}");
    assert_eq!(status["apiVersion"], "v1", "{what}");
    assert_eq!(status["status"], "Failure", "{what}");
    assert_eq!(status["code"], reply.code, "{what}");
    assert!(status["metadata"].is_object(), "{what}");
    assert!(!status["message"].as_str().unwrap().is_empty(), "{what}: {status}");
    let reason = match reply.code {
        400 | 414 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        504 => "Timeout",
        500 => "InternalError",
        other => panic!("{what}: {other} {status}"),
    };
    assert_eq!(status["reason"], reason, "{what}: {status}");
    assert!(
        !reply.body.windows(MARK.len()).any(|window| window == MARK.as_bytes()),
        "{what} shows the secret"
    );
    status
}

/// A method by its name.
pub fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

/// A file's text.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
