//! The life of a namespace.

use serde_json::json;

use crate::registry::world::{World, config_map, names, secret, told, until};

const MERGE: &str = "application/merge-patch+json";

pub async fn a_namespace_is_emptied_before_it_goes(world: &World) {
    let namespace = world.namespace("going").await;
    let stays = world.namespace("staying").await;
    world.secret(&namespace, "s").await;
    world.secret(&stays, "s").await;
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.create(&format!("{namespace}/configmaps"), &held).await;

    let reply = world.admin.delete(&namespace).await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    let going = reply.json();
    assert_eq!(
        (&going["kind"], &going["status"]["phase"]),
        (&json!("Namespace"), &json!("Terminating"))
    );
    assert_eq!(going["spec"]["finalizers"], json!(["kubernetes"]));

    // Nothing new comes into it, and what is in it goes, but for what is held.
    let reply = world.admin.post(&format!("{namespace}/secrets"), &secret("t")).await;
    assert_eq!(told(&reply), "403 Forbidden [metadata.namespace NamespaceTerminating]");
    let message =
        "secrets \"t\" is forbidden: unable to create new content in namespace going because it is being terminated";
    assert_eq!(reply.message(), message);
    for empty in ["secrets", "serviceaccounts"] {
        let path = format!("{namespace}/{empty}");
        until(empty, async || names(&world.admin.get(&path).await.json()).is_empty()).await;
    }
    let maps = format!("{namespace}/configmaps");
    until("config maps", async || {
        names(&world.admin.get(&maps).await.json()) == ["held"]
    })
    .await;
    assert_eq!(world.admin.get(&namespace).await.code, 200);

    assert_eq!(
        world
            .admin
            .patch(
                &format!("{maps}/held"),
                MERGE,
                &json!({"metadata": {"finalizers": null}})
            )
            .await
            .code,
        200
    );
    until("the namespace goes", async || {
        world.admin.get(&namespace).await.code == 404
    })
    .await;
    assert_eq!(
        told(&world.admin.post(&format!("{namespace}/secrets"), &secret("t")).await),
        "404 NotFound"
    );
    assert_eq!(world.admin.get(&format!("{stays}/secrets/s")).await.code, 200);
    // The name is free again, and what is there is new.
    world.namespace("going").await;
    assert!(names(&world.read(&format!("{namespace}/secrets")).await).is_empty());
    for immortal in ["default", "kube-system", "kube-public"] {
        assert_eq!(
            told(&world.admin.delete(&format!("/api/v1/namespaces/{immortal}")).await),
            "403 Forbidden"
        );
    }
    assert_eq!(
        told(
            &world
                .admin
                .post("/api/v1/namespaces/nowhere/secrets", &secret("t"))
                .await
        ),
        "404 NotFound"
    );
}

pub async fn a_namespace_is_given_its_account_and_the_authority(world: &World) {
    let namespace = world.namespace("given").await;
    let authority = std::fs::read_to_string(world.cluster.file("pki/ca.crt")).unwrap();
    let map = format!("{namespace}/configmaps/kube-root-ca.crt");
    let account = format!("{namespace}/serviceaccounts/default");
    assert_eq!(world.read(&map).await["data"]["ca.crt"], authority);
    for path in [&map, &account] {
        let first = world.read(path).await["metadata"]["uid"].clone();
        assert_eq!(world.admin.delete(path).await.code, 200);
        until("it comes back", async || {
            let reply = world.admin.get(path).await;
            reply.code == 200 && reply.json()["metadata"]["uid"] != first
        })
        .await;
    }
    // What is given stays what it was given as.
    assert_eq!(
        world
            .admin
            .patch(&map, MERGE, &json!({"data": {"ca.crt": "other"}}))
            .await
            .code,
        200
    );
    until("the authority is put right", async || {
        world.read(&map).await["data"]["ca.crt"] == authority
    })
    .await;
}
