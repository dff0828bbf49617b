//! One object in two group versions: what is stored in one of them, and asked for in the other
//! (`pkg/apis/events/v1/conversion.go`, `pkg/apis/autoscaling/v1/conversion.go`).

use std::borrow::Cow;

use kubetrust_api::resource::Resource;
use serde_json::{Map, Value, json};

/// Fields of an event, as the core group calls them and as `events.k8s.io` does.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Where `autoscaling/v1` keeps what it has no field for.
const HPA_METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const HPA_BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const HPA_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const HPA_CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

/// Whether objects of this resource are stored in another group version.
#[must_use]
pub fn is_converted(resource: &Resource) -> bool {
    resource.stored_as.is_some()
}

/// A stored object as this resource shows it.
#[must_use]
pub fn from_stored<'a>(resource: &Resource, stored: &'a Value) -> Cow<'a, Value> {
    if !is_converted(resource) {
        return Cow::Borrowed(stored);
    }
    let mut object = stored.clone();
    match resource.plural {
        "events" => rename(&mut object, |(core, new)| (core, new)),
        _ => to_autoscaling_v1(&mut object),
    }
    object["apiVersion"] = resource.api_version().into();
    Cow::Owned(object)
}

/// An object of this resource as it is stored.
#[must_use]
pub fn to_stored(resource: &Resource, object: Value) -> Value {
    let Some((group, version)) = resource.stored_as else {
        return object;
    };
    let mut stored = object;
    match resource.plural {
        "events" => rename(&mut stored, |(core, new)| (new, core)),
        _ => to_autoscaling_v2(&mut stored),
    }
    stored["apiVersion"] = kubetrust_api::resource::api_version(group, version).into();
    stored
}

fn rename(object: &mut Value, way: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Some(fields) = object.as_object_mut() else { return };
    for (from, to) in EVENT.map(way) {
        if let Some(value) = fields.shift_remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

/// The metric that `autoscaling/v1` has a field for.
fn is_cpu_utilization(metric: &Value, side: &str) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"][side]["averageUtilization"].is_i64()
}

fn to_autoscaling_v1(object: &mut Value) {
    let mut annotations = Map::new();
    if let Some(spec) = object["spec"].as_object_mut() {
        let (mut cpu, mut others) = (None, Vec::new());
        for metric in take_list(spec, "metrics") {
            if cpu.is_none() && is_cpu_utilization(&metric, "target") {
                cpu = Some(metric["resource"]["target"]["averageUtilization"].clone());
            } else {
                others.push(metric);
            }
        }
        if let Some(cpu) = cpu {
            spec.insert("targetCPUUtilizationPercentage".into(), cpu);
        }
        if !others.is_empty() {
            annotations.insert(HPA_METRICS.into(), Value::Array(others).to_string().into());
        }
        if let Some(behavior) = spec.shift_remove("behavior") {
            annotations.insert(HPA_BEHAVIOR.into(), behavior.to_string().into());
        }
    }
    if let Some(status) = object["status"].as_object_mut() {
        let (mut cpu, mut others) = (None, Vec::new());
        for metric in take_list(status, "currentMetrics") {
            if cpu.is_none() && is_cpu_utilization(&metric, "current") {
                cpu = Some(metric["resource"]["current"]["averageUtilization"].clone());
            } else {
                others.push(metric);
            }
        }
        if let Some(cpu) = cpu {
            status.insert("currentCPUUtilizationPercentage".into(), cpu);
        }
        if !others.is_empty() {
            annotations.insert(HPA_CURRENT.into(), Value::Array(others).to_string().into());
        }
        let conditions = take_list(status, "conditions");
        if !conditions.is_empty() {
            annotations.insert(HPA_CONDITIONS.into(), Value::Array(conditions).to_string().into());
        }
    }
    if annotations.is_empty() {
        return;
    }
    let present = &mut object["metadata"]["annotations"];
    if !present.is_object() {
        *present = json!({});
    }
    if let Some(present) = present.as_object_mut() {
        present.extend(annotations);
    }
}

/// Percent of what a pod asks for that `autoscaling/v1` aims at, unless told otherwise.
const DEFAULT_CPU_UTILIZATION: u32 = 80;

fn to_autoscaling_v2(object: &mut Value) {
    let mut kept: Vec<(&str, Value)> = Vec::new();
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        for name in [HPA_METRICS, HPA_BEHAVIOR, HPA_CONDITIONS, HPA_CURRENT] {
            let text = annotations.shift_remove(name);
            if let Some(value) = text
                .as_ref()
                .and_then(Value::as_str)
                .and_then(|text| serde_json::from_str(text).ok())
            {
                kept.push((name, value));
            }
        }
        if annotations.is_empty()
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.shift_remove("annotations");
        }
    }
    let mut take = |name: &str| {
        kept.iter()
            .position(|(kept, _)| *kept == name)
            .map(|at| kept.swap_remove(at).1)
    };
    let (metrics, behavior, conditions, current) = (
        take(HPA_METRICS),
        take(HPA_BEHAVIOR),
        take(HPA_CONDITIONS),
        take(HPA_CURRENT),
    );
    if let Some(spec) = object["spec"].as_object_mut() {
        // The controller of old assumed it where nothing was said, and only here is it known that nothing was.
        let unsaid = metrics.as_ref().and_then(Value::as_array).is_none_or(Vec::is_empty);
        let percent = spec.shift_remove("targetCPUUtilizationPercentage");
        let cpu = percent.or_else(|| unsaid.then(|| DEFAULT_CPU_UTILIZATION.into())).map(|percent| {
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
        });
        put_list(spec, "metrics", cpu, metrics);
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = object["status"].as_object_mut() {
        let cpu = status.shift_remove("currentCPUUtilizationPercentage").map(|percent| {
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})
        });
        put_list(status, "currentMetrics", cpu, current);
        if let Some(conditions) = conditions {
            status.insert("conditions".into(), conditions);
        }
    }
}

