//! What is stored, and how long storing takes (`k8s.io/apiserver/pkg/storage/etcd3/metrics`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use kubetrust_api::resource::{Resource, TABLE};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Label;
use crate::ApiServer;

/// Upper bounds of the durations, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

type Labels = [(&'static str, &'static str); 3];

/// How long the store took to commit, by what was done to what. Clones count together.
#[derive(Clone, Debug)]
pub struct StoreTimes(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for StoreTimes {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(DURATIONS)))
    }
}

impl StoreTimes {
    /// Counts a commit: `create`, `update` or `delete`.
    pub fn committed(&self, operation: &'static str, resource: &Resource, took: Duration) {
        let labels = [
            ("operation", operation),
            ("group", resource.group),
            ("resource", resource.plural),
        ];
        self.0.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

pub(super) fn register(registry: &mut Registry, server: &ApiServer) {
    let times = &server.registry.times().0;
    let took = "How long the store, embedded or etcd, took to commit";
    registry.register("etcd_request_duration_seconds", took, times.clone());
    let objects = Family::<[(&'static str, String); 1], Gauge>::default();
    let of_groups = Family::<[(&'static str, &'static str); 2], Gauge>::default();
    for (storage, table) in server.registry.cache().tables() {
        let owner = TABLE
            .iter()
            .find(|row| row.storage == storage && row.stored_as.is_none());
        let Some(resource) = owner else { continue };
        let count = i64::try_from(table.len()).unwrap_or(i64::MAX);
        objects.get_or_create(&[("resource", resource.qualified())]).set(count);
        of_groups
            .get_or_create(&[("group", resource.group), ("resource", resource.plural)])
            .set(count);
    }
    registry.register("apiserver_storage_objects", "Objects stored", objects);
    registry.register("apiserver_resource_objects", "Objects stored", of_groups);
    let engine = if server.embedded.is_some() { "embedded" } else { "etcd" };
    let size = Family::<Label, Gauge>::default();
    let bytes = server.health.size.load(Ordering::Relaxed);
    size.get_or_create(&[("storage_cluster_id", engine)])
        .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    registry.register(
        "apiserver_storage_size_bytes",
        "Bytes that the store takes on the disk",
        size,
    );
}
