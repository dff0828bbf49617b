//! Objects that are answered and not kept: access reviews, token reviews and requests
//! (`pkg/apis/authorization/validation`, `pkg/apis/authentication/validation`).

use serde_json::Value;

use super::{
    field::{self, Path},
    meta as meta_rules, read,
};
use crate::{meta, status::Cause};

/// Shortest life of a token, in seconds.
pub const TOKEN_SECONDS_MIN: i64 = 600;
/// Longest life of a token, in seconds.
pub const TOKEN_SECONDS_MAX: i64 = 1 << 32;

/// A subject access review.
pub fn subject_access(object: &Value, faults: &mut Vec<Cause>) {
    access_spec(object, true, faults);
    empty_metadata(object, false, faults);
}

/// A review of oneself.
pub fn self_subject_access(object: &Value, faults: &mut Vec<Cause>) {
    access_spec(object, false, faults);
    empty_metadata(object, false, faults);
}

/// A review within a namespace.
pub fn local_subject_access(object: &Value, faults: &mut Vec<Cause>) {
    access_spec(object, true, faults);
    empty_metadata(object, true, faults);
    if read::get(object, "/spec/resourceAttributes").is_some() {
        let namespace = read::text(object, "/spec/resourceAttributes/namespace");
        if namespace != meta::namespace(object) {
            let at = Path::new("spec.resourceAttributes.namespace");
            faults.push(field::invalid(&at, namespace, "must match metadata.namespace"));
        }
    }
    if let Some(attributes) = read::get(object, "/spec/nonResourceAttributes") {
        let at = Path::new("spec.nonResourceAttributes");
        faults.push(field::invalid(
            &at,
            go_attributes(attributes),
            "disallowed on this kind of request",
        ));
    }
}

fn access_spec(object: &Value, of_someone: bool, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    let resource = read::get(object, "/spec/resourceAttributes");
    let other = read::get(object, "/spec/nonResourceAttributes");
    match (resource, other) {
        (Some(_), Some(other)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            faults.push(field::invalid(
                &at.child("nonResourceAttributes"),
                go_attributes(other),
                why,
            ));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            faults.push(field::invalid(&at.child("resourceAttributes"), Value::Null, why));
        }
        _ => {}
    }
    let nobody = read::text(object, "/spec/user").is_empty() && read::list(object, "/spec/groups").is_empty();
    if of_someone && nobody {
        faults.push(field::invalid(
            &at.child("user"),
            "",
            "at least one of user or group must be specified",
        ));
    }
    let Some(resource) = resource else { return };
    for name in ["fieldSelector", "labelSelector"] {
        if let Some(selector) = read::get(resource, &format!("/{name}")) {
            let at = Path::new("spec.resourceAttributes");
            let at = at.child(name);
            selector_attributes(selector, name == "labelSelector", &at, faults);
        }
    }
}

/// Upstream prints the internal type, whose fields have Go's names.
fn go_attributes(attributes: &Value) -> Value {
    serde_json::json!({"Path": read::text(attributes, "/path"), "Verb": read::text(attributes, "/verb")})
}

fn selector_attributes(selector: &Value, of_labels: bool, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let raw = read::text(selector, "/rawSelector");
    let requirements = read::list(selector, "/requirements");
    if !raw.is_empty() && !requirements.is_empty() {
        let why = "may not specified at the same time as requirements";
        faults.push(field::invalid(&at.child("rawSelector"), raw, why));
    }
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {at} is specified, requirements or rawSelector is required");
        faults.push(field::required(&at.child("requirements"), &why));
    }
    let at = at.child("requirements");
    for (index, requirement) in requirements.iter().enumerate() {
        let at = at.index(index);
        let key = read::text(requirement, "/key");
        let values = read::list(requirement, "/values");
        if !of_labels && key.is_empty() {
            faults.push(field::required(&at.child("key"), "must be specified"));
        }
        // Operators that are not known are let through: a newer client may know them.
        match (read::text(requirement, "/operator"), values.is_empty()) {
            ("In" | "NotIn", true) => {
                faults.push(field::required(
                    &at.child("values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
            ("Exists" | "DoesNotExist", false) => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                faults.push(field::forbidden(&at.child("values"), why));
            }
            _ => {}
        }
        if of_labels {
            meta_rules::label_key(key, &at.child("key"), faults);
            let at = at.child("values");
            for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
                let bad = super::names::label_value(value);
                faults.extend(bad.iter().map(|why| field::invalid(&at.index(index), value, why)));
            }
        }
    }
}

fn empty_metadata(object: &Value, but_namespace: bool, faults: &mut Vec<Cause>) {
    let metadata = meta::metadata(object);
    let filled = metadata.into_iter().flatten().any(|(name, value)| {
        let ignored = name == "managedFields" || name == "creationTimestamp" || (but_namespace && name == "namespace");
        !ignored && !crate::strategy::same(Some(value), None)
    });
    if filled {
        let why = if but_namespace {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        faults.push(field::invalid(&Path::new("metadata"), read::sorted(metadata), why));
    }
}

/// A request for a token.
pub fn token_request(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec.expirationSeconds");
    let seconds = read::number(object, "/spec/expirationSeconds").unwrap_or(TOKEN_SECONDS_DEFAULT);
    if seconds < TOKEN_SECONDS_MIN {
        faults.push(field::invalid(
            &at,
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    }
    if seconds > TOKEN_SECONDS_MAX {
        faults.push(field::invalid(
            &at,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
}

/// Life of a token if nothing is asked for, in seconds.
pub const TOKEN_SECONDS_DEFAULT: i64 = 3600;
