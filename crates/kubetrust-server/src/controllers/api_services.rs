//! An `APIService` for each group version that is served, as `kube-aggregator` registers them at its start
//! (`pkg/controlplane/apiserver/aggregator.go`, `kube-aggregator/pkg/controllers/autoregister`): once, after the server
//! is ready, since nothing here waits for them.

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::GROUPS;
use kubetrust_api::status::Status;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::warn;

use super::through_outages;
use crate::bootstrap::ensure;
use crate::registry::Registry;

/// The group of the API services themselves, which has none.
const OWN: &str = "apiregistration.k8s.io";

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    let registered: Result<(), Status> = through_outages(&stop, || {
        let now = Timestamp::now();
        ensure(&registry, api_services(now), now)
    })
    .await;
    if let Err(error) = registered {
        warn!(%error, "the group versions that are served can't be registered");
    }
}

/// All of them. They are served by this server itself, so they are available.
fn api_services(now: Timestamp) -> Vec<Value> {
    let groups = GROUPS.iter().filter(|group| group.name != OWN);
    let versions = groups.flat_map(|group| group.versions.iter().map(move |version| (group, version)));
    versions
        .map(|(group, (version, priority))| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {
                    "name": format!("{version}.{}", group.name),
                    "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
                },
                "spec": {
                    "group": group.name,
                    "version": version,
                    "groupPriorityMinimum": group.priority,
                    "versionPriority": priority,
                },
                "status": {"conditions": [{
                    "type": "Available",
                    "status": "True",
                    "lastTransitionTime": meta::time(now),
                    "reason": "Local",
                    "message": "Local APIServices are always available",
                }]},
            })
        })
        .collect()
}
