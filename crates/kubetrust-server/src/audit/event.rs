//! What is recorded: `audit.k8s.io/v1` Event, as `k8s.io/apiserver/pkg/apis/audit/v1` writes it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::status::Status;
use kubetrust_auth::user::User;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::level::{Level, Stage};

/// An event. What is empty is left out, as upstream does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What it is.
    #[serde(flatten)]
    pub type_meta: TypeMeta,
    /// How much is recorded.
    pub level: Level,
    /// The request: what its `Audit-ID` header said, or what was made up for it.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// When in the course of the request this is.
    pub stage: Stage,
    /// Path and query as they were sent, without the values of [`super::redact::PARAMETERS`].
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// `get`, `list`… or the method in lower case.
    pub verb: String,
    /// Who authenticated; empty where authentication failed.
    pub user: UserInfo,
    /// Who they act as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<UserInfo>,
    /// From where. All but the last can be made up by the client.
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<IpAddr>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// What it is about, for requests of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<ObjectReference>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<ResponseStatus>,
    /// The object or patch that was sent, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<Value>,
    /// The object that was answered, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<Value>,
    /// When the request came.
    #[serde(serialize_with = "micro_time")]
    pub request_received_timestamp: Timestamp,
    /// When this stage was reached.
    #[serde(serialize_with = "micro_time")]
    pub stage_timestamp: Timestamp,
    /// What the steps of the chain have to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<&'static str, String>,
}

/// Kind and version of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    kind: &'static str,
    api_version: &'static str,
}

impl Default for TypeMeta {
    fn default() -> Self {
        Self {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
        }
    }
}

/// `authentication/v1 UserInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo(pub Arc<User>);

impl Serialize for UserInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let User {
            name,
            uid,
            groups,
            extra,
        } = self.0.as_ref();
        let mut info = serializer.serialize_map(None)?;
        for (field, text) in [("username", name), ("uid", uid)] {
            if !text.is_empty() {
                info.serialize_entry(field, text)?;
            }
        }
        if !groups.is_empty() {
            info.serialize_entry("groups", groups)?;
        }
        if !extra.is_empty() {
            info.serialize_entry("extra", extra)?;
        }
        info.end()
    }
}

/// The object that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Plural name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its UID, where the request's object has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// API group; left out for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// Version of the API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The version that the request's object has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// `meta/v1 Status`, as far as events carry it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseStatus {
    metadata: NoMetadata,
    /// `Success`, `Failure`, or empty where the answer is no Status.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub status: &'static str,
    /// What people read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Machine-readable reason.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// HTTP status code.
    pub code: u16,
}

/// `"metadata":{}`: Go's encoder never leaves out a struct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct NoMetadata {}

impl ResponseStatus {
    /// An answer that is no Status.
    #[must_use]
    pub fn of_code(code: u16) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// A Status that says it worked.
    #[must_use]
    pub fn success(code: u16, message: &str) -> Self {
        Self {
            status: "Success",
            message: message.into(),
            code,
            ..Self::default()
        }
    }
}

impl From<&Status> for ResponseStatus {
    fn from(status: &Status) -> Self {
        Self {
            metadata: NoMetadata {},
            status: "Failure",
            message: status.message.clone(),
            reason: status.reason,
            details: status
                .details
                .as_ref()
                .and_then(|details| serde_json::to_value(details).ok()),
            code: status.code,
        }
    }
}

impl Event {
    /// One line of the log, with its line break; `None` if it can't be written as JSON.
    #[must_use]
    pub fn line(&self) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(self).ok()?;
        line.push(b'\n');
        Some(line)
    }
}

fn micro_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&meta::micro_time(*at))
}
