//! The record of one request: filled as the request goes its way, and an event at each stage.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use kubetrust_api::meta;
use kubetrust_api::status::Status;
use kubetrust_auth::authz::attributes::ResourceAttributes;
use kubetrust_auth::user::User;
use parking_lot::Mutex;
use serde_json::Value;
use tracing::{debug, error};

use super::event::{Event, ObjectReference, ResponseStatus, TypeMeta, UserInfo};
use super::level::{Level, Stage};
use super::policy::RequestConfig;
use super::{Auditor, Request, client, redact};
use crate::http::body::Answer;
use crate::http::respond::Reply;

/// Largest object that is recorded, in bytes of JSON: every object that can be stored fits, a long list does not. One
/// that is larger is left out, and the event says so in the annotation [`TRUNCATED`].
pub const MAX_OBJECT: usize = 2 * 1024 * 1024;
/// Most annotations of a request.
pub const MAX_ANNOTATIONS: usize = 64;
/// A Status that is answered is looked into if it is at most so long, in bytes.
const MAX_STATUS: usize = 16 * 1024;
/// How one begins.
const STATUS: &[u8] = b"{\"kind\":\"Status\"";

const TRUNCATED: &str = "audit.k8s.io/truncated";
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
/// What upstream says of a request whose client left before it was answered.
const CLOSED_EARLY: &str = "Connection closed early";

/// The record of a request, or of none: then all that is done with it costs a comparison.
///
/// If it is dropped before [`Record::finish`], the request ended without an answer: because of a panic, which its last
/// event then tells, or because the client left.
#[derive(Debug)]
pub struct Record(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    auditor: Arc<Auditor>,
    config: RequestConfig,
    /// What it is about; `None` for what is no resource, of which no object is recorded.
    about: Option<ResourceAttributes>,
    is_long_running: bool,
    event: Mutex<Event>,
}

