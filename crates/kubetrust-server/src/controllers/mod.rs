//! What keeps the cluster in shape beside the requests: each controller one file, each a loop that looks at what
//! changed and makes it fit.

mod garbage_collector;
mod namespace;
mod queue;
mod role_aggregation;
mod service_account;

use tokio::sync::watch;

use crate::registry::Registry;

/// Starts all of them; they end when the server stops.
pub fn spawn(registry: &Registry, root_ca: Option<String>, stop: &watch::Receiver<bool>) {
    tokio::spawn(namespace::run(registry.clone(), stop.clone()));
    tokio::spawn(service_account::run(registry.clone(), root_ca, stop.clone()));
    tokio::spawn(role_aggregation::run(registry.clone(), stop.clone()));
    tokio::spawn(garbage_collector::run(registry.clone(), stop.clone()));
}
