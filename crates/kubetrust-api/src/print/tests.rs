use serde_json::Value;

use super::*;
use crate::resource;

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

/// The table as kubectl lays it out: the columns' names, then the cells.
fn show(group: &str, version: &str, plural: &str, objects: &[Value]) -> String {
    let resource = resource::lookup(group, version, plural).unwrap();
    let references: Vec<&Value> = objects.iter().collect();
    let table = table(resource, &references, now(), Include::None);
    let words = |values: &Value| {
        values
            .as_array()
            .unwrap()
            .iter()
            .map(view::plain)
            .collect::<Vec<_>>()
            .join(" | ")
    };
    let names: Value = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].clone())
        .collect();
    let rows = table["rows"].as_array().unwrap().iter().map(|row| words(&row["cells"]));
    std::iter::once(words(&names))
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

fn named(mut object: Value) -> Value {
    let metadata = json!({"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let given = object["metadata"].take();
    object["metadata"] = metadata;
    if let (Some(fields), Some(given)) = (object["metadata"].as_object_mut(), given.as_object()) {
        fields.extend(given.clone());
    }
    object
}

fn pod(spec: &Value, status: &Value) -> Value {
    named(json!({"kind": "Pod", "spec": spec, "status": status}))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a state")]
fn a_pod_is_in_the_state_that_kubectl_says() {
    let one = json!({"containers": [{"name": "a"}]});
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
    let sidecar = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
    let running = json!({"ready": true, "state": {"running": {}}});
    let done = json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for (spec, status, want) in [
        (&one, json!({"phase": "Pending"}), "0/1 Pending 0"),
        (&one, json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
        (
            &one,
            json!({"phase": "Running", "containerStatuses": [running]}),
            "1/1 Running 0",
        ),
        (
            &one,
            json!({"phase": "Running", "containerStatuses": [{
                "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T23:55:00Z"}},
            }]}),
            "0/1 CrashLoopBackOff 3 (5m ago)",
        ),
        (
            &one,
            json!({"containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]}),
            "0/1 ExitCode:2 0",
        ),
        (
            &one,
            json!({"containerStatuses": [{"state": {"terminated": {"exitCode": 2, "signal": 9}}}]}),
            "0/1 Signal:9 0",
        ),
        (
            &two,
            json!({"phase": "Running", "containerStatuses": [done, running]}),
            "1/2 NotReady 0",
        ),
        (
            &two,
            json!({"phase": "Running", "conditions": ready, "containerStatuses": [done, running]}),
            "1/2 Running 0",
        ),
        (
            &two,
            json!({"containerStatuses": [done, {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
            "0/2 Error 0",
        ),
        (
            &two,
            json!({"containerStatuses": [{"state": {"terminated": {}}}, done]}),
            "0/2 ExitCode:0 0",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [done, {"state": {"running": {}}}]}),
            "0/1 Init:1/2 0",
        ),
        (
            &init,
            json!({"initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}),
            "0/1 Init:ErrImagePull 0",
        ),
        (
            &init,
            json!({"initContainerStatuses": [{"state": {"terminated": {"exitCode": 7}}}]}),
            "0/1 Init:ExitCode:7 0",
        ),
        (
            &sidecar,
            json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true}], "containerStatuses": [running]}),
            "2/2 Running 0",
        ),
        (
            &one,
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            "0/1 SchedulingGated 0",
        ),
        (&json!("x"), json!([{"phase": 1}]), "0/0  0"),
    ] {
        let object = pod(spec, &status);
        let view = View {
            object: &object,
            now: now(),
        };
        let cell = |make: fn(&View<'_>) -> Value| view::plain(&make(&view));
        let got = [
            cell(cells::pod::ready),
            cell(cells::pod::status),
            cell(cells::pod::restarts),
        ]
        .join(" ");
        assert_eq!(got, want, "{status}");
    }
    let mut gone = pod(&one, &json!({"phase": "Running"}));
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(
        cells::pod::status(&View {
            object: &gone,
            now: now()
        }),
        "Terminating"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table a kind")]
fn tables_read_as_kubectl_prints_them() {
    let shown = [
        show(
            "",
            "v1",
            "pods",
            &[pod(
                &json!({"containers": [{}], "nodeName": "n1", "readinessGates": [{"conditionType": "g"}]}),
                &json!({"phase": "Succeeded", "podIPs": [{"ip": "10.0.0.7"}]}),
            )],
        ),
        show(
            "",
            "v1",
            "nodes",
            &[
                named(json!({
                    "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "a"}},
                    "spec": {"unschedulable": true},
                    "status": {
                        "conditions": [{"type": "Ready", "status": "True"}],
                        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                        "nodeInfo": {"kubeletVersion": "v1.36.0", "kernelVersion": "6.1", "architecture": "amd64"},
                    },
                })),
                named(json!({})),
            ],
        ),
        show(
            "",
            "v1",
            "services",
            &[
                named(
                    json!({"spec": {"type": "NodePort", "clusterIPs": ["10.1.0.1"], "selector": {"b": "2", "a": "1"},
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
                ),
                named(json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.1.0.2"}})),
                named(json!({"spec": {"type": "ExternalName", "externalName": "a.example"}})),
            ],
        ),
        show(
            "",
            "v1",
            "endpoints",
            &[named(json!({"subsets": [{
                "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 1}, {"port": 2}],
            }]}))],
        ),
        show(
            "",
            "v1",
            "secrets",
            &[named(json!({"type": "Opaque", "data": {"a": "", "b": ""}}))],
        ),
        show(
            "",
            "v1",
            "configmaps",
            &[named(json!({"data": {"a": ""}, "binaryData": {"b": ""}}))],
        ),
        show(
            "",
            "v1",
            "events",
            &[named(json!({
                "type": "Warning", "reason": "R", "message": " m\n", "involvedObject": {"kind": "Pod", "name": "p"},
                "source": {"component": "kubelet", "host": "n"}, "lastTimestamp": "2026-01-01T23:59:00Z",
            }))],
        ),
        show(
            "events.k8s.io",
            "v1",
            "events",
            &[named(json!({
                "type": "Normal", "reason": "R", "note": "m", "regarding": {"kind": "Pod", "name": "p"},
                "reportingController": "c", "eventTime": "2026-01-01T23:59:30.000000Z",
            }))],
        ),
        show(
            "",
            "v1",
            "resourcequotas",
            &[named(json!({"status": {
                "hard": {"pods": "10", "limits.cpu": "2", "cpu": 4}, "used": {"pods": "3"},
            }}))],
        ),
        show(
            "",
            "v1",
            "persistentvolumeclaims",
            &[
                named(json!({"spec": {"volumeName": "v"}, "status": {
                    "phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                }})),
                named(json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}})),
            ],
        ),
        show(
            "apps",
            "v1",
            "deployments",
            &[named(json!({
                "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": {"spec": {"containers": [
                    {"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"},
                ]}}},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            }))],
        ),
        show(
            "batch",
            "v1",
            "jobs",
            &[named(json!({
                "spec": {"completions": 5, "template": {"spec": {"containers": []}}},
                "status": {"succeeded": 5, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:02:10Z",
                    "conditions": [{"type": "Complete", "status": "True"}]},
            }))],
        ),
        show(
            "batch",
            "v1",
            "cronjobs",
            &[named(json!({"spec": {"schedule": "* * * * *", "suspend": false}}))],
        ),
        show(
            "autoscaling",
            "v2",
            "horizontalpodautoscalers",
            &[named(json!({
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5, "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
                    {"type": "External", "external": {"target": {"value": "1"}}},
                ]},
                "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 33}}}]},
            }))],
        ),
        show(
            "rbac.authorization.k8s.io",
            "v1",
            "clusterrolebindings",
            &[named(json!({
                "roleRef": {"kind": "ClusterRole", "name": "admin"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "Group", "name": "h"},
                    {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
            }))],
        ),
        show(
            "rbac.authorization.k8s.io",
            "v1",
            "clusterroles",
            &[named(json!({"rules": []}))],
        ),
        show(
            "certificates.k8s.io",
            "v1",
            "certificatesigningrequests",
            &[named(json!({
                "spec": {"signerName": "s/x", "username": "u", "expirationSeconds": 3600},
                "status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}], "certificate": "eA=="},
            }))],
        ),
        show(
            "networking.k8s.io",
            "v1",
            "ingresses",
            &[named(json!({"spec": {
                "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}, {"host": "e"}], "tls": [{}],
            }}))],
        ),
        show(
            "storage.k8s.io",
            "v1",
            "storageclasses",
            &[named(json!({
                "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p",
            }))],
        ),
        show(
            "apiregistration.k8s.io",
            "v1",
            "apiservices",
            &[
                named(
                    json!({"spec": {}, "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Local"}]}}),
                ),
                named(json!({"spec": {"service": {"namespace": "n", "name": "s"}}, "status": {
                    "conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}],
                }})),
            ],
        ),
        show(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            &[named(json!({}))],
        ),
        show(
            "coordination.k8s.io",
            "v1",
            "leases",
            &[named(json!({"spec": {"holderIdentity": "me"}}))],
        ),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_row_carries_what_was_asked_for() {
    let pods = resource::lookup("", "v1", "pods").unwrap();
    let object =
        json!({"kind": "Pod", "metadata": {"name": "p", "resourceVersion": "7"}, "status": {"phase": "Failed"}});
    let metadata =
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
    for (include, want) in [
        (Include::Metadata, metadata.clone()),
        (Include::Object, object.clone()),
        (Include::None, Value::Null),
    ] {
        let table = table(pods, &[&object], now(), include);
        assert_eq!(table["rows"][0]["object"], want);
        assert_eq!(table["rows"][0]["conditions"][0]["reason"], "Failed");
        assert_eq!(table["metadata"], json!({"resourceVersion": "7"}));
    }
    let scale = json!({"kind": "Scale", "metadata": {"name": "s"}, "spec": {"replicas": 3}, "status": {"replicas": 2}});
    let table = table_of_kind("autoscaling", "Scale", &[&scale], now(), Include::None);
    assert_eq!(table["rows"][0]["cells"], json!(["s", 3, 2, "<unknown>"]));
    assert_eq!(partial_list(&[&object])["items"], json!([metadata]));
}

#[test]
fn any_value_can_be_printed() {
    let odd = [
        json!(null),
        json!([1]),
        json!("x"),
        json!({"metadata": 3, "spec": [], "status": "s", "subsets": [1, {"ports": 2}]}),
    ];
    for resource in resource::TABLE {
        let references: Vec<&Value> = odd.iter().collect();
        let table = table(resource, &references, now(), Include::Metadata);
        let columns = table["columnDefinitions"].as_array().unwrap().len();
        for row in table["rows"].as_array().unwrap() {
            assert_eq!(row["cells"].as_array().unwrap().len(), columns);
        }
    }
}
