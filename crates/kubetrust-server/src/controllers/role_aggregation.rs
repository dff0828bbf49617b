//! Gives aggregated cluster roles the rules of the roles that they select, whenever one changes
//! (`pkg/controller/clusterroleaggregation`).

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::queue::Queue;
use crate::bootstrap;
use crate::registry::Registry;

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    let mut roles = Queue::new(&registry, "clusterroles", &stop);
    while roles.next().await.is_some() {
        roles.drain();
        if let Err(error) = bootstrap::aggregate_roles(&registry, Timestamp::now()).await {
            warn!(%error, "aggregated cluster roles could not be written");
        }
    }
}
