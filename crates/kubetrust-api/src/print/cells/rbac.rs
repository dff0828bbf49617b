//! Role bindings and cluster role bindings.

use serde_json::Value;

use crate::print::view::{View, text};

/// `ClusterRole/name`.
pub(crate) fn role(view: &View<'_>) -> Value {
    format!("{}/{}", view.text("roleRef.kind"), view.text("roleRef.name")).into()
}

/// The users that it binds.
pub(crate) fn users(view: &View<'_>) -> Value {
    subjects(view, "User", |subject| text(subject, "name").to_owned())
}

/// The groups that it binds.
pub(crate) fn groups(view: &View<'_>) -> Value {
    subjects(view, "Group", |subject| text(subject, "name").to_owned())
}

/// The service accounts that it binds.
pub(crate) fn service_accounts(view: &View<'_>) -> Value {
    subjects(view, "ServiceAccount", |subject| {
        format!("{}/{}", text(subject, "namespace"), text(subject, "name"))
    })
}

fn subjects(view: &View<'_>, kind: &str, name: fn(&Value) -> String) -> Value {
    let of_kind = view
        .list("subjects")
        .iter()
        .filter(|subject| text(subject, "kind") == kind);
    of_kind.map(name).collect::<Vec<_>>().join(", ").into()
}
