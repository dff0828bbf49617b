//! Creating and changing objects.

use http::Method;
use serde_json::{Value, json};

use crate::registry::world::{World, config_map, created, revision, secret, told};

pub async fn an_object_is_created_read_replaced_and_removed(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("life").await);
    let made = world.create(&maps, &config_map("x")).await;
    let metadata = &made["metadata"];
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(metadata["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(metadata["namespace"], "life");
    let path = format!("{maps}/x");
    assert_eq!(world.read(&path).await, made);

    // Nobody changes what identifies it, and a change is a new revision.
    let mut changed = made.clone();
    changed["data"]["key"] = json!("2");
    changed["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let reply = world.admin.put(&path, &changed).await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    let replaced = reply.json();
    assert!(revision(&replaced) > revision(&made));
    assert_eq!(replaced["metadata"]["creationTimestamp"], metadata["creationTimestamp"]);
    assert_eq!(replaced["data"], json!({"key": "2"}));

    // The same again changes nothing, not even the revision.
    let again = world.admin.put(&path, &replaced).await.json();
    assert_eq!(again, replaced);

    let removed = world.admin.delete(&path).await;
    assert_eq!(removed.code, 200);
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "x", "kind": "configmaps", "uid": metadata["uid"]}});
    assert_eq!(removed.json(), want);
    assert_eq!(world.admin.get(&path).await.code, 404);
}

