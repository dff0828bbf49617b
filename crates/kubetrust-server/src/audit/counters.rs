//! What auditing counts, under upstream's names (`k8s.io/apiserver/pkg/audit/metrics.go`).

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::level::{LEVELS, Level};

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Events that were made.
    pub events: Counter,
    /// Events that were given up because the log did not keep up.
    pub dropped: Counter,
    /// Events that could not be written.
    pub failed: Counter,
    errors: Family<Label, Counter>,
    levels: Family<Label, Counter>,
    /// The same as in the family, found without a lock. In the order of [`LEVELS`].
    by_level: [Counter; LEVELS.len()],
}

type Label = [(&'static str, &'static str); 1];

impl Default for Counters {
    fn default() -> Self {
        let (errors, levels) = (Family::<Label, Counter>::default(), Family::<Label, Counter>::default());
        Self {
            events: Counter::default(),
            // As upstream has it, `buffered` is the queue and `log` the file.
            dropped: errors.get_or_create_owned(&[("plugin", "buffered")]),
            failed: errors.get_or_create_owned(&[("plugin", "log")]),
            by_level: LEVELS.map(|(name, _)| levels.get_or_create_owned(&[("level", name)])),
            errors,
            levels,
        }
    }
}

impl Counters {
    /// Requests that the policy gave this level.
    #[must_use]
    pub fn level(&self, level: Level) -> &Counter {
        let [none, metadata, request, request_response] = &self.by_level;
        match level {
            Level::None => none,
            Level::Metadata => metadata,
            Level::Request => request,
            Level::RequestResponse => request_response,
        }
    }

    /// Makes them part of `/metrics`: `apiserver_audit_event_total`, `apiserver_audit_error_total` and
    /// `apiserver_audit_level_total`.
    pub fn register(&self, registry: &mut Registry) {
        let events = "Counter of audit events generated and sent to the audit backend";
        registry.register("apiserver_audit_event", events, self.events.clone());
        let errors = "Counter of audit events that failed to be audited properly, by what failed";
        registry.register("apiserver_audit_error", errors, self.errors.clone());
        let levels = "Counter of policy levels for audit events (1 per request)";
        registry.register("apiserver_audit_level", levels, self.levels.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_told_by_the_names_that_people_alert_on() {
        let counters = Counters::default();
        counters.events.inc();
        counters.dropped.inc_by(2);
        counters.failed.inc_by(3);
        counters.level(Level::Metadata).inc_by(4);
        let mut registry = Registry::default();
        counters.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "apiserver_audit_event_total 1",
            "apiserver_audit_error_total{plugin=\"buffered\"} 2",
            "apiserver_audit_error_total{plugin=\"log\"} 3",
            "apiserver_audit_level_total{level=\"Metadata\"} 4",
            "apiserver_audit_level_total{level=\"None\"} 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\n{text}");
        }
    }
}
