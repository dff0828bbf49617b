//! Removing objects: preconditions, finalizers, dependents, collections.

use http::Method;
use serde_json::{Value, json};

use crate::registry::world::{World, config_map, names, told, until};
use crate::support::Reply;

const MERGE: &str = "application/merge-patch+json";

async fn delete(world: &World, path: &str, options: Value) -> Reply {
    let mut object = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    object
        .as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    world.admin.request(Method::DELETE, path, &[], Some(&object)).await
}

pub async fn preconditions_hold_a_deletion_to_what_was_seen(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("preconditions").await);
    let path = format!("{maps}/x");
    let first = world.create(&maps, &config_map("x")).await;
    let now = world
        .admin
        .patch(&path, MERGE, &json!({"data": {"key": "2"}}))
        .await
        .json();
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    let (old, new, uid) = (
        text(&first, "resourceVersion"),
        text(&now, "resourceVersion"),
        text(&now, "uid"),
    );
    #[rustfmt::skip]
    let cases = [
        (json!({"uid": "other"}), format!("Precondition failed: UID in precondition: other, UID in object meta: {uid}")),
        (json!({"resourceVersion": old}), format!("Precondition failed: ResourceVersion in precondition: {old}, ResourceVersion in object meta: {new}")),
        (json!({"uid": uid, "resourceVersion": old}), format!("Precondition failed: ResourceVersion in precondition: {old}, ResourceVersion in object meta: {new}")),
    ];
    for (preconditions, why) in cases {
        let reply = delete(world, &path, json!({"preconditions": preconditions})).await;
        assert_eq!(told(&reply), "409 Conflict", "{preconditions}");
        assert!(reply.message().ends_with(&why), "{}", reply.message());
    }
    assert_eq!(world.read(&path).await, now);
    let reply = delete(
        world,
        &path,
        json!({"preconditions": {"uid": uid, "resourceVersion": new}}),
    )
    .await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    assert_eq!(world.admin.get(&path).await.code, 404);

    world.create(&maps, &config_map("x")).await;
    for (options, said) in [
        (
            json!({"propagationPolicy": "Nothing"}),
            "422 Invalid [propagationPolicy FieldValueNotSupported]",
        ),
        (
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
            "422 Invalid [propagationPolicy FieldValueInvalid]",
        ),
        (
            json!({"gracePeriodSeconds": -1}),
            "422 Invalid [gracePeriodSeconds FieldValueInvalid]",
        ),
        (
            json!({"dryRun": ["Some"]}),
            "422 Invalid [dryRun FieldValueNotSupported]",
        ),
    ] {
        assert_eq!(told(&delete(world, &path, options).await), said);
    }
    assert_eq!(world.admin.get(&path).await.code, 200);
}

pub async fn a_finalizer_holds_an_object_until_it_is_taken_off(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("finalizers").await);
    let path = format!("{maps}/x");
    let mut map = config_map("x");
    map["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    world.create(&maps, &map).await;
    let reply = world.admin.delete(&path).await;
    assert_eq!(reply.code, 200);
    let marked = reply.json();
    assert_eq!(marked["kind"], "ConfigMap");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);

    // Again changes nothing; what is being deleted is no longer held by more, and comes back by nothing.
    assert_eq!(world.admin.delete(&path).await.json()["metadata"], marked["metadata"]);
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}});
    let reply = world.admin.patch(&path, MERGE, &more).await;
    assert_eq!(told(&reply), "422 Invalid [metadata.finalizers FieldValueForbidden]");
    let undelete = json!({"metadata": {"deletionTimestamp": null}});
    let reply = world.admin.patch(&path, MERGE, &undelete).await;
    assert_eq!(
        reply.json()["metadata"]["deletionTimestamp"],
        marked["metadata"]["deletionTimestamp"]
    );

    let one = json!({"metadata": {"finalizers": ["example.com/b"]}});
    let reply = world.admin.patch(&path, MERGE, &one).await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    assert_eq!(world.admin.get(&path).await.code, 200);
    assert_eq!(
        world
            .admin
            .patch(&path, MERGE, &json!({"metadata": {"finalizers": null}}))
            .await
            .code,
        200
    );
    assert_eq!(world.admin.get(&path).await.code, 404);
}

/// Creates an object that these own.
async fn owned(world: &World, maps: &str, name: &str, owners: &[&Value]) -> Value {
    let mut map = config_map(name);
    let reference = |owner: &&Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": true})
    };
    map["metadata"]["ownerReferences"] = owners.iter().map(reference).collect();
    world.create(maps, &map).await
}

async fn is_gone(world: &World, path: &str) -> bool {
    world.admin.get(path).await.code == 404
}

