//! `NodeRestriction`: each rule once kept and once broken.

use kubetrust_auth::user::User;
use kubetrust_server::admission::NodeRestriction;
use serde_json::{Value, json};

use super::certificates::request;
use super::world::{Request, World, create, decide, delete, grant, kubelet, update, user};
use crate::support::Engine;

on_both!(
    a_kubelet_creates_mirrors_of_its_own_and_deletes_and_evicts_its_own,
    a_kubelet_reports_on_its_own_pods_only,
    a_kubelet_writes_its_own_node_but_not_what_draws_pods_to_it,
    a_kubelet_reports_how_large_a_claim_has_become_and_nothing_else,
    a_kubelet_gets_tokens_for_pods_on_its_node,
    a_kubelet_gets_tokens_for_the_audiences_of_the_pods_volumes,
    a_kubelet_has_what_bears_its_name,
    a_kubelet_asks_for_certificates_of_its_own,
    who_is_no_kubelet_is_not_restricted,
);

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "uid": format!("{name}-uid")},
        "spec": {"nodeName": node},
    })
}

fn node(name: &str, fields: Value) -> Value {
    let mut node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": format!("{name}-uid")}});
    for (pointer, value) in fields.as_object().unwrap() {
        let (part, field) = pointer.split_once('.').unwrap();
        node[part][field] = value.clone();
    }
    node
}

