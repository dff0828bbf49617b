//! What the server writes itself before an object is checked and stored, whatever the client sent: the registries'
//! strategies (`pkg/registry/*/*/strategy.go`, `apiserver/pkg/registry/rest`).

use serde_json::{Map, Value, json};

use crate::{decode::quantity::Quantity, meta, resource::Resource};

/// Resources whose objects a `PUT` may create (`AllowCreateOnUpdate`), by group and plural.
static CREATED_ON_UPDATE: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leasecandidates"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("node.k8s.io", "runtimeclasses"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
];

/// Resources whose objects a `PUT` must name the version of (`AllowUnconditionalUpdate` is false), by group and plural.
static CONDITIONAL_UPDATE: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiregistration.k8s.io", "apiservices"),
    ("certificates.k8s.io", "clustertrustbundles"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("coordination.k8s.io", "leasecandidates"),
    ("coordination.k8s.io", "leases"),
    ("internal.apiserver.k8s.io", "storageversions"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
];

fn among(resource: &Resource, rows: &[(&str, &str)]) -> bool {
    rows.contains(&(resource.group, resource.plural))
}

/// Whether a `PUT` of what is not there creates it.
#[must_use]
pub fn allows_create_on_update(resource: &Resource) -> bool {
    among(resource, CREATED_ON_UPDATE)
}

/// Whether a `PUT` without a resource version overwrites what is there.
#[must_use]
pub fn allows_unconditional_update(resource: &Resource) -> bool {
    !among(resource, CONDITIONAL_UPDATE)
}

/// Whether deletion leaves the object time to end: pods only.
#[must_use]
pub fn deletes_gracefully(resource: &Resource) -> bool {
    (resource.group, resource.plural) == ("", "pods")
}

/// The seconds that an object has to end, where the request says nothing. A pod that no node runs has none
/// (`podStrategy.CheckGracefulDelete`).
pub fn grace_period(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if !deletes_gracefully(resource) {
        return 0;
    }
    let spec = object.get("spec");
    let text = |name: &str| spec.and_then(|spec| spec.get(name)?.as_str()).unwrap_or_default();
    let phase = object
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if text("nodeName").is_empty() || matches!(phase, "Failed" | "Succeeded") {
        return 0;
    }
    let own = || {
        spec.and_then(|spec| spec.get("terminationGracePeriodSeconds")?.as_i64())
            .unwrap_or_default()
    };
    // Less than none is one second, as upstream has it.
    match asked.unwrap_or_else(own) {
        negative @ ..0 => negative.signum().abs(),
        seconds => seconds,
    }
}

/// Metadata that only the server writes, and that a new object brings in vain (`rest.WipeObjectMetaSystemFields`).
const SYSTEM_FIELDS: [&str; 5] = [
    "creationTimestamp",
    "uid",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// Takes out of a new object what only the server writes. The server then writes `uid` and `creationTimestamp`, before
/// [`prepare_for_create`].
pub fn wipe_system_fields(object: &mut Value) {
    meta::remove_all(object, &SYSTEM_FIELDS);
}

/// A new object: the status is the server's, generations count from 1. Call it after [`crate::default::apply`], when the
/// object has its name and its uid.
pub fn prepare_for_create(resource: &Resource, object: &mut Value) {
    meta::remove_all(object, &["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]);
    let has_status = resource.subresource("status").is_some();
    let fields = object.as_object_mut();
    match (resource.group, resource.kind) {
        ("", "Namespace") => {
            set(object, "status", json!({"phase": "Active"}));
            add_finalizer(object);
            label_with_name(object);
        }
        // A node says what it is when it joins.
        ("", "Node") => {}
        ("", "Pod") => {
            let class = qos_class(object);
            set(object, "status", json!({"phase": "Pending", "qosClass": class}));
        }
        ("", "PersistentVolume" | "PersistentVolumeClaim") => set(object, "status", json!({"phase": "Pending"})),
        ("", "Service") => {
            set(object, "status", json!({"loadBalancer": {}}));
            pair_addresses(object);
        }
        ("batch", "Job") => {
            select_own_pods(object);
            set(object, "status", json!({}));
        }
        ("", "ServiceAccount") => clean_secrets(object),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                spec.retain(|name, _| !REQUESTER.contains(&name.as_str()));
            }
            set(object, "status", json!({}));
        }
        _ if has_status => {
            if let Some(fields) = fields {
                fields.shift_remove("status");
            }
        }
        _ => {}
    }
    if resource.generation {
        meta::set(object, "generation", 1);
    } else {
        meta::remove(object, "generation");
    }
}

/// Who asks for a certificate: the server writes it.
const REQUESTER: [&str; 4] = ["username", "uid", "groups", "extra"];

/// A changed object: the status stays, the generation grows if what users write has changed.
pub fn prepare_for_update(resource: &Resource, new: &mut Value, old: &Value) {
    keep_metadata(new, old);
    if resource.subresource("status").is_some() {
        keep(new, old, "status");
    }
    match (resource.group, resource.kind) {
        ("", "Namespace") => {
            let finalizers = old.pointer("/spec/finalizers").cloned();
            if let Some(fields) = new.as_object_mut() {
                let spec = fields.entry("spec").or_insert_with(|| json!({}));
                match (spec.as_object_mut(), finalizers) {
                    (Some(spec), Some(finalizers)) => drop(spec.insert("finalizers".into(), finalizers)),
                    (Some(spec), None) => drop(spec.shift_remove("finalizers")),
                    (None, _) => {}
                }
            }
        }
        ("", "Secret") if new.get("type").and_then(Value::as_str).is_none_or(str::is_empty) => keep(new, old, "type"),
        ("", "ServiceAccount") => clean_secrets(new),
        ("", "Service") => {
            drop_of_other_type(new, old);
            keep_cluster_ip(new, old);
            keep_node_ports(new, old);
            pair_addresses(new);
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            keep(new, old, "spec");
            keep(new, old, "status");
        }
        _ => {}
    }
    if resource.generation && !same_but(new, old, &["metadata", "status", "apiVersion", "kind"]) {
        meta::set(new, "generation", meta::generation(old).saturating_add(1));
    }
}

/// A changed status: everything else stays, but what metadata the client may write with it.
pub fn prepare_for_status_update(resource: &Resource, new: &mut Value, old: &Value) {
    keep_metadata(new, old);
    let names: Vec<String> = [&*new, old]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
        .cloned()
        .collect();
    for name in names {
        if !matches!(name.as_str(), "metadata" | "status" | "apiVersion" | "kind") {
            keep(new, old, &name);
        }
    }
    match (resource.group, resource.kind) {
        ("", "Pod") => {
            meta::copy_field(new, old, "ownerReferences");
            let class = old.pointer("/status/qosClass").cloned();
            let status = new.get_mut("status").and_then(Value::as_object_mut);
            if let (Some(status), Some(class)) = (status, class)
                && status.get("qosClass").and_then(Value::as_str).is_none_or(str::is_empty)
            {
                status.insert("qosClass".into(), class);
            }
        }
        ("apps", "Deployment") => meta::copy_field(new, old, "labels"),
        _ => {}
    }
}

/// What no update changes, and what it may leave out (`rest.BeforeUpdate`).
fn keep_metadata(new: &mut Value, old: &Value) {
    meta::copy_field(new, old, "generation");
    if meta::uid(new).is_empty() {
        meta::copy_field(new, old, "uid");
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if meta::metadata(old).is_some_and(|metadata| metadata.contains_key(field)) {
            meta::copy_field(new, old, field);
        }
    }
    if meta::metadata(new).is_none_or(|metadata| !metadata.contains_key("deletionGracePeriodSeconds")) {
        meta::copy_field(new, old, "deletionGracePeriodSeconds");
    }
    meta::remove(new, "selfLink");
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn keep(new: &mut Value, old: &Value, field: &str) {
    let Some(fields) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
        None => drop(fields.shift_remove(field)),
    }
}

/// Whether two objects are the same but for these fields; absent is the same as null, empty or zero.
fn same_but(a: &Value, b: &Value, but: &[&str]) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let differs = |name: &String| !but.contains(&name.as_str()) && !same_field(name, a.get(name), b.get(name));
    !a.keys().chain(b.keys()).any(differs)
}

/// Whether two values mean the same: absent is the same as null, and as an empty text, list or object
/// (`equality.Semantic.DeepEqual`). But in the maps that are [`MAPS`], a key with an empty value is not none.
#[must_use]
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    same_field("", a, b)
}