pub async fn dependents_go_as_the_propagation_says(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("propagation").await);
    let (owner, dependent, below) = (
        format!("{maps}/owner"),
        format!("{maps}/dependent"),
        format!("{maps}/below"),
    );
    for (policy, finalizer) in [
        ("Background", ""),
        ("Foreground", "foregroundDeletion"),
        ("Orphan", "orphan"),
    ] {
        let made = world.create(&maps, &config_map("owner")).await;
        let middle = owned(world, &maps, "dependent", &[&made]).await;
        owned(world, &maps, "below", &[&middle]).await;
        let mut events = world
            .watch(&format!(
                "{maps}?watch=1&resourceVersion={}",
                made["metadata"]["resourceVersion"].as_str().unwrap()
            ))
            .await;
        let reply = delete(world, &owner, json!({"propagationPolicy": policy})).await;
        assert_eq!(reply.code, 200, "{policy}: {}", reply.message());
        if !finalizer.is_empty() {
            assert_eq!(reply.json()["metadata"]["finalizers"], json!([finalizer]), "{policy}");
        }
        until(policy, async || is_gone(world, &owner).await).await;
        if policy == "Orphan" {
            let left = world.read(&dependent).await;
            assert_eq!(left["metadata"]["ownerReferences"], Value::Null, "{left}");
            assert!(left["metadata"]["deletionTimestamp"].is_null());
            assert!(!is_gone(world, &below).await);
            assert_eq!(world.admin.delete(&dependent).await.code, 200);
        } else {
            // In the foreground the owner is the last.
            assert!(policy != "Foreground" || is_gone(world, &dependent).await);
        }
        until(policy, async || {
            is_gone(world, &dependent).await && is_gone(world, &below).await
        })
        .await;
        let mut order = Vec::new();
        while order.len() < 3 {
            let (kind, name, _) = events.what().await;
            if kind == "DELETED" {
                order.push(name);
            }
        }
        let want = if policy == "Foreground" {
            ["below", "dependent", "owner"]
        } else {
            ["owner", "dependent", "below"]
        };
        assert_eq!(order, want, "{policy}");
    }
}

pub async fn a_dependent_stays_while_it_has_another_owner(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("owners").await);
    for policy in ["Background", "Foreground"] {
        let (one, other) = (
            world.create(&maps, &config_map("one")).await,
            world.create(&maps, &config_map("other")).await,
        );
        owned(world, &maps, "both", &[&one, &other]).await;
        // Once owned by the first, and no longer: it is not the first's to take along.
        owned(world, &maps, "former", &[&one]).await;
        let former = format!("{maps}/former");
        assert_eq!(
            world
                .admin
                .patch(&former, MERGE, &json!({"metadata": {"ownerReferences": null}}))
                .await
                .code,
            200
        );
        let path = format!("{maps}/one");
        assert_eq!(
            delete(world, &path, json!({"propagationPolicy": policy})).await.code,
            200
        );
        until("the owner goes", async || is_gone(world, &path).await).await;
        let both = format!("{maps}/both");
        until("the reference goes", async || {
            let reply = world.admin.get(&both).await;
            assert_eq!(reply.code, 200, "{policy}");
            let left = reply.json()["metadata"]["ownerReferences"].clone();
            left.as_array()
                .is_some_and(|left| left.len() == 1 && left[0]["name"] == "other")
        })
        .await;
        assert_eq!(
            world.read(&both).await["metadata"]["deletionTimestamp"],
            Value::Null,
            "{policy}"
        );
        assert_eq!(
            world.read(&former).await["metadata"]["deletionTimestamp"],
            Value::Null,
            "{policy}"
        );
        for name in ["other", "former"] {
            assert_eq!(world.admin.delete(&format!("{maps}/{name}")).await.code, 200);
        }
        until("the last owner takes it along", async || is_gone(world, &both).await).await;
    }
}

pub async fn a_collection_is_deleted_by_its_selection(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("collection").await);
    let other = format!("{}/configmaps", world.namespace("collection2").await);
    for (path, name, label) in [
        (&maps, "a", "x"),
        (&maps, "b", "x"),
        (&maps, "c", "y"),
        (&other, "a", "x"),
    ] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({"l": label});
        world.create(path, &map).await;
    }
    let reply = world.admin.delete(&format!("{maps}?labelSelector=l%3Dx")).await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    assert_eq!(names(&reply.json()), ["a", "b"]);
    assert_eq!(names(&world.read(&format!("{maps}?labelSelector=l")).await), ["c"]);
    assert_eq!(
        world
            .admin
            .delete(&format!("{maps}?fieldSelector=metadata.name%3Dc"))
            .await
            .code,
        200
    );
    assert_eq!(names(&world.read(&maps).await), ["kube-root-ca.crt"]);
    assert_eq!(names(&world.read(&format!("{other}?labelSelector=l")).await), ["a"]);
    // Over all namespaces there is no such verb.
    assert_eq!(world.admin.delete("/api/v1/configmaps").await.code, 405);
}
