#![expect(clippy::too_many_lines, reason = "tables of cases, a line a case")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    decode::{self, Encoding, Expected, FieldValidation, conform},
    default, resource, strategy,
};

fn of(group: &str, kind: &str) -> &'static Resource {
    resource::of_kind(group, "v1", kind)
        .or_else(|| resource::of_kind(group, "v2", kind))
        .unwrap()
}

fn lines(faults: &[Cause]) -> Vec<String> {
    faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field, fault.message))
        .collect()
}

/// With a name and a namespace if it needs one, completed as a request's object is.
fn complete(resource: &Resource, mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.entry("name").or_insert(json!("a"));
            if resource.scope == Scope::Namespaced {
                metadata.entry("namespace").or_insert(json!("n"));
            }
        }
    }
    default::apply(resource, &mut object);
    object
}

fn created(group: &str, kind: &str, object: Value) -> Vec<String> {
    let resource = of(group, kind);
    lines(&create(resource, &complete(resource, object)))
}

fn updated(group: &str, kind: &str, old: Value, new: Value) -> Vec<String> {
    let resource = of(group, kind);
    let (old, mut new) = (complete(resource, old), complete(resource, new));
    crate::meta::set(&mut new, "resourceVersion", "1");
    lines(&update(resource, "", &new, &old))
}

fn container() -> Value {
    json!({"name": "c", "image": "i"})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container()]}})
}

fn workload(more: &Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": "x"}}, "template": template()});
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    json!({"spec": spec})
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    );
    STANDARD.encode(text)
}

