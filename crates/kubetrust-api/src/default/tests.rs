use serde_json::json;

use super::*;
use crate::resource;

fn completed(group: &str, version: &str, kind: &str, mut object: Value) -> Value {
    let resource = resource::of_kind(group, version, kind).unwrap();
    apply(resource, &mut object);
    let once = object.clone();
    apply(resource, &mut object);
    assert_eq!(object, once, "completing twice changes nothing");
    if object.pointer("/spec").is_none_or(Value::is_object) && object.is_object() {
        let schema = crate::schema::of_resource(resource).unwrap();
        let unknown = crate::decode::conform::conform(&mut object, schema);
        assert_eq!(
            (unknown, &object),
            (Ok(vec![]), &once),
            "what is completed is what the schema has"
        );
    }
    object
}

#[test]
fn pods_are_completed_as_upstream_completes_them() {
    let pod = json!({"spec": {
        "serviceAccountName": "x", "hostNetwork": true,
        "containers": [{"name": "a", "image": "nginx", "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}],
    }});
    assert_eq!(
        completed("", "v1", "Pod", pod),
        json!({"spec": {
            "serviceAccountName": "x", "serviceAccount": "x", "hostNetwork": true,
            "containers": [{"name": "a", "image": "nginx",
                "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        }})
    );
}

#[test]
fn images_are_pulled_as_their_tag_says() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx:1.2", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
        ("", "IfNotPresent"),
    ] {
        let pod = completed("", "v1", "Pod", json!({"spec": {"containers": [{"image": image}]}}));
        assert_eq!(
            pod.pointer("/spec/containers/0/imagePullPolicy"),
            Some(&json!(policy)),
            "{image}"
        );
    }
}

#[test]
fn kinds_are_completed_as_upstream_completes_them() {
    for (group, version, kind, object, result) in [
        (
            "",
            "v1",
            "Namespace",
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "status": {"phase": "Active"}}),
        ),
        (
            "",
            "v1",
            "Secret",
            json!({"stringData": {"a": "b"}, "data": {"c": "ZA=="}}),
            json!({"data": {"c": "ZA==", "a": "Yg=="}, "type": "Opaque"}),
        ),
        (
            "",
            "v1",
            "Service",
            json!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "x"}]}}),
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "targetPort": "x", "protocol": "TCP"}],
                "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"}, "status": {"loadBalancer": {}}}),
        ),
        (
            "apps",
            "v1",
            "ReplicaSet",
            json!({"spec": {"replicas": 0}}),
            json!({"spec": {"replicas": 0}}),
        ),
        (
            "apps",
            "v1",
            "Deployment",
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}, "type": "RollingUpdate"},
                "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}}),
        ),
        (
            "batch",
            "v1",
            "Job",
            json!({"metadata": {}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}},
                "completionMode": "NonIndexed", "suspend": false, "manualSelector": false, "completions": 1, "parallelism": 1,
                "backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed"}}),
        ),
        (
            "rbac.authorization.k8s.io",
            "v1",
            "RoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "a"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
            json!({"roleRef": {"kind": "Role", "name": "a", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount", "name": "s"}]}),
        ),
        (
            "",
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}}]}}),
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}, "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "2", "memory": "1"}}]}}),
        ),
        (
            "networking.k8s.io",
            "v1",
            "NetworkPolicy",
            json!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}),
            json!({"spec": {"egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]}}),
        ),
        (
            "",
            "v1",
            "ConfigMap",
            json!({"data": {"a": "b"}}),
            json!({"data": {"a": "b"}}),
        ),
        ("", "v1", "Pod", json!(null), json!(null)),
        ("", "v1", "Pod", json!({"spec": []}), json!({"spec": []})),
    ] {
        assert_eq!(completed(group, version, kind, object), result, "{kind}");
    }
}

#[test]
fn every_row_is_of_a_kind_that_is_served() {
    for row in kinds::TABLE {
        let served = resource::TABLE
            .iter()
            .any(|resource| (resource.group, resource.kind) == (row.group, row.kind));
        assert!(served, "{}/{}", row.group, row.kind);
    }
}
