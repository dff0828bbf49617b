//! The plugins about certificate signing requests, and what they share.

mod approval;
mod signing;
mod subject_restriction;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubetrust_auth::authn::x509::{RequestFault, Requested};
use kubetrust_auth::authz::{Attributes, Authorizer, ResourceAttributes};
use kubetrust_auth::user::User;
use serde_json::Value;

use super::Operation;
use super::fields::text;

pub use approval::CertificateApproval;
pub use signing::CertificateSigning;
pub use subject_restriction::CertificateSubjectRestriction;

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";

/// Signer of clients' certificates.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signer of kubelets' certificates as clients.
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signer of kubelets' certificates as servers.
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// Whether it is about a request for a certificate, or this part of one.
fn is_request(operation: &Operation<'_>, subresource: &str) -> bool {
    operation.is_subresource(GROUP, REQUESTS, subresource)
}

/// The signer that a request is for.
fn signer(request: &Value) -> &str {
    text(&request["spec"], "signerName")
}

/// What the PKCS#10 request in the spec of a signing request asks for.
pub(super) fn requested(spec: &Value) -> Result<Requested, RequestFault> {
    let text = STANDARD
        .decode(text(spec, "request"))
        .map_err(|_| RequestFault::NotARequest)?;
    Requested::from_pem(&text)
}

/// Whether a user may do this with requests for a signer, by its name or by its whole domain
/// (`pkg/certauthorization`).
fn may(authorizer: &Authorizer, user: &User, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    let names = [signer.to_owned(), format!("{domain}/*")];
    names.into_iter().any(|name| {
        let attributes = Attributes::Resource(ResourceAttributes {
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..ResourceAttributes::default()
        });
        authorizer.authorize(user, &attributes).is_allowed()
    })
}