/// Fields that are maps from keys to texts, and not objects with fields.
const MAPS: [&str; 11] = [
    "annotations",
    "binaryData",
    "data",
    "labels",
    "matchLabels",
    "nodeSelector",
    "options",
    "parameters",
    "selector",
    "stringData",
    "volumeAttributes",
];

/// As [`same`], for the values of a field of this name.
#[must_use]
pub fn same_field(name: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
    let a = a.filter(|value| !is_empty(value));
    let b = b.filter(|value| !is_empty(value));
    match (a, b) {
        (None, None) => true,
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let is_map = MAPS.contains(&name);
            a.keys().chain(b.keys()).all(|name| {
                let (a, b) = (a.get(name), b.get(name));
                (!is_map || a.is_some() == b.is_some()) && same_field(name, a, b)
            })
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_field("", Some(a), Some(b)))
        }
        (Some(Value::Object(fields)), None) | (None, Some(Value::Object(fields))) => {
            !MAPS.contains(&name) && fields.iter().all(|(name, value)| same_field(name, Some(value), None))
        }
        (a, b) => a == b,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

const KUBERNETES: &str = "kubernetes";

/// A namespace goes away when all that is in it has gone.
fn add_finalizer(namespace: &mut Value) {
    let Some(fields) = namespace.as_object_mut() else {
        return;
    };
    let spec = fields.entry("spec").or_insert_with(|| json!({}));
    let Some(spec) = spec.as_object_mut() else { return };
    let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|name| name == KUBERNETES)
    {
        finalizers.push(json!(KUBERNETES));
    }
}

