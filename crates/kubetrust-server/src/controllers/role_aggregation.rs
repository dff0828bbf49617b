//! Gives aggregated cluster roles the rules of the roles that they select, whenever one changes
//! (`pkg/controller/clusterroleaggregation`).

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::queue::Queue;
use super::through_outages;
use crate::bootstrap;
use crate::registry::Registry;

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    let mut roles = Queue::new(&registry, "clusterroles", &stop);
    while roles.change().await.is_some() {
        roles.drain();
        let aggregated = through_outages(&stop, || bootstrap::aggregate_roles(&registry, Timestamp::now()));
        if let Err(error) = aggregated.await {
            warn!(%error, "aggregated cluster roles could not be written");
        }
    }
}
