//! Kinds with a cell or two.

use serde_json::Value;

use crate::print::selector;
use crate::print::view::{UNSET, View, plain, text};

/// How many keys a config map has.
pub(crate) fn config_map_data(view: &View<'_>) -> Value {
    let count = |path: &str| view.at(path).as_object().map_or(0, serde_json::Map::len);
    (count("data") + count("binaryData")).into()
}

/// Whether a component is healthy.
pub(crate) fn component_status(view: &View<'_>) -> Value {
    match component(view) {
        Some(condition) if text(condition, "status") == "True" => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    }
    .into()
}

/// What a component says.
pub(crate) fn component_message(view: &View<'_>) -> Value {
    component(view)
        .map_or("", |condition| text(condition, "message"))
        .into()
}

/// What is wrong with a component.
pub(crate) fn component_error(view: &View<'_>) -> Value {
    component(view).map_or("", |condition| text(condition, "error")).into()
}

fn component<'a>(view: &View<'a>) -> Option<&'a Value> {
    view.list("conditions")
        .iter()
        .find(|condition| text(condition, "type") == "Healthy")
}

/// Use and limit of what a quota limits besides limits.
pub(crate) fn quota_requests(view: &View<'_>) -> Value {
    quota(view, false)
}

/// Use and limit of the limits that a quota limits.
pub(crate) fn quota_limits(view: &View<'_>) -> Value {
    quota(view, true)
}

fn quota(view: &View<'_>, limits: bool) -> Value {
    let used = view.at("status.used");
    let hard = view.at("status.hard").as_object();
    let mut resources: Vec<(&String, &Value)> = hard
        .into_iter()
        .flatten()
        .filter(|(resource, _)| resource.starts_with("limits.") == limits)
        .collect();
    resources.sort_by_key(|(resource, _)| *resource);
    let quantity = |value: &Value| if value.is_null() { "0".to_owned() } else { plain(value) };
    let words: Vec<String> = resources
        .into_iter()
        .map(|(resource, hard)| {
            let used = used.get(resource.as_str()).map_or_else(|| "0".to_owned(), quantity);
            format!("{resource}: {used}/{}", quantity(hard))
        })
        .collect();
    words.join(", ").into()
}

/// The service behind an API service.
pub(crate) fn api_service(view: &View<'_>) -> Value {
    match view.at("spec.service") {
        Value::Null => "Local".into(),
        service => format!("{}/{}", text(service, "namespace"), text(service, "name")).into(),
    }
}

/// Whether an API service answers; if not, why.
pub(crate) fn api_service_available(view: &View<'_>) -> Value {
    let Some(condition) = view.condition("Available") else {
        return "Unknown".into();
    };
    match (text(condition, "status"), text(condition, "reason")) {
        ("True", _) => "True".into(),
        (status, "") => status.into(),
        (status, reason) => format!("{status} ({reason})").into(),
    }
}

/// The kind of an admission policy's parameters.
pub(crate) fn param_kind(view: &View<'_>) -> Value {
    match view.at("spec.paramKind") {
        Value::Null => UNSET.into(),
        kind => format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")).into(),
    }
}

/// The parameters that a policy is bound to.
pub(crate) fn param_ref(view: &View<'_>) -> Value {
    let reference = view.at("spec.paramRef");
    match (
        text(reference, "namespace"),
        text(reference, "name"),
        reference.get("selector"),
    ) {
        ("", "", Some(labels)) => selector::format(labels).into(),
        (_, "", _) => UNSET.into(),
        ("", name, _) => format!("*/{name}").into(),
        (namespace, name, _) => format!("{namespace}/{name}").into(),
    }
}

/// Whether the priority level of a flow schema is missing.
pub(crate) fn missing_priority_level(view: &View<'_>) -> Value {
    view.condition("Dangling")
        .map_or("?", |condition| text(condition, "status"))
        .into()
}

/// How far the allocation of a resource claim is.
pub(crate) fn claim_state(view: &View<'_>) -> Value {
    let deleted = view.is_being_deleted();
    let allocated = view.at("status.allocation").is_object();
    let reserved = allocated && !view.list("status.reservedFor").is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    let words: Vec<&str> = states.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    words.join(",").into()
}
