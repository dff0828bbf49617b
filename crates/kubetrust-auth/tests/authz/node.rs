//! What kubelets may: what concerns their node and the pods on it.

use kubetrust_auth::authz::node::{Node, Nodes};
use kubetrust_auth::user::User;
use serde_json::{Value, json};

use crate::words::{asked, user};

/// A pod that refers to one object in every way there is. What it refers to is named after the way.
pub fn pod(name: &str, node: &str) -> Value {
    let by_secret_ref = |field: &str| json!({ "name": field, field: { "secretRef": { "name": field } } });
    json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": {
            "nodeName": node,
            "serviceAccountName": "account",
            "imagePullSecrets": [{ "name": "pull" }, {}],
            "initContainers": [{ "envFrom": [{ "secretRef": { "name": "init" } }] }],
            "containers": [{
                "env": [
                    { "name": "A", "valueFrom": { "secretKeyRef": { "name": "env" } } },
                    { "name": "B", "valueFrom": { "configMapKeyRef": { "name": "env" } } },
                    { "name": "C", "value": "plain" },
                ],
                "envFrom": [{ "configMapRef": { "name": "env-from" } }],
            }],
            "ephemeralContainers": [{ "envFrom": [{ "secretRef": { "name": "debug" } }] }],
            "volumes": [
                { "name": "s", "secret": { "secretName": "volume" } },
                { "name": "c", "configMap": { "name": "volume" } },
                { "name": "p", "projected": { "sources": [
                    { "secret": { "name": "projected" } },
                    { "configMap": { "name": "projected" } },
                    { "serviceAccountToken": { "path": "token" } },
                ] } },
                { "name": "azure", "azureFile": { "secretName": "azureFile" } },
                by_secret_ref("cephfs"), by_secret_ref("cinder"), by_secret_ref("flexVolume"), by_secret_ref("iscsi"),
                by_secret_ref("rbd"), by_secret_ref("scaleIO"), by_secret_ref("storageos"),
                { "name": "csi", "csi": { "nodePublishSecretRef": { "name": "csi" } } },
                { "name": "pvc", "persistentVolumeClaim": { "claimName": "claim" } },
                { "name": "scratch", "ephemeral": { "volumeClaimTemplate": {} } },
                { "name": "e", "emptyDir": {} },
            ],
            "resourceClaims": [
                { "name": "direct", "resourceClaimName": "named" },
                { "name": "made", "resourceClaimTemplateName": "template" },
                { "name": "unmade", "resourceClaimTemplateName": "template" },
                { "name": "none", "resourceClaimTemplateName": "template" },
            ],
        },
        "status": {
            "resourceClaimStatuses": [{ "name": "made", "resourceClaimName": "made-1" }, { "name": "none" }],
            "extendedResourceClaimStatus": { "resourceClaimName": "extended" },
        },
    })
}

fn volume(name: &str, claim: Option<&str>, source: &Value) -> Value {
    let mut spec = source.clone();
    if let Some(claim) = claim {
        spec["claimRef"] = json!({ "namespace": "ns", "name": claim });
    }
    json!({ "metadata": { "name": name }, "spec": spec })
}

