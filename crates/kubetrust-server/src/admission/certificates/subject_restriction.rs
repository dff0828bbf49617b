//! `CertificateSubjectRestriction`: no client's certificate is asked for in the group that may do everything
//! (`plugin/pkg/admission/certificates/subjectrestriction`).

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_auth::user::MASTERS;

use super::{CLIENT, is_request, requested, signer};
use crate::admission::{Operation, Plugin, Step, Verb};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSubjectRestriction;

fn check(operation: &Operation<'_>) -> Result<(), Status> {
    let request = &operation.object;
    if signer(request) != CLIENT {
        return Ok(());
    }
    let requested =
        requested(&request["spec"]).map_err(|why| operation.forbidden(&format!("failed to parse CSR: {why}")))?;
    if requested.organizations.iter().any(|group| group == MASTERS) {
        return Err(operation.forbidden(&format!("use of {CLIENT} signer with {MASTERS} group is not allowed")));
    }
    Ok(())
}

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Validate && operation.verb == Verb::Create && is_request(operation, "")
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(check(operation)))
    }
}