pub async fn a_failure_says_what_upstream_says(world: &World) {
    type Case<'a> = (&'a str, Method, &'a str, Option<Value>, u16, &'a str, &'a str, Value);
    let maps = format!("{}/configmaps", world.namespace("fail").await);
    let path = format!("{maps}/x");
    let made = world.create(&maps, &config_map("x")).await;
    let newer = world
        .admin
        .patch(&path, "application/merge-patch+json", &json!({"data": {"key": "2"}}))
        .await
        .json();
    assert!(revision(&newer) > revision(&made));

    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = made.clone();
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .shift_remove("resourceVersion");
        change(&mut object);
        object
    };
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let about = |name: &str| json!({"name": name, "kind": "configmaps"});
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        ("missing", Method::GET, "/nothing", None, 404, "NotFound", r#"configmaps "nothing" not found"#, about("nothing")),
        ("delete missing", Method::DELETE, "/nothing", None, 404, "NotFound", r#"configmaps "nothing" not found"#, about("nothing")),
        ("put missing", Method::PUT, "/nothing", Some(named("nothing")), 404, "NotFound", r#"configmaps "nothing" not found"#, about("nothing")),
        ("there", Method::POST, "", Some(named("x")), 409, "AlreadyExists", r#"configmaps "x" already exists"#, about("x")),
        ("stale", Method::PUT, "/x", Some(made.clone()), 409, "Conflict",
            r#"Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again"#, about("x")),
        ("another's UID", Method::PUT, "/x", Some(with(&|object| object["metadata"]["uid"] = "1".into())), 409, "Conflict",
            "", about("x")),
        ("another name", Method::PUT, "/x", Some(named("y")), 400, "BadRequest",
            "the name of the object (y) does not match the name on the URL (x)", Value::Null),
        ("another namespace than it is in", Method::PUT, "/x", Some(with(&|object| object["metadata"]["namespace"] = "other".into())), 400, "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request", Value::Null),
        ("an end of its own choosing", Method::PUT, "/x", Some(with(&|object| {
            object["metadata"]["resourceVersion"] = "".into();
            object["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
        })), 422, "Invalid",
            r#"ConfigMap "x" is invalid: metadata.deletionTimestamp: Invalid value: "2030-01-01T00:00:00Z": field is immutable"#,
            json!({"name": "x", "kind": "ConfigMap", "causes": [{"reason": "FieldValueInvalid",
                "message": r#"Invalid value: "2030-01-01T00:00:00Z": field is immutable"#, "field": "metadata.deletionTimestamp"}]})),
        ("another namespace", Method::POST, "", Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "z", "namespace": "other"}})), 400, "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request", Value::Null),
        ("a revision at birth", Method::POST, "", Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "z", "resourceVersion": "5"}})), 400, "BadRequest",
            "resourceVersion should not be set on objects to be created", Value::Null),
        ("another kind", Method::POST, "", Some(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "z"}})), 400, "BadRequest", "", Value::Null),
        ("no JSON", Method::POST, "", Some(json!("text")), 400, "BadRequest", "", Value::Null),
        ("no such path", Method::GET, "/x/nothing", None, 404, "NotFound", "the server could not find the requested resource", json!({})),
        ("no such verb", Method::POST, "/x", Some(named("x")), 405, "MethodNotAllowed", "", json!({})),
    ];
    for (case, method, below, body, code, reason, message, details) in cases {
        let reply = world
            .admin
            .request(method, &format!("{maps}{below}"), &[], body.as_ref())
            .await;
        let status = reply.json();
        assert_eq!(reply.code, code, "{case}: {status}");
        assert_eq!(status["reason"], reason, "{case}: {status}");
        assert_eq!(
            (&status["kind"], &status["status"], &status["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code)),
            "{case}"
        );
        if !message.is_empty() {
            assert_eq!(status["message"], message, "{case}");
            assert_eq!(status["details"], details, "{case}");
        }
    }
    // Every fault in one answer.
    let bad = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name", "labels": {"-": "?"}}, "data": {"a/b": "1"}});
    let reply = world.admin.post(&maps, &bad).await;
    let said = told(&reply);
    assert!(said.starts_with("422 Invalid"), "{said}");
    for field in [
        "[metadata.name FieldValueInvalid]",
        "[metadata.labels FieldValueInvalid]",
        "[data[a/b] FieldValueInvalid]",
    ] {
        assert!(said.contains(field), "{said}");
    }
    assert_eq!(reply.json()["details"]["kind"], "ConfigMap");
    assert!(
        reply.message().starts_with(r#"ConfigMap "Bad_Name" is invalid: ["#),
        "{}",
        reply.message()
    );
}

pub async fn patches_of_three_kinds_change_what_they_say(world: &World) {
    const JSON: &str = "application/json-patch+json";
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    type Case<'a> = (&'a str, &'a str, Value, &'a str, &'a str);
    let services = format!("{}/services", world.namespace("patch").await);
    let ports = json!([{"name": "a", "port": 80, "protocol": "TCP", "targetPort": 80}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {"a": "1", "b": "1"}},
        "spec": {"clusterIP": "None", "ports": ports}});
    let two_ports = json!([{"name": "b", "port": 90}]);
    // What is patched, and what of it is seen after: labels, and names of ports; or the refusal.
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        ("json: replace", JSON, json!([{"op": "replace", "path": "/metadata/labels/a", "value": "2"}]), r#"{"a":"2","b":"1"}"#, "a"),
        ("json: a test that holds", JSON, json!([{"op": "test", "path": "/metadata/labels/a", "value": "1"}, {"op": "remove", "path": "/metadata/labels/a"}]), r#"{"b":"1"}"#, "a"),
        ("json: a test that fails", JSON, json!([{"op": "test", "path": "/metadata/labels/a", "value": "9"}]), "422 Invalid", ""),
        ("json: nothing there", JSON, json!([{"op": "remove", "path": "/metadata/labels/nothing"}]), "422 Invalid", ""),
        ("json: no list", JSON, json!({"op": "remove"}), "400 BadRequest", ""),
        ("merge: null removes", MERGE, json!({"metadata": {"labels": {"a": null, "c": "3"}}}), r#"{"b":"1","c":"3"}"#, "a"),
        ("merge: a list is replaced", MERGE, json!({"spec": {"ports": two_ports}}), r#"{"a":"1","b":"1"}"#, "b"),
        ("merge: an immutable field", MERGE, json!({"spec": {"clusterIP": "10.0.0.9"}}), "422 Invalid", ""),
        ("strategic: a list is merged by its key", STRATEGIC, json!({"spec": {"ports": two_ports}}), r#"{"a":"1","b":"1"}"#, "a b"),
        ("strategic: an item is deleted", STRATEGIC, json!({"spec": {"ports": [{"name": "b", "port": 90}, {"port": 80, "$patch": "delete"}]}}), r#"{"a":"1","b":"1"}"#, "b"),
        ("strategic: a map is replaced", STRATEGIC, json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}), r#"{"c":"3"}"#, "a"),
        ("a stale revision", MERGE, json!({"metadata": {"resourceVersion": "1", "labels": {"a": "9"}}}), "409 Conflict", ""),
        ("another name", MERGE, json!({"metadata": {"name": "t"}}), "400 BadRequest", ""),
        ("apply", "application/apply-patch+yaml", json!({}), "415 UnsupportedMediaType", ""),
        ("JSON", "application/json", json!({}), "415 UnsupportedMediaType", ""),
    ];
    for (case, kind, patch, want, names) in cases {
        let made = world.create(&services, &service).await;
        let path = format!("{services}/s");
        let reply = world.admin.patch(&path, kind, &patch).await;
        if names.is_empty() {
            let said = told(&reply);
            assert!(said.starts_with(want), "{case}: {said}: {}", reply.message());
            assert_eq!(world.read(&path).await, made, "{case}");
        } else {
            assert_eq!(reply.code, 200, "{case}: {}", reply.message());
            let patched = reply.json();
            let labels: Value = serde_json::from_str(want).unwrap();
            assert_eq!(patched["metadata"]["labels"], labels, "{case}");
            let mut ports: Vec<_> = patched["spec"]["ports"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port["name"].as_str().unwrap())
                .collect();
            ports.sort_unstable();
            assert_eq!(ports.join(" "), names, "{case}");
            assert_eq!(world.read(&path).await, patched, "{case}");
        }
        assert_eq!(world.admin.delete(&path).await.code, 200);
    }
    let missing = world.admin.patch(&format!("{services}/t"), MERGE, &json!({})).await;
    assert_eq!(told(&missing), "404 NotFound");
}

pub async fn the_generation_counts_changes_of_what_is_wanted(world: &World) {
    const MERGE: &str = "application/merge-patch+json";
    world.namespace("generation").await;
    let deployments = "/apis/apps/v1/namespaces/generation/deployments";
    let labels = json!({"app": "x"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "generation": 9},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 7}});
    let made = world.create(deployments, &deployment).await;
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["status"]["replicas"], Value::Null, "status is not the creator's");
    let path = format!("{deployments}/d");
    // Where, what, and then: generation, replicas that are wanted, replicas that there are.
    let status = format!("{path}/status");
    #[rustfmt::skip]
    let cases = [
        ("labels",            &path,   json!({"metadata": {"labels": {"a": "1"}}}),             (1, json!(1), Value::Null)),
        ("spec",              &path,   json!({"spec": {"replicas": 3}}),                        (2, json!(3), Value::Null)),
        ("the same",          &path,   json!({"spec": {"replicas": 3}}),                        (2, json!(3), Value::Null)),
        ("status by itself",  &path,   json!({"status": {"replicas": 5}}),                      (2, json!(3), Value::Null)),
        ("status",            &status, json!({"status": {"replicas": 5}}),                      (2, json!(3), json!(5))),
        ("spec by status",    &status, json!({"spec": {"replicas": 1}, "status": {"replicas": 2}}), (2, json!(3), json!(2))),
        ("generation",        &path,   json!({"metadata": {"generation": 77}}),                 (2, json!(3), json!(2))),
    ];
    for (case, path, patch, (generation, wanted, are)) in cases {
        let reply = world.admin.patch(path, MERGE, &patch).await;
        assert_eq!(reply.code, 200, "{case}: {}", reply.message());
        let object = reply.json();
        let is = (
            &object["metadata"]["generation"],
            &object["spec"]["replicas"],
            &object["status"]["replicas"],
        );
        assert_eq!(is, (&json!(generation), &wanted, &are), "{case}");
    }
}

pub async fn a_dry_run_stores_nothing(world: &World) {
    const MERGE: &str = "application/merge-patch+json";
    let secrets = format!("{}/secrets", world.namespace("dry").await);
    let made = world.create(&secrets, &secret("s")).await;
    let mut events = world
        .watch(&format!("{secrets}?watch=1&resourceVersion={}", revision(&made)))
        .await;
    let path = format!("{secrets}/s");
    let mut changed = made.clone();
    changed["data"] = json!({"key": "Mg=="});

    let dry = created(&world.admin.post(&format!("{secrets}?dryRun=All"), &secret("t")).await);
    assert_eq!(dry["metadata"]["name"], "t");
    assert!(
        dry["metadata"]["uid"].is_string() && dry["metadata"]["resourceVersion"].is_null(),
        "{dry}"
    );
    let replaced = world.admin.put(&format!("{path}?dryRun=All"), &changed).await;
    assert_eq!((replaced.code, &replaced.json()["data"]), (200, &changed["data"]));
    let patched = world
        .admin
        .patch(&format!("{path}?dryRun=All"), MERGE, &json!({"data": {"new": "MQ=="}}))
        .await;
    assert_eq!((patched.code, &patched.json()["data"]["new"]), (200, &json!("MQ==")));
    assert_eq!(world.admin.delete(&format!("{path}?dryRun=All")).await.code, 200);
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]});
    assert_eq!(
        world
            .admin
            .request(Method::DELETE, &path, &[], Some(&options))
            .await
            .code,
        200
    );
    assert_eq!(
        world
            .admin
            .request(Method::DELETE, &secrets, &[], Some(&options))
            .await
            .code,
        200
    );

    // What it would refuse it refuses.
    assert_eq!(
        told(&world.admin.post(&format!("{secrets}?dryRun=All"), &secret("s")).await),
        "409 AlreadyExists"
    );
    assert_eq!(
        told(&world.admin.post(&format!("{secrets}?dryRun=Some"), &secret("t")).await),
        "422 Invalid [dryRun FieldValueNotSupported]"
    );

    assert_eq!(world.read(&path).await, made);
    assert_eq!(world.admin.get(&format!("{secrets}/t")).await.code, 404);
    assert!(
        events.is_silent(std::time::Duration::from_millis(300)).await,
        "a watch saw a dry run"
    );
}

