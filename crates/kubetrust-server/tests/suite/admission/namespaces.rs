//! `NamespaceLifecycle`.

use kubetrust_server::admission::NamespaceLifecycle;
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, update, user};
use crate::support::Engine;

on_both!(
    objects_come_only_into_namespaces_that_are_there_and_stay,
    the_refusals_are_those_that_controllers_look_for,
    a_namespace_is_seen_as_soon_as_it_is_stored,
);

fn namespace(name: &str, phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": phase}})
}

fn in_namespace(namespace: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": "x"}})
}

async fn objects_come_only_into_namespaces_that_are_there_and_stay(engine: Engine) {
    let world = World::of(
        engine,
        &[namespace("here", "Active"), namespace("going", "Terminating")],
    )
    .await;
    let plugin = NamespaceLifecycle::new(&world.registry);
    let jane = user("jane", &[]);
    let here = |name: &str| namespace(name, "Active");
    let rules = |namespace: &str| create(&jane, "localsubjectaccessreviews", json!({"metadata": {}})).at(namespace, "");
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "configmaps", in_namespace("here")), ""),
        (create(&jane, "configmaps", in_namespace("none")), r#"namespaces "none" not found"#),
        (create(&jane, "configmaps", in_namespace("going")),
            r#"configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated"#),
        (create(&jane, "configmaps", json!({"metadata": {"generateName": "x-"}})).at("going", ""),
            r#"configmaps "x-" is forbidden: unable to create new content in namespace going because it is being terminated"#),
        (create(&jane, "configmaps", json!({"metadata": {}})).at("going", ""),
            r#"configmaps "Unknown" is forbidden: unable to create new content in namespace going because it is being terminated"#),
        (update(&jane, "configmaps", in_namespace("here"), in_namespace("here")), ""),
        (update(&jane, "configmaps", in_namespace("going"), in_namespace("going")), ""),
        (update(&jane, "configmaps", in_namespace("none"), in_namespace("none")), r#"namespaces "none" not found"#),
        (delete(&jane, "configmaps", in_namespace("going")), ""),
        (delete(&jane, "configmaps", in_namespace("none")), ""),
        (create(&jane, "clusterroles", json!({"metadata": {"name": "x"}})), ""),
        // Who asks about rights is not told which namespaces there are.
        (rules("here"), ""),
        (rules("going"), ""),
        (rules("none"), ""),
        (create(&jane, "namespaces", here("new")), ""),
        (update(&jane, "namespaces", here("going"), here("going")), ""),
        (delete(&jane, "namespaces", here("here")), ""),
        (delete(&jane, "namespaces", here("kube-node-lease")), ""),
        (delete(&jane, "namespaces", here("default")), r#"namespaces "default" is forbidden: this namespace may not be deleted"#),
        (delete(&jane, "namespaces", here("kube-system")), r#"namespaces "kube-system" is forbidden: this namespace may not be deleted"#),
        (delete(&jane, "namespaces", here("kube-public")), r#"namespaces "kube-public" is forbidden: this namespace may not be deleted"#),
    ];
    decide(&plugin, cases).await;
}

async fn the_refusals_are_those_that_controllers_look_for(engine: Engine) {
    let world = World::of(engine, &[namespace("going", "Terminating")]).await;
    let plugin = NamespaceLifecycle::new(&world.registry);
    let jane = user("jane", &[]);
    let refused = create(&jane, "configmaps", in_namespace("none"))
        .to(&plugin)
        .await
        .unwrap_err();
    assert_eq!((refused.code, refused.reason), (404, "NotFound"));

    let refused = create(&jane, "configmaps", in_namespace("going"))
        .to(&plugin)
        .await
        .unwrap_err();
    assert_eq!((refused.code, refused.reason), (403, "Forbidden"));
    let details = refused.details.unwrap();
    assert_eq!((details.kind.as_str(), details.name.as_str()), ("configmaps", "x"));
    let [cause] = details.causes.as_slice() else {
        panic!("{details:?}")
    };
    assert_eq!(cause.reason, "NamespaceTerminating");
    assert_eq!(cause.message, "namespace going is being terminated");
    assert_eq!(cause.field, "metadata.namespace");
}

async fn a_namespace_is_seen_as_soon_as_it_is_stored(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NamespaceLifecycle::new(&world.registry);
    for index in 0..50 {
        let name = format!("n{index}");
        world.put(&namespace(&name, "Active")).await;
        create(&user("jane", &[]), "configmaps", in_namespace(&name))
            .to(&plugin)
            .await
            .unwrap();
    }
}
