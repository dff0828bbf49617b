//! Kinds that make pods.

use serde_json::Value;

use crate::print::view::{NONE, UNSET, View, at, join, labels, text};
use crate::print::{age, selector};

/// Where the template of the pods stands, by kind.
const TEMPLATES: [&str; 3] = ["spec.template", "spec.jobTemplate.spec.template", "template"];
/// Where the selector of the pods stands, by kind.
const SELECTORS: [&str; 2] = ["spec.jobTemplate.spec.selector", "spec.selector"];

fn template<'a>(view: &View<'a>) -> View<'a> {
    let found = TEMPLATES
        .iter()
        .map(|path| view.at(path))
        .find(|template| template.is_object());
    view.of(found.unwrap_or(&Value::Null))
}

/// The names of the containers.
pub(crate) fn containers(view: &View<'_>) -> Value {
    join(template(view).list("spec.containers"), "name", ",").into()
}

/// The images of the containers.
pub(crate) fn images(view: &View<'_>) -> Value {
    join(template(view).list("spec.containers"), "image", ",").into()
}

/// The labels of the pods.
pub(crate) fn pod_labels(view: &View<'_>) -> Value {
    labels(template(view).at("metadata.labels")).into()
}

/// The nodes that the pods are for.
pub(crate) fn node_selector(view: &View<'_>) -> Value {
    labels(template(view).at("spec.nodeSelector")).into()
}

/// The selector of the pods.
pub(crate) fn selector(view: &View<'_>) -> Value {
    let found = SELECTORS
        .iter()
        .map(|path| view.at(path))
        .find(|selector| selector.is_object());
    selector::format(found.unwrap_or(&Value::Null)).into()
}

/// The selector of the pods, where it is a map.
pub(crate) fn plain_selector(view: &View<'_>) -> Value {
    labels(view.at("spec.selector")).into()
}

/// `2/3`: replicas that are ready, and that are wanted.
pub(crate) fn ready(view: &View<'_>) -> Value {
    let wanted = view.at("spec.replicas").as_i64().unwrap_or(1);
    format!("{}/{wanted}", view.number("status.readyReplicas")).into()
}

/// What a revision belongs to.
pub(crate) fn controller(view: &View<'_>) -> Value {
    let owners = view.list("metadata.ownerReferences");
    let Some(owner) = owners.iter().find(|owner| at(owner, "controller") == true) else {
        return NONE.into();
    };
    let group = text(owner, "apiVersion").split_once('/').map_or("", |(group, _)| group);
    let kind = crate::resource::qualified(group, text(owner, "kind")).to_lowercase();
    format!("{kind}/{}", text(owner, "name")).into()
}

/// Whether a cron job rests.
pub(crate) fn suspend(view: &View<'_>) -> Value {
    match view.at("spec.suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    }
    .into()
}

/// When a cron job last ran.
pub(crate) fn last_schedule(view: &View<'_>) -> Value {
    match view.time("status.lastScheduleTime") {
        None => NONE.into(),
        time => age::since(time, view.now).into(),
    }
}

/// How far a job is.
pub(crate) fn job_status(view: &View<'_>) -> Value {
    let deleted = view.is_being_deleted();
    [
        (view.has_condition("Complete"), "Complete"),
        (view.has_condition("Failed"), "Failed"),
        (deleted, "Terminating"),
        (view.has_condition("Suspended"), "Suspended"),
        (view.has_condition("FailureTarget"), "FailureTarget"),
        (view.has_condition("SuccessCriteriaMet"), "SuccessCriteriaMet"),
    ]
    .into_iter()
    .find(|(is, _)| *is)
    .map_or("Running", |(_, word)| word)
    .into()
}

/// How often a job succeeded, and how often it shall.
pub(crate) fn job_completions(view: &View<'_>) -> Value {
    let succeeded = view.number("status.succeeded");
    match (view.at("spec.completions").as_i64(), view.number("spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
    .into()
}

/// How long a job ran, or has been running.
pub(crate) fn job_duration(view: &View<'_>) -> Value {
    let Some(start) = view.time("status.startTime") else {
        return "".into();
    };
    let end = view.time("status.completionTime").unwrap_or(view.now);
    age::human(end.duration_since(start)).into()
}
