//! What the checks of health found (`k8s.io/component-base/metrics/prometheus/slis`).

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of checks.
#[derive(Debug, Default)]
pub struct Health {
    last: Family<[(&'static str, &'static str); 2], Gauge>,
    total: Family<[(&'static str, &'static str); 3], Counter>,
}

impl Health {
    /// Counts what a check found, for one of the endpoints: `livez`.
    pub fn checked(&self, name: &'static str, endpoint: &'static str, holds: bool) {
        let status = if holds { "success" } else { "error" };
        let labels = [("name", name), ("type", endpoint)];
        self.last.get_or_create(&labels).set(i64::from(holds));
        let [name, endpoint] = labels;
        self.total.get_or_create(&[name, endpoint, ("status", status)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let last = "Whether a check of health held when it was last asked";
        registry.register("kubernetes_healthcheck", last, self.last.clone());
        registry.register(
            "kubernetes_healthchecks",
            "Checks of health by what they found",
            self.total.clone(),
        );
    }
}
