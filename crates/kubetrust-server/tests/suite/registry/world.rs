//! A server with an administrator's client, and what the cases say often.

use std::time::{Duration, Instant};

use http::Method;
use kubetrust_server::options::Options;
use kubetrust_server::start::{Running, start};
use serde_json::{Value, json};

use crate::support::{Client, Cluster, Credential, Engine, Events, Reply};

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that runs.
pub struct World {
    pub cluster: Cluster,
    pub options: Options,
    pub running: Running,
    pub admin: Client,
}

impl World {
    /// On an engine.
    pub async fn on(engine: Engine) -> Self {
        let cluster = Cluster::issue(engine);
        let options = cluster.options.clone();
        Self::start(cluster, options).await
    }

    /// With a store that no other test uses.
    pub async fn alone(engine: Engine) -> Self {
        let cluster = Cluster::alone(engine);
        let options = cluster.options.clone();
        Self::start(cluster, options).await
    }

    /// With any options, on any free port.
    pub async fn start(cluster: Cluster, options: Options) -> Self {
        let options = Options {
            secure_port: 0,
            ..options
        };
        let running = start(options.clone()).await.unwrap();
        let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
        Self {
            cluster,
            options,
            running,
            admin,
        }
    }

    /// The same cluster, after its server was stopped, something was done meanwhile, and it was started again.
    pub async fn restart(self) -> Self {
        self.running.stop().await;
        Self::start(self.cluster, self.options).await
    }

    /// Someone else.
    pub fn client(&self, credential: Credential) -> Client {
        self.cluster.client(self.running.address, credential)
    }

    /// A new namespace, with what each is given.
    pub async fn namespace(&self, name: &str) -> String {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        created(&self.admin.post("/api/v1/namespaces", &object).await);
        for given in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{name}/{given}");
            until(given, async || self.admin.get(&path).await.code == 200).await;
        }
        format!("/api/v1/namespaces/{name}")
    }

    /// Creates an object, which has to work.
    pub async fn create(&self, path: &str, object: &Value) -> Value {
        created(&self.admin.post(path, object).await)
    }

    /// Creates a secret of this name.
    pub async fn secret(&self, namespace: &str, name: &str) -> Value {
        self.create(&format!("{namespace}/secrets"), &secret(name)).await
    }

    /// Reads an object, which has to be there.
    pub async fn read(&self, path: &str) -> Value {
        let reply = self.admin.get(path).await;
        assert_eq!(reply.code, 200, "{path}: {}", reply.message());
        reply.json()
    }

    /// Opens a watch, which has to work.
    pub async fn watch(&self, path: &str) -> Events {
        Events::open(&self.admin, path)
            .await
            .unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"))
    }

    /// What the administrator is told when acting as someone else.
    pub async fn as_user(&self, user: &str, method: Method, path: &str, body: Option<&Value>) -> Reply {
        self.admin
            .request(method, path, &[("impersonate-user", user)], body)
            .await
    }
}

/// The object of a 201.
pub fn created(reply: &Reply) -> Value {
    assert_eq!(reply.code, 201, "{}", reply.message());
    reply.json()
}

/// A secret with one entry.
pub fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"key": "MQ=="}})
}

/// A config map with one entry.
pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "1"}})
}

/// The revision of an object or a list.
pub fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The names of a list's items.
pub fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `code reason: message`, and the causes' `field: reason` after it.
pub fn told(reply: &Reply) -> String {
    let status = reply.json();
    assert_eq!(
        (&status["kind"], &status["apiVersion"]),
        (&json!("Status"), &json!("v1")),
        "{status}"
    );
    assert_eq!(status["code"], reply.code, "{status}");
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut said = vec![reply.code.to_string(), text(&status["reason"])];
    said.extend(causes.map(|cause| format!("[{} {}]", text(&cause["field"]), text(&cause["reason"]))));
    said.join(" ")
}