/// A namespace can be selected by its name, also by one that was made after the defaults (`namespaceStrategy.Canonicalize`).
fn label_with_name(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    let Some(metadata) = meta::metadata_mut(namespace).filter(|_| !name.is_empty()) else {
        return;
    };
    let labels = metadata.entry("labels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = json!({});
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// Of the secrets of a service account, only the names count.
fn clean_secrets(account: &mut Value) {
    for secret in account
        .get_mut("secrets")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(secret) = secret.as_object_mut() {
            secret.retain(|name, _| name == "name");
        }
    }
}

/// What a type of service has, and which types have it (`dropTypeDependentFields`).
const OF_SERVICE_TYPES: [(&[&str], &[&str]); 5] = [
    (
        &["ClusterIP", "NodePort", "LoadBalancer"],
        &[
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ],
    ),
    (&["NodePort", "LoadBalancer"], &["externalTrafficPolicy"]),
    (&["LoadBalancer"], &["healthCheckNodePort"]),
    (&["LoadBalancer"], &["allocateLoadBalancerNodePorts"]),
    (&["LoadBalancer"], &["loadBalancerClass"]),
];

/// A service that changes its type loses what only the old type has, unless the client has changed it.
fn drop_of_other_type(new: &mut Value, old: &Value) {
    let kind = |service: &Value| service_text(service, "type").to_owned();
    let (now, before) = (kind(new), kind(old));
    let loses = |types: &[&str]| types.contains(&before.as_str()) && !types.contains(&now.as_str());
    let reaches_outside = !list_of(new, "externalIPs").is_empty() && now == "ClusterIP";
    let same_ports = node_ports(new).eq(node_ports(old));
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for (types, fields) in OF_SERVICE_TYPES {
        for field in fields.iter().filter(|_| loses(types)) {
            let kept = *field == "externalTrafficPolicy" && reaches_outside;
            if !kept && spec.get(*field) == old.get("spec").and_then(|spec| spec.get(*field)) {
                spec.shift_remove(*field);
            }
        }
    }
    if same_ports && loses(&["NodePort", "LoadBalancer"]) {
        for port in spec
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(port) = port.as_object_mut() {
                port.shift_remove("nodePort");
            }
        }
    }
}

