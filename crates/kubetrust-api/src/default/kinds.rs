//! The kinds that are completed, a row each.

use serde_json::{Map, Value, json};

use super::{
    Defaults, pod,
    rows::{
        self,
        Default::{Bool, Int, List, NonZero, Object, Text},
        Row, row,
    },
};
use crate::resource::Resource;

const RBAC: &str = "rbac.authorization.k8s.io";

const fn kind(group: &'static str, kind: &'static str, rows: &'static [Row]) -> Defaults {
    Defaults {
        group,
        kind,
        pod_spec: "",
        rows,
        more: |_, _| {},
    }
}

impl Defaults {
    const fn pod_spec(self, at: &'static str) -> Self {
        Self { pod_spec: at, ..self }
    }

    const fn and(self, more: fn(&Resource, &mut Map<String, Value>)) -> Self {
        Self { more, ..self }
    }
}

static SUBJECTS: &[Row] = &[row("roleRef!", "apiGroup", Text(RBAC))];

static JOB: &[Row] = &[
    row("spec!", "completionMode", Text("NonIndexed")),
    row("spec", "suspend", Bool(false)),
    row("spec", "manualSelector", Bool(false)),
    row(
        "spec.podFailurePolicy.rules.*.onPodConditions.*",
        "status",
        Text("True"),
    ),
];

static WEBHOOKS: &[Row] = &[
    row("webhooks.*", "failurePolicy", Text("Fail")),
    row("webhooks.*", "matchPolicy", Text("Equivalent")),
    row("webhooks.*", "namespaceSelector", Object),
    row("webhooks.*", "objectSelector", Object),
    row("webhooks.*", "timeoutSeconds", Int(10)),
    row("webhooks.*.rules.*", "scope", Text("*")),
    row("webhooks.*.clientConfig.service", "port", Int(443)),
];

static POLICY: &[Row] = &[
    row("spec!", "failurePolicy", Text("Fail")),
    row("spec.matchConstraints", "matchPolicy", Text("Equivalent")),
    row("spec.matchConstraints", "namespaceSelector", Object),
    row("spec.matchConstraints", "objectSelector", Object),
    row("spec.matchConstraints.resourceRules.*", "scope", Text("*")),
    row("spec.matchConstraints.excludeResourceRules.*", "scope", Text("*")),
];

static POLICY_BINDING: &[Row] = &[
    row("spec.matchResources", "matchPolicy", Text("Equivalent")),
    row("spec.matchResources", "namespaceSelector", Object),
    row("spec.matchResources", "objectSelector", Object),
    row("spec.matchResources.resourceRules.*", "scope", Text("*")),
    row("spec.matchResources.excludeResourceRules.*", "scope", Text("*")),
];

