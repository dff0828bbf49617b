//! The REST verbs of every resource: from an authorized request to the registry, and back to an answer.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kubetrust_api::decode::{self, Decoded, Expected, FieldValidation};
use kubetrust_api::meta;
use kubetrust_api::patch;
use kubetrust_api::protobuf;
use kubetrust_api::resource::{Kept, Resource, Scope};
use kubetrust_api::status::{Cause, Status};
use serde_json::Value;

use crate::ApiServer;
use crate::aside;
use crate::audit::Record;
use crate::chain::{Authorized, Identity, Received};
use crate::http::accept::{self, Form};
use crate::http::body;
use crate::http::query::Query;
use crate::http::respond::{self, Reply, Style};
use crate::registry::delete::{DeleteOptions, Deleted, dry_run};
use crate::registry::options::ListOptions;
use crate::registry::parts;
use crate::registry::select::Selection;
use crate::registry::target::Target;
use crate::registry::write::Writer;
use crate::subresources;

/// What every verb needs of its request.
pub struct Call<'a> {
    /// The server.
    pub server: &'a ApiServer,
    /// What it is about.
    pub target: Target,
    /// Who asks.
    pub identity: Identity,
    /// How the answer is wanted.
    pub style: Style,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// What audit says of it.
    pub record: &'a Record,
    /// What the client is to be warned of.
    pub warnings: Vec<String>,
}

/// Serves a request for a resource.
pub async fn serve(server: &ApiServer, request: Authorized, record: &Record) -> Result<Reply, Status> {
    let mut warnings: Vec<String> = request.warnings().iter().map(ToString::to_string).collect();
    let (received, identity) = request.into_parts();
    let Received {
        head, body, info, now, ..
    } = *received;
    let attributes = info.resource().ok_or_else(Status::no_such_path)?;
    let target = Target::of(attributes)?;
    // The events of a watch carry one object each.
    let many = matches!(attributes.verb.as_str(), "list" | "deletecollection");
    let style = Style::of(accept::negotiate(&head.headers, many)?, &info.query, now)?;
    let verb = attributes.verb.clone();
    let mut call = Call {
        server,
        target,
        identity,
        style,
        query: info.query,
        headers: head.headers,
        record,
        warnings: Vec::new(),
    };
    // What is asked for most stays small: a future is as large as the largest thing that it may do, and is copied on its
    // way to where it runs. The others are on the heap.
    //
    // A subresource of the resource's own kind changes a part of the object: the verbs are the same. A log is none.
    let is_part = call
        .target
        .subresource
        .is_none_or(|subresource| subresource.kind == call.target.resource.kind && !subresource.connects);
    let mut reply = if !is_part || call.target.resource.kept != Kept::Stored {
        Box::pin(subresources::serve(&mut call, &verb, body)).await?
    } else {
        match verb.as_str() {
            "get" => call.get().await?,
            "list" => call.list().await?,
            "watch" => Box::pin(call.watch()).await?,
            "create" => Box::pin(call.create(body)).await?,
            "update" => Box::pin(call.update(body)).await?,
            "patch" => Box::pin(call.patch(body)).await?,
            "delete" => Box::pin(call.delete(body)).await?,
            "deletecollection" => Box::pin(call.delete_collection(body)).await?,
            _ => return Err(Status::method_not_allowed()),
        }
    };
    warnings.append(&mut call.warnings);
    warnings.extend(call.target.resource.deprecation().map(str::to_owned));
    respond::warn(&mut reply, &warnings);
    Ok(reply)
}