/// A pod on node `n` and one on `other`, volumes, attachments and slices.
pub fn cluster() -> Node {
    let node = Node::default();
    let put = |group: &str, plural: &str, object: &Value| assert!(node.put(group, plural, object).unwrap());
    put("", "pods", &pod("web", "n"));
    let far = json!({ "metadata": { "name": "far", "namespace": "ns" }, "spec": {
        "nodeName": "other", "serviceAccountName": "far",
        "volumes": [
            { "secret": { "secretName": "far" } },
            { "secret": { "secretName": "volume" } },
            { "persistentVolumeClaim": { "claimName": "far" } },
        ],
        "resourceClaims": [{ "name": "far", "resourceClaimName": "far" }],
    } });
    put("", "pods", &far);
    let csi = json!({ "csi": {
        "nodePublishSecretRef": { "namespace": "vault", "name": "publish" },
        "nodeStageSecretRef": { "namespace": "vault", "name": "stage" },
        "nodeExpandSecretRef": { "namespace": "vault", "name": "expand" },
        "controllerPublishSecretRef": { "namespace": "vault", "name": "controller" },
        "controllerExpandSecretRef": { "namespace": "vault", "name": "controller" },
    } });
    put("", "persistentvolumes", &volume("pv", Some("claim"), &csi));
    put(
        "",
        "persistentvolumes",
        &volume(
            "pv-scratch",
            Some("web-scratch"),
            &json!({ "azureFile": { "secretName": "azure-of-claim" } }),
        ),
    );
    put(
        "",
        "persistentvolumes",
        &volume(
            "pv-far",
            Some("far"),
            &json!({ "rbd": { "secretRef": { "name": "far-rbd" } } }),
        ),
    );
    put(
        "",
        "persistentvolumes",
        &volume("pv-free", None, &json!({ "rbd": { "secretRef": { "name": "free" } } })),
    );
    for (name, on) in [("va", "n"), ("va-far", "other"), ("va-none", "")] {
        put(
            "storage.k8s.io",
            "volumeattachments",
            &json!({ "metadata": { "name": name }, "spec": { "nodeName": on } }),
        );
        put(
            "resource.k8s.io",
            "resourceslices",
            &json!({ "metadata": { "name": name }, "spec": { "nodeName": on } }),
        );
    }
    node
}

pub fn kubelet(name: &str) -> User {
    user(&format!("system:node:{name}+system:nodes"))
}

const UNRELATED: &str = "no relationship found between node 'n' and this object";

