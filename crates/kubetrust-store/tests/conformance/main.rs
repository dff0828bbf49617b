//! One suite that every engine passes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod given;
mod model;
#[path = "../support/etcd.rs"]
mod peer;

use std::sync::Arc;

use kubetrust_store::Store;
use kubetrust_store::embedded::{Embedded, Options};
use kubetrust_store::etcd::Etcd;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_engine_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicUsize::new(0);
    cases::run(async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = Embedded::open(&folder.path().join(number.to_string()), Options::default()).unwrap();
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_conforms() {
    let peer = tokio::task::spawn_blocking(|| peer::Etcd::start(1)).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(Etcd::new(peer.options()).unwrap());
    cases::run(async || Arc::clone(&store)).await;
}
