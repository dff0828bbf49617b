//! What the server counts, by the names that people alert on (`/metrics`, upstream's names).

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use kubetrust_api::resource;
use kubetrust_auth::authz::Attributes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::ApiServer;

/// Upper bounds of request durations, in seconds (a part of upstream's).
const DURATIONS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 10.0, 60.0,
];

/// What a finished request is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<VerbLabels, Histogram, fn() -> Histogram>,
    authentications: Family<ResultLabels, Counter>,
    in_flight: Family<KindLabels, Gauge>,
    started: Timestamp,
}

/// A request that is being answered; counted when it is dropped.
#[derive(Debug)]
pub struct InFlightGuard(Gauge);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            authentications: Family::default(),
            in_flight: Family::default(),
            started: now,
        }
    }

    /// Counts a request for as long as the guard lives.
    #[must_use]
    pub fn enter(&self, read_only: bool) -> InFlightGuard {
        let request_kind = if read_only { "readOnly" } else { "mutating" };
        let gauge = self.in_flight.get_or_create(&KindLabels { request_kind }).clone();
        gauge.inc();
        InFlightGuard(gauge)
    }

    /// Counts whether a request's credentials were believed.
    pub fn authenticated(&self, result: &'static str) {
        self.authentications.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts an answered request.
    pub fn answered(&self, about: Answered, code: u16, took: Duration) {
        let Answered {
            verb,
            group,
            version,
            resource,
            subresource,
        } = about;
        self.requests
            .get_or_create(&RequestLabels {
                verb,
                group,
                version,
                resource,
                subresource,
                code,
            })
            .inc();
        self.durations
            .get_or_create(&VerbLabels { verb })
            .observe(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub fn text(&self, server: &ApiServer) -> String {
        let mut registry = Registry::default();
        registry.register("apiserver_request", "Requests answered", self.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "How long requests took",
            self.durations.clone(),
        );
        registry.register(
            "authentication_attempts",
            "Authentications by their result",
            self.authentications.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being answered",
            self.in_flight.clone(),
        );
        if let Some(counters) = server.audit.counters() {
            counters.register(&mut registry);
        }
        let objects = Family::<ResourceLabels, Gauge>::default();
        let watchers = Family::<ResourceLabels, Gauge>::default();
        for (storage, table) in server.registry.cache().tables() {
            let labels = ResourceLabels {
                resource: storage.to_owned(),
            };
            objects
                .get_or_create(&labels)
                .set(i64::try_from(table.len()).unwrap_or(i64::MAX));
            watchers
                .get_or_create(&labels)
                .set(i64::try_from(table.watchers()).unwrap_or(i64::MAX));
        }
        registry.register("apiserver_storage_objects", "Objects stored", objects);
        registry.register("apiserver_longrunning_requests", "Watches open", watchers);
        let reloads = Family::<StatusLabels, Gauge>::default();
        for (status, count) in [
            ("success", &server.reloads.succeeded),
            ("failure", &server.reloads.failed),
        ] {
            let value = i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            reloads.get_or_create(&StatusLabels { status }).set(value);
        }
        registry.register(
            "kubetrust_credentials_reloads",
            "Replacements of credentials from changed files",
            reloads,
        );
        let started = Gauge::<i64>::default();
        started.set(self.started.as_second());
        registry.register(
            "process_start_time_seconds",
            "When the server started, since the epoch",
            started,
        );
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// What a request was about, as it is counted: only what is served becomes a label, so that no client can fill the
/// memory with its inventions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
}

/// Verbs as upstream's metrics spell them.
const VERBS: [(&str, &str); 9] = [
    ("get", "GET"),
    ("list", "LIST"),
    ("watch", "WATCH"),
    ("create", "CREATE"),
    ("update", "UPDATE"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("deletecollection", "DELETECOLLECTION"),
    ("post", "POST"),
];
const OTHER: &str = "OTHER";

impl Answered {
    /// What a request asks for.
    #[must_use]
    pub fn of(attributes: &Attributes) -> Self {
        let verb = VERBS
            .iter()
            .find(|(verb, _)| *verb == attributes.verb())
            .map_or(OTHER, |(_, label)| label);
        let Attributes::Resource(asked) = attributes else {
            return Self {
                verb,
                ..Self::default()
            };
        };
        let Some(resource) = resource::lookup(&asked.group, &asked.version, &asked.resource) else {
            return Self {
                verb: OTHER,
                ..Self::default()
            };
        };
        Self {
            verb,
            group: resource.group,
            version: resource.version,
            resource: resource.plural,
            subresource: resource
                .subresource(&asked.subresource)
                .map_or("", |subresource| subresource.name),
        }
    }
}
