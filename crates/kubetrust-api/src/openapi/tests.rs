use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::resource::{self, TABLE};
use crate::schema;

fn v2_json() -> Value {
    serde_json::from_slice(&v2().plain()).unwrap()
}

fn v3_json(path: &str) -> Value {
    serde_json::from_slice(&v3(path).unwrap().plain()).unwrap()
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let mut documents = vec![v2_json()];
    documents.extend(v3_documents().keys().map(|path| v3_json(path)));
    for document in &documents {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn clients_find_every_kind_and_what_patches_take() {
    let v2 = v2_json();
    let documents: BTreeMap<&String, Value> = v3_documents().keys().map(|path| (path, v3_json(path))).collect();
    for row in TABLE {
        let prefix = operations::prefix(row.group, row.version);
        let v3 = &documents[&prefix];
        let place = if row.scope == resource::Scope::Namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let collection = format!("/{prefix}/{place}{}", row.plural);
        let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
        let (method, path) = match row.kept {
            resource::Kept::Stored => ("patch", format!("{collection}/{{name}}")),
            resource::Kept::Answered => ("post", collection),
            resource::Kept::Observed => ("get", collection),
        };
        for document in [&v2, v3] {
            let operation = &document["paths"][&path][method];
            assert_eq!(operation["x-kubernetes-group-version-kind"], kind, "{path}");
            if row.kept == resource::Kept::Stored {
                let names: Vec<&Value> = operation["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|parameter| &parameter["name"])
                    .collect();
                assert!(
                    names.contains(&&json!("dryRun")) && names.contains(&&json!("fieldValidation")),
                    "{path}"
                );
            }
        }
        let schemas = v3["components"]["schemas"].as_object().unwrap();
        let of_kind = schemas.values().filter(|schema| {
            schema["x-kubernetes-group-version-kind"]
                .as_array()
                .is_some_and(|kinds| kinds.contains(&kind))
        });
        assert_eq!(of_kind.count(), 1, "{path}");
    }
}

#[test]
fn operations_are_named_as_upstream_names_them() {
    let v2 = v2_json();
    for (path, method, id, action) in [
        (
            "/api/v1/namespaces/{namespace}/pods",
            "get",
            "listCoreV1NamespacedPod",
            "list",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods",
            "post",
            "createCoreV1NamespacedPod",
            "post",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods",
            "delete",
            "deleteCoreV1CollectionNamespacedPod",
            "deletecollection",
        ),
        ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "list"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}",
            "put",
            "replaceCoreV1NamespacedPod",
            "put",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "get",
            "readCoreV1NamespacedPodLog",
            "get",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/exec",
            "post",
            "connectCoreV1PostNamespacedPodExec",
            "connect",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/eviction",
            "post",
            "createCoreV1NamespacedPodEviction",
            "post",
        ),
        (
            "/api/v1/namespaces/{name}/finalize",
            "put",
            "replaceCoreV1NamespaceFinalize",
            "put",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
            "patch",
            "patchRbacAuthorizationV1ClusterRole",
            "patch",
        ),
    ] {
        let operation = &v2["paths"][path][method];
        assert_eq!(
            (&operation["operationId"], &operation["x-kubernetes-action"]),
            (&json!(id), &json!(action)),
            "{path}"
        );
    }
    let all = v2["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values());
    let mut ids: Vec<&str> = all.filter_map(|operation| operation["operationId"].as_str()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(v2["paths"]["/api/v1/namespaces"]["delete"].is_null());
    assert_eq!(
        v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/log"]["get"]["responses"]["200"]["schema"]["type"],
        "string"
    );
}

#[test]
fn the_third_version_puts_nothing_beside_a_reference() {
    let document = v3_json("api/v1");
    let pod = &document["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["properties"]["spec"]["allOf"][0]["$ref"],
        format!("{}io.k8s.api.core.v1.PodSpec", schema::REFERENCE)
    );
    assert!(pod["properties"]["spec"]["description"].is_string());
    let quantity = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity["oneOf"], json!([{"type": "string"}, {"type": "number"}]));
    assert!(quantity["type"].is_null());
}

#[test]
fn the_index_leads_to_each_document_by_its_content() {
    let index = v3_index(&[(
        "apis/x.example/v1".into(),
        "/openapi/v3/apis/x.example/v1?hash=1".into(),
    )]);
    let paths = index["paths"].as_object().unwrap();
    let mut hashes = BTreeSet::new();
    for (path, entry) in paths {
        let address = entry["serverRelativeURL"].as_str().unwrap();
        let (before, hash) = address.split_once("?hash=").unwrap();
        assert_eq!(before, format!("/openapi/v3/{path}"));
        assert!(hashes.insert(hash));
    }
    assert_eq!(paths.len(), v3_documents().len() + 1);
    assert!(v3("apis/apps/v1").is_some() && v3("apis/apps").is_none() && v3("").is_none());
}

/// The fields of a protobuf message that has only texts, messages and flags: number and content.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            other => panic!("wire type {other}"),
        };
        let (content, rest) = bytes.split_at(length);
        bytes = rest;
        fields.push((tag >> 3, content));
    }
    fields
}

/// The contents of a field.
fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    fields(message)
        .into_iter()
        .filter(|(field, _)| *field == number)
        .map(|(_, content)| content)
        .collect()
}

/// What stands under a name in a field of named messages.
fn find<'a>(message: &'a [u8], number: u64, name: &str) -> &'a [u8] {
    let named = all(message, number)
        .into_iter()
        .find(|named| all(named, 1) == [name.as_bytes()]);
    all(named.unwrap_or_else(|| panic!("no {name}")), 2)[0]
}

#[test]
fn the_protobuf_says_what_the_json_says() {
    let bytes = v2_protobuf().plain();
    let definitions = all(&bytes, 9)[0];
    assert_eq!(all(definitions, 1).len(), schema::names().count());

    let pod = find(definitions, 1, "io.k8s.api.core.v1.Pod");
    let kinds = find(pod, 31, "x-kubernetes-group-version-kind");
    assert_eq!(all(kinds, 2), [br#"[{"group":"","kind":"Pod","version":"v1"}]"#]);
    let spec = find(all(pod, 25)[0], 1, "spec");
    assert_eq!(all(spec, 1), [b"#/definitions/io.k8s.api.core.v1.PodSpec"]);
    let containers = find(
        all(find(definitions, 1, "io.k8s.api.core.v1.PodSpec"), 25)[0],
        1,
        "containers",
    );
    assert_eq!(all(all(containers, 22)[0], 1), [b"array"]);
    assert_eq!(
        all(all(all(containers, 23)[0], 1)[0], 1),
        [b"#/definitions/io.k8s.api.core.v1.Container"]
    );
    assert_eq!(
        all(find(containers, 31, "x-kubernetes-patch-merge-key"), 2),
        [br#""name""#]
    );

    let item = find(all(&bytes, 8)[0], 2, "/api/v1/namespaces/{namespace}/configmaps/{name}");
    let patch = all(item, 8)[0];
    let query: Vec<&[u8]> = all(patch, 8)
        .into_iter()
        .flat_map(|item| all(item, 1))
        .flat_map(|parameter| all(parameter, 2))
        .flat_map(|parameter| all(parameter, 3))
        .flat_map(|query| all(query, 4))
        .collect();
    assert_eq!(query, [b"dryRun".as_slice(), b"fieldValidation"]);
}