fn service_text<'a>(service: &'a Value, field: &str) -> &'a str {
    let value = service.get("spec").and_then(|spec| spec.get(field));
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list_of<'a>(service: &'a Value, field: &str) -> &'a [Value] {
    let value = service.get("spec").and_then(|spec| spec.get(field));
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The node ports of a service, by the names of its ports; 0 where there is none.
fn node_ports(service: &Value) -> impl Iterator<Item = (&str, i64)> {
    list_of(service, "ports").iter().map(|port| {
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        (name, port.get("nodePort").and_then(Value::as_i64).unwrap_or_default())
    })
}

/// A service keeps the node ports that the client leaves out (`patchAllocatedValues`).
fn keep_node_ports(new: &mut Value, old: &Value) {
    let has = |service: &Value, types: &[&str]| types.contains(&service_text(service, "type"));
    let outside = ["NodePort", "LoadBalancer"];
    if !has(new, &outside) || !has(old, &outside) {
        return;
    }
    let before: Vec<(&str, i64)> = node_ports(old).filter(|(_, port)| *port != 0).collect();
    let mut used: Vec<i64> = node_ports(new)
        .map(|(_, port)| port)
        .filter(|port| *port != 0)
        .collect();
    let checks_health =
        |service: &Value| has(service, &["LoadBalancer"]) && service_text(service, "externalTrafficPolicy") == "Local";
    let health = old.pointer("/spec/healthCheckNodePort").cloned();
    let health = health.filter(|_| checks_health(new) && checks_health(old));
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(port) = port.as_object_mut() else { continue };
        if port.get("nodePort").and_then(Value::as_i64).unwrap_or_default() != 0 {
            continue;
        }
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        let kept = before
            .iter()
            .find(|(before, port)| *before == name && !used.contains(port));
        if let Some((_, kept)) = kept {
            used.push(*kept);
            port.insert("nodePort".into(), json!(kept));
        }
    }
    if let Some(health) = health
        && spec
            .get("healthCheckNodePort")
            .and_then(Value::as_i64)
            .unwrap_or_default()
            == 0
    {
        spec.insert("healthCheckNodePort".into(), health);
    }
}

/// A service keeps its addresses, if the client leaves them out (`patchAllocatedValues`).
fn keep_cluster_ip(new: &mut Value, old: &Value) {
    let needs = |service: &Value| {
        matches!(
            service.pointer("/spec/type").and_then(Value::as_str),
            Some("ClusterIP" | "NodePort" | "LoadBalancer")
        )
    };
    if !needs(new) || !needs(old) {
        return;
    }
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if spec.get(field).is_none_or(is_empty)
            && let Some(value) = old.get("spec").and_then(|spec| spec.get(field))
        {
            spec.insert(field.to_owned(), value.clone());
        }
    }
}

/// Of `clusterIP` and the first of `clusterIPs`, each says the other (`normalizeClusterIPs`).
fn pair_addresses(service: &mut Value) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let one = spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned);
    let all = spec.get("clusterIPs").and_then(Value::as_array);
    let first = all.and_then(|all| all.first()?.as_str()).map(str::to_owned);
    match (one, first) {
        (Some(one), None) => drop(spec.insert("clusterIPs".into(), json!([one]))),
        (None, Some(first)) => drop(spec.insert("clusterIP".into(), json!(first))),
        _ => {}
    }
}