/// All of them.
pub static TABLE: &[Defaults] = &[
    kind("", "Namespace", &[row("status!", "phase", Text("Active"))]).and(namespace),
    kind("", "Secret", &[row("", "type", Text("Opaque"))]).and(|_, secret| string_data(secret)),
    kind("", "Node", &[]).and(|_, node| node_allocatable(node)),
    kind("", "Pod", &[]).pod_spec("spec").and(|_, object| pod::pod(object)),
    kind("", "PodTemplate", &[]).pod_spec("template.spec"),
    kind("", "ReplicationController", &[row("spec!", "replicas", Int(1))])
        .pod_spec("spec.template.spec")
        .and(replication_controller),
    kind("", "Service", SERVICE).and(|_, object| rows::each(object, "spec", &mut service)),
    kind("", "Endpoints", &[row("subsets.*.ports.*", "protocol", Text("TCP"))]),
    kind(
        "",
        "PersistentVolume",
        &[
            row("status!", "phase", Text("Pending")),
            row("spec!", "persistentVolumeReclaimPolicy", Text("Retain")),
            row("spec", "volumeMode", Text("Filesystem")),
            row("spec.hostPath", "type", Text("")),
        ],
    ),
    kind(
        "",
        "PersistentVolumeClaim",
        &[
            row("status!", "phase", Text("Pending")),
            row("spec!", "volumeMode", Text("Filesystem")),
        ],
    ),
    kind("", "LimitRange", &[]).and(|_, object| rows::each(object, "spec.limits.*", &mut limit)),
    kind(
        "apps",
        "Deployment",
        &[
            row("spec!", "replicas", Int(1)),
            row("spec.strategy!", "type", Text("RollingUpdate")),
            row("spec", "revisionHistoryLimit", Int(10)),
            row("spec", "progressDeadlineSeconds", Int(600)),
        ],
    )
    .pod_spec("spec.template.spec")
    .and(|_, object| {
        rolling(
            object,
            "spec.strategy",
            &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))],
        );
    }),
    kind("apps", "ReplicaSet", &[row("spec!", "replicas", Int(1))]).pod_spec("spec.template.spec"),
    kind(
        "apps",
        "DaemonSet",
        &[
            row("spec.updateStrategy!", "type", Text("RollingUpdate")),
            row("spec", "revisionHistoryLimit", Int(10)),
        ],
    )
    .pod_spec("spec.template.spec")
    .and(|_, object| {
        rolling(
            object,
            "spec.updateStrategy",
            &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))],
        );
    }),
    kind(
        "apps",
        "StatefulSet",
        &[
            row("spec!", "podManagementPolicy", Text("OrderedReady")),
            row(
                "spec.persistentVolumeClaimRetentionPolicy!",
                "whenDeleted",
                Text("Retain"),
            ),
            row(
                "spec.persistentVolumeClaimRetentionPolicy",
                "whenScaled",
                Text("Retain"),
            ),
            row("spec", "replicas", Int(1)),
            row("spec", "revisionHistoryLimit", Int(10)),
            row("spec.volumeClaimTemplates.*.spec!", "volumeMode", Text("Filesystem")),
            row("spec.volumeClaimTemplates.*.status!", "phase", Text("Pending")),
        ],
    )
    .pod_spec("spec.template.spec")
    .and(|_, object| rows::each(object, "spec.updateStrategy!", &mut stateful_strategy)),
    kind("batch", "Job", JOB).pod_spec("spec.template.spec").and(job),
    kind(
        "batch",
        "CronJob",
        &[
            row("spec!", "concurrencyPolicy", Text("Allow")),
            row("spec", "suspend", Bool(false)),
            row("spec", "successfulJobsHistoryLimit", Int(3)),
            row("spec", "failedJobsHistoryLimit", Int(1)),
        ],
    )
    .pod_spec("spec.jobTemplate.spec.template.spec"),
    kind(RBAC, "RoleBinding", SUBJECTS).and(|_, object| rows::each(object, "subjects.*", &mut subject)),
    kind(RBAC, "ClusterRoleBinding", SUBJECTS).and(|_, object| rows::each(object, "subjects.*", &mut subject)),
    kind(
        "apiregistration.k8s.io",
        "APIService",
        &[row("spec.service", "port", Int(443))],
    ),
    kind(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[row("spec!", "minReplicas", Int(1))],
    )
    .and(autoscaler),
    kind(
        "networking.k8s.io",
        "NetworkPolicy",
        &[
            row("spec.ingress.*.ports.*", "protocol", Text("TCP")),
            row("spec.egress.*.ports.*", "protocol", Text("TCP")),
        ],
    )
    .and(|_, object| rows::each(object, "spec!", &mut network_policy)),
    kind(
        "networking.k8s.io",
        "IngressClass",
        &[row("spec.parameters", "scope", Text("Cluster"))],
    ),
    kind(
        "storage.k8s.io",
        "StorageClass",
        &[
            row("", "reclaimPolicy", Text("Delete")),
            row("", "volumeBindingMode", Text("Immediate")),
        ],
    ),
    kind(
        "storage.k8s.io",
        "CSIDriver",
        &[
            row("spec!", "attachRequired", Bool(true)),
            row("spec", "podInfoOnMount", Bool(false)),
            row("spec", "storageCapacity", Bool(false)),
            row("spec", "fsGroupPolicy", Text("ReadWriteOnceWithFSType")),
            row("spec", "volumeLifecycleModes", List("Persistent")),
            row("spec", "requiresRepublish", Bool(false)),
            row("spec", "seLinuxMount", Bool(false)),
        ],
    ),
    kind(
        "scheduling.k8s.io",
        "PriorityClass",
        &[row("", "preemptionPolicy", Text("PreemptLowerPriority"))],
    ),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        WEBHOOKS,
    ),
    kind("admissionregistration.k8s.io", "MutatingWebhookConfiguration", WEBHOOKS)
        .and(|_, object| rows::apply(object, &[row("webhooks.*", "reinvocationPolicy", Text("Never"))])),
    kind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", POLICY),
    kind("admissionregistration.k8s.io", "MutatingAdmissionPolicy", POLICY),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        POLICY_BINDING,
    ),
    kind(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        POLICY_BINDING,
    ),
    kind(
        "discovery.k8s.io",
        "EndpointSlice",
        &[
            row("ports.*", "name", Text("")),
            row("ports.*", "protocol", Text("TCP")),
        ],
    ),
    kind(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        &[row("spec!", "matchingPrecedence", NonZero(1000))],
    ),
    kind(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        &[
            row("spec.exempt", "nominalConcurrencyShares", Int(0)),
            row("spec.exempt", "lendablePercent", Int(0)),
            row("spec.limited", "nominalConcurrencyShares", Int(30)),
            row("spec.limited", "lendablePercent", Int(0)),
            row("spec.limited.limitResponse.queuing", "handSize", NonZero(8)),
            row("spec.limited.limitResponse.queuing", "queues", NonZero(64)),
            row("spec.limited.limitResponse.queuing", "queueLengthLimit", NonZero(50)),
        ],
    ),
];