/// What the kubelet of node `n` asks for, and `+` or the reason of the refusal.
const CASES: &[(&str, &str)] = &[
    // Secrets and config maps, of every kind of reference.
    ("get secrets @ns volume", "+"),
    ("list secrets @ns volume", "+"),
    ("watch secrets @ns volume", "+"),
    ("get secrets @ns pull", "+"),
    ("get secrets @ns init", "+"),
    ("get secrets @ns env", "+"),
    ("get secrets @ns debug", "+"),
    ("get secrets @ns projected", "+"),
    ("get secrets @ns azureFile", "+"),
    ("get secrets @ns cephfs", "+"),
    ("get secrets @ns cinder", "+"),
    ("get secrets @ns flexVolume", "+"),
    ("get secrets @ns iscsi", "+"),
    ("get secrets @ns rbd", "+"),
    ("get secrets @ns scaleIO", "+"),
    ("get secrets @ns storageos", "+"),
    ("get secrets @ns csi", "+"),
    ("get secrets @vault publish", "+"),
    ("get secrets @vault stage", "+"),
    ("get secrets @vault expand", "+"),
    ("get secrets @vault controller", UNRELATED),
    ("get secrets @ns azure-of-claim", "+"),
    ("get secrets @ns far-rbd", UNRELATED),
    ("get secrets @ns free", UNRELATED),
    ("get secrets @ns far", UNRELATED),
    ("get secrets @ns nothing", UNRELATED),
    ("get secrets @else volume", UNRELATED),
    ("list secrets @ns", "No Object name found"),
    ("list secrets volume", "can only read namespaced object of this type"),
    ("get secrets/status @ns volume", "cannot read subresource"),
    ("update secrets @ns volume", "can only read resources of this type"),
    ("create secrets @ns", "can only read resources of this type"),
    ("get configmaps @ns volume", "+"),
    ("get configmaps @ns env", "+"),
    ("get configmaps @ns env-from", "+"),
    ("get configmaps @ns projected", "+"),
    ("get configmaps @ns pull", UNRELATED),
    // Volumes.
    ("get persistentvolumeclaims @ns claim", "+"),
    ("get persistentvolumeclaims @ns web-scratch", "+"),
    ("get persistentvolumeclaims @ns far", UNRELATED),
    (
        "list persistentvolumeclaims @ns claim",
        "can only get individual resources of this type",
    ),
    (
        "update persistentvolumeclaims @ns claim",
        "can only get individual resources of this type",
    ),
    ("get persistentvolumeclaims/other @ns claim", "cannot get subresource"),
    ("update persistentvolumeclaims/status @ns claim", "+"),
    ("patch persistentvolumeclaims/status @ns claim", "+"),
    ("patch persistentvolumeclaims/status @ns far", UNRELATED),
    (
        "get persistentvolumeclaims/status @ns claim",
        "can only get/update/patch this type",
    ),
    ("get persistentvolumes pv", "+"),
    ("get persistentvolumes pv-scratch", "+"),
    ("get persistentvolumes pv-far", UNRELATED),
    ("get persistentvolumes pv-free", UNRELATED),
    ("get persistentvolumes @ns pv", UNRELATED),
    ("get persistentvolumes", "No Object name found"),
    (
        "list persistentvolumes",
        "can only get individual resources of this type",
    ),
    ("get volumeattachments.storage.k8s.io va", "+"),
    ("get volumeattachments.storage.k8s.io va-far", UNRELATED),
    ("get volumeattachments.storage.k8s.io va-none", UNRELATED),
    (
        "list volumeattachments.storage.k8s.io",
        "can only get individual resources of this type",
    ),
    // Resource claims and slices.
    ("get resourceclaims.resource.k8s.io @ns named", "+"),
    ("get resourceclaims.resource.k8s.io @ns made-1", "+"),
    ("get resourceclaims.resource.k8s.io @ns extended", "+"),
    ("get resourceclaims.resource.k8s.io @ns template", UNRELATED),
    ("get resourceclaims.resource.k8s.io @ns far", UNRELATED),
    ("create resourceslices.resource.k8s.io", "+"),
    ("get resourceslices.resource.k8s.io va", "+"),
    ("update resourceslices.resource.k8s.io va", "+"),
    ("patch resourceslices.resource.k8s.io va", "+"),
    ("delete resourceslices.resource.k8s.io va", "+"),
    ("delete resourceslices.resource.k8s.io va-far", UNRELATED),
    ("list resourceslices.resource.k8s.io spec.nodeName=n", "+"),
    ("watch resourceslices.resource.k8s.io spec.nodeName=n", "+"),
    ("deletecollection resourceslices.resource.k8s.io spec.nodeName=n", "+"),
    (
        "list resourceslices.resource.k8s.io spec.nodeName=other",
        "can only list/watch/deletecollection resourceslices with nodeName field selector",
    ),
    (
        "list resourceslices.resource.k8s.io",
        "can only list/watch/deletecollection resourceslices with nodeName field selector",
    ),
    (
        "get resourceslices.resource.k8s.io/x va",
        "cannot authorize ResourceSlice subresources",
    ),
    (
        "escalate resourceslices.resource.k8s.io va",
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
    ),
    // Service accounts and their tokens.
    ("get serviceaccounts @ns account", "+"),
    ("get serviceaccounts @ns far", UNRELATED),
    (
        "get serviceaccounts account",
        "can only read namespaced object of this type",
    ),
    (
        "list serviceaccounts @ns account",
        "can only create tokens for individual service accounts",
    ),
    ("create serviceaccounts/token @ns account", "+"),
    ("create serviceaccounts/token @ns far", UNRELATED),
    (
        "create serviceaccounts/token @ns",
        "can only create tokens for individual service accounts",
    ),
    (
        "create serviceaccounts @ns account",
        "can only create token subresource of serviceaccount",
    ),
    (
        "get serviceaccounts/token @ns account",
        "can only create tokens for individual service accounts",
    ),
    // Leases and CSI nodes.
    ("get leases.coordination.k8s.io @kube-node-lease n", "+"),
    ("create leases.coordination.k8s.io @kube-node-lease", "+"),
    ("update leases.coordination.k8s.io @kube-node-lease n", "+"),
    ("patch leases.coordination.k8s.io @kube-node-lease n", "+"),
    ("delete leases.coordination.k8s.io @kube-node-lease n", "+"),
    (
        "get leases.coordination.k8s.io @kube-node-lease other",
        "can only access node lease with the same name as the requesting node",
    ),
    (
        "get leases.coordination.k8s.io @kube-system n",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    (
        "create leases.coordination.k8s.io @kube-system",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    (
        "list leases.coordination.k8s.io @kube-node-lease",
        "can only get, create, update, patch, or delete a node lease",
    ),
    ("get csinodes.storage.k8s.io n", "+"),
    ("create csinodes.storage.k8s.io", "+"),
    ("delete csinodes.storage.k8s.io n", "+"),
    (
        "get csinodes.storage.k8s.io other",
        "can only access CSINode with the same name as the requesting node",
    ),
    (
        "get csinodes.storage.k8s.io/x n",
        "cannot authorize CSINode subresources",
    ),
    (
        "watch csinodes.storage.k8s.io",
        "can only get, create, update, patch, or delete a CSINode",
    ),
    // Its node.
    ("get nodes n", "+"),
    ("list nodes n", "+"),
    ("watch nodes n", "+"),
    ("create nodes", "+"),
    ("update nodes other", "+"),
    ("patch nodes/status n", "+"),
    ("list nodes", "node 'n' cannot read all nodes, only its own Node object"),
    (
        "get nodes other",
        "node 'n' cannot read 'other', only its own Node object",
    ),
    ("delete nodes n", ""),
    ("get nodes/status n", ""),
    ("get nodes/proxy n", ""),
    // Its pods.
    ("get pods @ns web", "+"),
    ("get pods @ns far", UNRELATED),
    ("get pods/log @ns web", ""),
    ("list pods spec.nodeName=n", "+"),
    ("watch pods @ns spec.nodeName=n", "+"),
    ("list pods @ns web", "+"),
    ("list pods @ns far", UNRELATED),
    (
        "list pods spec.nodeName=other",
        "can only list/watch pods with spec.nodeName field selector",
    ),
    (
        "watch pods",
        "can only list/watch pods with spec.nodeName field selector",
    ),
    ("create pods @ns", "+"),
    ("delete pods @ns far", "+"),
    ("update pods @ns web", ""),
    ("update pods/status @ns web", "+"),
    ("create pods/eviction @ns web", "+"),
    ("create pods/binding @ns web", ""),
    // As for every kubelet.
    ("list services", "+"),
    ("create events @ns", "+"),
    ("patch events.events.k8s.io @ns e", "+"),
    ("create tokenreviews.authentication.k8s.io", "+"),
    ("create subjectaccessreviews.authorization.k8s.io", "+"),
    ("create certificatesigningrequests.certificates.k8s.io", "+"),
    ("watch runtimeclasses.node.k8s.io", "+"),
    ("list csidrivers.storage.k8s.io", "+"),
    ("get endpoints @ns e", "+"),
    ("get podcertificaterequests.certificates.k8s.io @ns p", ""),
    ("list namespaces", ""),
    (
        "create certificatesigningrequests.certificates.k8s.io/selfnodeclient",
        "",
    ),
    ("get /healthz", ""),
];

#[test]
fn a_kubelet_gets_what_concerns_its_node() {
    let node = cluster();
    for (what, wanted) in CASES {
        let decided = node.authorize(&kubelet("n"), &asked(what));
        let text = if decided.is_allowed() { "+" } else { decided.reason() };
        assert_eq!(text, *wanted, "{what}");
    }
}

#[test]
fn only_a_node_is_a_node() {
    let node = cluster();
    for (who, reason) in [
        ("system:node:n", ""),
        ("n+system:nodes", ""),
        ("system:node:+system:nodes", r#"unknown node for user "system:node:""#),
        ("system:nodes:n+system:nodes", ""),
    ] {
        let decided = node.authorize(&user(who), &asked("list services"));
        assert_eq!((decided.is_allowed(), decided.reason()), (false, reason), "{who}");
        assert_eq!(
            node.rules_for(&user(who)).incomplete,
            who == "system:node:+system:nodes",
            "{who}"
        );
    }
    let rules = node.rules_for(&kubelet("n"));
    assert!(rules.incomplete && rules.rules.is_empty());
    assert_eq!(
        rules.evaluation_error,
        "node authorizer does not support user rule resolution"
    );
}

#[test]
fn a_change_adds_and_takes_away() {
    let node = cluster();
    let may = |what: &str| node.authorize(&kubelet("n"), &asked(what)).is_allowed();
    let put = |group: &str, plural: &str, object: &Value| assert!(node.put(group, plural, object).unwrap());

    // Two pods refer to it: one goes, one stays.
    put("", "pods", &pod("web-2", "n"));
    assert!(node.delete("", "pods", "ns", "web"));
    assert!(may("get secrets @ns volume") && may("get persistentvolumes pv") && !may("get pods @ns web"));
    // It moves away: that is another pod of the same name.
    put("", "pods", &pod("web-2", "other"));
    assert!(!may("get secrets @ns volume") && !may("get persistentvolumes pv") && !may("get secrets @vault stage"));
    put("", "pods", &pod("web-2", "n"));
    assert!(may("get secrets @vault stage"));
    // The volume is freed, bound again with another secret, deleted.
    put("", "persistentvolumes", &volume("pv", None, &json!({})));
    assert!(!may("get secrets @vault stage") && !may("get persistentvolumes pv"));
    let stage = json!({ "csi": { "nodeStageSecretRef": { "namespace": "vault", "name": "next" } } });
    put("", "persistentvolumes", &volume("pv", Some("claim"), &stage));
    assert!(may("get secrets @vault next") && !may("get secrets @vault stage"));
    assert!(node.delete("", "persistentvolumes", "", "pv"));
    assert!(!may("get secrets @vault next"));
    // An unscheduled pod, and one that only mirrors what the kubelet runs anyway.
    put("", "pods", &pod("web-2", ""));
    assert!(!may("get secrets @ns volume") && !may("get pods @ns web-2"));
    let mut mirror = pod("web-2", "n");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "hash" });
    put("", "pods", &mirror);
    assert!(!may("get secrets @ns volume") && may("get pods @ns web-2"));
    // Attachments and slices.
    for (group, plural) in [
        ("storage.k8s.io", "volumeattachments"),
        ("resource.k8s.io", "resourceslices"),
    ] {
        let get = format!("get {plural}.{group} va");
        assert!(may(&get));
        assert!(node.delete(group, plural, "", "va"));
        assert!(!may(&get));
    }
    assert!(!node.delete("", "configmaps", "ns", "c"));
    assert!(!node.put("", "configmaps", &json!({})).unwrap());
}

#[test]
fn an_object_without_a_name_is_an_error() {
    let node = Node::default();
    for (plural, object, message) in [
        ("pods", json!({}), "an object of pods has no metadata.name"),
        (
            "pods",
            json!({ "metadata": { "name": "p" } }),
            "an object of pods has no metadata.namespace",
        ),
        (
            "persistentvolumes",
            json!({ "metadata": { "name": 1 } }),
            "an object of persistentvolumes has no metadata.name",
        ),
    ] {
        let error = node.put("", plural, &object).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn who_can_names_the_kubelets() {
    let node = cluster();
    let some = |names: &[&str]| Nodes::Some(names.iter().map(|name| (*name).to_owned()).collect());
    for (what, nodes) in [
        ("list services", Nodes::All),
        ("create nodes", Nodes::All),
        ("get secrets @ns volume", some(&["n", "other"])),
        ("get secrets @ns far", some(&["other"])),
        ("get secrets @ns nothing", Nodes::None),
        ("get nodes new", some(&["new"])),
        ("list pods spec.nodeName=new", some(&["new"])),
        ("list pods", Nodes::None),
        ("get leases.coordination.k8s.io @kube-node-lease new", some(&["new"])),
        ("get /healthz", Nodes::None),
    ] {
        assert_eq!(node.who_can(&asked(what)), nodes, "{what}");
    }
}
