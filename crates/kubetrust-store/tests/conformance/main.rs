//! One suite that every engine passes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod given;
mod model;

use std::sync::Arc;

use kubetrust_store::Store;
use kubetrust_store::embedded::{Embedded, Options};

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