static SERVICE: &[Row] = &[
    row("spec!", "sessionAffinity", Text("None")),
    row("spec", "type", Text("ClusterIP")),
    row("spec.ports.*", "protocol", Text("TCP")),
    row("status!", "loadBalancer", Object),
];

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_null(object: &Map<String, Value>, field: &str) -> bool {
    object.get(field).is_none_or(Value::is_null)
}

/// Every namespace has its name as a label.
fn namespace(_: &Resource, namespace: &mut Map<String, Value>) {
    rows::each(namespace, "metadata", &mut |metadata| {
        let name = text(metadata, "name").to_owned();
        if !name.is_empty() {
            rows::each(metadata, "labels!", &mut |labels| {
                labels.insert("kubernetes.io/metadata.name".into(), json!(name));
            });
        }
    });
}

/// `stringData` is only a way to write `data`.
fn string_data(secret: &mut Map<String, Value>) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let Some(Value::Object(texts)) = secret.shift_remove("stringData") else {
        return;
    };
    rows::each(secret, "data!", &mut |data| {
        for (key, value) in &texts {
            data.insert(key.clone(), json!(STANDARD.encode(value.as_str().unwrap_or_default())));
        }
    });
}

fn node_allocatable(node: &mut Map<String, Value>) {
    rows::each(node, "status", &mut |status| {
        let capacity = status.get("capacity").filter(|capacity| !capacity.is_null()).cloned();
        if let Some(capacity) = capacity.filter(|_| is_null(status, "allocatable")) {
            status.insert("allocatable".into(), capacity);
        }
    });
}

fn template_labels(object: &Map<String, Value>) -> Option<Value> {
    object
        .get("spec")?
        .get("template")?
        .get("metadata")?
        .get("labels")
        .filter(|labels| !labels.is_null())
        .cloned()
}

fn replication_controller(_: &Resource, object: &mut Map<String, Value>) {
    let Some(labels) = template_labels(object) else { return };
    let empty = |map: &Map<String, Value>, field: &str| {
        map.get(field)
            .is_none_or(|value| value.as_object().is_none_or(Map::is_empty))
    };
    for (at, field) in [("spec", "selector"), ("metadata", "labels")] {
        rows::each(object, at, &mut |map| {
            if empty(map, field) {
                map.insert(field.into(), labels.clone());
            }
        });
    }
}

