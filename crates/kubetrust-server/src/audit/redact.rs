//! What never gets into an event, whatever the policy says: tokens, and what Secrets hold.
//!
//! Upstream leaves this to the policy: a rule with level Request on secrets writes their data into the log, and the
//! default policies of all distributions begin with the rules that prevent it. Here only what is listed as harmless is
//! kept of an object that carries secrets; of everything else in it the shape is kept and the values are hidden, so a
//! new or misspelt field hides too.

use http::Uri;
use kubetrust_auth::authz::attributes::ResourceAttributes;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What stands in the place of a value.
pub const REDACTED: &str = "REDACTED";

/// Query parameters whose values are credentials: of servers behind `proxy` subresources, and of clients that put a
/// token where this server does not look for it. In lower case.
pub const PARAMETERS: [&str; 12] = [
    "access_token",
    "api_key",
    "apikey",
    "auth_token",
    "authorization",
    "bearer_token",
    "client_secret",
    "id_token",
    "password",
    "refresh_token",
    "secret",
    "token",
];

/// How deep hidden values keep their shape.
const MAX_DEPTH: usize = 32;

/// What is kept of an object that carries secrets.
struct Rule {
    /// Its kind and that of its list; objects are recognised by it wherever they are sent.
    kinds: &'static [&'static str],
    /// Group, resource and subresource (`*` is any, and none) whose requests carry it: patches say no kind.
    resource: (&'static str, &'static str, &'static str),
    /// Paths that are kept, with all that is under them.
    kept: &'static [&'static str],
}

const RULES: [Rule; 3] = [
    Rule {
        kinds: &["Secret", "SecretList"],
        resource: ("", "secrets", "*"),
        kept: &["type", "immutable"],
    },
    Rule {
        kinds: &["TokenReview"],
        resource: ("authentication.k8s.io", "tokenreviews", "*"),
        kept: &[
            "spec.audiences",
            "status.authenticated",
            "status.user",
            "status.audiences",
            "status.error",
        ],
    },
    Rule {
        kinds: &["TokenRequest"],
        resource: ("", "serviceaccounts", "token"),
        kept: &[
            "spec.audiences",
            "spec.expirationSeconds",
            "spec.boundObjectRef",
            "status.expirationTimestamp",
        ],
    },
];

/// What is kept of every such object, of the lists and tables of them, and of the options that are sent to delete them.
/// Annotations aren't: `kubectl.kubernetes.io/last-applied-configuration` holds the whole object once more.
const KEPT_OF_ALL: [&str; 23] = [
    "apiVersion",
    "kind",
    "metadata.name",
    "metadata.generateName",
    "metadata.namespace",
    "metadata.labels",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "metadata.deletionGracePeriodSeconds",
    "metadata.ownerReferences",
    "metadata.finalizers",
    "metadata.managedFields",
    "metadata.continue",
    "metadata.remainingItemCount",
    "columnDefinitions",
    "gracePeriodSeconds",
    "preconditions",
    "propagationPolicy",
    "orphanDependents",
    "dryRun",
];

/// What is kept of an operation of a JSON patch.
const KEPT_OF_OPERATION: [&str; 3] = ["op", "path", "from"];
/// What is kept of a row of a table, beside its object.
const KEPT_OF_ROW: [&str; 2] = ["cells", "conditions"];

/// Hides in an object, list, table or patch what must not be recorded.
pub(super) fn object(value: &mut Value, about: &ResourceAttributes) {
    match RULES
        .iter()
        .find(|rule| rule.is_about(about))
        .or_else(|| rule_of_kind(value))
    {
        Some(rule) => rule.hide(value),
        // Objects of several kinds in one list.
        None => within(value, &mut |object| {
            if let Some(rule) = rule_of_kind(object) {
                rule.hide(object);
            }
        }),
    }
}

/// Removes `metadata.managedFields` of an object, or of the objects of a list or table.
pub(super) fn managed_fields(value: &mut Value) {
    fn remove(object: &mut Value) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
    }
    remove(value);
    within(value, &mut remove);
}