impl Record {
    /// Of a request that is not recorded.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(
        auditor: Arc<Auditor>,
        config: RequestConfig,
        request: &Request<'_>,
        user: Option<&Arc<User>>,
    ) -> Self {
        let about = request.info.resource().cloned();
        let event = Event {
            type_meta: TypeMeta::default(),
            level: config.level,
            audit_id: request.id.to_owned(),
            stage: Stage::RequestReceived,
            request_uri: redact::uri(&request.head.uri),
            verb: request.info.attributes.verb().to_owned(),
            user: user.map(|user| UserInfo(Arc::clone(user))).unwrap_or_default(),
            impersonated_user: None,
            source_ips: client::source_ips(&request.head.headers, request.connection.remote),
            user_agent: client::user_agent(&request.head.headers),
            object_ref: about.as_ref().map(ObjectReference::of),
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: request.now,
            stage_timestamp: request.now,
            annotations: std::collections::BTreeMap::new(),
        };
        let is_long_running = request.info.is_long_running();
        Self(Some(Box::new(Open {
            auditor,
            config,
            about,
            is_long_running,
            event: Mutex::new(event),
        })))
    }

    /// Who the request acts as, after impersonation.
    pub fn impersonated(&self, user: &Arc<User>) {
        if let Some(open) = &self.0 {
            open.event.lock().impersonated_user = Some(UserInfo(Arc::clone(user)));
        }
    }

    /// What the authorizers decided, and why.
    pub fn authorized(&self, is_allowed: bool, reason: &str) {
        self.annotate(DECISION, if is_allowed { "allow" } else { "forbid" });
        self.annotate(REASON, reason);
    }

    /// What a step of the chain has to say. The first value of a key stays.
    pub fn annotate(&self, key: &'static str, value: &str) {
        if let Some(open) = &self.0 {
            annotate(&mut open.event.lock(), key, value);
        }
    }

    /// The object that was sent, decoded: before defaults, admission and merging.
    pub fn request_object(&self, object: &Value) {
        let Some(open) = &self.0 else { return };
        open.refer_to(object);
        if open.config.level >= Level::Request {
            open.event.lock().request_object = open.recorded(object.clone());
        }
    }

    /// The patch that was sent: JSON or YAML.
    pub fn request_patch(&self, patch: &[u8]) {
        let Some(open) = &self.0 else { return };
        if open.config.level >= Level::Request {
            let patch = open.parsed(patch);
            open.event.lock().request_object = patch;
        }
    }

    /// The answer as the handler made it: what it says goes into the record as far as the level has it. Call it before the
    /// answer is compressed.
    pub fn response(&self, reply: &Reply) {
        let Some(open) = &self.0 else { return };
        if open.about.is_none() || !is_object(reply) {
            return;
        }
        if let Answer::Whole(Some(whole)) = reply.body()
            && whole.len() <= MAX_STATUS
            && whole.starts_with(STATUS)
        {
            open.answered_status(whole, reply.status().as_u16());
        }
        if open.config.level >= Level::RequestResponse {
            let object = open.answered(reply.body());
            open.event.lock().response_object = object;
        }
    }

    /// The failure that is answered.
    pub fn failed(&self, status: &Status) {
        let Some(open) = &self.0 else { return };
        let mut event = open.event.lock();
        event.response_status = Some(ResponseStatus::from(status));
        if open.config.level >= Level::RequestResponse && open.about.is_some() {
            event.response_object = serde_json::from_slice(&status.to_json()).ok();
        }
    }

    /// Ends the record with the answer that is sent. The last event of an answer that goes on, as a watch, is made when
    /// that ends.
    pub async fn finish(mut self, reply: Reply) -> Reply {
        let Some(open) = &self.0 else { return reply };
        open.set_code(reply.status().as_u16());
        let is_stream = matches!(reply.body(), Answer::Stream(_));
        if open.is_long_running {
            open.emit(Stage::ResponseStarted).await;
        }
        if !is_stream {
            open.emit(Stage::ResponseComplete).await;
            self.0 = None;
            return reply;
        }
        reply.map(|body| match body {
            Answer::Stream(stream) => Answer::stream(Recorded { stream, record: self }),
            other => other,
        })
    }

    pub(super) async fn emit(&self, stage: Stage) {
        if let Some(open) = &self.0 {
            open.emit(stage).await;
        }
    }

    /// Ends the record of a request whose authentication failed.
    pub(super) async fn refuse(mut self, status: &Status, message: String) {
        if let Some(open) = self.0.take() {
            let mut failure = ResponseStatus::from(status);
            failure.message = message;
            open.event.lock().response_status = Some(failure);
            open.emit(Stage::ResponseStarted).await;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        if std::thread::panicking() {
            open.event.lock().response_status = Some(ResponseStatus::from(&Status::internal("the server panicked")));
            open.emit_now(Stage::Panic);
            return;
        }
        let unanswered = {
            let mut event = open.event.lock();
            let unanswered = event.response_status.is_none();
            if unanswered {
                event.response_status = Some(ResponseStatus::success(200, CLOSED_EARLY));
            }
            unanswered
        };
        if unanswered && open.is_long_running {
            open.emit_now(Stage::ResponseStarted);
        }
        open.emit_now(Stage::ResponseComplete);
    }
}

