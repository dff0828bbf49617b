//! A server that is stopped and started again on the same folder.

use std::sync::Arc;

use kubetrust_server::options::StoreOptions;
use kubetrust_store::embedded::{self, Embedded};
use kubetrust_store::etcd::Etcd;
use kubetrust_store::{Change, Store, Write};
use serde_json::{Value, json};

use super::world::{World, config_map, names, revision, until};
use crate::support::{Engine, Events, engine};

on_both!(
    everything_is_there_after_a_restart_and_watches_go_on,
    a_watch_from_a_revision_that_is_gone_is_told_so,
    an_orphaning_deletion_that_a_restart_met_spares_every_dependent,
);

async fn everything_is_there_after_a_restart_and_watches_go_on(engine: Engine) {
    let world = World::on(engine).await;
    let namespace = world.namespace("kept").await;
    let (secrets, maps) = (format!("{namespace}/secrets"), format!("{namespace}/configmaps"));
    for name in ["a", "b", "c", "d"] {
        world.secret(&namespace, name).await;
    }
    let map = world.create(&maps, &config_map("x")).await;
    let page = world.read(&format!("{secrets}?limit=2")).await;
    let begin = revision(&page);
    let mut events = world.watch(&format!("{secrets}?watch=1&resourceVersion={begin}")).await;
    let changed = world
        .admin
        .patch(
            &format!("{secrets}/a"),
            "application/merge-patch+json",
            &json!({"data": {"n": "MQ=="}}),
        )
        .await
        .json();
    assert_eq!(world.admin.delete(&format!("{secrets}/d")).await.code, 200);
    assert_eq!(events.names(2).await, ["MODIFIED a", "DELETED d"]);
    let all = world.read("/api/v1/secrets").await["items"].clone();

    let world = Box::pin(world.restart()).await;
    // The watch ended with the server, and not with an error that a client would have to understand.
    assert_eq!(events.next().await, None);
    assert_eq!(world.read("/api/v1/secrets").await["items"], all);
    assert_eq!(world.read(&format!("{maps}/x")).await, map);
    world.secret(&namespace, "e").await;
    let mut on = world.watch(&format!("{secrets}?watch=1&resourceVersion={begin}")).await;
    assert_eq!(on.some().await["object"], changed);
    assert_eq!(on.names(2).await, ["DELETED d", "ADDED e"]);
    // So do pages.
    let token = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(
        names(&world.read(&format!("{secrets}?continue={token}")).await),
        ["c", "d"]
    );
    world.running.stop().await;
}

async fn a_watch_from_a_revision_that_is_gone_is_told_so(engine: Engine) {
    let world = World::alone(engine).await;
    let namespace = world.namespace("old").await;
    let begin = revision(&world.secret(&namespace, "a").await);
    let now = revision(&world.secret(&namespace, "b").await);
    let World {
        cluster,
        options,
        running,
        ..
    } = world;
    running.stop().await;
    let store = engine::open(&options.store).await;
    store.compact(now).await.unwrap();
    drop(store);
    let world = World::start(cluster, options).await;
    let secrets = format!("{namespace}/secrets");
    let refused = Events::open(&world.admin, &format!("{secrets}?watch=1&resourceVersion={begin}")).await;
    let (code, status) = refused.err().expect("the watch goes on over a gap");
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")), "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("too old resource version: "),
        "{status}"
    );
    // From what is left it goes on.
    let mut events = world
        .watch(&format!(
            "{secrets}?watch=1&resourceVersion={}",
            revision(&world.read(&secrets).await)
        ))
        .await;
    world.secret(&namespace, "c").await;
    assert_eq!(events.names(1).await, ["ADDED c"]);
    world.running.stop().await;
}

/// The store of a server that is stopped.
fn store(options: &StoreOptions) -> Arc<dyn Store> {
    match options {
        StoreOptions::Embedded(folder) => Arc::new(Embedded::open(folder, embedded::Options::default()).unwrap()),
        StoreOptions::Etcd(options) => Arc::new(Etcd::new(options.clone()).unwrap()),
    }
}

async fn an_orphaning_deletion_that_a_restart_met_spares_every_dependent(engine: Engine) {
    const DEPENDENTS: usize = 40;
    let world = World::on(engine).await;
    let namespace = world.namespace("orphans").await;
    let (secrets, maps) = (format!("{namespace}/secrets"), format!("{namespace}/configmaps"));
    let owner = world.create(&maps, &config_map("a")).await;
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner["metadata"]["uid"]});
    for number in 0..DEPENDENTS {
        let metadata = json!({"name": format!("s{number}"), "ownerReferences": [reference]});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata});
        world.create(&secrets, &secret).await;
    }
    world.running.stop().await;

    // As a server leaves it that was asked for the deletion and came no further.
    let key = format!("{}/configmaps/orphans/a", world.options.prefix);
    let stopped = store(&world.options.store);
    let stored = stopped.get(key.as_bytes()).await.unwrap().0.unwrap();
    let mut object: Value = serde_json::from_slice(&stored.value).unwrap();
    object["metadata"]["finalizers"] = json!(["orphan"]);
    object["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
    let write = Write {
        key: stored.key,
        expect: None,
        change: Some(Change::Put {
            value: object.to_string().into(),
            lease: None,
        }),
    };
    stopped.commit(vec![write]).await.unwrap();
    drop(stopped);

    let world = World::start(world.cluster, world.options).await;
    until("its finalizer is taken off", async || {
        world.admin.get(&format!("{maps}/a")).await.code == 404
    })
    .await;
    let left = world.read(&secrets).await;
    let left = left["items"].as_array().unwrap();
    assert_eq!(left.len(), DEPENDENTS);
    assert!(
        left.iter()
            .all(|secret| secret["metadata"]["ownerReferences"].is_null())
    );
    world.running.stop().await;
}