fn rule_of_kind(value: &Value) -> Option<&'static Rule> {
    let kind = value.get("kind")?.as_str()?;
    RULES.iter().find(|rule| rule.kinds.contains(&kind))
}

/// The objects of a list or table.
fn within(value: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(&mut *each);
    }
    if let Some(rows) = value.get_mut("rows").and_then(Value::as_array_mut) {
        rows.iter_mut().filter_map(|row| row.get_mut("object")).for_each(each);
    }
}

impl Rule {
    fn is_about(&self, about: &ResourceAttributes) -> bool {
        let (group, resource, subresource) = self.resource;
        about.group == group && about.resource == resource && (subresource == "*" || about.subresource == subresource)
    }

    fn hide(&self, value: &mut Value) {
        let kept: Vec<&str> = KEPT_OF_ALL.iter().chain(self.kept).copied().collect();
        match value {
            Value::Array(operations) => operations.iter_mut().for_each(|each| keep(each, &KEPT_OF_OPERATION)),
            other => hide(other, &kept),
        }
    }
}

/// Hides what is not kept of an object, and of the objects of a list or table.
fn hide(value: &mut Value, kept: &[&str]) {
    let (items, rows) = (take_list(value, "items"), take_list(value, "rows"));
    keep(value, kept);
    let Value::Object(fields) = value else { return };
    if let Some(mut items) = items {
        for item in &mut items {
            keep(item, kept);
        }
        fields.insert("items".into(), items.into());
    }
    if let Some(mut rows) = rows {
        for row in &mut rows {
            hide_row(row, kept);
        }
        fields.insert("rows".into(), rows.into());
    }
}

fn hide_row(row: &mut Value, kept: &[&str]) {
    let object = row.get_mut("object").map(Value::take);
    keep(row, &KEPT_OF_ROW);
    if let (Value::Object(fields), Some(mut object)) = (row, object) {
        keep(&mut object, kept);
        fields.insert("object".into(), object);
    }
}

fn take_list(value: &mut Value, field: &str) -> Option<Vec<Value>> {
    match value.get_mut(field)? {
        Value::Array(list) => Some(std::mem::take(list)),
        _ => None,
    }
}

/// Hides all values but those at the given paths.
fn keep(value: &mut Value, kept: &[&str]) {
    let Value::Object(fields) = value else {
        return blank(value, MAX_DEPTH);
    };
    for (name, value) in fields {
        if kept.contains(&name.as_str()) {
            continue;
        }
        let below: Vec<&str> = kept
            .iter()
            .filter_map(|path| path.strip_prefix(name.as_str())?.strip_prefix('.'))
            .collect();
        if below.is_empty() {
            blank(value, MAX_DEPTH);
        } else {
            keep(value, &below);
        }
    }
}

/// Hides all values. Null stays: in a merge patch it removes a field.
fn blank(value: &mut Value, depth: usize) {
    match value {
        Value::Null => {}
        Value::Object(fields) if depth > 0 => fields.values_mut().for_each(|value| blank(value, depth - 1)),
        Value::Array(items) if depth > 0 => items.iter_mut().for_each(|value| blank(value, depth - 1)),
        hidden => *hidden = REDACTED.into(),
    }
}

/// Path and query, as they were sent, without the values of [`PARAMETERS`].
pub(super) fn uri(uri: &Uri) -> String {
    let Some(query) = uri.query() else {
        return uri.path().to_owned();
    };
    let mut text = format!("{}?", uri.path());
    // A semicolon parts pairs for some servers behind a proxy.
    for pair in query.split_inclusive(['&', ';']) {
        let end = pair.len() - usize::from(pair.ends_with(['&', ';']));
        match pair[..end].split_once('=') {
            Some((name, _)) if is_credential(name) => {
                text.push_str(name);
                text.push('=');
                text.push_str(REDACTED);
                text.push_str(&pair[end..]);
            }
            _ => text.push_str(pair),
        }
    }
    text
}

