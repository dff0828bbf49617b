//! Horizontal pod autoscalers, of `autoscaling/v2` and `v1`.

use serde_json::Value;

use crate::print::view::{NONE, View, at, first_of, plain, text};

/// Most metrics that a cell shows.
const MOST: usize = 2;
const UNKNOWN: &str = "<unknown>";

/// What it scales.
pub(crate) fn reference(view: &View<'_>) -> Value {
    format!(
        "{}/{}",
        view.text("spec.scaleTargetRef.kind"),
        view.text("spec.scaleTargetRef.name")
    )
    .into()
}

/// Current and wanted value of each metric.
pub(crate) fn targets(view: &View<'_>) -> Value {
    let current = view.list("status.currentMetrics");
    let specs = view.list("spec.metrics");
    let mut metrics: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| metric(spec, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    if let Some(target) = view.at("spec.targetCPUUtilizationPercentage").as_i64() {
        metrics.push(format!(
            "cpu: {}/{target}%",
            percent(view.at("status.currentCPUUtilizationPercentage"), UNKNOWN)
        ));
    }
    if metrics.is_empty() {
        NONE.into()
    } else {
        first_of(&metrics, MOST, ", ").into()
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (source, is_resource) = match text(spec, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (at(spec, source), at(status, source));
    let (target, current, name) = (at(target, "target"), at(current, "current"), text(target, "name"));
    let average = at(target, "averageValue");
    match (is_resource, average.is_null()) {
        (true, false) => format!("{name}: {}/{}", quantity(at(current, "averageValue")), plain(average)),
        (true, true) => {
            let now = percent(at(current, "averageUtilization"), UNKNOWN);
            format!("{name}: {now}/{}", percent(at(target, "averageUtilization"), "<auto>"))
        }
        (false, false) if source == "pods" => format!("{}/{}", quantity(at(current, "averageValue")), plain(average)),
        (false, false) => format!("{}/{} (avg)", quantity(at(current, "averageValue")), plain(average)),
        (false, true) => format!("{}/{}", quantity(at(current, "value")), plain(at(target, "value"))),
    }
}

fn quantity(value: &Value) -> String {
    if value.is_null() {
        UNKNOWN.to_owned()
    } else {
        plain(value)
    }
}

fn percent(value: &Value, otherwise: &str) -> String {
    value
        .as_i64()
        .map_or_else(|| otherwise.to_owned(), |value| format!("{value}%"))
}