/// A mirror pod as kubelets create it, with something else about it.
fn mirror(change: impl Fn(&mut Value)) -> Value {
    let mut pod = pod("mirror", "n1");
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1-uid", "controller": true}]);
    change(&mut pod);
    pod
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

async fn a_kubelet_creates_mirrors_of_its_own_and_deletes_and_evicts_its_own(engine: Engine) {
    let world = World::of(
        engine,
        &[
            node("n1", json!({})),
            pod("mine", "n1"),
            pod("other", "n2"),
            pod("free", ""),
        ],
    )
    .await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let made = |change: fn(&mut Value)| create(&n1, "pods", mirror(change));
    let evict = |name: &str| create(&n1, "pods/eviction", json!({"metadata": {"name": name}})).at("ns", name);
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (made(|_| ()), ""),
        (made(|pod| pod["metadata"]["annotations"] = json!({})),
            r#"pods "mirror" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#),
        (made(|pod| pod["spec"]["nodeName"] = "n2".into()),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with spec.nodeName set to itself"#),
        (made(|pod| pod["spec"] = json!({})),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with spec.nodeName set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"] = json!([])),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with an owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"] = json!([{}, {}])),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with a single owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["name"] = "n2".into()),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with an owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = "Pod".into()),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with an owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["apiVersion"] = "x/v1".into()),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with an owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["controller"] = false.into()),
            r#"pods "mirror" is forbidden: node "n1" can only create pods with a controller owner reference set to itself"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = false.into()), ""),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into()),
            r#"pods "mirror" is forbidden: node "n1" must not set blockOwnerDeletion on an owner reference"#),
        (made(|pod| pod["metadata"]["ownerReferences"][0]["uid"] = "old".into()),
            r#"pods "mirror" is forbidden: node n1 UID mismatch: expected old got n1-uid"#),
        (made(|pod| pod["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}])), ""),
        (made(|pod| pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}])),
            r#"pods "mirror" is forbidden: node "n1" can not create pods that reference secrets"#),
        (made(|pod| pod["spec"]["volumes"] = json!([{"name": "v", "news": {}}])),
            r#"pods "mirror" is forbidden: error checking mirror pod for API references: unknown volume type for volume  "v""#),
        (made(|pod| pod["spec"]["serviceAccountName"] = "default".into()),
            r#"pods "mirror" is forbidden: node "n1" can not create pods that reference serviceaccounts"#),
        (delete(&n1, "pods", pod("mine", "n1")), ""),
        (delete(&n1, "pods", pod("other", "n2")),
            r#"pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself"#),
        (delete(&n1, "pods", pod("free", "")),
            r#"pods "free" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself"#),
        (update(&n1, "pods", pod("mine", "n1"), pod("mine", "n1")),
            r#"pods "mine" is forbidden: unexpected operation "UPDATE", node "n1" can only create and delete mirror pods"#),
        (evict("mine"), ""),
        (create(&n1, "pods/eviction", json!({"metadata": {"name": "mine"}})).at("ns", ""), ""),
        (evict("other"), r#"pods "other" is forbidden: node n1 can only evict pods with spec.nodeName set to itself"#),
        (evict("free"), r#"pods "free" is forbidden: node n1 can only evict pods with spec.nodeName set to itself"#),
        (evict("none"), r#"pod "none" not found"#),
        (create(&n1, "pods/eviction", json!({})).at("ns", ""),
            r#"pods "Unknown" is forbidden: could not determine pod from request data"#),
        (update(&n1, "pods/eviction", pod("mine", "n1"), pod("mine", "n1")),
            r#"pods "mine" is forbidden: unexpected operation UPDATE"#),
        (create(&n1, "pods/binding", json!({})).at("ns", "mine"),
            r#"pods "mine" is forbidden: unexpected pod subresource "binding", only 'status' and 'eviction' are allowed"#),
        (create(&kubelet("n9"), "pods", mirror(|pod| {
            pod["spec"]["nodeName"] = "n9".into();
            pod["metadata"]["ownerReferences"][0]["name"] = "n9".into();
        })), r#"node "n9" not found"#),
    ];
    decide(&plugin, cases).await;
}

async fn a_kubelet_reports_on_its_own_pods_only(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let mine = || pod("mine", "n1");
    let labelled = |value: &str| with(mine(), "/metadata/labels", json!({"a": value}));
    let claims = |value: Value| with(mine(), "/status", json!({"resourceClaimStatuses": value}));
    let extended = |value: Value| with(mine(), "/status", json!({"extendedResourceClaimStatus": value}));
    let status = |old: Value, new: Value| update(&kubelet("n1"), "pods/status", old, new);
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (status(mine(), with(mine(), "/status", json!({"phase": "Running"}))), ""),
        (status(pod("other", "n2"), pod("other", "n2")),
            r#"pods "other" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself"#),
        // The old pod decides: no pod is moved to be written.
        (status(pod("other", "n2"), pod("other", "n1")),
            r#"pods "other" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself"#),
        (status(labelled("1"), labelled("1")), ""),
        (status(mine(), with(mine(), "/metadata/labels", json!({}))), ""),
        (status(labelled("1"), labelled("2")), r#"pods "mine" is forbidden: node "n1" cannot update labels through pod status"#),
        (status(mine(), labelled("")), r#"pods "mine" is forbidden: node "n1" cannot update labels through pod status"#),
        (status(labelled("1"), mine()), r#"pods "mine" is forbidden: node "n1" cannot update labels through pod status"#),
        (status(claims(json!([{"name": "c", "resourceClaimName": "x"}])), claims(json!([{"name": "c", "resourceClaimName": "x"}]))), ""),
        (status(mine(), claims(json!([]))), ""),
        (status(claims(json!([{"name": "c"}])), claims(json!([{"name": "c", "resourceClaimName": "x"}]))),
            r#"pods "mine" is forbidden: node "n1" cannot update resource claim statues"#),
        (status(extended(json!({"resourceClaimName": "x"})), extended(json!({"resourceClaimName": "x"}))), ""),
        (status(mine(), extended(json!({"resourceClaimName": "x"}))),
            r#"pods "mine" is forbidden: node "n1" cannot update extended resource claim status"#),
        (create(&kubelet("n1"), "pods/status", mine()), r#"pods "mine" is forbidden: unexpected operation "CREATE""#),
    ];
    decide(&plugin, cases).await;
}

async fn a_kubelet_writes_its_own_node_but_not_what_draws_pods_to_it(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let mine = |fields: Value| node("n1", fields);
    let plain = || mine(json!({}));
    let labels = |labels: Value| mine(json!({"metadata.labels": labels}));
    let taint = |key: &str| mine(json!({"spec.taints": [{"key": key, "effect": "NoSchedule"}]}));
    let source = |name: &str| mine(json!({"spec.configSource": {"configMap": {"name": name}}}));
    let owner = |name: &str| mine(json!({"metadata.ownerReferences": [{"name": name}]}));
    let mut cases: Vec<(Request, &str)> = vec![
        (create(&n1, "nodes", plain()), ""),
        (
            create(&n1, "nodes", node("n2", json!({}))),
            r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#,
        ),
        (create(&n1, "nodes", taint("a")), ""),
        (
            create(&n1, "nodes", source("a")),
            r#"nodes "n1" is forbidden: node "n1" is not allowed to create pods with a non-nil configSource"#,
        ),
        (
            create(
                &n1,
                "nodes",
                labels(json!({"kubernetes.io/hostname": "n1", "own": "1"})),
            ),
            "",
        ),
        (
            create(
                &n1,
                "nodes",
                labels(json!({"node-restriction.kubernetes.io/b": "1", "k8s.io/a": "", "own": "1"})),
            ),
            r#"nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: k8s.io/a, node-restriction.kubernetes.io/b"#,
        ),
        (delete(&n1, "nodes", plain()), ""),
        (
            delete(&n1, "nodes", node("n2", json!({}))),
            r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#,
        ),
    ];
    for what in ["nodes", "nodes/status"] {
        cases.extend([
            (update(&n1, what, plain(), mine(json!({"spec.unschedulable": true}))), ""),
            (update(&n1, what, node("n2", json!({})), node("n2", json!({}))),
                r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#),
            (update(&n1, what, source("a"), source("a")), ""),
            (update(&n1, what, source("a"), plain()), ""),
            (update(&n1, what, source("a"), source("b")),
                r#"nodes "n1" is forbidden: node "n1" is not allowed to update configSource to a new non-nil configSource"#),
            (update(&n1, what, taint("a"), taint("a")), ""),
            (update(&n1, what, plain(), mine(json!({"spec.taints": []}))), ""),
            (update(&n1, what, taint("a"), taint("b")), r#"nodes "n1" is forbidden: node "n1" is not allowed to modify taints"#),
            (update(&n1, what, taint("a"), plain()), r#"nodes "n1" is forbidden: node "n1" is not allowed to modify taints"#),
            (update(&n1, what, owner("a"), owner("a")), ""),
            (update(&n1, what, owner("a"), owner("b")),
                r#"nodes "n1" is forbidden: node "n1" is not allowed to modify ownerReferences"#),
            (update(&n1, what, labels(json!({"k8s.io/a": "1"})), labels(json!({"k8s.io/a": "1", "own": "1"}))), ""),
            (update(&n1, what, plain(), labels(json!({"node-role.kubernetes.io/control-plane": ""}))),
                r#"nodes "n1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/control-plane"#),
            (update(&n1, what, labels(json!({"node-restriction.kubernetes.io/a": "1"})), plain()),
                r#"nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/a"#),
        ]);
    }
    decide(&plugin, &cases).await;
}

async fn a_kubelet_reports_how_large_a_claim_has_become_and_nothing_else(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let claim = |fields: Value| {
        let claim = json!({"metadata": {"namespace": "ns", "name": "c", "resourceVersion": "1"}, "spec": {}, "status": {"phase": "Bound"}});
        fields
            .as_object()
            .unwrap()
            .iter()
            .fold(claim, |claim, (pointer, value)| with(claim, pointer, value.clone()))
    };
    let plain = || claim(json!({}));
    let status = |new: Value| update(&kubelet("n1"), "persistentvolumeclaims/status", plain(), new);
    let refused = |field: &str| {
        format!(
            r#"persistentvolumeclaims "c" is forbidden: node "n1" is not allowed to update fields other than status.quantity and status.conditions: {field}"#
        )
    };
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (status(plain()), ""),
        (status(claim(json!({
            "/metadata/resourceVersion": "", "/metadata/managedFields": [{}],
            "/status/capacity": {"storage": "1Gi"}, "/status/conditions": [{}],
            "/status/allocatedResources": {}, "/status/allocatedResourceStatuses": {"storage": "x"},
        }))), ""),
        (status(claim(json!({"/metadata/labels": {}}))), ""),
        (status(claim(json!({"/metadata/labels": {"a": ""}}))), &refused("metadata.labels")),
        (status(claim(json!({"/metadata/finalizers": ["x/y"]}))), &refused("metadata.finalizers")),
        (status(claim(json!({"/metadata/ownerReferences": [{}]}))), &refused("metadata.ownerReferences")),
        (status(claim(json!({"/spec/volumeName": "v", "/status/phase": "Lost"}))), &refused("spec.volumeName, status.phase")),
        (status(with(plain(), "/status", json!("x"))), &refused("status")),
        (create(&kubelet("n1"), "persistentvolumeclaims/status", plain()),
            r#"persistentvolumeclaims "c" is forbidden: unexpected operation "CREATE""#),
        (create(&kubelet("n1"), "persistentvolumeclaims", plain()),
            r#"persistentvolumeclaims "c" is forbidden: may only update PVC status"#),
        (delete(&kubelet("n1"), "persistentvolumeclaims", plain()),
            r#"persistentvolumeclaims "c" is forbidden: may only update PVC status"#),
    ];
    decide(&plugin, cases).await;
}

/// A request for a token of the account `ns/sa`.
fn token(user: &User, bound: Value, audiences: Value) -> Request {
    let object = json!({"spec": {"boundObjectRef": bound, "audiences": audiences}});
    create(user, "serviceaccounts/token", object).at("ns", "sa")
}

fn bound(pod: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": format!("{pod}-uid")})
}

fn with_volumes(name: &str, volumes: Value) -> Value {
    with(pod(name, "n1"), "/spec/volumes", volumes)
}

fn default_token() -> Value {
    json!([{"name": "v", "projected": {"sources": [{"configMap": {}}, {"serviceAccountToken": {"path": "token"}}]}}])
}

async fn a_kubelet_gets_tokens_for_pods_on_its_node(engine: Engine) {
    let world = World::of(engine, &[with_volumes("mine", default_token()), pod("other", "n2")]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let ask = |bound: Value| token(&n1, bound, json!([]));
    let account = json!({"metadata": {"namespace": "ns", "name": "sa"}});
    let unbound = r#"serviceaccounts "sa" is forbidden: node requested token not bound to a pod"#;
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (ask(bound("mine")), ""),
        (ask(json!(null)), unbound),
        (ask(with(json!({"r": bound("mine")}), "/r/kind", json!("Secret"))["r"].clone()), unbound),
        (ask(with(json!({"r": bound("mine")}), "/r/apiVersion", json!("v2"))["r"].clone()), unbound),
        (ask(with(json!({"r": bound("mine")}), "/r/name", json!(""))["r"].clone()), unbound),
        (ask(with(json!({"r": bound("mine")}), "/r/uid", json!(""))["r"].clone()),
            r#"serviceaccounts "sa" is forbidden: node requested token with a pod binding without a uid"#),
        (ask(with(json!({"r": bound("mine")}), "/r/uid", json!("old"))["r"].clone()),
            r#"serviceaccounts "sa" is forbidden: the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated"#),
        (ask(bound("none")), r#"pod "none" not found"#),
        (ask(bound("other")), r#"serviceaccounts "sa" is forbidden: node requested token bound to a pod scheduled on a different node"#),
        // What else there is to accounts is the authorizers' to refuse.
        (update(&n1, "serviceaccounts", account.clone(), account), ""),
    ];
    decide(&plugin, cases).await;
}

async fn a_kubelet_gets_tokens_for_the_audiences_of_the_pods_volumes(engine: Engine) {
    let claim = |name: &str, volume: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"namespace": "ns", "name": name}, "spec": {"volumeName": volume}});
    let volume = |name: &str, source: Value| json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": source});
    let driver = |name: &str| json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name}, "spec": {"tokenRequests": [{"audience": "storage"}]}});
    let mut objects = vec![
        with_volumes(
            "named",
            json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}}]),
        ),
        with_volumes("default", default_token()),
        with_volumes("csi", json!([{"name": "v", "csi": {"driver": "d"}}])),
        with_volumes(
            "claimed",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
        ),
        with_volumes(
            "ephemeral",
            json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]),
        ),
        with_volumes(
            "migrated",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "old"}}]),
        ),
        with_volumes("inline", json!([{"name": "v", "azureDisk": {}}])),
        with_volumes(
            "lost",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}, {"name": "w", "csi": {"driver": "none"}}]),
        ),
        with_volumes(
            "unbound",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "unbound"}}]),
        ),
        with_volumes(
            "partly",
            json!([{"name": "v", "csi": {"driver": "none"}}, {"name": "w", "csi": {"driver": "d"}}]),
        ),
        claim("c", "pv"),
        claim("ephemeral-v", "pv"),
        claim("old", "old-pv"),
        claim("unbound", ""),
        volume("pv", json!({"csi": {"driver": "d"}})),
        volume("old-pv", json!({"awsElasticBlockStore": {"volumeID": "x"}})),
        driver("d"),
        driver("ebs.csi.aws.com"),
        driver("disk.csi.azure.com"),
    ];
    objects.extend(grant(
        "system:node:trusted",
        "request-serviceaccounts-token-audience",
        "",
        "vault",
        "sa",
    ));
    let on = |node: &str, name: &str| {
        with(
            with(pod(name, node), "/spec/volumes", json!([])),
            "/metadata/uid",
            json!(format!("{name}-uid")),
        )
    };
    objects.push(on("trusted", "trusted"));
    let world = World::of(engine, &objects).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let ask = |pod: &str, audiences: Value| token(&n1, bound(pod), audiences);
    let not_found = |audience: &str| {
        format!(
            r#"serviceaccounts "sa" is forbidden: audience "{audience}" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"#
        )
    };
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (ask("default", json!(null)), ""),
        (ask("default", json!([""])), ""),
        (ask("default", json!(["vault"])), &not_found("vault")),
        (ask("named", json!(["vault"])), ""),
        (ask("named", json!([])), &not_found("")),
        (ask("named", json!(["vault", "more"])), r#"serviceaccounts "sa" is forbidden: node may only request 0 or 1 audiences"#),
        (ask("csi", json!(["storage"])), ""),
        (ask("csi", json!(["vault"])), &not_found("vault")),
        (ask("claimed", json!(["storage"])), ""),
        (ask("ephemeral", json!(["storage"])), ""),
        (ask("migrated", json!(["storage"])), ""),
        (ask("inline", json!(["storage"])), ""),
        (ask("partly", json!(["storage"])), ""),
        (ask("partly", json!(["vault"])),
            r#"serviceaccounts "sa" is forbidden: error validating audience "vault": csidriver.storage.k8s.io "none" not found"#),
        (ask("lost", json!(["storage"])),
            r#"serviceaccounts "sa" is forbidden: error validating audience "storage": [csidriver.storage.k8s.io "none" not found, persistentvolumeclaim "none" not found]"#),
        (ask("unbound", json!(["storage"])),
            r#"serviceaccounts "sa" is forbidden: error validating audience "storage": persistentvolume "" not found"#),
        // A cluster's administrator may give more.
        (token(&kubelet("trusted"), bound("trusted"), json!(["vault"])), ""),
        (token(&kubelet("trusted"), bound("trusted"), json!(["vault"])).at("ns", "another"),
            r#"serviceaccounts "another" is forbidden: audience "vault" not found in pod spec volume, system:node:trusted is not authorized to request tokens for this audience"#),
    ];
    decide(&plugin, cases).await;
}

async fn a_kubelet_has_what_bears_its_name(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let lease = |namespace: &str, name: &str| json!({"metadata": {"namespace": namespace, "name": name}});
    let named = |name: &str| json!({"metadata": {"name": name}});
    let slice = |node: Value| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
    let wrong_namespace = |name: &str| {
        format!(
            r#"leases.coordination.k8s.io "{name}" is forbidden: can only access leases in the "kube-node-lease" system namespace"#
        )
    };
    let wrong_lease = r#"leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting node"#;
    let wrong_csi_node = r#"csinodes.storage.k8s.io "n2" is forbidden: can only access CSINode with the same name as the requesting node"#;
    let own = "kube-node-lease";
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&n1, "leases", lease(own, "n1")), ""),
        (create(&n1, "leases", lease(own, "n1")).at(own, ""), ""),
        (create(&n1, "leases", lease(own, "n2")), wrong_lease),
        (create(&n1, "leases", lease(own, "n2")).at(own, ""), wrong_lease),
        (create(&n1, "leases", lease("ns", "n1")), &wrong_namespace("n1")),
        (update(&n1, "leases", lease(own, "n1"), lease(own, "n1")), ""),
        (update(&n1, "leases", lease(own, "n2"), lease(own, "n2")), wrong_lease),
        (delete(&n1, "leases", lease(own, "n1")), ""),
        (delete(&n1, "leases", lease(own, "n2")), wrong_lease),
        (delete(&n1, "leases", lease("kube-system", "n1")), &wrong_namespace("n1")),
        (create(&n1, "csinodes", named("n1")), ""),
        (create(&n1, "csinodes", named("n2")), wrong_csi_node),
        (update(&n1, "csinodes", named("n1"), named("n1")), ""),
        (update(&n1, "csinodes", named("n2"), named("n2")), wrong_csi_node),
        (delete(&n1, "csinodes", named("n1")), ""),
        (delete(&n1, "csinodes", named("n2")), wrong_csi_node),
        (create(&n1, "resourceslices", slice(json!("n1"))), ""),
        (create(&n1, "resourceslices", slice(json!("n2"))),
            r#"resourceslices.resource.k8s.io "s" is forbidden: can only create ResourceSlice with the same NodeName as the requesting node"#),
        (create(&n1, "resourceslices", slice(json!(null))),
            r#"resourceslices.resource.k8s.io "s" is forbidden: can only create ResourceSlice with the same NodeName as the requesting node"#),
        (update(&n1, "resourceslices", slice(json!("n2")), slice(json!("n2"))), ""),
        (delete(&n1, "resourceslices", slice(json!("n1"))), ""),
        (delete(&n1, "resourceslices", slice(json!("n2"))),
            r#"resourceslices.resource.k8s.io "s" is forbidden: can only delete ResourceSlice with the same NodeName as the requesting node"#),
    ];
    decide(&plugin, cases).await;
}

async fn a_kubelet_asks_for_certificates_of_its_own(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let n1 = kubelet("n1");
    let mut cases = Vec::new();
    for signer in [
        "kubernetes.io/kube-apiserver-client-kubelet",
        "kubernetes.io/kubelet-serving",
    ] {
        cases.extend([
            (create(&n1, "certificatesigningrequests", request(signer, "system:node:n1", &["system:nodes"])), ""),
            (create(&n1, "certificatesigningrequests", request(signer, "system:node:n2", &["system:nodes"])),
                r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: can only create a node CSR with CN=system:node:n1"#),
            (create(&n1, "certificatesigningrequests", request(signer, "n1", &["system:nodes"])),
                r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: can only create a node CSR with CN=system:node:n1"#),
            (create(&n1, "certificatesigningrequests", json!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": "!"}})),
                r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: unable to parse csr: PEM block type must be CERTIFICATE REQUEST"#),
        ]);
    }
    cases.push((
        create(
            &n1,
            "certificatesigningrequests",
            request("example.com/other", "anyone", &[]),
        ),
        "",
    ));
    decide(&plugin, &cases).await;
}

async fn who_is_no_kubelet_is_not_restricted(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = NodeRestriction::new(&world.registry, &world.authorizer);
    let refused = r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#;
    for (who, refusal) in [
        (kubelet("n1"), refused),
        (
            user("system:node:", &["system:nodes"]),
            r#"nodes "n2" is forbidden: could not determine node from user "system:node:""#,
        ),
        (user("system:node:n1", &[]), ""),
        (user("n1", &["system:nodes"]), ""),
        (user("jane", &[]), ""),
        (user("admin", &["system:masters"]), ""),
    ] {
        #[rustfmt::skip]
        let cases: &[(Request, &str)] = &[
            (create(&who, "nodes", node("n2", json!({}))), refusal),
        ];
        decide(&plugin, cases).await;
    }
    let n1 = kubelet("n1");
    decide(
        &plugin,
        &[(
            create(&n1, "events", json!({"metadata": {"namespace": "ns", "name": "e"}})),
            "",
        )],
    )
    .await;
}