impl Call<'_> {
    /// The one who writes, if this call does.
    pub fn writer(&self) -> Result<Writer<'_>, Status> {
        let mut faults = Vec::new();
        let dry_run = dry_run(self.query.all("dryRun"), &mut faults);
        if !faults.is_empty() {
            let kind = if self.query.has("fieldManager") {
                "PatchOptions"
            } else {
                "CreateOptions"
            };
            return Err(Status::invalid("meta.k8s.io", kind, "", faults));
        }
        Ok(Writer {
            user: &self.identity.user,
            admission: &self.server.admission,
            now: self.style.now,
            dry_run,
        })
    }

    async fn get(&self) -> Result<Reply, Status> {
        let object = self.server.registry.get(&self.target, &self.query).await?;
        Ok(respond::object(200, self.target.resource, &object, self.style))
    }

    async fn list(&self) -> Result<Reply, Status> {
        let options = ListOptions::for_list(&self.query)?;
        let selection = Selection::of(self.target.resource, &self.query, &self.target.name)?;
        let list = self.server.registry.list(&self.target, &options, &selection).await?;
        Ok(respond::list(self.target.resource, list, self.style))
    }

    async fn watch(&self) -> Result<Reply, Status> {
        let options = ListOptions::for_watch(&self.query)?;
        let selection = Selection::of(self.target.resource, &self.query, &self.target.name)?;
        let watch = self.server.registry.watch(&self.target, &options, selection).await?;
        let reply = respond::watch(self.target.resource, watch, self.style, self.server.stop.clone());
        let events = self.server.metrics.requests.watch_events(self.target.resource);
        Ok(reply.map(|body| {
            body.shown_to(move |_| {
                events.inc();
            })
        }))
    }

    async fn create(&mut self, incoming: hyper::body::Incoming) -> Result<Reply, Status> {
        if !self.target.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let resource = self.target.resource;
        let expected = Expected::built_in(resource.group, resource.version, resource.kind);
        let object = self.decoded(&body::read(incoming).await?, expected)?;
        let object = self
            .server
            .registry
            .create(&self.target, self.writer()?, object)
            .await?;
        Ok(respond::object(201, self.target.resource, &object, self.style))
    }

    async fn update(&mut self, incoming: hyper::body::Incoming) -> Result<Reply, Status> {
        if self.target.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let resource = self.target.resource;
        let expected = Expected::built_in(resource.group, resource.version, resource.kind);
        let object = self.decoded(&body::read(incoming).await?, expected)?;
        let updated = self
            .server
            .registry
            .update(&self.target, self.writer()?, |_| Ok(object.clone()))
            .await?;
        let code = if updated.created { 201 } else { 200 };
        Ok(respond::object(code, self.target.resource, &updated.object, self.style))
    }

    async fn patch(&mut self, incoming: hyper::body::Incoming) -> Result<Reply, Status> {
        if self.target.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let prepared = self.read_patch(incoming).await?;
        let validation = self.field_validation()?;
        let resource = self.target.resource;
        let expected = Expected::built_in(resource.group, resource.version, resource.kind);
        let mut warnings = Vec::new();
        let updated = {
            let warnings = &mut warnings;
            let target = &self.target;
            self.server
                .registry
                .update(target, self.writer()?, |old| {
                    if old.is_null() {
                        return Err(target.not_found());
                    }
                    let patched = decode::patched(old.clone(), &prepared, expected, validation)?;
                    *warnings = patched.warnings;
                    Ok(patched.object)
                })
                .await?
        };
        self.warnings.append(&mut warnings);
        Ok(respond::object(200, resource, &updated.object, self.style))
    }

    async fn delete(&self, incoming: hyper::body::Incoming) -> Result<Reply, Status> {
        if self.target.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let options = self.delete_options(&body::read(incoming).await?)?;
        let deleted = self
            .server
            .registry
            .delete(&self.target, self.writer()?, &options)
            .await?;
        match deleted {
            Deleted::Marked(object) => Ok(respond::object(200, self.target.resource, &object, self.style)),
            Deleted::Gone(object) if parts::returns_deleted(self.target.resource) => {
                Ok(respond::object(200, self.target.resource, &object, self.style))
            }
            Deleted::Gone(object) => {
                let details = details(self.target.resource, &self.target.name, meta::uid(&object.value()));
                Ok(respond::success(200, ("details", details), self.style.wanted.encoding))
            }
        }
    }

    async fn delete_collection(&self, incoming: hyper::body::Incoming) -> Result<Reply, Status> {
        // Over all namespaces there is only reading.
        if self.target.resource.scope == Scope::Namespaced && self.target.namespace.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let options = self.delete_options(&body::read(incoming).await?)?;
        let list = ListOptions::for_list(&self.query)?;
        let selection = Selection::of(self.target.resource, &self.query, &self.target.name)?;
        let deleted = self
            .server
            .registry
            .delete_collection(&self.target, self.writer()?, &options, &list, &selection)
            .await?;
        let style = Style {
            wanted: accept::Wanted {
                form: Form::Object,
                ..self.style.wanted
            },
            ..self.style
        };
        Ok(respond::list(self.target.resource, deleted, style))
    }

    /// A body as an object of a kind.
    pub fn decoded(&mut self, text: &[u8], expected: Expected<'_>) -> Result<Value, Status> {
        let decoded = self.read_object(text, expected, self.field_validation())?;
        self.warnings.extend(decoded.warnings);
        Ok(decoded.object)
    }

    /// A body as an object, and as audit is told it. What is wrong with the validation that is asked for is said after it is
    /// known that the body is of a type that is spoken.
    fn read_object(
        &self,
        text: &[u8],
        expected: Expected<'_>,
        validation: Result<FieldValidation, Status>,
    ) -> Result<Decoded, Status> {
        let decoded = aside::read(text, |text| {
            let (text, encoding) = self.readable(text)?;
            decode::object(&text, encoding, expected, validation?)
        })?;
        self.record.request_object(&decoded.object);
        Ok(decoded)
    }

    /// A body as a patch, of the kind that its `Content-Type` says. Server-side apply comes later.
    pub async fn read_patch(&self, incoming: hyper::body::Incoming) -> Result<patch::Patch, Status> {
        const KINDS: &str =
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";
        let media_type = media_type(&self.headers);
        let kind = patch::Kind::of_content_type(media_type).ok_or_else(|| unsupported(KINDS))?;
        let text = body::read(incoming).await?;
        self.record.request_patch(&text);
        aside::read(&text, |text| patch::read(kind, text))
    }

    /// The body as JSON or YAML: Kubernetes' protobuf is turned into JSON. 415 for what is not spoken here.
    fn readable<'b>(&self, body: &'b [u8]) -> Result<(Cow<'b, [u8]>, decode::Encoding), Status> {
        match media_type(&self.headers) {
            "application/json" => Ok((Cow::Borrowed(body), decode::Encoding::Json)),
            "application/yaml" => Ok((Cow::Borrowed(body), decode::Encoding::Yaml)),
            protobuf::CONTENT_TYPE => {
                let object = protobuf::decode(body).map_err(|fault| Status::bad_request(fault.to_string()))?;
                Ok((Cow::Owned(object.to_string().into_bytes()), decode::Encoding::Json))
            }
            _ => Err(unsupported(
                "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )),
        }
    }

    /// What happens to fields that the schema does not have.
    pub fn field_validation(&self) -> Result<FieldValidation, Status> {
        let text = self.query.get("fieldValidation");
        FieldValidation::parse(text).ok_or_else(|| {
            let cause = Cause {
                reason: "FieldValueNotSupported",
                message: format!("Unsupported value: {text:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""),
                field: "fieldValidation".into(),
            };
            Status::invalid("meta.k8s.io", "CreateOptions", "", vec![cause])
        })
    }

    fn delete_options(&self, text: &[u8]) -> Result<DeleteOptions, Status> {
        let mut options = if text.is_empty() {
            let mut value = serde_json::Map::new();
            if self.query.has("propagationPolicy") {
                value.insert("propagationPolicy".into(), self.query.get("propagationPolicy").into());
            }
            if self.query.has("orphanDependents") {
                value.insert("orphanDependents".into(), self.query.is_on("orphanDependents").into());
            }
            if let Ok(grace) = self.query.get("gracePeriodSeconds").parse::<i64>() {
                value.insert("gracePeriodSeconds".into(), grace.into());
            }
            DeleteOptions::of(&Value::Object(value))?
        } else {
            let expected = Expected {
                group: "",
                version: "v1",
                kind: "DeleteOptions",
                schema: None,
            };
            let decoded = self.read_object(text, expected, Ok(FieldValidation::Ignore))?;
            DeleteOptions::of(&decoded.object)?
        };
        options.dry_run |= self.query.get("dryRun") == "All";
        Ok(options)
    }
}

/// The `Content-Type` without its parameters; JSON where there is none.
pub fn media_type(headers: &HeaderMap) -> &str {
    // Only what is not there at all is JSON: what can't be read is no type that is known.
    let text = match headers.get(CONTENT_TYPE) {
        Some(value) if !value.is_empty() => value.to_str().unwrap_or_default(),
        _ => "application/json",
    };
    text.split(';').next().unwrap_or_default().trim()
}

/// 415, as upstream words it.
fn unsupported(accepted: &str) -> Status {
    Status::new(
        415,
        "UnsupportedMediaType",
        format!("the body of the request was in an unknown format - accepted media types include: {accepted}"),
    )
}

/// What a `Status` says of the object that it is about.
fn details(resource: &Resource, name: &str, uid: &str) -> Value {
    let fields = [
        ("name", name),
        ("group", resource.group),
        ("kind", resource.plural),
        ("uid", uid),
    ];
    let said = fields.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(field, text)| (field.to_owned(), Value::from(text)))
        .collect()
}