fn request() -> Value {
    json!({"request": pem("CERTIFICATE REQUEST", &[0x30, 1, 0]), "signerName": "a.io/b", "usages": ["client auth"]})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";

#[test]
fn every_row_is_of_a_kind_that_is_served() {
    for row in kinds::TABLE {
        let served = resource::TABLE.iter().any(|resource| {
            let own = (resource.group, resource.kind) == (row.group, row.kind);
            own || resource.subresources.iter().any(|sub| sub.kind == row.kind)
        });
        assert!(served, "{}/{}", row.group, row.kind);
    }
}

#[test]
fn good_objects_have_no_fault() {
    for (group, kind, object) in [
        ("", "Namespace", json!({})),
        ("", "Secret", json!({"stringData": {"a": "b"}})),
        ("", "ConfigMap", json!({"data": {"a": "b"}})),
        ("", "ServiceAccount", json!({})),
        (
            "",
            "Node",
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        ),
        ("", "Pod", json!({"spec": {"containers": [container()]}})),
        ("", "Service", json!({"spec": {"ports": [{"port": 80}]}})),
        (
            "",
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        (
            "",
            "PersistentVolume",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}}),
        ),
        (
            "",
            "ResourceQuota",
            json!({"spec": {"hard": {"pods": "3", "requests.cpu": "1500m"}}}),
        ),
        (
            "",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}),
        ),
        ("apps", "Deployment", workload(&json!({}))),
        ("apps", "ReplicaSet", workload(&json!({}))),
        ("apps", "StatefulSet", workload(&json!({"serviceName": "s"}))),
        ("apps", "DaemonSet", workload(&json!({}))),
        (
            "batch",
            "CronJob",
            json!({"spec": {"schedule": "*/5 0-6 1,15 jan-mar MON", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}}}),
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}}),
        ),
        (
            "policy",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "50%"}}),
        ),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 15}}),
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
        ),
        (
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}]}}),
        ),
        ("scheduling.k8s.io", "PriorityClass", json!({"value": 5})),
        ("storage.k8s.io", "StorageClass", json!({"provisioner": "a.io/b"})),
        (
            RBAC,
            "ClusterRole",
            json!({"metadata": {"name": "system:x"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
        ),
        (
            RBAC,
            "Role",
            json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        ),
        (
            RBAC,
            "RoleBinding",
            json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "u"}]}),
        ),
        (CERTIFICATES, "CertificateSigningRequest", json!({"spec": request()})),
        (
            "apiregistration.k8s.io",
            "APIService",
            json!({"metadata": {"name": "v1.a.io"}, "spec": {"group": "a.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "s", "namespace": "n"}}}),
        ),
        ("", "Event", json!({"involvedObject": {"namespace": "n"}})),
        ("discovery.k8s.io", "EndpointSlice", json!({"addressType": "IPv4"})),
    ] {
        let resource = of(group, kind);
        let expected = Expected::built_in(resource.group, resource.version, resource.kind);
        let read = decode::object(
            object.to_string().as_bytes(),
            Encoding::Json,
            expected,
            FieldValidation::Strict,
        );
        let completed = complete(resource, read.unwrap().object);
        assert_eq!(lines(&create(resource, &completed)), [] as [&str; 0], "{kind}");
        // What is completed is what the schema has, and is written as it would be read.
        let mut again = completed.clone();
        let unknown = conform::conform(&mut again, expected.schema.unwrap());
        assert_eq!((unknown, again), (Ok(vec![]), completed), "{kind}");
    }
}

#[test]
fn faults_of_the_types_at_the_heart_are_told_in_upstreams_words() {
    let event_time = "2024-01-01T00:00:00.000000Z";
    for (group, kind, object, faults) in [
        (
            "",
            "Namespace",
            json!({"metadata": {"name": "a.b"}}),
            vec!["metadata.name: Invalid value: \"a.b\": must not contain dots"],
        ),
        (
            "",
            "Namespace",
            json!({"spec": {"finalizers": ["x"]}}),
            vec![
                "spec.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified",
            ],
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"..": "YQ=="}}),
            vec![
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[tls.crt]: Required value",
                "data[tls.key]: Required value",
            ],
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/basic-auth"}),
            vec!["data[username]: Required value", "data[password]: Required value"],
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}),
            vec!["data[ssh-privatekey]: Required value"],
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/service-account-token"}),
            vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{top secret"}}),
            vec![
                "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 't' looking for beginning of object key string",
            ],
        ),
        (
            "",
            "Secret",
            json!({"stringData": {"a": "x".repeat(core::DATA_MAX + 1)}}),
            vec!["data: Too long: may not be more than 1048576 bytes"],
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": "x"}, "binaryData": {"a": "YQ=="}}),
            vec!["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"],
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": "x".repeat(core::DATA_MAX + 1)}}),
            vec!["[]: Too long: may not be more than 1048576 bytes"],
        ),
        (
            "",
            "Node",
            json!({"spec": {"taints": [{"key": "a", "effect": "X"}, {"key": "b", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}]}}),
            vec![
                "metadata.taints[0].effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "metadata.taints[2]: Duplicate value: {\"key\":\"b\",\"effect\":\"NoSchedule\"}: taints must be unique by key and effect pair",
            ],
        ),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
            vec![
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            "",
            "Event",
            json!({"involvedObject": {"namespace": "other"}}),
            vec!["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
        ),
        (
            "events.k8s.io",
            "Event",
            json!({"regarding": {"namespace": "n"}, "eventTime": event_time, "type": "X", "deprecatedCount": 1, "series": {"count": 1}}),
            vec![
                "reportingController: Required value",
                "reportingController: Invalid value: \"\": name part must be non-empty",
                "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
                "series.count: Invalid value: \"\": should be at least 2",
                "series.lastObservedTime: Required value",
                "type: Invalid value: \"\": has invalid value: X",
                "count: Invalid value: \"\": needs to be unset",
            ],
        ),
        (
            RBAC,
            "Role",
            json!({"metadata": {"name": "a/b"}, "rules": [{"nonResourceURLs": ["/x"], "resources": ["y"]}, {"verbs": ["get"]}]}),
            vec![
                "metadata.name: Invalid value: \"a/b\": may not contain '/'",
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
                "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[1].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            RBAC,
            "ClusterRole",
            json!({"aggregationRule": {}}),
            vec![
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
            ],
        ),
        (
            RBAC,
            "ClusterRoleBinding",
            json!({"roleRef": {"apiGroup": "x", "kind": "Role"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "Cat", "name": "c"}, {"kind": "User", "apiGroup": "y"}]}),
            vec![
                "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].namespace: Required value",
                "subjects[1].kind: Unsupported value: \"Cat\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                "subjects[2].name: Required value",
                "subjects[2].apiGroup: Unsupported value: \"y\": supported values: \"rbac.authorization.k8s.io\"",
            ],
        ),
        (
            CERTIFICATES,
            "CertificateSigningRequest",
            json!({"spec": {"request": STANDARD.encode("x"), "signerName": "kubernetes.io/legacy-unknown", "expirationSeconds": 599, "usages": ["client auth", "client auth"]}}),
            vec![
                "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
                "spec.usages[1]: Duplicate value: \"client auth\"",
                "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        ),
        (
            CERTIFICATES,
            "CertificateSigningRequest",
            json!({"spec": with(with(request(), "signerName", json!("nodots/x")), "usages", json!([]))}),
            vec![
                "spec.usages: Required value",
                "spec.signerName: Invalid value: \"nodots\": should be a domain with at least two segments separated by dots",
            ],
        ),
        (
            CERTIFICATES,
            "CertificateSigningRequest",
            json!({"spec": with(request(), "signerName", json!("x"))}),
            vec![
                "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
            ],
        ),
        (
            "apiregistration.k8s.io",
            "APIService",
            json!({"spec": {"group": "a.io", "version": "v1", "caBundle": "YQ==", "insecureSkipTLSVerify": true}}),
            vec![
                "metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v1.a.io\"",
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
                "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        ),
        (
            "apiregistration.k8s.io",
            "APIService",
            json!({"metadata": {"name": "v1.a.io"}, "spec": {"group": "a.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "caBundle": "YQ==", "insecureSkipTLSVerify": true, "service": {"port": 70000}}}),
            vec![
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ],
        ),
        (
            "",
            "ResourceQuota",
            json!({"spec": {"hard": {"pods": "1500m", "cpu": "-1"}}}),
            vec![
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
                "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ],
        ),
        (
            "",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}, "default": {"cpu": "1"}}]}}),
            vec![
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].default[cpu]: Invalid value: \"1\": min value 2 is greater than default value 1",
            ],
        ),
    ] {
        assert_eq!(created(group, kind, object.clone()), faults, "{kind} {object}");
    }
}

#[test]
fn faults_of_what_runs_are_told_in_upstreams_words() {
    let label = names::dns1123_label("A").join("");
    let name_fault = format!("spec.containers[0].name: Invalid value: \"A\": {label}");
    for (group, kind, object, faults) in [
        ("", "Pod", json!({"spec": {}}), vec!["spec.containers: Required value"]),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [{"name": "A"}, {"name": "b", "image": "i"}, {"name": "b", "image": "i"}]}}),
            vec![
                &*name_fault,
                "spec.containers[0].image: Required value",
                "spec.containers[2].name: Duplicate value: \"b\"",
            ],
        ),
        (
            "",
            "Pod",
            json!({"spec": {"restartPolicy": "Sometimes", "dnsPolicy": "X", "containers": [container()]}}),
            vec![
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                "spec.dnsPolicy: Unsupported value: \"X\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
            ],
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [{"name": "c", "image": "i",
            "ports": [{"containerPort": 0}, {"containerPort": 70000, "protocol": "X"}],
            "env": [{"name": "a", "valueFrom": {}}],
            "volumeMounts": [{"name": "v", "mountPath": "/x"}],
            "imagePullPolicy": "Often",
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
            "livenessProbe": {"httpGet": {"port": 0}, "exec": {"command": ["x"]}}, "readinessProbe": {}}]}}),
            vec![
                "spec.containers[0].ports[0].containerPort: Required value",
                "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
                "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].readinessProbe: Required value: must specify a handler type",
            ],
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [container()], "initContainers": [{"name": "c", "image": "i", "lifecycle": {}}], "volumes": [{"name": "v", "secret": {}, "emptyDir": {}}]}}),
            vec![
                "spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[0].secret.secretName: Required value",
                "spec.initContainers[0].name: Duplicate value: \"c\"",
                "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [container()], "tolerations": [{"operator": "Equal"}, {"key": "a", "tolerationSeconds": 1}]}}),
            vec![
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ],
        ),
        (
            "apps",
            "Deployment",
            json!({"spec": {"replicas": -1, "template": template()}}),
            vec![
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.selector: Required value",
            ],
        ),
        (
            "apps",
            "Deployment",
            workload(&json!({"selector": {"matchLabels": {"app": "y"}}, "strategy": {"type": "X"}})),
            vec![
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
                "spec.strategy: Unsupported value: {\"Type\":\"X\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            "apps",
            "Deployment",
            workload(
                &json!({"selector": {}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "x"}}}),
            ),
            vec![
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            "apps",
            "StatefulSet",
            workload(&json!({"podManagementPolicy": "X"})),
            vec!["spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            "batch",
            "Job",
            json!({"spec": {"template": {"spec": {"containers": [container()]}}}}),
            vec![
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
                "spec.selector: Required value",
            ],
        ),
        (
            "batch",
            "CronJob",
            json!({"metadata": {"name": "a".repeat(53)}, "spec": {"schedule": "* * 40 * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}}}),
            vec![
                "spec.schedule: Invalid value: \"* * 40 * *\": end of range (40) above maximum (31): 40",
                "metadata.name: Invalid value: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": must be no more than 52 characters",
            ],
        ),
        (
            "",
            "Service",
            json!({"metadata": {"name": "1a"}, "spec": {"type": "X", "ports": [{"port": 0}, {"port": 80, "nodePort": 3}]}}),
            vec![
                "metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
                "spec.ports[0].name: Required value",
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[1].name: Required value",
                "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        ("", "Service", json!({}), vec!["spec.ports: Required value"]),
        (
            "",
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["X"]}}),
            vec![
                "spec.accessModes: Unsupported value: \"X\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "",
            "PersistentVolume",
            json!({"spec": {}}),
            vec![
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: null: supported values: \"storage\"",
                "spec: Required value: must specify a volume type",
            ],
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {}}),
            vec!["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"rules": [{"host": "10.0.0.1", "http": {"paths": [{"path": "x", "pathType": "Exact", "backend": {}}]}}]}}),
            vec![
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
                "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
                "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
            ],
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"spec": {"minReplicas": 3}}),
            vec![
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
            ],
        ),
        (
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"metadata": {"name": "system-x"}}),
            vec![
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
            ],
        ),
        (
            "storage.k8s.io",
            "StorageClass",
            json!({"reclaimPolicy": "X"}),
            vec![
                "provisioner: Required value",
                "reclaimPolicy: Unsupported value: \"X\": supported values: \"Delete\", \"Retain\"",
            ],
        ),
    ] {
        assert_eq!(created(group, kind, object.clone()), faults, "{kind} {object}");
    }
}

