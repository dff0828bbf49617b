//! `CertificateApproval`: who approves or denies a request may do so for its signer
//! (`plugin/pkg/admission/certificates/approval`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use kubetrust_auth::authz::Authorizer;
use serde_json::Value;

use super::{is_request, may, signer};
use crate::admission::{Operation, Plugin, Step, Verb};

/// The plugin.
#[derive(Debug)]
pub struct CertificateApproval {
    authorizer: Arc<Authorizer>,
}

impl CertificateApproval {
    /// Asks an authorizer.
    pub fn new(authorizer: &Arc<Authorizer>) -> Self {
        Self {
            authorizer: Arc::clone(authorizer),
        }
    }

    fn check(&self, operation: &Operation<'_>) -> Result<(), Status> {
        // The signer that it has, not the one that it might be given here.
        let signer = signer(operation.old.unwrap_or(&Value::Null));
        if may(&self.authorizer, operation.user, "approve", signer) {
            return Ok(());
        }
        let signer = go_quoted(signer);
        Err(operation.forbidden(&format!(
            "user not permitted to approve requests with signerName {signer}"
        )))
    }
}

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Validate && operation.verb == Verb::Update && is_request(operation, "approval")
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(self.check(operation)))
    }
}
