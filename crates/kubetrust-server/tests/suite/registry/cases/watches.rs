//! Watches: every change once, in order, from where it was asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::registry::world::{World, config_map, revision, secret};
use crate::support::Events;

const MERGE: &str = "application/merge-patch+json";

pub async fn a_watch_has_every_write_of_many_once_and_in_order(world: &World) {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 15;
    let secrets = format!("{}/secrets", world.namespace("order").await);
    let begin = revision(&world.read(&secrets).await);
    let mut early = world.watch(&format!("{secrets}?watch=1&resourceVersion={begin}")).await;
    let admin = Arc::new(world.client(world.cluster.kubeconfig("admin")));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (admin, secrets) = (Arc::clone(&admin), secrets.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..ROUNDS {
                    let name = format!("w{writer}-{round}");
                    let path = format!("{secrets}/{name}");
                    acknowledged.push(revision(&admin.post(&secrets, &secret(&name)).await.json()));
                    let change = json!({"data": {"round": "MQ=="}});
                    acknowledged.push(revision(&admin.patch(&path, MERGE, &change).await.json()));
                    // A read sees what was acknowledged, whatever engine there is.
                    assert_eq!(admin.get(&path).await.json()["data"]["round"], "MQ==");
                    assert_eq!(admin.delete(&path).await.code, 200);
                    assert_eq!(admin.get(&path).await.code, 404);
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        for revision in writer.await.unwrap() {
            assert!(acknowledged.insert(revision), "two writes have revision {revision}");
        }
    }
    let count = WRITERS * ROUNDS * 3;
    let mut late = world.watch(&format!("{secrets}?watch=1&resourceVersion={begin}")).await;
    let mut histories = Vec::new();
    for events in [&mut early, &mut late] {
        let mut history = Vec::new();
        for _ in 0..count {
            history.push(events.what().await);
        }
        assert!(
            history.is_sorted_by(|(_, _, one), (_, _, next)| one < next),
            "out of order: {history:?}"
        );
        assert!(
            events.is_silent(Duration::from_millis(100)).await,
            "more came than was written"
        );
        histories.push(history);
    }
    assert_eq!(histories[0], histories[1], "the watch from the past saw something else");
    let written: BTreeSet<u64> = histories[0]
        .iter()
        .filter(|(kind, _, _)| kind != "DELETED")
        .map(|(_, _, revision)| *revision)
        .collect();
    assert_eq!(written, acknowledged);
    for writer in 0..WRITERS {
        for round in 0..ROUNDS {
            let name = format!("w{writer}-{round}");
            let life: Vec<&str> = histories[0]
                .iter()
                .filter(|(_, of, _)| *of == name)
                .map(|(kind, _, _)| kind.as_str())
                .collect();
            assert_eq!(life, ["ADDED", "MODIFIED", "DELETED"], "{name}");
        }
    }
    // From the middle it is the rest.
    let (_, _, middle) = histories[0][count / 2];
    let mut rest = world
        .watch(&format!("{secrets}?watch=1&resourceVersion={middle}"))
        .await;
    for want in &histories[0][count / 2 + 1..] {
        assert_eq!(rest.what().await, *want);
    }
}

pub async fn an_object_enters_and_leaves_a_selection(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("enter").await);
    let begin = revision(&world.read(&maps).await);
    let mut chosen = world
        .watch(&format!("{maps}?watch=1&resourceVersion={begin}&labelSelector=on%3D1"))
        .await;
    let mut named = world
        .watch(&format!(
            "{maps}?watch=1&resourceVersion={begin}&fieldSelector=metadata.name%3Dx"
        ))
        .await;
    let path = format!("{maps}/x");
    world.create(&maps, &config_map("x")).await;
    world.create(&maps, &config_map("xx")).await;
    let step = async |patch| revision(&world.admin.patch(&path, MERGE, &patch).await.json());
    let entered = step(json!({"metadata": {"labels": {"on": "1"}}})).await;
    let changed = step(json!({"data": {"key": "2"}})).await;
    let left = step(json!({"metadata": {"labels": {"on": "0"}}, "data": {"key": "3"}})).await;
    step(json!({"data": {"key": "4"}})).await;
    let again = step(json!({"metadata": {"labels": {"on": "1"}}})).await;
    assert_eq!(world.admin.delete(&path).await.code, 200);

    for (kind, at) in [("ADDED", entered), ("MODIFIED", changed)] {
        assert_eq!(chosen.what().await, (kind.to_owned(), "x".to_owned(), at));
    }
    // It leaves with the state that the client knew, at the revision of the change.
    let leaves = chosen.some().await;
    assert_eq!(
        (&leaves["type"], revision(&leaves["object"])),
        (&json!("DELETED"), left)
    );
    assert_eq!(
        (
            &leaves["object"]["data"]["key"],
            &leaves["object"]["metadata"]["labels"]["on"]
        ),
        (&json!("2"), &json!("1"))
    );
    assert_eq!(chosen.what().await, ("ADDED".to_owned(), "x".to_owned(), again));
    assert_eq!(chosen.what().await.0, "DELETED");
    assert!(chosen.is_silent(Duration::from_millis(100)).await);
    let all: Vec<String> = [
        "ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED",
    ]
    .map(|kind| format!("{kind} x"))
    .to_vec();
    assert_eq!(named.names(7).await, all);
    assert!(named.is_silent(Duration::from_millis(100)).await);
    // The old way to watch one object.
    let mut old_way = world
        .watch(&format!(
            "/api/v1/watch/namespaces/enter/configmaps/xx?resourceVersion={begin}"
        ))
        .await;
    assert_eq!(old_way.names(1).await, ["ADDED xx"]);
    assert!(old_way.is_silent(Duration::from_millis(100)).await);
}

