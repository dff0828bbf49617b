//! Answers: objects, lists, watches and failures, in the form that was asked for.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use kubetrust_api::print::{self, Include};
use kubetrust_api::resource::Resource;
use kubetrust_api::status::Status;
use serde_json::{Value, json};

use super::accept::{Encoding, Form, Wanted};
use super::body::Answer;
use super::query::Query;
use crate::aside;
use crate::registry::cache;
use crate::registry::convert;
use crate::registry::list::List;
use crate::registry::object::Object;
use crate::registry::watch::{Watch, WatchEvent, bookmark};
use crate::stop::told;

/// Bodies from this size on are compressed for clients that take gzip (upstream's `defaultGzipThresholdBytes`).
const GZIP_FROM: usize = 128 * 1024;

/// An answer of the server.
pub type Reply = Response<Answer>;

/// How the objects of an answer are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// What `Accept` says.
    pub wanted: Wanted,
    /// What a Table carries of each object.
    pub include: Include,
    /// When, for ages.
    pub now: Timestamp,
}

impl Style {
    /// From the negotiation and the query.
    pub fn of(wanted: Wanted, query: &Query, now: Timestamp) -> Result<Self, Status> {
        let include = match query.get("includeObject") {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            other => {
                return Err(Status::bad_request(format!(
                    "unrecognized includeObject value: {other:?}"
                )));
            }
        };
        Ok(Self { wanted, include, now })
    }
}

/// Bytes of a media type.
pub fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Answer::whole(body));
    *reply.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// Plain text.
pub fn text(code: u16, body: impl Into<Bytes>) -> Reply {
    bytes(code, "text/plain; charset=utf-8", body)
}

/// A failure. Always JSON: clients read it whatever they asked for.
pub fn failure(status: &Status) -> Reply {
    let mut reply = bytes(status.code, "application/json", status.to_json());
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 && matches!(status.code, 429 | 503 | 504) {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// Any value, in the wanted encoding.
#[must_use]
pub fn value(code: u16, value: &Value, encoding: Encoding) -> Reply {
    match encoding {
        Encoding::Json => {
            let mut text = serde_json::to_vec(value).unwrap_or_default();
            text.push(b'\n');
            bytes(code, encoding.content_type(), text)
        }
        Encoding::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => bytes(code, encoding.content_type(), text),
            Err(_) => failure(&Status::internal("the object can't be written as YAML")),
        },
    }
}

/// A `Status` that says it worked, and one thing more.
#[must_use]
pub fn success(code: u16, (field, said): (&str, Value), encoding: Encoding) -> Reply {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    status[field] = said;
    value(code, &status, encoding)
}

/// One object.
pub fn object(code: u16, resource: &'static Resource, object: &Arc<Object>, style: Style) -> Reply {
    let object = object.shown_as(resource);
    match (style.wanted.form, style.wanted.encoding) {
        (Form::Object, Encoding::Json) => bytes(code, "application/json", object.json.clone()),
        (Form::Object, encoding) => value(code, &object.value(), encoding),
        (Form::Table, encoding) => value(
            code,
            &print::table(resource, &[object.value().as_ref()], style.now, style.include),
            encoding,
        ),
        (Form::Metadata, encoding) => value(code, &print::partial(&object.value()), encoding),
    }
}

/// A list. Its objects are sent from the cache's own bytes.
#[must_use]
pub fn list(resource: &'static Resource, mut list: List, style: Style) -> Reply {
    if convert::is_converted(resource) {
        list.items = list.items.iter().map(|object| object.shown_as(resource)).collect();
    }
    match (style.wanted.form, style.wanted.encoding) {
        (Form::Object, Encoding::Json) => {
            let mut reply = bytes(200, "application/json", Bytes::new());
            *reply.body_mut() = Answer::pieces(pieces(resource, list));
            reply
        }
        (Form::Object, encoding) => {
            let joined: Vec<u8> = pieces(resource, list)
                .iter()
                .flat_map(|piece| piece.iter().copied())
                .collect();
            value(200, &serde_json::from_slice(&joined).unwrap_or_default(), encoding)
        }
        (form, encoding) => {
            let objects: Vec<Value> = list.items.iter().map(|object| object.parse()).collect();
            let references: Vec<&Value> = objects.iter().collect();
            let mut whole = match form {
                Form::Table => print::table(resource, &references, style.now, style.include),
                _ => print::partial_list(&references),
            };
            whole["metadata"] = list_metadata(&list);
            value(200, &whole, encoding)
        }
    }
}

fn list_metadata(list: &List) -> Value {
    let mut metadata = serde_json::Map::new();
    // What is not stored has no revision.
    if list.revision > 0 {
        metadata.insert("resourceVersion".into(), list.revision.to_string().into());
    }
    if !list.continue_token.is_empty() {
        metadata.insert("continue".into(), list.continue_token.clone().into());
    }
    if let Some(remaining) = list.remaining {
        metadata.insert("remainingItemCount".into(), remaining.into());
    }
    Value::Object(metadata)
}

fn pieces(resource: &Resource, list: List) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::with_capacity(list.items.len() * 2 + 2);
    let head = format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
        resource.kind,
        resource.api_version(),
        list_metadata(&list)
    );
    pieces.push_back(Bytes::from(head));
    for (index, object) in list.items.into_iter().enumerate() {
        pieces.push_back(Bytes::from_static(if index == 0 { b"{" } else { b",{" }));
        pieces.push_back(object.item());
    }
    pieces.push_back(Bytes::from_static(b"]}\n"));
    pieces
}