pub async fn a_name_is_generated_from_its_base(world: &World) {
    let secrets = format!("{}/secrets", world.namespace("generate").await);
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "base-"}});
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let made = world.create(&secrets, &object).await;
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        let suffix = name.strip_prefix("base-").unwrap();
        assert!(
            suffix.len() == 5
                && suffix
                    .bytes()
                    .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)),
            "{name}"
        );
        assert_eq!(made["metadata"]["generateName"], "base-");
        assert!(seen.insert(name), "a name came twice");
    }
    let long = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "x".repeat(80)}});
    assert_eq!(
        world.create(&secrets, &long).await["metadata"]["name"]
            .as_str()
            .unwrap()
            .len(),
        63
    );
    // A namespace's label has its name, also when that was made after the defaults.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "base-"}});
    let made = world.create("/api/v1/namespaces", &namespace).await;
    assert_eq!(
        made["metadata"]["labels"]["kubernetes.io/metadata.name"], made["metadata"]["name"],
        "{made}"
    );
    // A name that is there is taken as it is.
    let both = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "generateName": "base-"}});
    assert_eq!(world.create(&secrets, &both).await["metadata"]["name"], "own");
    let neither = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}});
    assert_eq!(
        told(&world.admin.post(&secrets, &neither).await),
        "422 Invalid [metadata.name FieldValueRequired]"
    );
}

