//! Volumes, claims and what drives them.

use serde_json::Value;

use crate::print::view::{NONE, UNSET, View, join, join_texts, list, or, plain, text};

/// Access modes with their short names, in this order.
const MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];

fn modes(granted: &[Value]) -> Value {
    let short: Vec<&str> = MODES
        .iter()
        .filter(|(mode, _)| granted.iter().any(|granted| granted == mode))
        .map(|(_, short)| *short)
        .collect();
    short.join(",").into()
}

/// What a volume can do.
pub(crate) fn access_modes(view: &View<'_>) -> Value {
    modes(view.list("spec.accessModes"))
}

/// What the volume of a bound claim can do.
pub(crate) fn bound_access_modes(view: &View<'_>) -> Value {
    if is_bound(view) {
        modes(view.list("status.accessModes"))
    } else {
        "".into()
    }
}

/// How large the volume of a bound claim is.
pub(crate) fn bound_capacity(view: &View<'_>) -> Value {
    if !is_bound(view) {
        return "".into();
    }
    or(&plain(view.at("status.capacity.storage")), "0").into()
}

fn is_bound(view: &View<'_>) -> bool {
    !view.text("spec.volumeName").is_empty()
}

/// Its phase, or that it is going away.
pub(crate) fn phase(view: &View<'_>) -> Value {
    if view.is_being_deleted() {
        "Terminating"
    } else {
        view.text("status.phase")
    }
    .into()
}

/// The claim that a volume is bound to.
pub(crate) fn claim(view: &View<'_>) -> Value {
    match view.at("spec.claimRef") {
        Value::Null => "".into(),
        claim => format!("{}/{}", text(claim, "namespace"), text(claim, "name")).into(),
    }
}

/// Its storage class: the annotation is older and wins.
pub(crate) fn class(view: &View<'_>) -> Value {
    let annotated = view.annotation("volume.beta.kubernetes.io/storage-class");
    annotated.unwrap_or_else(|| view.text("spec.storageClassName")).into()
}

/// The name of a storage class, and whether it is the default.
pub(crate) fn class_name(view: &View<'_>) -> Value {
    let is_default = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .into_iter()
    .any(|name| view.annotation(name) == Some("true"));
    let name = view.text("metadata.name");
    if is_default {
        format!("{name} (default)").into()
    } else {
        name.into()
    }
}

/// The audiences of the tokens that a driver asks for.
pub(crate) fn token_requests(view: &View<'_>) -> Value {
    match view.at("spec.tokenRequests") {
        Value::Null => UNSET.into(),
        _ => join(list(view.object, "spec.tokenRequests"), "audience", ",").into(),
    }
}

/// The lifecycles of volumes that a driver knows.
pub(crate) fn lifecycle_modes(view: &View<'_>) -> Value {
    or(&join_texts(view.list("spec.volumeLifecycleModes")), NONE).into()
}