#[test]
fn what_must_not_change_is_told_in_upstreams_words() {
    let immutable = json!({"immutable": true, "data": {"a": "YQ=="}});
    let pod =
        |image: &str, node: &str| json!({"spec": {"nodeName": node, "containers": [{"name": "c", "image": image}]}});
    let claim = |size: &str, phase: &str| json!({"status": {"phase": phase}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}});
    let binding = |name: &str| json!({"roleRef": {"kind": "ClusterRole", "name": name}});
    for (group, kind, old, new, faults) in [
        (
            "",
            "Secret",
            json!({}),
            json!({"type": "x"}),
            vec!["type: Invalid value: \"x\": field is immutable"],
        ),
        (
            "",
            "Secret",
            immutable.clone(),
            json!({"data": {"a": "Yg=="}}),
            vec![
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        ),
        ("", "Secret", immutable.clone(), immutable, vec![]),
        (
            "",
            "ConfigMap",
            json!({"immutable": true}),
            json!({"immutable": true, "binaryData": {"a": "YQ=="}}),
            vec!["binaryData: Forbidden: field is immutable when `immutable` is set"],
        ),
        (
            RBAC,
            "RoleBinding",
            binding("view"),
            binding("edit"),
            vec![
                "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}: cannot change roleRef",
            ],
        ),
        (RBAC, "RoleBinding", binding("view"), binding("view"), vec![]),
        (
            "",
            "Node",
            json!({"spec": {"providerID": "x"}}),
            json!({"spec": {"providerID": "y"}}),
            vec!["spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"],
        ),
        ("", "Pod", pod("i", "n"), pod("j", "n"), vec![]),
        (
            "",
            "Pod",
            pod("i", "n"),
            pod("i", "m"),
            vec![
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
            ],
        ),
        (
            "",
            "Pod",
            pod("i", "n"),
            json!({"spec": {"nodeName": "n", "containers": [container(), {"name": "d", "image": "i"}]}}),
            vec!["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        (
            "apps",
            "Deployment",
            workload(&json!({})),
            {
                let mut new = workload(&json!({"selector": {"matchLabels": {"app": "y"}}}));
                new["spec"]["template"]["metadata"]["labels"]["app"] = json!("y");
                new
            },
            vec!["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"y\"}}: field is immutable"],
        ),
        (
            "apps",
            "StatefulSet",
            workload(&json!({})),
            workload(&json!({"serviceName": "x"})),
            vec![
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ],
        ),
        (
            "apps",
            "StatefulSet",
            workload(&json!({})),
            workload(&json!({"replicas": 5})),
            vec![],
        ),
        (
            "",
            "PersistentVolumeClaim",
            claim("1Gi", "Pending"),
            claim("2Gi", "Pending"),
            vec![
                "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
            ],
        ),
        (
            "",
            "PersistentVolumeClaim",
            claim("1Gi", "Bound"),
            claim("2Gi", "Bound"),
            vec![],
        ),
        (
            "storage.k8s.io",
            "StorageClass",
            json!({"provisioner": "a.io/b"}),
            json!({"provisioner": "a.io/c"}),
            vec!["provisioner: Invalid value: \"a.io/c\": field is immutable"],
        ),
        (
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"value": 1}),
            json!({"value": 2}),
            vec!["value: Forbidden: may not be changed in an update."],
        ),
        (
            "",
            "Namespace",
            json!({}),
            json!({"metadata": {"name": "b"}}),
            vec!["metadata.name: Invalid value: \"b\": field is immutable"],
        ),
    ] {
        assert_eq!(updated(group, kind, old, new.clone()), faults, "{kind} {new}");
    }
}

