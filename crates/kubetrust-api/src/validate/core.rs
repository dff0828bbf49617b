//! Namespaces, secrets, config maps, nodes, events, leases and quotas (`pkg/apis/core/validation`).

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    checks,
    field::{self, Path},
    meta as meta_rules, names, read,
};
use crate::{decode::quantity::Quantity, meta, status::Cause, strategy};

/// All values of a secret or config map together, in bytes.
pub const DATA_MAX: usize = 1024 * 1024;
/// Longest reason, action and instance of an event, in bytes.
pub const EVENT_TEXT_MAX: usize = 128;
/// Longest message of an event, in bytes.
pub const EVENT_NOTE_MAX: usize = 1024;

const REDACTED: &str = "<secret contents redacted>";
const IMMUTABLE_DATA: &str = "field is immutable when `immutable` is set";

/// A namespace.
pub fn namespace(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec.finalizers");
    for name in read::list(object, "/spec/finalizers").iter().filter_map(Value::as_str) {
        faults.extend(names::qualified(name).iter().map(|why| field::invalid(&at, name, why)));
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.push(field::invalid(&at, name, why));
        }
    }
}

/// The status of a namespace.
pub fn namespace_status(new: &Value, _: &Value, faults: &mut Vec<Cause>) {
    let phase = read::text(new, "/status/phase");
    let at = Path::new("status.Phase");
    if meta::deletion_timestamp(new).is_none() && phase != "Active" {
        faults.push(field::invalid(
            &at,
            phase,
            "may only be 'Active' if `deletionTimestamp` is empty",
        ));
    }
    if meta::deletion_timestamp(new).is_some() && phase != "Terminating" {
        faults.push(field::invalid(
            &at,
            phase,
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        ));
    }
}

