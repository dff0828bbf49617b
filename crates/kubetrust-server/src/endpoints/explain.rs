//! How it was found who is asking: each scheme of authentication in its order, and what it made of a credential.
//! Kubernetes tells it to nobody.
//!
//! A `GET` tells it to whoever is known, of the very request: whoever may ask who they are (`selfsubjectreviews`) may ask
//! this. A `POST` brings a credential, of which the answer speaks: that of somebody who was refused, and who is never told
//! why, since whoever tries credentials would learn from it. To ask so is a right of its own, which nobody has by
//! default but `system:masters`. No answer holds anything of a key, a token or a password, and none gives any rights.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use kubetrust_api::status::Status;
use kubetrust_auth::authn::{Authenticators, Explanation, Outcome, PeerChain, Presented, Scheme};
use kubetrust_auth::authz::attributes::{Attributes, ResourceAttributes};
use kubetrust_pki::certificate::{Certificate, hex};
use kubetrust_pki::pem;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ApiServer;
use crate::chain::Authorized;
use crate::http::accept::Encoding;
use crate::http::body;
use crate::http::request_info::RequestInfo;
use crate::http::respond::{self, Reply};
use crate::subresources::user_info;

/// Where it is asked.
pub const PATH: &str = "/debug/authentication";
/// Largest question, in bytes: a chain and a header.
const MAX_QUESTION: usize = 256 * 1024;
/// Longest `Authorization` header that is asked about, in bytes: no request could bring a longer one.
const MAX_HEADER: usize = 64 * 1024;

/// Whether a request asks how it was found who makes it.
#[must_use]
pub fn is_asked(info: &RequestInfo) -> bool {
    matches!(&info.attributes, Attributes::NonResource { verb, path } if matches!(verb.as_str(), "get" | "head") && path.trim_end_matches('/') == PATH)
}

/// Asking who one is.
#[must_use]
pub fn as_self_review() -> Attributes {
    Attributes::Resource(ResourceAttributes {
        verb: "create".into(),
        group: "authentication.k8s.io".into(),
        version: "v1".into(),
        resource: "selfsubjectreviews".into(),
        ..ResourceAttributes::default()
    })
}

/// `GET`: how it was found who makes this request.
pub fn own(server: &ApiServer, request: &Authorized) -> Result<Reply, Status> {
    let explanation = request.explanation().ok_or_else(Status::no_such_path)?;
    let received = request.received();
    let authenticators = server.authenticators.load();
    let identity = request.identity();
    let proven = identity.by.as_ref().unwrap_or(&identity.user);
    let mut answer = json!({
        "kind": "AuthenticationExplanation",
        "apiVersion": "kubetrust.dev/v1alpha1",
        "authenticated": true,
        "user": user_info(proven),
        "schemes": schemes(explanation, |_| "not asked"),
    });
    if identity.by.is_some() {
        answer["actingAs"] = user_info(&identity.user);
    }
    if let Some(peer) = &received.connection.peer {
        answer["certificate"] = certificate(&authenticators, peer, received.now);
    }
    Ok(respond::value(200, &answer, Encoding::Json))
}

/// A credential that is asked about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Question {
    /// PEM of a client certificate, and of what it would send after it. Whether its holder has the key is not known here.
    #[serde(default)]
    certificate: String,
    /// The value of an `Authorization` header.
    #[serde(default)]
    authorization: String,
}

/// `POST`: what would be made of a request with this credential.
pub async fn anothers(server: &ApiServer, request: Authorized) -> Result<Reply, Status> {
    let (received, _) = request.into_parts();
    let question = Question::read(&body::read(received.body).await?)?;
    let peer = question.chain()?;
    let headers = question.headers()?;
    let presented = Presented {
        peer: peer.as_ref(),
        last_token: None,
        headers: &headers,
        path: "/",
        now: received.now,
    };
    let authenticators = server.authenticators.load();
    let (result, explanation) = authenticators.explain(&presented, &server.registry);
    let absent = |scheme| {
        if authenticators.is_on(scheme) {
            "not asked"
        } else {
            "off"
        }
    };
    let mut answer = json!({
        "kind": "AuthenticationExplanation",
        "apiVersion": "kubetrust.dev/v1alpha1",
        "authenticated": result.is_ok(),
        "schemes": schemes(&explanation, absent),
    });
    match &result {
        Ok(authenticated) => answer["user"] = user_info(&authenticated.user),
        Err(refusal) => answer["refusal"] = refusal.to_string().into(),
    }
    if let Some(peer) = &peer {
        answer["certificate"] = certificate(&authenticators, peer, received.now);
    }
    Ok(respond::value(201, &answer, Encoding::Json))
}

