//! Events, of `v1` and of `events.k8s.io/v1`: one storage, two shapes.

use serde_json::Value;

use crate::print::age;
use crate::print::view::{View, or, text};

/// When it was last seen: of a series, its last event.
pub(crate) fn last_seen(view: &View<'_>) -> Value {
    if view.at("series").is_object() {
        return view.since("series.lastObservedTime").into();
    }
    let last = view
        .time("lastTimestamp")
        .or_else(|| view.time("deprecatedLastTimestamp"));
    last.map_or_else(|| first_seen(view), |last| age::since(Some(last), view.now).into())
}

/// When it was first seen.
pub(crate) fn first_seen(view: &View<'_>) -> Value {
    let first = view
        .time("firstTimestamp")
        .or_else(|| view.time("deprecatedFirstTimestamp"));
    age::since(first.or_else(|| view.time("eventTime")), view.now).into()
}

/// `pod/name`.
pub(crate) fn object(view: &View<'_>) -> Value {
    let about = about(view);
    let kind = text(about, "kind").to_lowercase();
    match text(about, "name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

/// The part of the object.
pub(crate) fn subobject(view: &View<'_>) -> Value {
    text(about(view), "fieldPath").into()
}

fn about<'a>(view: &View<'a>) -> &'a Value {
    match view.at("involvedObject") {
        Value::Null => view.at("regarding"),
        about => about,
    }
}

/// Who says so, and on which host.
pub(crate) fn source(view: &View<'_>) -> Value {
    let source = match view.at("source") {
        Value::Null => view.at("deprecatedSource"),
        source => source,
    };
    let reporter = or(view.text("reportingComponent"), view.text("reportingController"));
    let component = or(text(source, "component"), reporter);
    match or(text(source, "host"), view.text("reportingInstance")) {
        "" => component.into(),
        host => format!("{component}, {host}").into(),
    }
}

/// What it says.
pub(crate) fn message(view: &View<'_>) -> Value {
    or(view.text("message"), view.text("note")).trim().into()
}

/// How often it was seen.
pub(crate) fn count(view: &View<'_>) -> Value {
    if let Some(count) = view.at("series.count").as_i64() {
        return count.into();
    }
    view.number("count").max(view.number("deprecatedCount")).max(1).into()
}