fn take_list(fields: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match fields.shift_remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn put_list(fields: &mut Map<String, Value>, name: &str, first: Option<Value>, others: Option<Value>) {
    let others = match others {
        Some(Value::Array(others)) => others,
        _ => Vec::new(),
    };
    let list: Vec<Value> = first.into_iter().chain(others).collect();
    if !list.is_empty() {
        fields.insert(name.into(), list.into());
    }
}

#[cfg(test)]
mod tests {
    use kubetrust_api::resource;

    use super::*;

    #[test]
    fn an_object_is_the_same_after_the_way_there_and_back() {
        for (group, version, plural, stored, shown) in [
            (
                "events.k8s.io",
                "v1",
                "events",
                json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2, "reason": "r"}),
                json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod"}, "note": "m", "deprecatedCount": 2, "reason": "r"}),
            ),
            (
                "autoscaling",
                "v1",
                "horizontalpodautoscalers",
                json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
                    "spec": {"maxReplicas": 3, "metrics": [
                        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
                        {"type": "Pods"}]}, "status": {"conditions": [{"type": "X"}]}}),
                json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h",
                    "annotations": {HPA_METRICS: "[{\"type\":\"Pods\"}]", HPA_CONDITIONS: "[{\"type\":\"X\"}]"}},
                    "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}, "status": {}}),
            ),
        ] {
            let resource = resource::lookup(group, version, plural).unwrap();
            assert_eq!(*from_stored(resource, &stored), shown);
            assert_eq!(to_stored(resource, shown), stored);
        }
    }

    #[test]
    fn an_autoscaler_that_is_told_no_aim_has_the_default_one() {
        let resource = resource::lookup("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
        let given =
            json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "spec": {"maxReplicas": 3}});
        let stored = to_stored(resource, given);
        assert_eq!(
            stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80,
            "{stored}"
        );
    }
}