/// How a type of secrets is checked.
enum Holds {
    /// All of these keys are there.
    All(&'static [&'static str]),
    /// One of these keys is there.
    Any(&'static [&'static str]),
    /// This key is there and not empty.
    Filled(&'static str),
    /// This key is there and holds a JSON object.
    Json(&'static str),
    /// The annotation is there.
    Annotation(&'static str),
}

/// What the types of secrets must hold.
static SECRET_TYPES: &[(&str, Holds)] = &[
    (
        "kubernetes.io/service-account-token",
        Holds::Annotation("kubernetes.io/service-account.name"),
    ),
    ("kubernetes.io/dockercfg", Holds::Json(".dockercfg")),
    ("kubernetes.io/dockerconfigjson", Holds::Json(".dockerconfigjson")),
    ("kubernetes.io/basic-auth", Holds::Any(&["username", "password"])),
    ("kubernetes.io/ssh-auth", Holds::Filled("ssh-privatekey")),
    ("kubernetes.io/tls", Holds::All(&["tls.crt", "tls.key"])),
];

/// A secret. No value of it is told.
pub fn secret(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("data");
    let data = read::map(object, "/data");
    let mut size = 0_usize;
    for (key, value) in data.into_iter().flatten() {
        faults.extend(
            names::config_key(key)
                .iter()
                .map(|why| field::invalid(&at.key(key), key, why)),
        );
        size = size.saturating_add(decoded(value).len());
    }
    if size > DATA_MAX {
        faults.push(field::too_long(&at, DATA_MAX));
    }
    let kind = read::text(object, "/type");
    let Some((_, holds)) = SECRET_TYPES.iter().find(|(name, _)| *name == kind) else {
        return;
    };
    let value = |key: &str| data.and_then(|data| data.get(key));
    match holds {
        Holds::All(keys) => {
            faults.extend(
                keys.iter()
                    .filter(|key| value(key).is_none())
                    .map(|key| field::required(&at.key(key), "")),
            );
        }
        Holds::Any(keys) if keys.iter().all(|key| value(key).is_none()) => {
            faults.extend(keys.iter().map(|key| field::required(&at.key(key), "")));
        }
        Holds::Filled(key) if value(key).is_none_or(|value| decoded(value).is_empty()) => {
            faults.push(field::required(&at.key(key), ""));
        }
        Holds::Json(key) => match value(key) {
            None => faults.push(field::required(&at.key(key), "")),
            Some(value) => {
                if let Some(why) = not_a_json_object(&decoded(value)) {
                    faults.push(field::invalid(&at.key(key), REDACTED, &why));
                }
            }
        },
        Holds::Annotation(name) if meta::annotation(object, name).is_none_or(str::is_empty) => {
            faults.push(field::required(&Path::new("metadata.annotations").key(name), ""));
        }
        Holds::Any(_) | Holds::Filled(_) | Holds::Annotation(_) => {}
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    value
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .unwrap_or_default()
}

fn not_a_json_object(bytes: &[u8]) -> Option<String> {
    match crate::decode::tree::json(bytes) {
        Err(why) => Some(why),
        Ok(tree) if tree.value.is_object() || tree.value.is_null() => None,
        Ok(_) => Some("json: cannot unmarshal into Go value of type map[string]interface {}".into()),
    }
}

/// What must not change in a secret.
pub fn secret_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    checks::immutable(new, old, "/type", &Path::new("type"), faults);
    immutable_data(new, old, &["data"], faults);
}

/// What must not change in a config map.
pub fn config_map_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    immutable_data(new, old, &["data", "binaryData"], faults);
}

fn immutable_data(new: &Value, old: &Value, fields: &[&str], faults: &mut Vec<Cause>) {
    if !read::flag(old, "/immutable") {
        return;
    }
    if !read::flag(new, "/immutable") {
        faults.push(field::forbidden(&Path::new("immutable"), IMMUTABLE_DATA));
    }
    for name in fields {
        if !strategy::same_field(name, new.get(name), old.get(name)) {
            faults.push(field::forbidden(&Path::new(name), IMMUTABLE_DATA));
        }
    }
}

/// A config map.
pub fn config_map(object: &Value, faults: &mut Vec<Cause>) {
    let binary = read::map(object, "/binaryData");
    let mut size = 0_usize;
    let at = Path::new("data");
    for (key, value) in read::map(object, "/data").into_iter().flatten() {
        let at = at.key(key);
        faults.extend(names::config_key(key).iter().map(|why| field::invalid(&at, key, why)));
        if binary.is_some_and(|binary| binary.contains_key(key)) {
            faults.push(field::invalid(&at, key, "duplicate of key present in binaryData"));
        }
        size = size.saturating_add(value.as_str().map_or(0, str::len));
    }
    let at = Path::new("binaryData");
    for (key, value) in binary.into_iter().flatten() {
        faults.extend(
            names::config_key(key)
                .iter()
                .map(|why| field::invalid(&at.key(key), key, why)),
        );
        size = size.saturating_add(decoded(value).len());
    }
    if size > DATA_MAX {
        // An empty path is that of the whole object, and prints as nothing between brackets.
        faults.push(field::too_long(&Path::new("[]"), DATA_MAX));
    }
}

/// A node.
pub fn node(object: &Value, faults: &mut Vec<Cause>) {
    // Upstream looks for the taints in the metadata.
    let at = Path::new("metadata.taints");
    let mut seen = HashSet::new();
    for (index, taint) in read::list(object, "/spec/taints").iter().enumerate() {
        let at = at.index(index);
        let (key, value) = (read::text(taint, "/key"), read::text(taint, "/value"));
        meta_rules::label_key(key, &at.child("key"), faults);
        let bad = names::label_value(value);
        if !bad.is_empty() {
            faults.push(field::invalid(&at.child("value"), value, &bad.join(";")));
        }
        checks::one_of(taint, "/effect", &at.child("effect"), &TAINT_EFFECTS, faults);
        if !seen.insert((key, read::text(taint, "/effect"))) {
            let mut fault = field::duplicate(&at, taint);
            fault.message.push_str(": taints must be unique by key and effect pair");
            faults.push(fault);
        }
    }
    for (name, amounts) in ["capacity", "allocatable"].map(|name| (name, read::map(object, &format!("/status/{name}"))))
    {
        let at = Path::new("status");
        let at = at.child(name);
        for (resource, amount) in amounts.into_iter().flatten() {
            let quantity = amount.as_str().and_then(|text| Quantity::parse(text).ok());
            if quantity.is_some_and(Quantity::is_negative) {
                faults.push(field::invalid(&at.key(resource), amount, checks::NEGATIVE));
            }
        }
    }
}

/// What a taint does.
pub const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What must not change in a node.
pub fn node_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, address) in read::list(new, "/status/addresses").iter().enumerate() {
        if !seen.insert((read::text(address, "/type"), read::text(address, "/address"))) {
            faults.push(field::duplicate(&Path::new("status.addresses").index(index), address));
        }
    }
    let old_cidrs = read::list(old, "/spec/podCIDRs");
    if !old_cidrs.is_empty() && old_cidrs != read::list(new, "/spec/podCIDRs") {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        faults.push(field::forbidden(&Path::new("spec.podCIDRs"), why));
    }
    let old_provider = read::text(old, "/spec/providerID");
    if !old_provider.is_empty() && old_provider != read::text(new, "/spec/providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        faults.push(field::forbidden(&Path::new("spec.providerID"), why));
    }
}

