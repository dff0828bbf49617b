//! Checks that many kinds share.

use serde_json::{Value, json};

use super::{
    field::{self, Path},
    meta, names, read,
};
use crate::{select::label, status::Cause, strategy};

/// What is said of a number less than 0.
pub const NEGATIVE: &str = "must be greater than or equal to 0";
/// What is said of a field that must stay as it is.
pub const IMMUTABLE: &str = "field is immutable";

/// A number that must not be negative, if it is there.
pub fn non_negative(object: &Value, pointer: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if let Some(number) = read::number(object, pointer).filter(|number| *number < 0) {
        faults.push(field::invalid(at, number, NEGATIVE));
    }
}

/// A field that must stay as it is. Absent equals empty.
pub fn immutable(new: &Value, old: &Value, pointer: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let now = new.pointer(pointer);
    let name = pointer.rsplit('/').next().unwrap_or_default();
    if !strategy::same_field(name, now, old.pointer(pointer)) {
        faults.push(field::invalid(at, now.unwrap_or(&Value::Null), IMMUTABLE));
    }
}

/// A text that must be one of these; `supported` sorted as upstream prints it. Absent is a fault of its own.
pub fn one_of(object: &Value, pointer: &str, at: &Path<'_>, supported: &[&str], faults: &mut Vec<Cause>) {
    match read::text(object, pointer) {
        "" => faults.push(field::required(at, "")),
        text if supported.contains(&text) => {}
        text => faults.push(field::not_supported(at, text, supported)),
    }
}

/// As [`one_of`], but it may be absent.
pub fn one_of_if_there(object: &Value, pointer: &str, at: &Path<'_>, supported: &[&str], faults: &mut Vec<Cause>) {
    if !read::text(object, pointer).is_empty() {
        one_of(object, pointer, at, supported, faults);
    }
}

/// A text that must pass the check, if it is there.
pub fn named(object: &Value, pointer: &str, at: &Path<'_>, check: names::Check, faults: &mut Vec<Cause>) {
    let text = read::text(object, pointer);
    if !text.is_empty() {
        faults.extend(check(text).iter().map(|fault| field::invalid(at, text, fault)));
    }
}

/// A text that must be there.
pub fn required(object: &Value, pointer: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if read::text(object, pointer).is_empty() {
        faults.push(field::required(at, ""));
    }
}

/// The selector of pods that a workload has, and the labels of its template that it must select. `empty` is what is
/// said of a selector that selects everything.
pub fn selector_of_template(spec: &Value, at: &Path<'_>, empty: &str, faults: &mut Vec<Cause>) {
    let selector = read::get(spec, "/selector");
    let selector_at = at.child("selector");
    match selector {
        None => faults.push(field::required(&selector_at, "")),
        Some(selector) => {
            meta::label_selector(Some(selector), &selector_at, faults);
            let count = read::map(selector, "/matchLabels").map_or(0, serde_json::Map::len)
                + read::list(selector, "/matchExpressions").len();
            if count == 0 && !empty.is_empty() {
                faults.push(field::invalid(&selector_at, selector, empty));
            }
        }
    }
    match label::Selector::from_object(selector) {
        Err(_) => faults.push(field::invalid(
            &selector_at,
            selector.unwrap_or(&Value::Null),
            "invalid label selector",
        )),
        Ok(parsed) => {
            let labels = read::map(spec, "/template/metadata/labels");
            if selector.is_some() && !parsed.is_everything() && !parsed.matches(labels) {
                let at = at.child("template.metadata.labels");
                faults.push(field::invalid(
                    &at,
                    read::sorted(labels),
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
}

/// A number that is not negative, or a percentage.
pub fn int_or_percent(value: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    match value {
        Value::String(text) => faults.extend(names::percent(text).iter().map(|why| field::invalid(at, value, why))),
        other => {
            if let Some(number) = other.as_i64().filter(|number| *number < 0) {
                faults.push(field::invalid(at, number, NEGATIVE));
            }
        }
    }
}

/// A percentage that is not more than 100.
pub fn at_most_100_percent(value: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if percent_of(value).is_some_and(|percent| percent > 100) {
        faults.push(field::invalid(at, value, "must not be greater than 100%"));
    }
}

/// The number or percentage, as a number.
pub fn amount(value: &Value) -> i64 {
    value.as_i64().or_else(|| percent_of(value)).unwrap_or_default()
}

fn percent_of(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// A port: its number or its name.
pub fn port(value: Option<&Value>, at: &Path<'_>, faults: &mut Vec<Cause>) {
    match value.unwrap_or(&json!(0)) {
        Value::String(name) => faults.extend(names::port_name(name).iter().map(|why| field::invalid(at, name, why))),
        other => port_number(other.as_i64().unwrap_or_default(), at, faults),
    }
}

/// The number of a port.
pub fn port_number(number: i64, at: &Path<'_>, faults: &mut Vec<Cause>) {
    faults.extend(
        names::port_number(number)
            .iter()
            .map(|why| field::invalid(at, number, why)),
    );
}
