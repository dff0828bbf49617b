//! How long admission takes (`k8s.io/apiserver/pkg/admission/metrics`). Every write passes all plugins twice, so what
//! they are counted by is looked up once, at the start.

use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::admission::{Step, Verb};

/// Upper bounds, in seconds.
const DURATIONS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
/// The steps, as labels call them.
const TYPES: [&str; 2] = ["admit", "validate"];
const VERBS: [Verb; 3] = [Verb::Create, Verb::Update, Verb::Delete];
const REJECTED: [&str; 2] = ["false", "true"];

type Histograms<const N: usize> = Family<[(&'static str, &'static str); N], Histogram, fn() -> Histogram>;
/// By type, verb and whether it was rejected.
type Table = [[[Histogram; REJECTED.len()]; VERBS.len()]; TYPES.len()];

/// The times of all plugins, and of the steps as a whole.
#[derive(Debug)]
pub struct Times {
    plugins: Histograms<4>,
    steps: Histograms<3>,
    by_plugin: Vec<Table>,
    by_step: Table,
}

impl Times {
    /// For plugins of these names, in their order.
    #[must_use]
    pub fn new(names: &[&'static str]) -> Self {
        let plugins: Histograms<4> = Family::new_with_constructor(|| Histogram::new(DURATIONS));
        let steps: Histograms<3> = Family::new_with_constructor(|| Histogram::new(DURATIONS));
        let by_plugin = names.iter().map(|name| {
            table(|[kind, operation, rejected]| {
                plugins.get_or_create_owned(&[("name", *name), kind, operation, rejected])
            })
        });
        Self {
            by_plugin: by_plugin.collect(),
            by_step: table(|labels| steps.get_or_create_owned(&labels)),
            plugins,
            steps,
        }
    }

    /// Counts what the plugin at this place took.
    pub fn plugin(&self, place: usize, step: Step, verb: Verb, rejected: bool, took: Duration) {
        if let Some(table) = self.by_plugin.get(place) {
            of(table, step, verb, rejected).observe(took.as_secs_f64());
        }
    }

    /// Counts what a whole step took.
    pub fn step(&self, step: Step, verb: Verb, rejected: bool, took: Duration) {
        of(&self.by_step, step, verb, rejected).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_admission_controller_admission_duration_seconds",
            "How long admission plugins took",
            self.plugins.clone(),
        );
        registry.register(
            "apiserver_admission_step_admission_duration_seconds",
            "How long the steps of admission took",
            self.steps.clone(),
        );
    }
}

fn table(of: impl Fn([(&'static str, &'static str); 3]) -> Histogram) -> Table {
    TYPES.map(|kind| {
        VERBS.map(|verb| {
            REJECTED.map(|rejected| of([("type", kind), ("operation", verb.name()), ("rejected", rejected)]))
        })
    })
}

fn of(table: &Table, step: Step, verb: Verb, rejected: bool) -> &Histogram {
    let [admit, validate] = table;
    let [create, update, delete] = match step {
        Step::Admit => admit,
        Step::Validate => validate,
    };
    let [passed, refused] = match verb {
        Verb::Create => create,
        Verb::Update => update,
        Verb::Delete => delete,
    };
    if rejected { refused } else { passed }
}