fn service(spec: &mut Map<String, Value>) {
    match text(spec, "sessionAffinity") {
        "None" => drop(spec.shift_remove("sessionAffinityConfig")),
        "ClientIP" => rows::apply(
            spec,
            &[row("sessionAffinityConfig!.clientIP!", "timeoutSeconds", Int(10_800))],
        ),
        _ => {}
    }
    rows::each(spec, "ports.*", &mut |port| {
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(Value::Number(number)) => number.as_i64() == Some(0),
            Some(other) => other.as_str() == Some(""),
        };
        if let Some(number) = port.get("port").filter(|_| unset).cloned() {
            port.insert("targetPort".into(), number);
        }
    });
    let kind = text(spec, "type").to_owned();
    let external_ips = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|ips| !ips.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && external_ips) {
        rows::set(spec, "externalTrafficPolicy", Text("Cluster"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        rows::set(spec, "internalTrafficPolicy", Text("Cluster"));
    }
    if kind == "LoadBalancer" {
        rows::set(spec, "allocateLoadBalancerNodePorts", Bool(true));
    }
}

/// Limits of containers say what containers get that ask for nothing.
fn limit(limit: &mut Map<String, Value>) {
    if text(limit, "type") != "Container" {
        return;
    }
    for (from, to) in [
        ("max", "default"),
        ("default", "defaultRequest"),
        ("min", "defaultRequest"),
    ] {
        let Some(values) = limit.get(from).and_then(Value::as_object).cloned() else {
            continue;
        };
        rows::each(limit, &format!("{to}!"), &mut |target| {
            for (name, value) in &values {
                target.entry(name.clone()).or_insert_with(|| value.clone());
            }
        });
    }
}

fn rolling(object: &mut Map<String, Value>, at: &str, fields: &[(&str, Value)]) {
    rows::each(object, at, &mut |strategy| {
        if text(strategy, "type") != "RollingUpdate" {
            return;
        }
        rows::each(strategy, "rollingUpdate!", &mut |update| {
            for (field, value) in fields {
                if is_null(update, field) {
                    update.insert((*field).to_owned(), value.clone());
                }
            }
        });
    });
}

fn stateful_strategy(strategy: &mut Map<String, Value>) {
    if text(strategy, "type").is_empty() {
        rows::set(strategy, "type", Text("RollingUpdate"));
        rows::set(strategy, "rollingUpdate", Object);
    }
    if text(strategy, "type") == "RollingUpdate" {
        rows::apply(strategy, &[row("rollingUpdate", "partition", Int(0))]);
    }
}

fn job(_: &Resource, job: &mut Map<String, Value>) {
    let labels = template_labels(job);
    rows::each(job, "spec", &mut |spec| {
        if is_null(spec, "completions") && is_null(spec, "parallelism") {
            rows::set(spec, "completions", Int(1));
        }
        rows::set(spec, "parallelism", Int(1));
        let limit = if is_null(spec, "backoffLimitPerIndex") {
            6
        } else {
            i64::from(i32::MAX)
        };
        rows::set(spec, "backoffLimit", Int(limit));
        let replacement = if is_null(spec, "podFailurePolicy") {
            "TerminatingOrFailed"
        } else {
            "Failed"
        };
        rows::set(spec, "podReplacementPolicy", Text(replacement));
    });
    if let Some(labels) = labels {
        rows::each(job, "metadata", &mut |metadata| {
            if metadata
                .get("labels")
                .and_then(Value::as_object)
                .is_none_or(Map::is_empty)
            {
                metadata.insert("labels".into(), labels.clone());
            }
        });
    }
}

/// Users and groups are of the RBAC group; service accounts of the core group.
fn subject(subject: &mut Map<String, Value>) {
    if matches!(text(subject, "kind"), "User" | "Group") {
        rows::set(subject, "apiGroup", Text(RBAC));
    }
}

fn autoscaler(resource: &Resource, object: &mut Map<String, Value>) {
    if resource.version != "v2" {
        return;
    }
    rows::each(object, "spec", &mut |spec| {
        if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            spec.insert(
                "metrics".into(),
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
            );
        }
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        for (direction, window, policies) in [
            ("scaleUp!", Some(0), json!([pods, percent])),
            ("scaleDown!", None, json!([percent])),
        ] {
            rows::each(spec, &format!("behavior.{direction}"), &mut |rules| {
                rows::set(rules, "selectPolicy", Text("Max"));
                if let Some(window) = window {
                    rows::set(rules, "stabilizationWindowSeconds", Int(window));
                }
                if is_null(rules, "policies") {
                    rules.insert("policies".into(), policies.clone());
                }
            });
        }
    });
}

fn network_policy(spec: &mut Map<String, Value>) {
    let has_egress = spec
        .get("egress")
        .and_then(Value::as_array)
        .is_some_and(|egress| !egress.is_empty());
    if spec
        .get("policyTypes")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        let types = if has_egress {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
        spec.insert("policyTypes".into(), types);
    }
}