pub async fn unknown_fields_are_refused_warned_of_or_ignored(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("fields").await);
    let unknown = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","bogus":1},"other":2}"#;
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1"},"data":{"a":"2"}}"#;
    #[rustfmt::skip]
    let cases = [
        ("Strict", unknown, 400, vec![r#"unknown field "metadata.bogus""#, r#"unknown field "other""#]),
        ("Strict", twice,   400, vec![r#"duplicate field "data""#]),
        ("Warn",   unknown, 201, vec![r#"unknown field "metadata.bogus""#, r#"unknown field "other""#]),
        ("Warn",   twice,   201, vec![r#"duplicate field "data""#]),
        ("",       unknown, 201, vec![r#"unknown field "metadata.bogus""#, r#"unknown field "other""#]),
        ("Ignore", unknown, 201, vec![]),
        ("Ignore", twice,   201, vec![]),
        ("Nothing", unknown, 422, vec!["fieldValidation"]),
    ];
    for (validation, body, code, texts) in cases {
        let query = if validation.is_empty() {
            String::new()
        } else {
            format!("?fieldValidation={validation}")
        };
        let headers = [("content-type", "application/json")];
        let path = format!("{maps}{query}");
        let reply = world
            .admin
            .attempt(Method::POST, &path, &headers, body.to_owned())
            .await
            .unwrap();
        assert_eq!(reply.code, code, "{validation}: {}", reply.message());
        let warnings: Vec<_> = reply
            .headers
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap().replace('\\', ""))
            .collect();
        if code == 201 {
            assert_eq!(warnings.len(), texts.len(), "{validation}: {warnings:?}");
            assert_eq!(world.admin.delete(&format!("{maps}/x")).await.code, 200);
        }
        let said = if code == 201 {
            warnings.join(" ")
        } else {
            reply.message()
        };
        for text in texts {
            assert!(said.contains(text), "{validation}: {said}");
        }
    }
}

pub async fn a_name_stays_below_its_prefix(world: &World) {
    let namespace = world.namespace("prefix").await;
    world.secret(&namespace, "inner").await;
    for name in ["..", ".", "../x", "a/b", "a%2fb", "/", "x\0", "x\n", "ä", ""] {
        let reply = world.admin.post(&format!("{namespace}/secrets"), &secret(name)).await;
        assert_eq!(told(&reply)[..11], *"422 Invalid", "{name:?}");
    }
    for path in [
        "/api/v1/namespaces/prefix/configmaps/..%2fsecrets%2fprefix%2finner",
        "/api/v1/namespaces/prefix/configmaps/%2e%2e/secrets/inner",
        "/api/v1/namespaces/..%2fsecrets/configmaps/prefix%2finner",
        "/api/v1/namespaces/prefix%2finner/secrets",
        "/api/v1/namespaces/prefix/secrets/in",
        "/api/v1/namespaces/pre/secrets/inner",
        "/api/v1/namespaces/prefix/secrets/inner%00",
    ] {
        let reply = world.admin.get(path).await;
        let is_empty_list = reply.code == 200 && reply.json()["items"].as_array().is_some_and(Vec::is_empty);
        assert!(
            matches!(reply.code, 400 | 404) || is_empty_list,
            "{path}: {} {}",
            reply.code,
            reply.json()
        );
    }
    // A namespace whose name begins another's sees nothing of it.
    world.namespace("prefix2").await;
    assert!(crate::registry::world::names(&world.read("/api/v1/namespaces/prefix2/secrets").await).is_empty());
}

pub async fn an_object_over_the_limit_is_refused(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("large").await);
    let of = |bytes: usize| {
        let mut object = config_map("x");
        object["binaryData"] = json!({"b": "A".repeat(bytes / 4 * 4)});
        object
    };
    // A config map's own limit, the store's, and the body's.
    for (bytes, want) in [(700 * 1024, 201), (1_700_000, 413), (3 * 1024 * 1024 + 1, 413)] {
        let reply = world.admin.post(&maps, &of(bytes)).await;
        let refused = want == 413 && matches!(reply.code, 413 | 422);
        assert!(
            reply.code == want || refused,
            "{bytes}: {} {}",
            reply.code,
            reply.message()
        );
    }
    let secrets = maps.replace("configmaps", "events");
    let event = |bytes: usize| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "large", "annotations": {}},
            "involvedObject": {"namespace": "large"}, "message": "m".repeat(bytes)})
    };
    for (bytes, want) in [(1_000_000, 201), (1_600_000, 413), (3 * 1024 * 1024, 413)] {
        let reply = world.admin.post(&secrets, &event(bytes)).await;
        assert_eq!(reply.code, want, "{bytes}: {}", reply.message());
        if want == 413 {
            assert_eq!(reply.json()["reason"], "RequestEntityTooLarge");
        }
    }
    // The server is none the worse for it.
    assert_eq!(world.admin.get(&format!("{maps}/x")).await.code, 200);
}

pub async fn only_one_of_many_writers_wins_a_revision(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("race").await);
    let path = format!("{maps}/x");
    let mut map = config_map("x");
    map["data"] = json!({"count": "0"});
    world.create(&maps, &map).await;
    let admin = std::sync::Arc::new(world.client(world.cluster.kubeconfig("admin")));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (admin, path) = (std::sync::Arc::clone(&admin), path.clone());
            tokio::spawn(async move {
                let mut lost = 0;
                for _ in 0..10 {
                    loop {
                        let mut object = admin.get(&path).await.json();
                        let count: u32 = object["data"]["count"].as_str().unwrap().parse().unwrap();
                        object["data"]["count"] = json!((count + 1).to_string());
                        match admin.put(&path, &object).await.code {
                            200 => break,
                            409 => lost += 1,
                            other => panic!("{other}"),
                        }
                    }
                }
                lost
            })
        })
        .collect();
    let mut lost = 0;
    for writer in writers {
        lost += writer.await.unwrap();
    }
    assert_eq!(world.read(&path).await["data"]["count"], "40", "{lost} attempts lost");

    // Whoever names no revision goes over whatever is there, and nothing of the others is lost.
    let patches: Vec<_> = (0..16)
        .map(|number| {
            let (admin, path) = (std::sync::Arc::clone(&admin), path.clone());
            tokio::spawn(async move {
                let change = json!({"data": {format!("k{number}"): "1"}});
                admin.patch(&path, "application/merge-patch+json", &change).await.code
            })
        })
        .collect();
    for patch in patches {
        assert_eq!(patch.await.unwrap(), 200);
    }
    assert_eq!(world.read(&path).await["data"].as_object().unwrap().len(), 17);
}

