//! Gives each namespace its account `default`, and what pods need to believe the API server: `kube-root-ca.crt`
//! (`pkg/controller/serviceaccount`, `pkg/controller/certificates/rootcacertpublisher`).

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use serde_json::json;
use tokio::sync::watch;
use tracing::warn;

use super::queue::{Queue, Told};
use super::through_outages;
use crate::bootstrap::{New, change_as_server, create_all};
use crate::registry::Registry;
use crate::registry::cache::Kind;
use crate::registry::target::Target;

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

pub(super) async fn run(registry: Registry, root_ca: Option<String>, stop: watch::Receiver<bool>) {
    let mut namespaces = Queue::new(&registry, "namespaces", &stop);
    let mut accounts = Queue::new(&registry, "serviceaccounts", &stop).named(ACCOUNT);
    let mut config_maps = Queue::new(&registry, "configmaps", &stop).named(ROOT_CA);
    loop {
        // A new namespace lacks them, and what was given may be deleted or changed.
        let namespace = tokio::select! {
            next = namespaces.change() => match next {
                Some((Kind::Deleted, _)) => continue,
                Some((_, namespace)) => namespace.metadata().name,
                None => return,
            },
            next = accounts.next() => match next {
                Some(Told::Change(Kind::Deleted, account)) => account.metadata().namespace,
                Some(Told::Gap) => {
                    namespaces = Queue::new(&registry, "namespaces", &stop);
                    continue;
                }
                Some(_) => continue,
                None => return,
            },
            next = config_maps.next() => match next {
                Some(Told::Change(_, map)) => map.metadata().namespace,
                Some(Told::Gap) => {
                    namespaces = Queue::new(&registry, "namespaces", &stop);
                    continue;
                }
                Some(Told::Current) => continue,
                None => return,
            },
        };
        let furnished = through_outages(&stop, || furnish(&registry, &namespace, root_ca.as_deref()));
        if let Err(error) = furnished.await {
            warn!(%namespace, %error, "the namespace could not be given its account");
        }
    }
}

/// Creates what the namespace lacks, and puts right what is not as it was given, unless the namespace goes.
async fn furnish(registry: &Registry, namespace: &str, root_ca: Option<&str>) -> Result<(), Status> {
    let namespaces = resource::lookup("", "v1", "namespaces").ok_or_else(Status::no_such_path)?;
    let found = registry.cached(&Target::object(namespaces, "", namespace));
    if found.is_none_or(|found| found.value()["status"]["phase"] == "Terminating") {
        return Ok(());
    }
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
        let target = Target::object(found, namespace, meta::name(&object));
        match registry.cached(&target) {
            None => missing.push(New::of("", "v1", plural, object)?),
            Some(there) if object["data"].is_object() && there.value()["data"] != object["data"] => {
                change_as_server(registry, &target, Timestamp::now(), |old| {
                    if old.is_null() {
                        return Err(target.not_found());
                    }
                    let mut right = old.clone();
                    right["data"] = object["data"].clone();
                    meta::remove(&mut right, "resourceVersion");
                    Ok(right)
                })
                .await?;
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    create_all(registry, missing, Timestamp::now()).await
}