fn is_credential(name: &str) -> bool {
    let name = percent_decode_str(name)
        .decode_utf8_lossy()
        .to_ascii_lowercase()
        .replace('-', "_");
    PARAMETERS.contains(&name.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "c2VjcmV0";

    fn about(group: &str, resource: &str, subresource: &str) -> ResourceAttributes {
        ResourceAttributes {
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            ..ResourceAttributes::default()
        }
    }

    fn secrets() -> ResourceAttributes {
        about("", "secrets", "")
    }

    #[test]
    fn only_what_is_harmless_is_left() {
        let hidden = REDACTED;
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        for (about, sent, recorded) in [
            (
                secrets(),
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"},
                    "annotations": {applied: format!("{{\"data\":\"{SECRET}\"}}")}},
                    "type": "Opaque", "immutable": true, "data": {"a": SECRET, "b": null}, "stringData": {"c": SECRET}}),
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"},
                    "annotations": {applied: hidden}},
                    "type": "Opaque", "immutable": true, "data": {"a": hidden, "b": null}, "stringData": {"c": hidden}}),
            ),
            // Misspelt, of a wrong type, or of a field that is not known yet.
            (
                secrets(),
                json!({"Data": {"a": SECRET}}),
                json!({"Data": {"a": hidden}}),
            ),
            (secrets(), json!({"data": SECRET}), json!({"data": hidden})),
            (
                secrets(),
                json!({"data": [SECRET, {"a": 7}]}),
                json!({"data": [hidden, {"a": hidden}]}),
            ),
            (secrets(), json!({"metadata": SECRET}), json!({"metadata": hidden})),
            (
                secrets(),
                json!({"metadata": {"x": [SECRET]}}),
                json!({"metadata": {"x": [hidden]}}),
            ),
            (secrets(), json!(SECRET), json!(hidden)),
            (
                secrets(),
                json!({"kind": "ConfigMap", "data": {"a": SECRET}}),
                json!({"kind": "ConfigMap", "data": {"a": hidden}}),
            ),
            (
                secrets(),
                json!({"items": SECRET, "rows": {"a": SECRET}}),
                json!({"items": hidden, "rows": {"a": hidden}}),
            ),
            (
                secrets(),
                json!({"$patch": "replace", "data": {"a": SECRET}}),
                json!({"$patch": hidden, "data": {"a": hidden}}),
            ),
            // A JSON patch.
            (
                secrets(),
                json!([{"op": "add", "path": "/data/a", "value": SECRET}, {"op": "move", "from": "/data/a", "path": "/data/b"}, SECRET]),
                json!([{"op": "add", "path": "/data/a", "value": hidden}, {"op": "move", "from": "/data/a", "path": "/data/b"}, hidden]),
            ),
        ] {
            check(&about, &sent, &recorded);
        }
    }

    #[test]
    fn lists_tokens_and_kinds_are_recognised() {
        let hidden = REDACTED;
        let reviews = about("authentication.k8s.io", "tokenreviews", "");
        for (about, sent, recorded) in [
            // Lists and tables.
            (
                secrets(),
                json!({"kind": "SecretList", "metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "s"}, "data": {"a": SECRET}}, SECRET]}),
                json!({"kind": "SecretList", "metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "s"}, "data": {"a": hidden}}, hidden]}),
            ),
            (
                secrets(),
                json!({"kind": "Table", "rows": [{"cells": ["s", 1], "object": {"kind": "Secret", "data": {"a": SECRET}}}]}),
                json!({"kind": "Table", "rows": [{"cells": ["s", 1], "object": {"kind": "Secret", "data": {"a": hidden}}}]}),
            ),
            // By kind, where the request is about something else.
            (
                about("example.com", "things", ""),
                json!({"kind": "List", "items": [{"kind": "Secret", "data": {"a": SECRET}}, {"kind": "ConfigMap", "data": {"a": "b"}}]}),
                json!({"kind": "List", "items": [{"kind": "Secret", "data": {"a": hidden}}, {"kind": "ConfigMap", "data": {"a": "b"}}]}),
            ),
            (
                about("", "configmaps", ""),
                json!({"kind": "Secret", "data": {"a": SECRET}}),
                json!({"kind": "Secret", "data": {"a": hidden}}),
            ),
            // Tokens.
            (
                reviews.clone(),
                json!({"kind": "TokenReview", "spec": {"token": SECRET, "audiences": ["a"]}, "status": {"authenticated": true, "user": {"username": "u"}}}),
                json!({"kind": "TokenReview", "spec": {"token": hidden, "audiences": ["a"]}, "status": {"authenticated": true, "user": {"username": "u"}}}),
            ),
            (
                reviews.clone(),
                json!({"spec": {"Token": SECRET}}),
                json!({"spec": {"Token": hidden}}),
            ),
            (reviews, json!({"spec": SECRET}), json!({"spec": hidden})),
            (
                about("", "serviceaccounts", "token"),
                json!({"kind": "TokenRequest", "metadata": {"name": "a"}, "spec": {"audiences": ["a"], "expirationSeconds": 600}, "status": {"token": SECRET, "expirationTimestamp": "t"}}),
                json!({"kind": "TokenRequest", "metadata": {"name": "a"}, "spec": {"audiences": ["a"], "expirationSeconds": 600}, "status": {"token": hidden, "expirationTimestamp": "t"}}),
            ),
            // How Secrets are deleted is no secret.
            (
                secrets(),
                json!({"kind": "DeleteOptions", "propagationPolicy": "Background"}),
                json!({"kind": "DeleteOptions", "propagationPolicy": "Background"}),
            ),
            // All else is left alone.
            (
                about("", "serviceaccounts", ""),
                json!({"secrets": [{"name": "s"}]}),
                json!({"secrets": [{"name": "s"}]}),
            ),
            (
                about("", "configmaps", ""),
                json!({"kind": "ConfigMap", "data": {"a": "b"}}),
                json!({"kind": "ConfigMap", "data": {"a": "b"}}),
            ),
            (
                about("example.com", "secrets", ""),
                json!({"data": "b"}),
                json!({"data": "b"}),
            ),
        ] {
            check(&about, &sent, &recorded);
        }
    }

    fn check(about: &ResourceAttributes, sent: &Value, recorded: &Value) {
        let mut value = sent.clone();
        object(&mut value, about);
        assert_eq!(value, *recorded, "{sent}");
        assert!(!value.to_string().contains(SECRET), "{value}");
    }

    #[test]
    fn deep_values_are_hidden_without_descending_into_them() {
        let mut deep = json!(SECRET);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let mut value = json!({"data": deep});
        object(&mut value, &secrets());
        assert!(!value.to_string().contains(SECRET));
    }

    #[test]
    fn no_credential_stays_in_the_uri() {
        for (sent, recorded) in [
            ("/api/v1/pods", "/api/v1/pods"),
            ("/api/v1/pods?", "/api/v1/pods?"),
            ("/api/v1/pods?limit=5&continue=abc", "/api/v1/pods?limit=5&continue=abc"),
            ("/x?access_token=secret", "/x?access_token=REDACTED"),
            ("/x?a=b&Access_Token=secret&c=d", "/x?a=b&Access_Token=REDACTED&c=d"),
            (
                "/x?access%5Ftoken=secret;token=secret&",
                "/x?access%5Ftoken=REDACTED;token=REDACTED&",
            ),
            ("/x?client-secret=secret=secret", "/x?client-secret=REDACTED"),
            ("/x?token", "/x?token"),
            ("/x?token=", "/x?token=REDACTED"),
            ("/x?tokens=3&%ff=1", "/x?tokens=3&%ff=1"),
            ("https://user:secret@host/x?y=z", "/x?y=z"),
        ] {
            assert_eq!(uri(&sent.parse().unwrap()), recorded);
        }
    }
}
