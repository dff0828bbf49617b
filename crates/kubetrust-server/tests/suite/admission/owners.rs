//! `OwnerReferencesPermissionEnforcement`.

use kubetrust_server::admission::OwnerReferencesPermissionEnforcement;
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, grant, update, user};
use crate::support::Engine;

on_both!(
    who_changes_owners_may_delete_the_object,
    who_holds_an_owner_back_may_change_its_finalizers,
);

fn owned(references: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": "x", "ownerReferences": references}})
}

fn by(api_version: &str, kind: &str, name: &str, blocks: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": format!("{name}-uid"), "blockOwnerDeletion": blocks})
}

async fn world(engine: Engine) -> World {
    let objects = [
        grant("deleter", "delete", "", "configmaps,pods", ""),
        grant("finalizer", "update", "apps", "deployments/finalizers", "d"),
        grant("finalizer", "update", "", "nodes/finalizers", ""),
        grant("finalizer", "delete", "", "configmaps", ""),
        grant("all", "update", "*", "*/finalizers", ""),
        grant("all", "delete", "*", "*", ""),
    ];
    World::of(engine, objects.as_flattened()).await
}

async fn who_changes_owners_may_delete_the_object(engine: Engine) {
    let world = world(engine).await;
    let plugin = OwnerReferencesPermissionEnforcement::new(&world.authorizer);
    let (jane, deleter, root) = (
        user("jane", &[]),
        user("deleter", &[]),
        user("root", &["system:masters"]),
    );
    let (none, one) = (
        || owned(json!([])),
        || owned(json!([by("v1", "Pod", "p", json!(null))])),
    );
    let two = || {
        owned(json!([
            by("v1", "Pod", "p", json!(null)),
            by("v1", "Pod", "q", json!(null))
        ]))
    };
    let why = r#"configmaps "x" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"#;
    let what = "configmaps";
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, what, one()), ""),
        (update(&jane, what, none(), none()), ""),
        (update(&jane, what, one(), one()), ""),
        (update(&jane, what, none(), one()), why),
        (update(&jane, what, one(), none()), why),
        (update(&jane, what, one(), two()), why),
        (update(&jane, what, two(), one()), why),
        (update(&deleter, what, none(), one()), ""),
        (update(&deleter, what, one(), none()), ""),
        (update(&root, what, none(), one()), ""),
        (update(&deleter, "secrets", none(), one()),
            r#"secrets "x" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"#),
        (update(&jane, "pods/status", none(), one()), ""),
        // The right is asked for where the change is.
        (update(&deleter, "pods/ephemeralcontainers", none(), one()),
            r#"pods "x" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"#),
        (delete(&jane, what, one()), ""),
    ];
    decide(&plugin, cases).await;
}

async fn who_holds_an_owner_back_may_change_its_finalizers(engine: Engine) {
    let world = world(engine).await;
    let plugin = OwnerReferencesPermissionEnforcement::new(&world.authorizer);
    let (jane, finalizer, all, root) = (
        user("jane", &[]),
        user("finalizer", &[]),
        user("all", &[]),
        user("root", &["system:masters"]),
    );
    let one = |api_version: &str, kind: &str, name: &str, blocks: bool| {
        owned(json!([by(api_version, kind, name, json!(blocks))]))
    };
    let deleter = user("deleter", &[]);
    let two = |blocks: bool| {
        owned(json!([
            by("apps/v1", "Deployment", "d", json!(true)),
            by("v1", "Pod", "p", json!(blocks))
        ]))
    };
    let deployment = |blocks: bool| one("apps/v1", "Deployment", "d", blocks);
    let why = r#"configmaps "x" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"#;
    let unknown = |version: &str, kind: &str, fault: &str| {
        format!(
            r#"configmaps "x" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: {fault}"#
        )
    };
    let what = "configmaps";
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, what, deployment(false)), ""),
        (create(&jane, what, deployment(true)), why),
        (create(&finalizer, what, deployment(true)), ""),
        (create(&finalizer, what, one("apps/v1", "Deployment", "e", true)), why),
        (create(&finalizer, what, one("v1", "Node", "n", true)), ""),
        (create(&finalizer, what, one("v1", "Pod", "p", true)), why),
        (create(&finalizer, what, owned(json!([by("apps/v1", "Deployment", "d", json!(true)), by("v1", "Pod", "p", json!(true))]))), why),
        (create(&all, what, one("v1", "Pod", "p", true)), ""),
        (create(&all, what, one("example.com/v1", "Thing", "t", true)), ""),
        (create(&root, what, one("v1", "Pod", "p", true)), ""),
        (update(&jane, what, deployment(true), deployment(true)), ""),
        // What was held back before may stay so when something else about the owners changes.
        (update(&deleter, what, deployment(true), two(false)), ""),
        (update(&deleter, what, deployment(true), two(true)), why),
        (update(&finalizer, what, deployment(true), deployment(false)), ""),
        (update(&finalizer, what, deployment(false), deployment(true)), ""),
        (update(&finalizer, what, one("v1", "Pod", "p", false), one("v1", "Pod", "p", true)), why),
        (create(&jane, what, one("example.com/v1", "Thing", "t", true)),
            &unknown("example.com/v1", "Thing", r#"no matches for kind "Thing" in version "example.com/v1""#)),
        (create(&jane, what, one("apps/v9", "Deployment", "d", true)),
            &unknown("apps/v9", "Deployment", r#"no matches for kind "Deployment" in version "apps/v9""#)),
        (create(&jane, what, one("a/b/c", "Thing", "t", true)),
            &unknown("a/b/c", "Thing", "unexpected GroupVersion string: a/b/c")),
    ];
    decide(&plugin, cases).await;
}
