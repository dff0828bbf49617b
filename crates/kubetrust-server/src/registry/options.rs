//! The options of get, list and watch, read from the query and checked as kube-apiserver checks them
//! (`k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`).

use std::time::Duration;

use kubetrust_api::status::{Cause, Status};
use kubetrust_store::Revision;

use crate::http::query::Query;

/// Longest that a watch may ask to live; who asks for more gets this.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// Which revision a read has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Everything that was written before the request.
    Newest,
    /// Whatever is at hand.
    Any,
    /// This revision or a later one.
    NotOlderThan(Revision),
    /// This very revision.
    Exactly(Revision),
}

/// The options of a list or a watch.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// Which revision to show; for a watch, where to begin.
    pub shows: Shows,
    /// Most objects of one page; 0 for all.
    pub limit: usize,
    /// Where to go on.
    pub continue_token: String,
    /// When a watch ends at the latest.
    pub timeout: Option<Duration>,
    /// Whether a watch sends bookmarks.
    pub bookmarks: bool,
    /// Whether a watch begins with all objects and a bookmark after them.
    pub initial_events: bool,
}

/// The text of a revision in a query, checked.
pub fn revision(text: &str) -> Result<Option<Revision>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"),
                field: "resourceVersion".into(),
            };
            Status::invalid("meta.k8s.io", "ListOptions", "", vec![cause])
        }),
    }
}

impl ListOptions {
    /// Reads them for a list.
    pub fn for_list(query: &Query) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let text = query.get("resourceVersion");
        let matches = query.get("resourceVersionMatch");
        let token = query.get("continue");
        if !matches.is_empty() {
            if text.is_empty() {
                faults.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !token.is_empty() {
                faults.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(matches, "Exact" | "NotOlderThan") {
                faults.push(unsupported_match(matches, "\"Exact\", \"NotOlderThan\""));
            }
            if matches == "Exact" && text == "0" {
                faults.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if query.has("sendInitialEvents") {
            faults.push(forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        refuse(faults)?;
        if !token.is_empty() && !matches!(text, "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let limit = limit(query)?;
        let shows = match (revision(text)?, matches) {
            (None, _) => Shows::Newest,
            (Some(revision), "Exact") => Shows::Exactly(revision),
            (Some(0), _) => Shows::Any,
            // Without a match, a limited list shows exactly that revision (the rule of before resourceVersionMatch).
            (Some(revision), "") if limit > 0 => Shows::Exactly(revision),
            (Some(revision), _) => Shows::NotOlderThan(revision),
        };
        Ok(Self {
            limit,
            continue_token: token.to_owned(),
            shows,
            ..Self::common(query)?
        })
    }

    /// Reads them for a watch.
    pub fn for_watch(query: &Query) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let text = query.get("resourceVersion");
        let matches = query.get("resourceVersionMatch");
        let initial = query.has("sendInitialEvents");
        if initial && matches != "NotOlderThan" {
            faults.push(forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !initial && !matches.is_empty() {
            faults.push(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if query.is_on("sendInitialEvents") && !query.is_on("allowWatchBookmarks") {
            faults.push(forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for watch unless allowWatchBookmarks is set",
            ));
        }
        if !query.get("continue").is_empty() {
            faults.push(forbidden("continue", "continue is forbidden for watch"));
        }
        refuse(faults)?;
        let shows = match revision(text)? {
            None => Shows::Newest,
            Some(0) => Shows::Any,
            Some(revision) => Shows::NotOlderThan(revision),
        };
        Ok(Self {
            shows,
            ..Self::common(query)?
        })
    }

    fn common(query: &Query) -> Result<Self, Status> {
        let seconds = match query.get("timeoutSeconds") {
            "" => None,
            text => Some(text.parse::<u64>().map_err(|_| bad_number("timeoutSeconds", text))?),
        };
        Ok(Self {
            shows: Shows::Newest,
            limit: 0,
            continue_token: String::new(),
            timeout: seconds
                .filter(|seconds| *seconds > 0)
                .map(|seconds| Duration::from_secs(seconds).min(MAX_TIMEOUT)),
            bookmarks: query.is_on("allowWatchBookmarks"),
            initial_events: query.is_on("sendInitialEvents"),
        })
    }
}

fn limit(query: &Query) -> Result<usize, Status> {
    match query.get("limit") {
        "" => Ok(0),
        text => text
            .parse::<i64>()
            .map_err(|_| bad_number("limit", text))
            .map(|limit| usize::try_from(limit).unwrap_or(0)),
    }
}

fn bad_number(name: &str, text: &str) -> Status {
    Status::bad_request(format!("invalid value for {name}: {text:?} is no number"))
}

fn refuse(faults: Vec<Cause>) -> Result<(), Status> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid("meta.k8s.io", "ListOptions", "", faults))
    }
}

fn forbidden(field: &str, why: &str) -> Cause {
    Cause {
        reason: "FieldValueForbidden",
        message: format!("Forbidden: {why}"),
        field: field.into(),
    }
}

fn unsupported_match(value: &str, supported: &str) -> Cause {
    Cause {
        reason: "FieldValueNotSupported",
        message: format!("Unsupported value: {value:?}: supported values: {supported}"),
        field: "resourceVersionMatch".into(),
    }
}
