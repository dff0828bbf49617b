//! The parameters of requests.

/// A parameter in the query.
pub(super) struct Parameter {
    pub name: &'static str,
    /// Its JSON type.
    pub kind: &'static str,
    pub description: &'static str,
}

const fn parameter(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        description,
    }
}

/// What a name in a path means.
pub(super) const PATH: [(&str, &str); 2] = [
    ("name", "name of the object"),
    (
        "namespace",
        "object name and auth scope, such as for teams and projects",
    ),
];

/// What every request may carry.
pub(super) const EVERYWHERE: &[&str] = &["pretty"];
pub(super) const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
pub(super) const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
pub(super) const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];

/// Clients look for these within the operations, and follow no references (`query_param_verifier.go`).
pub(super) const INLINE: [&str; 2] = ["dryRun", "fieldValidation"];

/// Every parameter in the query.
#[rustfmt::skip]
pub(super) static QUERY: &[Parameter] = &[
    parameter("allowWatchBookmarks", "boolean", "whether a watch may send BOOKMARK events"),
    parameter("continue", "string", "where a list goes on, from the answer before"),
    parameter("dryRun", "string", "All: do everything but keep the result"),
    parameter("fieldManager", "string", "the name of who makes the change, at most 128 printable characters"),
    parameter("fieldSelector", "string", "a selector by fields; defaults to everything"),
    parameter("fieldValidation", "string", "what happens to unknown or duplicate fields: Ignore, Warn or Strict"),
    parameter("force", "boolean", "take over fields that others own; for apply only"),
    parameter("gracePeriodSeconds", "integer", "seconds until the object is removed; 0 for at once"),
    parameter("labelSelector", "string", "a selector by labels; defaults to everything"),
    parameter("limit", "integer", "most objects of one answer"),
    parameter("orphanDependents", "boolean", "deprecated, use propagationPolicy"),
    parameter("pretty", "string", "whether the output is laid out for people"),
    parameter("propagationPolicy", "string", "what happens to dependents: Orphan, Background or Foreground"),
    parameter("resourceVersion", "string", "which revision of the objects is asked for"),
    parameter("resourceVersionMatch", "string", "how resourceVersion applies to a list: Exact or NotOlderThan"),
    parameter("sendInitialEvents", "boolean", "whether a watch begins with all objects that there are"),
    parameter("timeoutSeconds", "integer", "how long the request may take"),
    parameter("watch", "boolean", "watch for changes, and do not list"),
];

/// The parameter of this name.
pub(super) fn query(name: &str) -> Option<&'static Parameter> {
    QUERY.iter().find(|parameter| parameter.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_that_is_named_is_described() {
        for name in [EVERYWHERE, LIST, WRITE, PATCH, DELETE, DELETE_COLLECTION, &INLINE]
            .into_iter()
            .flatten()
        {
            assert!(query(name).is_some(), "{name}");
        }
        assert!(QUERY.is_sorted_by_key(|parameter| parameter.name));
    }
}