#[test]
fn certificate_requests_are_decided_and_signed_through_their_own_doors() {
    let requests = of(CERTIFICATES, "CertificateSigningRequest");
    let certificate = pem("CERTIFICATE", &[0x30, 0]);
    let version = "1";
    let object = |status: Value| json!({"metadata": {"name": "a", "resourceVersion": version}, "spec": request(), "status": status});
    let approved = json!({"type": "Approved", "status": "True"});
    let old = object(json!({}));
    let signed = object(json!({"certificate": certificate}));
    let decided = object(json!({"conditions": [approved]}));
    for (subresource, new, faults) in [
        (
            "",
            &signed,
            vec!["status.certificate: Forbidden: updates may not set certificate content"],
        ),
        ("status", &signed, vec![]),
        (
            "status",
            &decided,
            vec!["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
        ),
        ("approval", &decided, vec![]),
        (
            "approval",
            &signed,
            vec!["status.certificate: Forbidden: updates may not set certificate content"],
        ),
    ] {
        assert_eq!(lines(&update(requests, subresource, new, &old)), faults);
    }
    let denied = object(json!({"conditions": [approved, {"type": "Denied", "status": "False"}]}));
    assert_eq!(
        lines(&update(requests, "approval", &denied, &decided)),
        [
            "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
        ]
    );
    assert_eq!(
        lines(&update(requests, "status", &object(json!({})), &decided)),
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
    let wrong = object(json!({"certificate": pem("PRIVATE KEY", &[0x30, 0])}));
    assert_eq!(
        lines(&update(requests, "status", &wrong, &old)),
        [
            "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\""
        ]
    );
}

#[test]
fn a_service_keeps_its_first_address() {
    let service = |ips: &[&str], policy: &str| json!({"spec": {"ports": [{"port": 80}], "clusterIP": ips.first(), "clusterIPs": ips, "ipFamilyPolicy": policy}});
    let (one, two, other) = ("10.0.0.1", "fd00::1", "10.0.0.2");
    for (old, new, faults) in [
        (service(&[], ""), service(&[one], ""), vec![]),
        (
            service(&[one], ""),
            service(&[other], ""),
            vec!["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
        ),
        (
            service(&[one], ""),
            service(&[], ""),
            vec!["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"],
        ),
        (service(&[one], ""), service(&[one, two], "PreferDualStack"), vec![]),
        (service(&[one, two], ""), service(&[one], "SingleStack"), vec![]),
        (
            service(&[one, two], ""),
            service(&[one], "PreferDualStack"),
            vec![
                "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
            ],
        ),
    ] {
        assert_eq!(updated("", "Service", old, new.clone()), faults, "{new}");
    }
}

#[test]
fn containers_that_debug_a_pod_only_come() {
    let pods = of("", "Pod");
    let pod = |containers: Value| json!({"metadata": {"name": "a", "namespace": "n", "resourceVersion": "1"}, "spec": {"containers": [container()], "ephemeralContainers": containers}});
    let debugger = json!({"name": "d", "image": "i"});
    for (old, new, faults) in [
        (json!([]), json!([debugger]), vec![]),
        (
            json!([debugger]),
            json!([]),
            vec!["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"],
        ),
        (
            json!([debugger]),
            json!([{"name": "d", "image": "j"}]),
            vec!["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be changed\n"],
        ),
        (
            json!([]),
            json!([{"name": "c", "image": "i", "ports": []}]),
            vec![
                "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ],
        ),
    ] {
        assert_eq!(
            lines(&update(pods, "ephemeralcontainers", &pod(new), &pod(old))),
            faults
        );
    }
}

#[test]
fn namespaces_end_as_their_deletion_says() {
    let namespaces = of("", "Namespace");
    let old = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "status": {"phase": "Active"}});
    let new = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "status": {"phase": "Terminating"}});
    assert_eq!(
        lines(&update(namespaces, "status", &new, &old)),
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
    );
}