pub async fn a_deletion_carries_the_last_state(world: &World) {
    let namespace = world.namespace("last").await;
    let secrets = format!("{namespace}/secrets");
    let made = world.secret(&namespace, "s").await;
    let mut events = world
        .watch(&format!("{secrets}?watch=1&resourceVersion={}", revision(&made)))
        .await;
    let changed = world
        .admin
        .patch(&format!("{secrets}/s"), MERGE, &json!({"data": {"key": "Mg=="}}))
        .await
        .json();
    assert_eq!(world.admin.delete(&format!("{secrets}/s")).await.code, 200);
    let next = revision(&world.secret(&namespace, "t").await);
    assert_eq!(events.some().await["object"], changed);
    let gone = events.some().await;
    assert_eq!(gone["type"], "DELETED");
    let mut last = gone["object"].clone();
    let at = revision(&last);
    assert!(revision(&changed) < at && at < next, "{at}");
    last["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"].clone();
    assert_eq!(last, changed);
    // Whoever goes on from it misses nothing and sees nothing twice.
    let mut on = world.watch(&format!("{secrets}?watch=1&resourceVersion={at}")).await;
    assert_eq!(on.what().await, ("ADDED".to_owned(), "t".to_owned(), next));
}

pub async fn initial_events_end_with_a_bookmark(world: &World) {
    let namespace = world.namespace("initial").await;
    let secrets = format!("{namespace}/secrets");
    for name in ["a", "b"] {
        world.secret(&namespace, name).await;
    }
    let newest = revision(&world.secret(&namespace, "c").await);
    let streaming = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for version in ["", "&resourceVersion=0", &format!("&resourceVersion={newest}")] {
        let mut events = world
            .watch(&format!("{secrets}?{streaming}{version}&labelSelector=!no"))
            .await;
        assert_eq!(events.names(3).await, ["ADDED a", "ADDED b", "ADDED c"], "{version}");
        let end = events.some().await;
        assert_eq!(
            (&end["type"], &end["object"]["kind"], &end["object"]["apiVersion"]),
            (&json!("BOOKMARK"), &json!("Secret"), &json!("v1"))
        );
        assert_eq!(
            end["object"]["metadata"]["annotations"],
            json!({"k8s.io/initial-events-end": "true"})
        );
        let at = revision(&end["object"]);
        assert!(at >= newest, "{at}");
        let made = world.secret(&namespace, "d").await;
        assert_eq!(
            events.what().await,
            ("ADDED".to_owned(), "d".to_owned(), revision(&made))
        );
        let mut on = world.watch(&format!("{secrets}?watch=1&resourceVersion={at}")).await;
        assert_eq!(on.what().await.1, "d");
        assert_eq!(world.admin.delete(&format!("{secrets}/d")).await.code, 200);
    }
    // Without a revision a watch begins with what there is, and no bookmark says where that ends.
    for version in ["", "&resourceVersion=0"] {
        let mut events = world.watch(&format!("{secrets}?watch=1{version}")).await;
        assert_eq!(events.names(3).await, ["ADDED a", "ADDED b", "ADDED c"]);
        assert!(events.is_silent(Duration::from_millis(100)).await);
    }
    let mut nothing = world.watch(&format!("{secrets}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion={newest}&allowWatchBookmarks=true")).await;
    assert_eq!(nothing.what().await.1, "d", "what happened after it");
    #[rustfmt::skip]
    let cases = [
        ("sendInitialEvents=true&allowWatchBookmarks=true", "resourceVersionMatch"),
        ("sendInitialEvents=true&resourceVersionMatch=Exact&allowWatchBookmarks=true", "resourceVersionMatch"),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "sendInitialEvents"),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=1", "resourceVersionMatch"),
        ("continue=x", "continue"),
        ("resourceVersion=x", "resourceVersion"),
    ];
    for (query, field) in cases {
        let (code, status) = Events::open(&world.admin, &format!("{secrets}?watch=1&{query}"))
            .await
            .err()
            .expect(query);
        assert_eq!(
            (code, &status["details"]["causes"][0]["field"]),
            (422, &json!(field)),
            "{query}"
        );
    }
}

