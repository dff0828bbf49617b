//! How everything that runs learns that the server stops.

use tokio::sync::watch;

/// Is ready once the server is told to stop, or has gone.
pub async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