impl Question {
    fn read(text: &Bytes) -> Result<Self, Status> {
        if text.len() > MAX_QUESTION {
            return Err(Status::too_large(format!(
                "Request entity too large: limit is {MAX_QUESTION}"
            )));
        }
        // What serde would say shows what was sent; and it would take a list for an object.
        let sent: Option<Value> = serde_json::from_slice(text).ok().filter(Value::is_object);
        let question = sent.and_then(|sent| serde_json::from_value(sent).ok());
        question.ok_or_else(|| {
            Status::bad_request("write {\"certificate\": PEM} or {\"authorization\": \"Bearer TOKEN\"}, or both")
        })
    }

    fn chain(&self) -> Result<Option<PeerChain>, Status> {
        let blocks = pem::blocks(self.certificate.as_bytes());
        let blocks = blocks.map_err(|error| Status::bad_request(format!("certificate: {error}")))?;
        let certificates = blocks.into_iter().filter(|block| block.label == "CERTIFICATE");
        let chain: Vec<_> = certificates
            .map(|block| CertificateDer::from(block.der.to_vec()))
            .collect();
        if chain.is_empty() && !self.certificate.is_empty() {
            return Err(Status::bad_request(
                "certificate: there is no PEM block CERTIFICATE in it",
            ));
        }
        Ok(PeerChain::new(chain))
    }

    fn headers(&self) -> Result<HeaderMap, Status> {
        let mut headers = HeaderMap::new();
        if !self.authorization.is_empty() {
            let value = HeaderValue::from_str(&self.authorization).ok();
            let value = value.filter(|value| value.len() <= MAX_HEADER);
            headers.insert(
                AUTHORIZATION,
                value.ok_or_else(|| Status::bad_request("authorization: no request can bring such a header"))?,
            );
        }
        Ok(headers)
    }
}

/// Every scheme with its outcome; `absent` says what to say of those that were not asked. How a token comes is told only
/// where that is where it ended.
fn schemes(explanation: &Explanation, absent: impl Fn(Scheme) -> &'static str) -> Vec<Value> {
    let mut told = Vec::new();
    for scheme in Scheme::ALL {
        let outcomes: Vec<&Outcome> = explanation
            .attempts
            .iter()
            .filter_map(|(asked, outcome)| (*asked == scheme).then_some(outcome))
            .collect();
        if outcomes.is_empty() && !matches!(scheme, Scheme::Bearer | Scheme::WebSocket) {
            told.push(json!({"scheme": scheme.name(), "outcome": absent(scheme)}));
        }
        told.extend(outcomes.into_iter().map(|outcome| {
            let (outcome, field, said) = match outcome {
                Outcome::Declined(reason) => ("declined", "reason", reason.to_string()),
                Outcome::Refused(reason) => ("refused", "reason", reason.to_string()),
                Outcome::Authenticated(name) => ("authenticated", "user", name.clone()),
            };
            json!({"scheme": scheme.name(), "outcome": outcome, field: said})
        }));
    }
    told
}

/// What a client's certificate says, and what each pool of CAs makes of it.
fn certificate(authenticators: &Authenticators, peer: &PeerChain, now: Timestamp) -> Value {
    let pools = authenticators
        .pools(peer, now)
        .into_iter()
        .map(|(flag, found)| match found {
            Ok(verified) => {
                json!({"pool": flag, "trusted": true, "notBefore": verified.not_before, "notAfter": verified.not_after})
            }
            Err(reason) => json!({"pool": flag, "trusted": false, "reason": reason.to_string()}),
        });
    let mut said = match peer.certificates().first().map(|der| Certificate::from_der(der)) {
        Some(Ok(leaf)) => json!({
            "subject": leaf.subject.to_string(),
            "issuer": leaf.issuer.to_string(),
            "serial": hex(&leaf.serial),
            "notBefore": leaf.not_before,
            "notAfter": leaf.not_after,
        }),
        Some(Err(error)) => json!({"unreadable": error.to_string()}),
        None => json!({}),
    };
    said["sent"] = peer.certificates().len().into();
    said["pools"] = pools.collect();
    said
}
