//! Requests and their answers (`k8s.io/apiserver/pkg/endpoints/metrics`).

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use kubetrust_api::resource::{self, Resource};
use kubetrust_auth::authz::Attributes;
use kubetrust_auth::authz::attributes::ResourceAttributes;
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Label;
use crate::endpoints;
use crate::http::request_info::RequestInfo;
use crate::http::respond::Reply;

/// Upper bounds of request durations, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Upper bounds of the sizes of answers, in bytes.
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Who counts.
const COMPONENT: &str = "apiserver";

/// What a request was about, as it is counted: only what is served becomes a label, so that no client can fill the
/// memory with its inventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct About {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DryRun {
    #[prometheus(flatten)]
    about: About,
    dry_run: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Coded {
    #[prometheus(flatten)]
    about: DryRun,
    code: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Terminated {
    #[prometheus(flatten)]
    about: About,
    code: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Deprecated {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    removed_release: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
}

/// What an answer of one kind is counted by, found once.
#[derive(Clone, Debug)]
struct Row {
    answered: Counter,
    durations: Histogram,
    sizes: Option<Histogram>,
    terminated: Option<Counter>,
}

/// The labels of a [`Row`] by where their texts lie. Equal texts at two places make two rows of the same counters.
type Place = [usize; 8];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is counted of requests.
#[derive(Debug)]
pub struct Requests {
    answered: Family<Coded, Counter>,
    durations: Histograms<DryRun>,
    sizes: Histograms<About>,
    terminated: Family<Terminated, Counter>,
    deprecated: Family<Deprecated, Gauge>,
    long_running: Family<About, Gauge>,
    in_flight: Family<Label, Gauge>,
    reading: Gauge,
    mutating: Gauge,
    watch_events: Family<Watched, Counter>,
    /// Comparing labels for each counter of each request costs more than all the rest of counting it.
    rows: RwLock<HashMap<Place, Row>>,
}

/// A request that is being answered; counted until this is dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    fn of(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Requests {
    fn default() -> Self {
        let in_flight = Family::<Label, Gauge>::default();
        Self {
            reading: in_flight.get_or_create_owned(&[("request_kind", "readOnly")]),
            mutating: in_flight.get_or_create_owned(&[("request_kind", "mutating")]),
            rows: RwLock::default(),
            answered: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            sizes: Family::new_with_constructor(|| Histogram::new(SIZES)),
            terminated: Family::default(),
            deprecated: Family::default(),
            long_running: Family::default(),
            in_flight,
            watch_events: Family::default(),
        }
    }
}

impl Requests {
    /// Counts a request for as long as what it gives lives: among those in flight, or, where its answer may go on for as
    /// long as it likes, among the long-running ones.
    #[must_use]
    pub fn enter(&self, info: &RequestInfo, about: About) -> Counted {
        let gauge = if info.is_long_running() {
            self.long_running.get_or_create_owned(&about)
        } else {
            let gauge = if info.is_read_only() {
                &self.reading
            } else {
                &self.mutating
            };
            gauge.clone()
        };
        Counted::of(gauge)
    }

    /// Counts an answered request.
    pub fn answered(&self, about: About, dry_run: &'static str, reply: &Reply, took: Duration) {
        let code = reply.status().as_u16();
        let place = place(about, dry_run, code);
        let known = self.rows.read().get(&place).cloned();
        let row = known.unwrap_or_else(|| {
            let row = self.row(about, dry_run, code);
            self.rows.write().insert(place, row.clone());
            row
        });
        row.answered.inc();
        row.durations.observe(took.as_secs_f64());
        if let Some(sizes) = row.sizes
            && let Some(size) = http_body::Body::size_hint(reply.body()).exact()
        {
            #[expect(clippy::cast_precision_loss, reason = "sizes of answers are far below 2^52")]
            sizes.observe(size as f64);
        }
        if let Some(terminated) = row.terminated {
            terminated.inc();
        }
    }

    fn row(&self, about: About, dry_run: &'static str, code: u16) -> Row {
        if is_deprecated(&about) {
            let deprecated = Deprecated {
                group: about.group,
                version: about.version,
                resource: about.resource,
                subresource: about.subresource,
                removed_release: "",
            };
            self.deprecated.get_or_create(&deprecated).set(1);
        }
        let labels = DryRun { about, dry_run };
        // As upstream: only of what is read, and of a watch there is no size.
        let has_size = matches!(about.verb, "GET" | "LIST");
        let terminated = Terminated { about, code };
        Row {
            answered: self.answered.get_or_create_owned(&Coded { about: labels, code }),
            durations: self.durations.get_or_create_owned(&labels),
            sizes: has_size.then(|| self.sizes.get_or_create_owned(&about)),
            terminated: matches!(code, 429 | 504).then(|| self.terminated.get_or_create_owned(&terminated)),
        }
    }

    /// The counter of the events that watchers of a resource are sent.
    #[must_use]
    pub fn watch_events(&self, resource: &Resource) -> Counter {
        self.watch_events.get_or_create_owned(&Watched {
            group: resource.group,
            version: resource.version,
            resource: resource.plural,
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("apiserver_request", "Requests answered", self.answered.clone());
        let took = "How long requests took";
        registry.register("apiserver_request_duration_seconds", took, self.durations.clone());
        // Upstream leaves out the time of webhooks and of queues, and there are none.
        registry.register("apiserver_request_sli_duration_seconds", took, self.durations.clone());
        registry.register(
            "apiserver_response_sizes",
            "Bytes of answers to reads",
            self.sizes.clone(),
        );
        registry.register(
            "apiserver_request_terminations",
            "Requests that were refused or given up in self-defence",
            self.terminated.clone(),
        );
        registry.register(
            "apiserver_requested_deprecated_apis",
            "What was asked for and is not to be used any more",
            self.deprecated.clone(),
        );
        registry.register(
            "apiserver_longrunning_requests",
            "Long-running requests",
            self.long_running.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "apiserver_watch_events",
            "Events sent to watchers",
            self.watch_events.clone(),
        );
    }
}

fn place(about: About, dry_run: &'static str, code: u16) -> Place {
    let at = |text: &'static str| text.as_ptr().addr();
    [
        at(about.verb),
        at(about.group),
        at(about.version),
        at(about.resource),
        at(about.subresource),
        at(about.scope),
        at(dry_run),
        usize::from(code),
    ]
}

fn is_deprecated(about: &About) -> bool {
    // Only the core group has any.
    about.group.is_empty()
        && resource::lookup(about.group, about.version, about.resource)
            .is_some_and(|resource| resource.deprecation().is_some())
}

/// Methods of what is no resource.
const METHODS: [(Method, &str); 5] = [
    (Method::GET, "GET"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::PATCH, "PATCH"),
    (Method::DELETE, "DELETE"),
];
/// Verbs as upstream's metrics spell them: by method, but for lists, watches and connections.
const VERBS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("list", "LIST"),
    ("watch", "WATCH"),
    ("create", "POST"),
    ("update", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("deletecollection", "DELETE"),
];
const OTHER: &str = "OTHER";

impl About {
    /// What a request asks for.
    #[must_use]
    pub fn of(method: &Method, info: &RequestInfo) -> Self {
        match &info.attributes {
            Attributes::Resource(asked) => Self::resource(asked),
            Attributes::NonResource { path, .. } => Self {
                verb: METHODS
                    .iter()
                    .find(|(known, _)| known == method)
                    .map_or(OTHER, |row| row.1),
                subresource: endpoints::route(path).unwrap_or_default(),
                component: COMPONENT,
                ..Self::default()
            },
        }
    }

    fn resource(asked: &ResourceAttributes) -> Self {
        let unknown = Self {
            verb: OTHER,
            component: COMPONENT,
            ..Self::default()
        };
        let Some(resource) = resource::lookup(&asked.group, &asked.version, &asked.resource) else {
            return unknown;
        };
        let part = resource.subresource(&asked.subresource);
        let verb = VERBS
            .iter()
            .find(|(verb, _)| *verb == asked.verb)
            .map_or(OTHER, |row| row.1);
        Self {
            verb: if part.is_some_and(|part| part.connects) {
                "CONNECT"
            } else {
                verb
            },
            group: resource.group,
            version: resource.version,
            resource: resource.plural,
            subresource: part.map_or("", |part| part.name),
            scope: match (asked.name.as_str(), asked.namespace.as_str()) {
                ("", _) if asked.verb == "create" => "resource",
                ("", "") => "cluster",
                ("", _) => "namespace",
                _ => "resource",
            },
            component: COMPONENT,
        }
    }
}

/// `dryRun` of a query, as it is counted.
#[must_use]
pub fn dry_run(info: &RequestInfo) -> &'static str {
    let mut values = info.query.all("dryRun");
    match values.next() {
        None => "",
        Some("All") if values.all(|value| value == "All") => "All",
        Some(_) => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_labels_that_alerts_select() {
        #[rustfmt::skip]
        let cases = [
            ("GET", "/api/v1/namespaces/n/pods/p", ["GET", "", "v1", "pods", "", "resource", ""]),
            ("GET", "/api/v1/namespaces/n/pods", ["LIST", "", "v1", "pods", "", "namespace", ""]),
            ("GET", "/api/v1/pods", ["LIST", "", "v1", "pods", "", "cluster", ""]),
            ("GET", "/apis/apps/v1/deployments?watch=1", ["WATCH", "apps", "v1", "deployments", "", "cluster", ""]),
            ("POST", "/api/v1/namespaces/n/pods?dryRun=All", ["POST", "", "v1", "pods", "", "resource", "All"]),
            ("PUT", "/api/v1/namespaces/n/pods/p/status", ["PUT", "", "v1", "pods", "status", "resource", ""]),
            ("PATCH", "/api/v1/nodes/n?dryRun=x", ["PATCH", "", "v1", "nodes", "", "resource", "invalid"]),
            ("DELETE", "/api/v1/nodes/n", ["DELETE", "", "v1", "nodes", "", "resource", ""]),
            ("DELETE", "/api/v1/nodes", ["DELETE", "", "v1", "nodes", "", "cluster", ""]),
            ("POST", "/api/v1/namespaces/n/pods/p/exec", ["CONNECT", "", "v1", "pods", "exec", "resource", ""]),
            ("GET", "/healthz/ping", ["GET", "", "", "", "/healthz", "", ""]),
            ("GET", "/x/y", ["GET", "", "", "", "", "", ""]),
            ("INVENT", "/version", ["OTHER", "", "", "", "/version", "", ""]),
            ("GET", "/apis/invented/v1/things", ["OTHER", "", "", "", "", "", ""]),
            ("GET", "/api/v1/namespaces/n/pods/p/invented", ["GET", "", "v1", "pods", "", "resource", ""]),
        ];
        for (method, line, [verb, group, version, resource, subresource, scope, dry]) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let info = RequestInfo::of(&method, &line.parse().unwrap()).unwrap();
            let want = About {
                verb,
                group,
                version,
                resource,
                subresource,
                scope,
                component: "apiserver",
            };
            assert_eq!(About::of(&method, &info), want, "{method} {line}");
            assert_eq!(dry_run(&info), dry, "{line}");
        }
    }
}
