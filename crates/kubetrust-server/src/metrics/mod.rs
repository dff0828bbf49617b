//! What the server counts, by the names that people alert on (`/metrics`): upstream's, with upstream's labels, as far as
//! the server has what they count. Of what upstream calls stable, `apiserver_admission_webhook_*` is missing, since there
//! are no webhooks.

pub mod admission;
mod authentication;
mod health;
mod process;
mod requests;
mod storage;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use authentication::Authentication;
pub use health::Health;
pub use requests::{About, Requests, dry_run};
pub use storage::StoreTimes;

use crate::ApiServer;

/// Type of the labels of a metric that has one.
type Label = [(&'static str, &'static str); 1];

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    /// Of requests and answers.
    pub requests: Requests,
    /// Of who is believed.
    pub authentication: Authentication,
    /// Of the checks of `/readyz` and the like.
    pub health: Health,
    started: Timestamp,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            requests: Requests::default(),
            authentication: Authentication::default(),
            health: Health::default(),
            started: now,
        }
    }

    /// The text of `/metrics`.
    pub fn text(&self, server: &ApiServer) -> String {
        let mut registry = Registry::default();
        self.requests.register(&mut registry);
        self.authentication.register(&mut registry, server);
        self.health.register(&mut registry);
        if let Some(times) = server.admission.times() {
            times.register(&mut registry);
        }
        storage::register(&mut registry, server);
        if let Some(counters) = server.audit.counters() {
            counters.register(&mut registry);
        }
        process::register(&mut registry, self.started);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