impl Open {
    async fn emit(&self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            self.auditor.log.send(line).await;
        }
    }

    fn emit_now(&self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            self.auditor.log.send_now(line);
        }
    }

    fn line(&self, stage: Stage) -> Option<Vec<u8>> {
        if self.config.omit_stages.contains(stage) {
            return None;
        }
        let counters = self.auditor.log.counters();
        counters.events.inc();
        let mut event = self.event.lock();
        event.stage = stage;
        event.stage_timestamp = match stage {
            Stage::RequestReceived => event.request_received_timestamp,
            _ => (self.auditor.clock)(),
        };
        let line = event.line();
        if line.is_none() {
            error!(id = %event.audit_id, "an audit event can't be written as JSON");
            counters.failed.inc();
        }
        line
    }

    fn set_code(&self, code: u16) {
        let mut event = self.event.lock();
        event.response_status.get_or_insert_with(ResponseStatus::default).code = code;
    }

    /// Fills what the request line leaves open: the name of what is created, and the version that an update is based on.
    fn refer_to(&self, object: &Value) {
        let mut event = self.event.lock();
        let Some(reference) = &mut event.object_ref else { return };
        for (field, said) in [
            (&mut reference.namespace, meta::namespace(object)),
            (&mut reference.name, meta::name(object)),
            (&mut reference.uid, meta::uid(object)),
            (&mut reference.resource_version, meta::resource_version(object)),
        ] {
            if field.is_empty() {
                said.clone_into(field);
            }
        }
    }

    /// A Status in the answer of a request that succeeded, as to a delete.
    fn answered_status(&self, text: &[u8], code: u16) {
        let Ok(mut answered) = serde_json::from_slice::<Value>(text) else {
            return;
        };
        if answered["status"] == "Success" {
            let details = answered.get_mut("details").map(Value::take);
            let mut status = ResponseStatus::success(code, meta::text(&answered, "message"));
            status.details = details;
            self.event.lock().response_status = Some(status);
        }
    }

    /// The object of an answer as it may be recorded.
    fn answered(&self, body: &Answer) -> Option<Value> {
        match body {
            Answer::Whole(Some(whole)) => self.parsed(whole),
            Answer::Pieces { left, .. } if *left > MAX_OBJECT as u64 => {
                self.truncated();
                None
            }
            Answer::Pieces { pieces, .. } => self.parsed(
                &pieces
                    .iter()
                    .flat_map(|piece| piece.iter().copied())
                    .collect::<Vec<u8>>(),
            ),
            Answer::Whole(None) | Answer::Stream(_) => None,
        }
    }

    /// An object as it may be recorded, from its text.
    fn parsed(&self, text: &[u8]) -> Option<Value> {
        self.about.as_ref()?;
        if text.len() > MAX_OBJECT {
            self.truncated();
            return None;
        }
        let value = serde_json::from_slice(text).ok();
        self.recorded(value.or_else(|| kubetrust_api::decode::tree::yaml(text).ok().map(|tree| tree.value))?)
    }

    /// An object as it may be recorded.
    fn recorded(&self, mut object: Value) -> Option<Value> {
        let about = self.about.as_ref()?;
        if self.config.omit_managed_fields {
            redact::managed_fields(&mut object);
        }
        redact::object(&mut object, about);
        if fits(&object) {
            return Some(object);
        }
        self.truncated();
        None
    }

    fn truncated(&self) {
        annotate(&mut self.event.lock(), TRUNCATED, "true");
    }
}

fn annotate(event: &mut Event, key: &'static str, value: &str) {
    match event.annotations.get(key) {
        Some(first) if first != value => debug!(id = %event.audit_id, key, "an audit annotation is set already"),
        Some(_) => {}
        None if event.annotations.len() < MAX_ANNOTATIONS => {
            event.annotations.insert(key, value.to_owned());
        }
        None => debug!(id = %event.audit_id, key, "the request has too many audit annotations"),
    }
}

impl ObjectReference {
    fn of(asked: &ResourceAttributes) -> Self {
        Self {
            resource: asked.resource.clone(),
            namespace: asked.namespace.clone(),
            name: asked.name.clone(),
            api_group: asked.group.clone(),
            api_version: asked.version.clone(),
            subresource: asked.subresource.clone(),
            ..Self::default()
        }
    }
}

/// Whether the answer is an object, and not the text of a log or a metrics page.
fn is_object(reply: &Reply) -> bool {
    let media_type = reply
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    media_type.contains("json") || media_type.contains("yaml")
}

/// Whether a value is at most [`MAX_OBJECT`] long as JSON. Nothing is written for that.
fn fits(value: &Value) -> bool {
    serde_json::to_writer(Room(MAX_OBJECT), value).is_ok()
}

/// Takes so many bytes and forgets them.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The frames of an answer, with the record that ends when they do.
struct Recorded<S> {
    stream: S,
    record: Record,
}

impl<S: Stream<Item = Bytes> + Unpin> Stream for Recorded<S> {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let recorded = self.get_mut();
        let next = Pin::new(&mut recorded.stream).poll_next(context);
        if let Poll::Ready(None) = next {
            recorded.record = Record::none();
        }
        next
    }
}
