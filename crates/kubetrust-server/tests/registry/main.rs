//! What the registry of resources does, seen by a client: each case on a server of its own, on the embedded store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up has failed"
)]

mod cases;
mod restart;
#[path = "../support/mod.rs"]
mod support;
mod world;

/// A test of each case.
macro_rules! on_embedded {
    ($($module:ident::$case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let world = world::World::embedded().await;
                cases::$module::$case(&world).await;
                world.running.stop().await;
            }
        )*
    };
}

cases::every!(on_embedded);
