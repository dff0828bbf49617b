//! What keeps the cluster in shape beside the requests: each controller one file, each a loop that looks at what
//! changed and makes it fit.

mod api_services;
mod garbage_collector;
mod kubernetes_service;
mod legacy_tokens;
mod namespace;
mod queue;
mod role_aggregation;
mod service_account;

use std::net::SocketAddr;
use std::time::Duration;

use kubetrust_api::status::Status;
use kubetrust_auth::authn::service_account::UsedSecret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::registry::Registry;
use crate::registry::services::Ranges;
use crate::stop::told;

pub use legacy_tokens::USED_SECRETS;

/// How long to wait before something is tried again that the store was away for.
const AGAIN: Duration = Duration::from_millis(500);

/// Starts all of them for the server at this address; they end when it stops. Whoever lets go of the store waits for
/// what is returned: the server takes itself out of the Service `kubernetes`.
pub fn spawn(
    registry: &Registry,
    address: SocketAddr,
    root_ca: Option<String>,
    used_secrets: mpsc::Receiver<UsedSecret>,
    stop: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(namespace::run(registry.clone(), stop.clone()));
    tokio::spawn(service_account::run(registry.clone(), root_ca, stop.clone()));
    tokio::spawn(legacy_tokens::run(registry.clone(), used_secrets, stop.clone()));
    tokio::spawn(role_aggregation::run(registry.clone(), stop.clone()));
    tokio::spawn(garbage_collector::run(registry.clone(), stop.clone()));
    tokio::spawn(api_services::run(registry.clone(), stop.clone()));
    let service_address = registry.ranges().and_then(Ranges::first);
    tokio::spawn(kubernetes_service::run(
        registry.clone(),
        address,
        service_address,
        stop.clone(),
    ))
}

/// Does something, again and again for as long as the store is away: who is told of a change is told once.
pub(crate) async fn through_outages<F: Future<Output = Result<(), Status>>>(
    stop: &watch::Receiver<bool>,
    work: impl Fn() -> F,
) -> Result<(), Status> {
    let mut stop = stop.clone();
    loop {
        match work().await {
            Err(status) if matches!(status.code, 503 | 504) => {
                warn!(error = %status, "the store is away; it is tried again");
            }
            other => return other,
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = told(&mut stop) => return Ok(()),
        }
    }
}
