//! What the verbs that serve share: the runtime, the log, and how they end.

use std::io::IsTerminal as _;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// The variable that says what is logged: `KUBETRUST_LOG=debug`, or `kubetrust_server=trace`.
const LOG: &str = "KUBETRUST_LOG";

/// The runtime, with the log to standard error.
pub fn runtime() -> Result<Runtime, Failure> {
    let filter = EnvFilter::try_from_env(LOG).unwrap_or_else(|_| EnvFilter::new("warn"));
    // A second server in one process (a test) finds the log set up already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io {
            what: "start the runtime".into(),
            error,
        })
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn until_told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
