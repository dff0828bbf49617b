//! Certificate signing requests.

use jiff::SignedDuration;
use serde_json::Value;

use crate::print::age;
use crate::print::view::{NONE, View, text};

/// The lifetime that was asked for.
pub(crate) fn duration(view: &View<'_>) -> Value {
    match view.at("spec.expirationSeconds").as_i64() {
        Some(seconds) => age::human(SignedDuration::from_secs(seconds)).into(),
        None => NONE.into(),
    }
}

/// `Approved,Issued` and the like: a denial outweighs an approval.
pub(crate) fn condition(view: &View<'_>) -> Value {
    let has = |kind: &str| {
        view.list("status.conditions")
            .iter()
            .any(|condition| text(condition, "type") == kind)
    };
    let mut words = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        words.push_str(",Failed");
    }
    if !view.text("status.certificate").is_empty() {
        words.push_str(",Issued");
    }
    words.into()
}
