//! The API described for clients: `/openapi/v2`, which kubectl validates and explains by up to v1.26, and
//! `/openapi/v3`, one document a group version, which newer ones ask for.
//!
//! Documents are made from the schemas and the table of resources when they are first asked for, and kept compressed.

mod operations;
mod packed;
mod parameters;
mod protobuf;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

pub use packed::Packed;

/// Media types of the protobuf form of `/openapi/v2`, which client-go asks for first, and takes no other: the one since
/// v1.27, and the one until then.
pub const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

/// What the documents call themselves.
fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.36.0"})
}

/// `/openapi/v2` as JSON.
pub fn v2() -> &'static Packed {
    static DOCUMENT: OnceLock<Packed> = OnceLock::new();
    DOCUMENT.get_or_init(|| Packed::of(v2::json().as_bytes()))
}

/// `/openapi/v2` as protobuf (`openapi.v2.Document` of gnostic).
pub fn v2_protobuf() -> &'static Packed {
    static DOCUMENT: OnceLock<Packed> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let document: Value = serde_json::from_str(&v2::json()).unwrap_or_default();
        Packed::of(&protobuf::document(&document))
    })
}

/// `/openapi/v3`: where each document is. The hash in an address changes with what is there, so that clients may keep
/// it for ever. `others` are group versions that others serve, as `apis/GROUP/VERSION`, with their addresses.
#[must_use]
pub fn v3_index(others: &[(String, String)]) -> Value {
    let own = v3_documents()
        .iter()
        .map(|(path, packed)| (path.clone(), format!("/openapi/v3/{path}?hash={}", packed.hash())));
    let paths: Map<String, Value> = own
        .chain(others.iter().cloned())
        .map(|(path, address)| (path, json!({"serverRelativeURL": address})))
        .collect();
    json!({"paths": paths})
}

/// `/openapi/v3/PATH`: the document of `api/v1` or `apis/GROUP/VERSION`.
#[must_use]
pub fn v3(path: &str) -> Option<&'static Packed> {
    v3_documents().get(path)
}

fn v3_documents() -> &'static BTreeMap<String, Packed> {
    static DOCUMENTS: OnceLock<BTreeMap<String, Packed>> = OnceLock::new();
    DOCUMENTS.get_or_init(v3::documents)
}

#[cfg(test)]
mod tests;