/// A watch: one event a line, until it ends or the server stops.
#[must_use]
pub fn watch(
    resource: &'static Resource,
    watch: Watch,
    style: Style,
    stop: tokio::sync::watch::Receiver<bool>,
) -> Reply {
    let lines = stream::unfold((watch, stop, true), move |(mut watch, mut stop, first)| async move {
        let event = tokio::select! {
            biased;
            event = watch.next() => event?,
            () = told(&mut stop) => return None,
        };
        Some((line(resource, &event, style, first), (watch, stop, false)))
    });
    let mut reply = bytes(200, "application/json", Bytes::new());
    *reply.body_mut() = Answer::stream(lines);
    reply
}

fn line(resource: &'static Resource, event: &WatchEvent, style: Style, first: bool) -> Bytes {
    match event {
        WatchEvent::Change { kind, object, shared } => {
            // What all watchers share is the stored form.
            let shared = shared.as_ref().filter(|_| !convert::is_converted(resource));
            let object = &object.shown_as(resource);
            match (style.wanted.form, shared) {
                (Form::Object, Some(shared)) => shared.frame(),
                (Form::Object, None) => cache::frame(*kind, &object.json),
                (Form::Table, _) => {
                    let mut table = print::table(resource, &[object.value().as_ref()], style.now, style.include);
                    if !first {
                        // Only the first event of a watch carries the columns.
                        table["columnDefinitions"] = Value::Null;
                    }
                    table["metadata"] = serde_json::json!({"resourceVersion": object.revision.to_string()});
                    cache::frame(*kind, table.to_string().as_bytes())
                }
                (Form::Metadata, _) => cache::frame(*kind, print::partial(&object.value()).to_string().as_bytes()),
            }
        }
        WatchEvent::Bookmark { revision, initial_end } => {
            bookmark(&resource.api_version(), resource.kind, *revision, *initial_end)
        }
    }
}

/// Whether a client takes gzip.
pub fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|coding| matches!(coding.trim(), "gzip" | "*"))
}

/// Compresses a large answer for a client that takes gzip.
pub fn compress(takes_gzip: bool, reply: Reply) -> Reply {
    if !takes_gzip || reply.headers().contains_key(CONTENT_ENCODING) {
        return reply;
    }
    let (mut head, body) = reply.into_parts();
    let body = match body {
        Answer::Whole(Some(whole)) if whole.len() >= GZIP_FROM => {
            gzip(std::iter::once(&whole)).map_or(Answer::whole(whole), Answer::whole)
        }
        Answer::Pieces { pieces, left } if left >= GZIP_FROM as u64 => {
            gzip(pieces.iter()).map_or(Answer::Pieces { pieces, left }, Answer::whole)
        }
        other => return Response::from_parts(head, other),
    };
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(head, body)
}

fn gzip<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Option<Vec<u8>> {
    // That much takes long.
    aside::run(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for piece in pieces {
            encoder.write_all(piece).ok()?;
        }
        encoder.finish().ok()
    })
}

/// Adds `Warning: 299 - "…"` for each text (RFC 9111, 5.5; upstream's warning headers).
pub fn warn(reply: &mut Reply, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(['\r', '\n'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers_mut().append(WARNING, value);
        }
    }
}