/// A lease.
pub fn lease(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    if let Some(seconds) = read::number(object, "/spec/leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        faults.push(field::invalid(
            &at.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    checks::non_negative(object, "/spec/leaseTransitions", &at.child("leaseTransitions"), faults);
    let strategy = read::text(object, "/spec/strategy");
    let strategy_at = at.child("strategy.strategy");
    if strategy.contains('/') {
        faults.extend(
            names::qualified(strategy)
                .iter()
                .map(|why| field::invalid(&strategy_at, strategy, why)),
        );
    } else if !matches!(strategy, "" | "OldestEmulationVersion") {
        faults.push(field::not_supported(
            &strategy_at,
            strategy,
            &["OldestEmulationVersion"],
        ));
    }
    if strategy.is_empty() && !read::text(object, "/spec/preferredHolder").is_empty() {
        let why = "may only be specified if `strategy` is defined";
        faults.push(field::forbidden(&at.child("preferredHolder"), why));
    }
}

/// An event of the core group.
pub fn event(object: &Value, faults: &mut Vec<Cause>) {
    legacy_event(
        object,
        &Names {
            object: "/involvedObject",
            message: "/message",
            controller: "reportingComponent",
        },
        faults,
    );
}

/// An event of `events.k8s.io`.
pub fn new_event(object: &Value, faults: &mut Vec<Cause>) {
    legacy_event(
        object,
        &Names {
            object: "/regarding",
            message: "/note",
            controller: "reportingController",
        },
        faults,
    );
    series(object, faults);
    if read::get(object, "/eventTime").is_none() {
        faults.push(field::required(&Path::new("eventTime"), ""));
    }
    let kind = read::text(object, "/type");
    if !matches!(kind, "Normal" | "Warning") {
        faults.push(field::invalid(
            &Path::new("type"),
            "",
            &format!("has invalid value: {kind}"),
        ));
    }
    for (pointer, name) in [
        ("/deprecatedFirstTimestamp", "firstTimestamp"),
        ("/deprecatedLastTimestamp", "lastTimestamp"),
        ("/deprecatedCount", "count"),
        ("/deprecatedSource", "source"),
    ] {
        let set = match read::get(object, pointer) {
            None => false,
            Some(Value::Object(map)) => !map.values().all(|value| value.as_str() == Some("")),
            Some(value) => value.as_i64() != Some(0),
        };
        if set {
            faults.push(field::invalid(&Path::new(name), "", "needs to be unset"));
        }
    }
}

fn series(object: &Value, faults: &mut Vec<Cause>) {
    let Some(series) = read::get(object, "/series") else {
        return;
    };
    if read::number(series, "/count").unwrap_or_default() < 2 {
        faults.push(field::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if read::get(series, "/lastObservedTime").is_none() {
        faults.push(field::required(&Path::new("series.lastObservedTime"), ""));
    }
}

/// What must not change in an event of `events.k8s.io`: all but its series. The messages name the fields as the core
/// group does.
pub fn new_event_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    if new.get("series") != old.get("series") {
        series(new, faults);
    }
    for (pointer, name) in [
        ("/regarding", "involvedObject"),
        ("/reason", "reason"),
        ("/note", "message"),
        ("/deprecatedSource", "source"),
        ("/deprecatedFirstTimestamp", "firstTimestamp"),
        ("/deprecatedLastTimestamp", "lastTimestamp"),
        ("/deprecatedCount", "count"),
        ("/type", "type"),
        ("/eventTime", "eventTime"),
        ("/action", "action"),
        ("/related", "related"),
        ("/reportingController", "reportingController"),
        ("/reportingInstance", "reportingInstance"),
    ] {
        checks::immutable(new, old, pointer, &Path::new(name), faults);
    }
}

/// What the two groups call the same.
struct Names {
    object: &'static str,
    message: &'static str,
    controller: &'static str,
}

fn legacy_event(object: &Value, names: &Names, faults: &mut Vec<Cause>) {
    let namespace = meta::namespace(object);
    let about = read::text(object, &format!("{}/namespace", names.object));
    let has_time = read::get(object, "/eventTime").is_some();
    let matches = match (has_time, about.is_empty()) {
        (false, true) => matches!(namespace, "" | "default"),
        (false, false) => namespace == about,
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (true, false) => true,
    };
    if !matches {
        let at = Path::new("involvedObject.namespace");
        faults.push(field::invalid(&at, about, "does not match event.namespace"));
    }
    if has_time {
        let at = Path::new(names.controller);
        let controller = read::text(object, &format!("/{}", names.controller));
        if controller.is_empty() {
            faults.push(field::required(&at, ""));
        }
        faults.extend(
            names::qualified(controller)
                .iter()
                .map(|why| field::invalid(&at, controller, why)),
        );
        for (pointer, name, limit, needed) in [
            ("/reportingInstance", "reportingInstance", EVENT_TEXT_MAX, true),
            ("/action", "action", EVENT_TEXT_MAX, true),
            ("/reason", "reason", EVENT_TEXT_MAX, true),
            (names.message, "message", EVENT_NOTE_MAX, false),
        ] {
            let text = read::text(object, pointer);
            if text.is_empty() && needed {
                faults.push(field::required(&Path::new(name), ""));
            }
            if text.len() > limit {
                faults.push(field::invalid(
                    &Path::new(name),
                    "",
                    &format!("can have at most {limit} characters"),
                ));
            }
        }
    }
    let at = Path::new("namespace");
    faults.extend(
        names::dns1123_subdomain(namespace)
            .iter()
            .map(|why| field::invalid(&at, namespace, why)),
    );
}

/// A resource quota: amounts that are not negative.
pub fn resource_quota(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec.hard");
    for (name, amount) in read::map(object, "/spec/hard").into_iter().flatten() {
        let at = at.key(name);
        faults.extend(names::qualified(name).iter().map(|why| field::invalid(&at, name, why)));
        let Some(quantity) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) else {
            continue;
        };
        if quantity.is_negative() {
            faults.push(field::invalid(&at, amount, checks::NEGATIVE));
        }
        let counted = name.starts_with("count/")
            || matches!(
                name.as_str(),
                "pods"
                    | "services"
                    | "secrets"
                    | "configmaps"
                    | "persistentvolumeclaims"
                    | "replicationcontrollers"
                    | "resourcequotas"
                    | "services.nodeports"
                    | "services.loadbalancers"
            );
        if counted && !quantity.is_whole() {
            faults.push(field::invalid(&at, amount, "must be an integer"));
        }
    }
}

/// What must not change in a resource quota.
pub fn resource_quota_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    checks::immutable(new, old, "/spec/scopes", &Path::new("spec.scopes"), faults);
}

