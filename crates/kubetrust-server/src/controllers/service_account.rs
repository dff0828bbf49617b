//! Gives each namespace its account `default`, and what pods need to believe the API server: `kube-root-ca.crt`
//! (`pkg/controller/serviceaccount`, `pkg/controller/certificates/rootcacertpublisher`).

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use serde_json::json;
use tokio::sync::watch;
use tracing::warn;

use super::queue::Queue;
use crate::bootstrap::{New, create_all};
use crate::registry::Registry;
use crate::registry::cache::Kind;
use crate::registry::target::Target;

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

pub(super) async fn run(registry: Registry, root_ca: Option<String>, stop: watch::Receiver<bool>) {
    let mut namespaces = Queue::new(&registry, "namespaces", &stop);
    while let Some((kind, namespace)) = namespaces.next().await {
        let namespace = namespace.value();
        if kind == Kind::Deleted || namespace["status"]["phase"] == "Terminating" {
            continue;
        }
        if let Err(error) = furnish(&registry, meta::name(&namespace), root_ca.as_deref()).await {
            warn!(namespace = meta::name(&namespace), %error, "the namespace could not be given its account");
        }
    }
}

/// Creates what the namespace lacks.
async fn furnish(registry: &Registry, namespace: &str, root_ca: Option<&str>) -> Result<(), Status> {
    let mut wanted = vec![(
        "serviceaccounts",
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}}),
    )];
    if let Some(ca) = root_ca {
        let metadata = json!({"name": ROOT_CA, "namespace": namespace});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": ca}});
        wanted.push(("configmaps", object));
    }
    let mut missing = Vec::new();
    for (plural, object) in wanted {
        let found = resource::lookup("", "v1", plural).ok_or_else(Status::no_such_path)?;
        if registry.cached(&Target::object(found, namespace, meta::name(&object))).is_none() {
            missing.push(New::of("", "v1", plural, object)?);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    create_all(registry, missing, Timestamp::now()).await
}
