//! The schemas of everything that is served, for `kubectl explain` and for clients that check before they send.

use http::header::{CONTENT_ENCODING, ETAG, VARY};
use http::{HeaderMap, HeaderValue};
use kubetrust_api::openapi::{self, Packed};
use kubetrust_api::status::Status;

use crate::http::accept::{self, Encoding};
use crate::http::respond::{self, Reply};

/// The media type of the protobuf form of v2.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What clients ask for it by. Never answered: the `@` is no character of a media type, and Go's parser refuses it.
const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// `/openapi/v2`, as JSON or protobuf.
pub fn v2(headers: &HeaderMap) -> Result<Reply, Status> {
    for clause in accept::clauses(headers) {
        if matches!(clause.media_type, V2_PROTOBUF | V2_PROTOBUF_ASKED) {
            return Ok(packed(openapi::v2_protobuf(), V2_PROTOBUF, headers));
        }
        if matches!(clause.media_type, "application/json" | "*/*" | "application/*") {
            return Ok(packed(openapi::v2(), "application/json", headers));
        }
    }
    if headers.contains_key(http::header::ACCEPT) {
        Err(accept::not_acceptable())
    } else {
        Ok(packed(openapi::v2(), "application/json", headers))
    }
}

/// `/openapi/v3`: which documents there are.
#[must_use]
pub fn v3_index() -> Reply {
    respond::value(200, &openapi::v3_index(&[]), Encoding::Json)
}

/// `/openapi/v3/NAME`: the document of one group version.
pub fn v3(name: &str, headers: &HeaderMap) -> Result<Reply, Status> {
    let document = openapi::v3(name).ok_or_else(Status::no_such_path)?;
    Ok(packed(document, "application/json", headers))
}

/// A document that is kept compressed: sent as it is to clients that take gzip.
fn packed(document: &'static Packed, media_type: &'static str, headers: &HeaderMap) -> Reply {
    let gzip = respond::takes_gzip(headers);
    let mut reply = if gzip {
        let mut reply = respond::bytes(200, media_type, document.gzip());
        reply
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        reply
    } else {
        respond::bytes(200, media_type, document.plain())
    };
    reply
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", document.hash())) {
        reply.headers_mut().insert(ETAG, tag);
    }
    reply
}
