//! `CertificateSigning`: who puts a certificate or conditions into a request's status may do so for its signer
//! (`plugin/pkg/admission/certificates/signing`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use kubetrust_auth::authz::Authorizer;
use serde_json::Value;

use super::{is_request, may, signer};
use crate::admission::fields::same;
use crate::admission::{Operation, Plugin, Step, Verb};

/// The plugin.
#[derive(Debug)]
pub struct CertificateSigning {
    authorizer: Arc<Authorizer>,
}

impl CertificateSigning {
    /// Asks an authorizer.
    pub fn new(authorizer: &Arc<Authorizer>) -> Self {
        Self {
            authorizer: Arc::clone(authorizer),
        }
    }

    fn check(&self, operation: &Operation<'_>) -> Result<(), Status> {
        let old = operation.old.unwrap_or(&Value::Null);
        let kept = |field: &str| same(&old["status"][field], &operation.object["status"][field]);
        let signer = signer(old);
        if (kept("certificate") && kept("conditions")) || may(&self.authorizer, operation.user, "sign", signer) {
            return Ok(());
        }
        let signer = go_quoted(signer);
        Err(operation.forbidden(&format!("user not permitted to sign requests with signerName {signer}")))
    }
}

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Validate && operation.verb == Verb::Update && is_request(operation, "status")
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(self.check(operation)))
    }
}
