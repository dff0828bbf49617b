//! The same cases on a real etcd, reached with the cluster's own certificates; and two servers over one etcd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up has failed"
)]

#[path = "../registry/cases/mod.rs"]
mod cases;
#[path = "../support/mod.rs"]
mod support;
mod two_servers;
#[path = "../registry/world.rs"]
mod world;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use kubetrust_server::start::start;
use support::Cluster;
use support::etcd::Etcd;
use world::World;

type Case = for<'a> fn(&'a World) -> LocalBoxFuture<'a, ()>;

/// Runs each case on a server of its own, under a prefix of its own in one etcd.
macro_rules! on_etcd {
    ($($module:ident::$case:ident),* $(,)?) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn every_case_holds_on_etcd() {
            let cluster = Cluster::issue();
            let (mut cluster, etcd) = tokio::task::spawn_blocking(move || {
                let etcd = Etcd::start(&cluster);
                (cluster, etcd)
            })
            .await
            .unwrap();
            let cases: &[(&str, Case)] =
                &[$((stringify!($case), |world| Box::pin(cases::$module::$case(world)))),*];
            let mut failed = Vec::new();
            for (name, case) in cases {
                let options = etcd.options(&cluster, &format!("/{name}"));
                let world = World::start(cluster, options).await;
                if AssertUnwindSafe(case(&world)).catch_unwind().await.is_err() {
                    failed.push(*name);
                }
                world.running.stop().await;
                cluster = world.cluster;
            }
            drop((cluster, etcd));
            assert!(failed.is_empty(), "{failed:#?}");
        }
    };
}

cases::every!(on_etcd);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_again_on_what_another_has_left_in_etcd() {
    let cluster = Cluster::issue();
    let (cluster, etcd) = tokio::task::spawn_blocking(move || {
        let etcd = Etcd::start(&cluster);
        (cluster, etcd)
    })
    .await
    .unwrap();
    let options = etcd.options(&cluster, "/registry");
    let world = World::start(cluster, options).await;
    let namespace = world.namespace("kept").await;
    let begin = world::revision(&world.secret(&namespace, "a").await);
    world.secret(&namespace, "b").await;
    // Where Kubernetes puts it.
    let keys = tokio::task::block_in_place(|| {
        etcd.cluster
            .etcdctl(&["get", "/registry/secrets/kept/", "--prefix", "--keys-only"])
            .success()
    });
    assert_eq!(
        keys.stdout.split_whitespace().collect::<Vec<_>>(),
        ["/registry/secrets/kept/a", "/registry/secrets/kept/b"]
    );
    let all = world.read("/api/v1/secrets").await["items"].clone();
    let world = world.restart().await;
    assert_eq!(world.read("/api/v1/secrets").await["items"], all);
    world.secret(&namespace, "c").await;
    let mut events = world
        .watch(&format!("{namespace}/secrets?watch=1&resourceVersion={begin}"))
        .await;
    assert_eq!(events.names(2).await, ["ADDED b", "ADDED c"]);
    world.running.stop().await;
    drop(etcd);
    // Without its store a server does not start.
    assert!(start(world.options).await.is_err());
}
