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
        kept: &["spec.audiences", "status.authenticated", "status.user", "status.audiences", "status.error"],
    },
    Rule {
        kinds: &["TokenRequest"],
        resource: ("", "serviceaccounts", "token"),
        kept: &["spec.audiences", "spec.expirationSeconds", "spec.boundObjectRef", "status.expirationTimestamp"],
    },
];

/// What is kept of every such object, of the lists and tables of them, and of the options that are sent to delete them.
/// Annotations aren't: `kubectl.kubernetes.io/last-applied-configuration` holds the whole object once more.
const KEPT_OF_ALL: [&str; 24] = [
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
    "code",
];

/// What is kept of an operation of a JSON patch.
const KEPT_OF_OPERATION: [&str; 3] = ["op", "path", "from"];
/// What is kept of a row of a table, beside its object.
const KEPT_OF_ROW: [&str; 2] = ["cells", "conditions"];

/// Hides in an object, list, table or patch what must not be recorded.
pub(super) fn object(value: &mut Value, about: &ResourceAttributes) {
    match RULES.iter().find(|rule| rule.is_about(about)).or_else(|| rule_of_kind(value)) {
        Some(rule) => rule.hide(value),
        // Objects of several kinds in one list.
        None => within(value, &mut |object| {
            if let Some(rule) = rule_of_kind(object) {
                rule.hide(object);
            }
        }),
    }
}

/// Whether an object for a request about this can hold what is hidden.
pub(super) fn is_sensitive(about: &ResourceAttributes) -> bool {
    RULES.iter().any(|rule| rule.is_about(about))
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
        match value {
            Value::Array(operations) => operations.iter_mut().for_each(|each| keep(each, &KEPT_OF_OPERATION)),
            Value::Object(fields) => {
                let items = fields.get_mut("items").filter(|items| items.is_array()).map(Value::take);
                let rows = fields.get_mut("rows").filter(|rows| rows.is_array()).map(Value::take);
                let kept: Vec<&str> = KEPT_OF_ALL.iter().chain(self.kept).copied().collect();
                keep(value, &kept);
                for (field, list) in [("items", items), ("rows", rows)] {
                    if let Some(list) = list {
                        value[field] = self.hidden_list(field, list, &kept);
                    }
                }
            }
            other => blank(other, MAX_DEPTH),
        }
    }

    #[expect(clippy::unused_self, reason = "…")]
    fn hidden_list(&self, field: &str, mut list: Value, kept: &[&str]) -> Value {
        for each in list.as_array_mut().into_iter().flatten() {
            if field == "items" {
                keep(each, kept);
                continue;
            }
            let object = each.get_mut("object").map(Value::take);
            keep(each, &KEPT_OF_ROW);
            if let Some(mut object) = object {
                keep(&mut object, kept);
                each["object"] = object;
            }
        }
        list
    }
}

/// Hides all values but those at the given paths.
fn keep(value: &mut Value, kept: &[&str]) {
    let Value::Object(fields) = value else { return blank(value, MAX_DEPTH) };
    for (name, value) in fields {
        if kept.contains(&name.as_str()) {
            continue;
        }
        let below: Vec<&str> =
            kept.iter().filter_map(|path| path.strip_prefix(name.as_str())?.strip_prefix('.')).collect();
        if below.is_empty() { blank(value, MAX_DEPTH) } else { keep(value, &below) }
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
    let Some(query) = uri.query() else { return uri.path().to_owned() };
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
    let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase().replace('-', "_");
    PARAMETERS.contains(&name.trim())
}