#[test]
fn reviews_are_checked_and_have_no_name() {
    let group = "authorization.k8s.io";
    for (kind, object, faults) in [
        (
            "SubjectAccessReview",
            json!({"spec": {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}}),
            vec![],
        ),
        (
            "SubjectAccessReview",
            json!({"metadata": {"name": "x"}, "spec": {}}),
            vec![
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
            ],
        ),
        (
            "SelfSubjectAccessReview",
            json!({"spec": {"resourceAttributes": {}, "nonResourceAttributes": {"path": "/", "verb": "get"}}}),
            vec![
                "spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"get\"}: cannot be specified in combination with resourceAttributes",
            ],
        ),
        (
            "LocalSubjectAccessReview",
            json!({"metadata": {"namespace": "n"}, "spec": {"user": "u", "resourceAttributes": {"namespace": "m", "labelSelector": {}}}}),
            vec![
                "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
                "spec.resourceAttributes.namespace: Invalid value: \"m\": must match metadata.namespace",
            ],
        ),
    ] {
        assert_eq!(lines(&create(of(group, kind), &object)), faults, "{kind}");
    }
    for (seconds, faults) in [
        (json!(null), vec![]),
        (
            json!(599),
            vec!["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"],
        ),
        (
            json!(5_000_000_000_i64),
            vec![
                "spec.expirationSeconds: Invalid value: 5000000000: may not specify a duration larger than 2^32 seconds",
            ],
        ),
    ] {
        let object = json!({"spec": {"expirationSeconds": seconds}});
        assert_eq!(
            lines(&of_kind(
                "authentication.k8s.io",
                "TokenRequest",
                Scope::Namespaced,
                &object
            )),
            faults
        );
    }
}