/// A limit range: each type once, and minima below maxima.
pub fn limit_range(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec.limits");
    let mut seen = HashSet::new();
    for (index, limit) in read::list(object, "/spec/limits").iter().enumerate() {
        let at = at.index(index);
        let kind = read::text(limit, "/type");
        faults.extend(
            names::qualified(kind)
                .iter()
                .map(|why| field::invalid(&at.child("type"), kind, why)),
        );
        if !seen.insert(kind) {
            faults.push(field::duplicate(&at.child("type"), kind));
        }
        if kind == "Pod" {
            for name in ["default", "defaultRequest"] {
                if read::map(limit, &format!("/{name}")).is_some_and(|map| !map.is_empty()) {
                    faults.push(field::forbidden(
                        &at.child(name),
                        "may not be specified when `type` is 'Pod'",
                    ));
                }
            }
        }
        for (low, low_name, high, high_name, blamed) in [
            ("min", "min value", "max", "max value", "min"),
            (
                "min",
                "min value",
                "defaultRequest",
                "default request value",
                "defaultRequest",
            ),
            (
                "defaultRequest",
                "default request value",
                "max",
                "max value",
                "defaultRequest",
            ),
            (
                "defaultRequest",
                "default request value",
                "default",
                "default limit value",
                "defaultRequest",
            ),
            ("min", "min value", "default", "default value", "default"),
            ("default", "default value", "max", "max value", "default"),
        ] {
            for (resource, least) in read::map(limit, &format!("/{low}")).into_iter().flatten() {
                let most = read::map(limit, &format!("/{high}")).and_then(|map| map.get(resource));
                let (Some(least), Some(most)) = (least.as_str(), most.and_then(Value::as_str)) else {
                    continue;
                };
                let amounts = Quantity::parse(least).ok().zip(Quantity::parse(most).ok());
                if amounts.is_some_and(|(least, most)| least.nano() > most.nano()) {
                    let shown = if blamed == low { least } else { most };
                    let why = format!("{low_name} {least} is greater than {high_name} {most}");
                    faults.push(field::invalid(&at.child(blamed).key(resource), shown, &why));
                }
            }
        }
    }
}
