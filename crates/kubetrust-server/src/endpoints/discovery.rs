//! Which groups, versions and resources there are (`/api`, `/apis` and below).

use http::HeaderMap;
use kubetrust_api::discovery::{self, AGGREGATED_GROUP, AGGREGATED_KIND, Form};
use kubetrust_api::status::Status;

use crate::ApiServer;
use crate::http::accept::{self, Clause};
use crate::http::respond::{self, Reply};

/// `/api` or `/apis`, plain or aggregated, as `Accept` has it.
pub fn groups(server: &ApiServer, path: &str, headers: &HeaderMap) -> Result<Reply, Status> {
    for clause in accept::clauses(headers) {
        if let Some(form) = aggregated(&clause) {
            let document = if path == "/api" {
                discovery::aggregated_core(form)
            } else {
                discovery::aggregated_groups(form, &[])
            };
            return Ok(respond::bytes(200, form.content_type(), document.to_string()));
        }
        if matches!(
            clause.media_type,
            "application/json" | "application/yaml" | "*/*" | "application/*"
        ) {
            break;
        }
    }
    let encoding = accept::negotiate(headers, false)?.encoding;
    let document = if path == "/api" {
        discovery::core_versions(&server.address)
    } else {
        discovery::groups(&[])
    };
    Ok(respond::value(200, &document, encoding))
}

/// `/api/v1`, `/apis/GROUP` or `/apis/GROUP/VERSION`.
pub fn group(path: &str, headers: &HeaderMap) -> Result<Reply, Status> {
    let encoding = accept::negotiate(headers, false)?.encoding;
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let document = match parts.as_slice() {
        ["api", version] => discovery::resources("", version),
        ["apis", group] => discovery::group(group, &[]),
        ["apis", group, version] if !group.is_empty() => discovery::resources(group, version),
        _ => None,
    };
    document
        .map(|document| respond::value(200, &document, encoding))
        .ok_or_else(Status::no_such_path)
}

/// The aggregated form that a clause of `Accept` asks for.
fn aggregated(clause: &Clause<'_>) -> Option<Form> {
    let asked = clause.media_type == "application/json"
        && clause.parameter("as") == AGGREGATED_KIND
        && clause.parameter("g") == AGGREGATED_GROUP;
    asked.then(|| Form::of(clause.parameter("v"))).flatten()
}
