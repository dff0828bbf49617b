//! In which form objects come in and go out.

use http::Method;
use serde_json::{Value, json};

use crate::registry::world::{World, config_map, revision};
use crate::support::Events;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn read(world: &World, path: &str, accept: &str) -> Value {
    let reply = world
        .admin
        .request(Method::GET, path, &[("accept", accept)], None)
        .await;
    assert_eq!(reply.code, 200, "{path}");
    assert_eq!(reply.headers["content-type"], "application/json");
    reply.json()
}

pub async fn tables_and_metadata_are_made_of_objects(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("forms").await);
    let mut map = config_map("x");
    map["metadata"]["labels"] = json!({"a": "1"});
    let made = world.create(&maps, &map).await;
    let path = format!("{maps}/x");

    let table = read(world, &format!("{maps}?labelSelector=a"), TABLE).await;
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["cells"][0], &rows[0]["cells"][1]), (&json!("x"), &json!(1)));
    assert_eq!(
        (&rows[0]["object"]["kind"], &rows[0]["object"]["metadata"]),
        (&json!("PartialObjectMetadata"), &made["metadata"])
    );
    assert!(revision(&table) >= revision(&made));
    let one = read(world, &format!("{path}?includeObject=Object"), TABLE).await;
    assert_eq!(one["rows"][0]["object"], made);
    let none = read(world, &format!("{path}?includeObject=None"), TABLE).await;
    assert_eq!(none["rows"][0]["object"], Value::Null);
    assert_eq!(
        world
            .admin
            .request(
                Method::GET,
                &format!("{path}?includeObject=Some"),
                &[("accept", TABLE)],
                None
            )
            .await
            .code,
        400
    );

    let partial = read(world, &path, PARTIAL).await;
    let want = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": made["metadata"]});
    assert_eq!(partial, want);
    let list = read(world, &format!("{maps}?labelSelector=a"), PARTIAL_LIST).await;
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(list["items"][0]["metadata"], made["metadata"]);
    assert_eq!(list["items"][0]["data"], Value::Null);

    // A page of a table is a page.
    let page = read(world, &format!("{maps}?limit=1"), TABLE).await;
    assert_eq!(
        (
            page["rows"].as_array().unwrap().len(),
            &page["metadata"]["remainingItemCount"]
        ),
        (1, &json!(1))
    );
    assert!(page["metadata"]["continue"].is_string());

    // Watches: the columns come with the first event only.
    let from = format!("{maps}?watch=1&resourceVersion={}", revision(&made));
    let mut tables = Events::open_as(&world.admin, &from, TABLE).await.unwrap();
    let mut partials = Events::open_as(&world.admin, &from, PARTIAL).await.unwrap();
    for name in ["y", "z"] {
        world.create(&maps, &config_map(name)).await;
    }
    let (first, second) = (tables.some().await, tables.some().await);
    assert_eq!(
        (&first["type"], &first["object"]["kind"]),
        (&json!("ADDED"), &json!("Table"))
    );
    assert_eq!(first["object"]["rows"][0]["cells"][0], "y");
    assert!(first["object"]["columnDefinitions"].is_array());
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "z");
    let event = partials.some().await;
    assert_eq!(
        (&event["object"]["kind"], &event["object"]["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("y"))
    );
    assert_eq!(event["object"]["data"], Value::Null);
}

pub async fn yaml_is_taken_and_given(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("yaml").await);
    let yaml =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  text: |\n    one\n    two\n  yes: \"no\"\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let reply = world.admin.attempt(Method::POST, &maps, &headers, yaml).await.unwrap();
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!(
        (reply.code, reply.headers["content-type"].to_str().unwrap()),
        (201, "application/yaml"),
        "{text}"
    );
    let stored = world.read(&format!("{maps}/x")).await;
    assert_eq!(stored["data"], json!({"text": "one\ntwo\n", "yes": "no"}));
    // What is given can be taken again.
    let put = world
        .admin
        .attempt(Method::PUT, &format!("{maps}/x"), &headers, text)
        .await
        .unwrap();
    assert_eq!(put.code, 200, "{}", String::from_utf8_lossy(&put.body));
    assert_eq!(world.read(&format!("{maps}/x")).await, stored);
    let list = world
        .admin
        .request(Method::GET, &maps, &[("accept", "application/yaml")], None)
        .await;
    let list = String::from_utf8(list.body.to_vec()).unwrap();
    assert!(list.contains("kind: ConfigMapList"), "{list}");
    for bad in [
        "a: [",
        "- 1",
        "&a [*a]",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: 1\n",
    ] {
        let reply = world
            .admin
            .attempt(Method::POST, &maps, &headers[..1], bad)
            .await
            .unwrap();
        assert_eq!(reply.code, 400, "{bad}: {}", reply.message());
    }
}

pub async fn what_is_not_spoken_is_refused(world: &World) {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let maps = format!("{}/configmaps", world.namespace("spoken").await);
    world.create(&maps, &config_map("x")).await;
    for (accept, code) in [
        (PROTOBUF, 406),
        ("text/html", 406),
        ("application/json;as=Other;v=v1;g=meta.k8s.io", 406),
        ("application/vnd.kubernetes.protobuf,application/json", 200),
        ("*/*", 200),
    ] {
        let reply = world
            .admin
            .request(Method::GET, &format!("{maps}/x"), &[("accept", accept)], None)
            .await;
        assert_eq!(reply.code, code, "{accept}");
        if code == 406 {
            assert_eq!(reply.json()["reason"], "NotAcceptable", "{accept}");
        }
    }
    let body = config_map("y").to_string();
    for (content_type, code) in [
        // Spoken, and this is none.
        (PROTOBUF, 400),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
    ] {
        let reply = world
            .admin
            .attempt(Method::POST, &maps, &[("content-type", content_type)], body.clone())
            .await
            .unwrap();
        assert_eq!(reply.code, code, "{content_type}");
        if code == 415 {
            assert_eq!(reply.json()["reason"], "UnsupportedMediaType", "{content_type}");
            assert!(reply.message().starts_with(
                "the body of the request was in an unknown format - accepted media types include: application/json"
            ));
        }
    }
}