/// Names under which a job's pods are known, old and new.
const JOB_NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const JOB_UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// A job selects its pods by its own uid, unless it says otherwise (`generateSelector`).
fn select_own_pods(job: &mut Value) {
    let (name, uid) = (meta::name(job).to_owned(), meta::uid(job).to_owned());
    let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if spec.get("manualSelector").and_then(Value::as_bool).unwrap_or_default() {
        return;
    }
    let mut label = |path: &[&str], labels: &[&str], value: &str| {
        let mut at = &mut *spec;
        for part in path {
            let next = at.entry(*part).or_insert_with(|| json!({}));
            if next.is_null() {
                *next = json!({});
            }
            let Some(next) = next.as_object_mut() else { return };
            at = next;
        }
        for label in labels {
            at.entry(*label).or_insert_with(|| json!(value));
        }
    };
    label(&["template", "metadata", "labels"], &JOB_NAME_LABELS, &name);
    label(&["template", "metadata", "labels"], &JOB_UID_LABELS, &uid);
    label(&["selector", "matchLabels"], &JOB_UID_LABELS[1..], &uid);
}

/// `Guaranteed`, `Burstable` or `BestEffort` (`pkg/apis/core/helper/qos`), by what the containers ask for.
#[must_use]
pub fn qos_class(pod: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|name| pod.get("spec")?.get(name)?.as_array())
        .flatten();
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let amount = |kind: &str, name: &str| {
            let text = container.get("resources")?.get(kind)?.get(name)?.as_str()?;
            Quantity::parse(text).ok().map(Quantity::nano).filter(|nano| *nano > 0)
        };
        for name in COUNTED {
            let (limit, request) = (amount("limits", name), amount("requests", name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource;

    fn of(group: &str, kind: &str) -> &'static Resource {
        resource::of_kind(group, "v1", kind).unwrap()
    }

    #[test]
    fn new_objects_have_the_servers_status() {
        for (group, kind, object, result) in [
            (
                "apps",
                "Deployment",
                json!({"metadata": {"generation": 7}, "status": {"replicas": 3}}),
                json!({"metadata": {"generation": 1}}),
            ),
            (
                "",
                "Namespace",
                json!({"metadata": {}, "status": {"phase": "X"}}),
                json!({"metadata": {}, "status": {"phase": "Active"}, "spec": {"finalizers": ["kubernetes"]}}),
            ),
            (
                "",
                "Node",
                json!({"metadata": {}, "status": {"x": 1}}),
                json!({"metadata": {}, "status": {"x": 1}}),
            ),
            (
                "",
                "Pod",
                json!({"metadata": {}, "spec": {}}),
                json!({"metadata": {"generation": 1}, "spec": {}, "status": {"phase": "Pending", "qosClass": "BestEffort"}}),
            ),
            (
                "certificates.k8s.io",
                "CertificateSigningRequest",
                json!({"metadata": {}, "spec": {"request": "x", "username": "root", "groups": ["system:masters"]}, "status": {"certificate": "x"}}),
                json!({"metadata": {}, "spec": {"request": "x"}, "status": {}}),
            ),
        ] {
            let mut object = object;
            prepare_for_create(of(group, kind), &mut object);
            assert_eq!(object, result, "{kind}");
        }
    }

    #[test]
    fn empty_is_the_same_as_absent_but_for_the_keys_of_maps() {
        for (a, b, equal) in [
            (json!({"a": "", "b": [], "c": {}, "d": null}), json!({}), true),
            (json!({"a": {"b": ""}}), json!({}), true),
            (json!({"labels": {"b": ""}}), json!({}), false),
            (json!({"a": {"b": ""}}), json!({"a": {"c": []}}), true),
            (json!({"a": 0}), json!({}), false),
            (json!({"data": {"a": ""}}), json!({"data": {"b": "x"}}), false),
            (json!({"data": {"a": "", "b": "x"}}), json!({"data": {"b": "x"}}), false),
            (json!({"data": {}}), json!({}), true),
            (
                json!({"spec": [{"nodeSelector": {"a": "", "b": ""}}]}),
                json!({"spec": [{"nodeSelector": {"a": ""}}]}),
                false,
            ),
            (json!([{"a": 1}]), json!([{"a": 2}]), false),
        ] {
            assert_eq!(same(Some(&a), Some(&b)), equal, "{a} {b}");
        }
        assert!(!same_field(
            "data",
            Some(&json!({"a": "", "b": "x"})),
            Some(&json!({"b": "x"}))
        ));
    }

    #[test]
    fn a_new_object_brings_no_uid() {
        let mut object =
            json!({"metadata": {"name": "a", "uid": "x", "creationTimestamp": "t", "deletionTimestamp": "t"}});
        wipe_system_fields(&mut object);
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }

    #[test]
    fn a_job_selects_its_own_pods() {
        let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {}}}});
        prepare_for_create(of("batch", "Job"), &mut job);
        let labels = json!({"job-name": "j", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"});
        assert_eq!(job.pointer("/spec/template/metadata/labels"), Some(&labels));
        assert_eq!(
            job.pointer("/spec/selector"),
            Some(&json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}))
        );
        let mut manual = json!({"metadata": {"uid": "u"}, "spec": {"manualSelector": true}});
        prepare_for_create(of("batch", "Job"), &mut manual);
        assert_eq!(manual.pointer("/spec/selector"), None);
    }

    #[test]
    fn a_services_addresses_come_in_pairs_and_stay() {
        let services = of("", "Service");
        let mut new = json!({"metadata": {}, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}});
        prepare_for_create(services, &mut new);
        assert_eq!(new.pointer("/spec/clusterIPs"), Some(&json!(["10.0.0.1"])));
        let mut changed = json!({"metadata": {}, "spec": {"type": "ClusterIP"}});
        prepare_for_update(services, &mut changed, &new);
        assert_eq!(changed.pointer("/spec/clusterIP"), Some(&json!("10.0.0.1")));
    }

    #[test]
    fn a_service_keeps_what_was_given_until_its_type_has_none_of_it() {
        let services = of("", "Service");
        let old = json!({"metadata": {}, "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009,
            "allocateLoadBalancerNodePorts": true, "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "a", "port": 1, "nodePort": 30001}, {"name": "b", "port": 2, "nodePort": 30002}],
        }});
        let given = [30001, 30002];
        let ports = |ports: [i64; 2]| json!([{"name": "a", "port": 1, "nodePort": ports[0]}, {"name": "b", "port": 2, "nodePort": ports[1]}]);
        for (new, want) in [
            // What is left out is kept, but no port is had twice.
            (
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": ports([0, 30001])}),
                json!([null, 30001, 30009, "10.0.0.1"]),
            ),
            (
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": ports([0, 0])}),
                json!([30001, 30002, 30009, "10.0.0.1"]),
            ),
            (
                json!({"type": "NodePort", "healthCheckNodePort": 30009, "ports": ports([0, 30005])}),
                json!([30001, 30005, null, "10.0.0.1"]),
            ),
            (
                json!({"type": "ClusterIP", "ports": ports(given)}),
                json!([null, null, null, "10.0.0.1"]),
            ),
            (
                json!({"type": "ClusterIP", "ports": ports([30001, 30005])}),
                json!([30001, 30005, null, "10.0.0.1"]),
            ),
            (
                json!({"type": "ExternalName", "clusterIP": "10.0.0.1", "ports": ports(given)}),
                json!([null, null, null, null]),
            ),
        ] {
            let mut changed = json!({"metadata": {}, "spec": new});
            prepare_for_update(services, &mut changed, &old);
            let at = |path: &str| {
                changed
                    .pointer(path)
                    .filter(|port| **port != json!(0))
                    .cloned()
                    .unwrap_or_default()
            };
            let got = [
                "/spec/ports/0/nodePort",
                "/spec/ports/1/nodePort",
                "/spec/healthCheckNodePort",
                "/spec/clusterIP",
            ]
            .map(at);
            assert_eq!(json!(got), want, "{new}");
        }
    }

    #[test]
    fn generations_count_what_users_change() {
        let deployments = of("apps", "Deployment");
        let old = json!({"metadata": {"generation": 3, "uid": "u", "creationTimestamp": "t"}, "spec": {"replicas": 1, "x": []}, "status": {"a": 1}});
        for (new, generation) in [
            (
                json!({"metadata": {"generation": 9, "labels": {"a": "b"}}, "spec": {"replicas": 1}, "status": {"a": 2}}),
                3,
            ),
            (json!({"metadata": {}, "spec": {"replicas": 2}}), 4),
        ] {
            let mut new = new;
            prepare_for_update(deployments, &mut new, &old);
            assert_eq!(meta::generation(&new), generation);
            assert_eq!((meta::uid(&new), new.get("status")), ("u", old.get("status")));
            assert_eq!(meta::text(&new, "creationTimestamp"), "t");
        }
    }

    #[test]
    fn a_status_update_changes_the_status_only() {
        let old = json!({"metadata": {"generation": 3}, "spec": {"a": 1}, "data": 1, "status": {"a": 1}});
        let mut new = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"a": 2}, "extra": 1, "status": {"a": 2}});
        prepare_for_status_update(of("apps", "ReplicaSet"), &mut new, &old);
        assert_eq!(
            new,
            json!({"metadata": {"labels": {"x": "y"}, "generation": 3}, "spec": {"a": 1}, "status": {"a": 2}, "data": 1})
        );
    }

    #[test]
    fn a_certificate_request_never_changes() {
        let requests = of("certificates.k8s.io", "CertificateSigningRequest");
        let old = json!({"metadata": {}, "spec": {"username": "a"}, "status": {}});
        let mut new = json!({"metadata": {}, "spec": {"username": "root"}, "status": {"certificate": "x"}});
        prepare_for_update(requests, &mut new, &old);
        assert_eq!(new, old);
    }

    #[test]
    fn pods_have_the_class_of_what_they_ask_for() {
        for (resources, class) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}),
                "Guaranteed",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
                "Burstable",
            ),
            (json!({"limits": {"example.com/gpu": "1"}}), "BestEffort"),
        ] {
            assert_eq!(
                qos_class(&json!({"spec": {"containers": [{"resources": resources}]}})),
                class
            );
        }
    }

    #[test]
    fn only_running_pods_get_time_to_end() {
        let pods = of("", "Pod");
        let running =
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
        for (object, asked, seconds) in [
            (running.clone(), None, 30),
            (running.clone(), Some(5), 5),
            (running.clone(), Some(-5), 1),
            (running, Some(0), 0),
            (json!({"spec": {"terminationGracePeriodSeconds": 30}}), None, 0),
            (
                json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Failed"}}),
                None,
                0,
            ),
        ] {
            assert_eq!(grace_period(pods, &object, asked), seconds);
        }
        assert_eq!(grace_period(of("", "Secret"), &json!({}), Some(9)), 0);
    }

    #[test]
    fn every_row_is_a_resource_that_is_or_was_served() {
        const NOT_BY_DEFAULT: [&str; 5] = [
            "leasecandidates",
            "podcertificaterequests",
            "clustertrustbundles",
            "storageversions",
            "storageversionmigrations",
        ];
        for (group, plural) in CREATED_ON_UPDATE.iter().chain(CONDITIONAL_UPDATE) {
            let served = resource::TABLE
                .iter()
                .any(|resource| (resource.group, resource.plural) == (*group, *plural));
            assert!(served || NOT_BY_DEFAULT.contains(plural), "{group}/{plural}");
        }
    }

    #[test]
    fn some_objects_are_created_by_put() {
        assert!(allows_create_on_update(of("coordination.k8s.io", "Lease")));
        assert!(!allows_create_on_update(of("", "Secret")));
        assert!(!allows_unconditional_update(of("coordination.k8s.io", "Lease")));
        assert!(allows_unconditional_update(of("", "Secret")));
    }
}