/// Admission sees what was sent, not what the strategy leaves of it: what a kubelet must not write is refused through
/// `status` too, where others' changes of it are dropped.
pub async fn what_a_strategy_drops_is_refused_to_whom_it_is_forbidden(world: &World) {
    const NODE: &str = "/api/v1/nodes/n1";
    const STATUS: &str = "/api/v1/nodes/n1/status";
    const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
    let labels = json!({"node-restriction.kubernetes.io/a": "1"});
    world
        .create(
            "/api/v1/nodes",
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": labels}}),
        )
        .await;
    let kubelet: &[(&str, &str)] = &[
        ("impersonate-user", "system:node:n1"),
        ("impersonate-group", "system:nodes"),
        MERGE,
    ];
    let admin: &[(&str, &str)] = &[MERGE];
    let taint = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    let label = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/a": "2"}}});
    let owner =
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "1"}]}});
    let phase = json!({"status": {"phase": "Running"}, "metadata": {"labels": {"own": "1"}}});
    #[rustfmt::skip]
    let cases = [
        ("a taint", kubelet, &taint, 403, r#"nodes "n1" is forbidden: node "n1" is not allowed to modify taints"#),
        ("a label", kubelet, &label, 403, r#"nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/a"#),
        ("an owner", kubelet, &owner, 403, r#"nodes "n1" is forbidden: node "n1" is not allowed to modify ownerReferences"#),
        ("its status", kubelet, &phase, 200, ""),
        ("an administrator's taint", admin, &taint, 200, ""),
    ];
    for (case, headers, patch, code, message) in cases {
        let reply = world.admin.request(Method::PATCH, STATUS, headers, Some(patch)).await;
        assert_eq!((reply.code, reply.message().as_str()), (code, message), "{case}");
    }
    let node = world.read(NODE).await;
    assert_eq!(
        (&node["spec"]["taints"], &node["status"]["phase"]),
        (&Value::Null, &json!("Running")),
        "{node}"
    );
    // A version that is not there any more is told after what is forbidden, as upstream does.
    let mut stale = node.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    let put = |object: Value| async move {
        world
            .admin
            .request(Method::PUT, STATUS, &kubelet[..2], Some(&object))
            .await
    };
    assert_eq!(told(&put(stale.clone()).await), "409 Conflict");
    stale["spec"] = taint["spec"].clone();
    assert_eq!(told(&put(stale).await), "403 Forbidden");
}