pub async fn a_bookmark_comes_before_the_end(world: &World) {
    let namespace = world.namespace("bookmarks").await;
    let begin = revision(&world.secret(&namespace, "s").await);
    let secrets = format!("{namespace}/secrets");
    let query = format!("watch=1&resourceVersion={begin}&timeoutSeconds=4");
    let mut marked = world
        .watch(&format!("{secrets}?{query}&allowWatchBookmarks=true"))
        .await;
    let mut unmarked = world.watch(&format!("{secrets}?{query}")).await;
    // Something else happens, that the watch is not about.
    let elsewhere = revision(&world.create(&format!("{namespace}/configmaps"), &config_map("x")).await);
    let bookmark = marked.some().await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert!(revision(&bookmark["object"]) >= elsewhere, "{bookmark}");
    assert_eq!(bookmark["object"]["metadata"]["annotations"], json!(null));
    assert_eq!(marked.next().await, None);
    assert_eq!(unmarked.next().await, None);
}

pub async fn a_watch_begins_where_it_is_told(world: &World) {
    let namespace = world.namespace("begin").await;
    let secrets = format!("{namespace}/secrets");
    let now = revision(&world.secret(&namespace, "s").await);
    let refused = Events::open(
        &world.admin,
        &format!("{secrets}?watch=1&resourceVersion={}", now + 1_000_000),
    )
    .await;
    let (code, status) = refused.err().unwrap();
    assert_eq!((code, &status["reason"]), (504, &json!("Timeout")), "{status}");
    assert_eq!(
        status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge",
        "{status}"
    );
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    // Every namespace at once, and one object by its name.
    let mut everywhere = world
        .watch(&format!("/api/v1/secrets?watch=1&resourceVersion={now}"))
        .await;
    let other = world.namespace("begin2").await;
    world.secret(&other, "t").await;
    assert_eq!(everywhere.what().await.1, "t");
}