#[test]
fn an_object_of_a_thousand_faults_is_answered_in_good_time() {
    let labels: serde_json::Map<String, Value> = (0..50_000).map(|n| (format!("a b{n}"), json!("x"))).collect();
    let pod =
        json!({"metadata": {"name": "a", "namespace": "n", "labels": labels}, "spec": {"containers": [container()]}});
    let faults = create(of("", "Pod"), &complete(of("", "Pod"), pod));
    assert_eq!(faults.len(), FAULTS_MAX);
}

/// Any JSON, with the names that rules look at.
fn any_object() -> impl Strategy<Value = Value> {
    let names = [
        "metadata",
        "spec",
        "status",
        "name",
        "containers",
        "ports",
        "template",
        "selector",
        "matchLabels",
        "rules",
        "volumes",
        "resources",
        "limits",
        "cpu",
        "conditions",
        "usages",
        "request",
        "schedule",
        "subjects",
        "roleRef",
        "strategy",
        "type",
        "data",
        "taints",
        "service",
        "clusterIPs",
        "livenessProbe",
        "httpGet",
        "labels",
        "env",
        "valueFrom",
        "http",
        "paths",
        "backend",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(-1)),
        Just(json!("RollingUpdate")),
        Just(json!("é/..")),
        Just(json!("LS0tLS1CRUdJTiA=")),
        Just(json!(true))
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let key = proptest::sample::select(names.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_makes_the_rules_panic(object in any_object(), old in any_object()) {
        for resource in resource::TABLE {
            let (mut object, mut old) = (object.clone(), old.clone());
            default::apply(resource, &mut object);
            default::apply(resource, &mut old);
            let _ = (create(resource, &object), update(resource, "", &object, &old), update(resource, "status", &object, &old));
            strategy::prepare_for_create(resource, &mut old);
            strategy::prepare_for_update(resource, &mut object, &old);
            strategy::prepare_for_status_update(resource, &mut object, &old);
        }
    }
}
