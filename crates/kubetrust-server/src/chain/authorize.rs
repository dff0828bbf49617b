//! Whether they may.

use std::borrow::Cow;

use kubetrust_api::status::Status;
use kubetrust_auth::authn::Explanation;
use kubetrust_auth::authz::{Authorizer, Decision, forbidden};
use kubetrust_auth::user::User;

use super::{Authenticated, Identity, Received};
use crate::endpoints::explain;

/// A request that may be served. Only [`authorize`] makes one.
pub struct Authorized {
    received: Box<Received>,
    identity: Identity,
    warnings: Vec<Cow<'static, str>>,
    explanation: Option<Explanation>,
    reason: String,
}

impl Authorized {
    /// The request.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Who it acts as.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.identity.user
    }

    /// Who it acts as, and by whom.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why it is allowed.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What the client should be warned of.
    #[must_use]
    pub fn warnings(&self) -> &[Cow<'static, str>] {
        &self.warnings
    }

    /// How it was found who makes it, where that is what is asked.
    #[must_use]
    pub fn explanation(&self) -> Option<&Explanation> {
        self.explanation.as_ref()
    }

    /// The request, to read its body.
    #[must_use]
    pub fn into_parts(self) -> (Box<Received>, Identity) {
        (self.received, self.identity)
    }
}

/// A request that may not be served: what the client is told, and why for the record.
#[derive(Debug)]
pub struct Denied {
    /// 403.
    pub status: Status,
    /// What the authorizers said.
    pub reason: String,
}

/// Asks the authorizers; 403 unless one allows it.
pub fn authorize(request: Authenticated, authorizer: &Authorizer) -> Result<Authorized, Denied> {
    let user = &request.identity.user;
    let mut decision = authorizer.authorize(user, &request.received.info.attributes);
    // Whoever may ask who they are may ask how that was found.
    if !decision.is_allowed()
        && explain::is_asked(&request.received.info)
        && let Decision::Allow(reason) = authorizer.authorize(user, &explain::as_self_review())
    {
        decision = Decision::Allow(reason);
    }
    match decision {
        Decision::Allow(reason) => Ok(Authorized {
            received: request.received,
            identity: request.identity,
            warnings: request.found.warnings,
            explanation: request.explanation,
            reason: reason.to_string(),
        }),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => {
            let status = forbidden(&request.identity.user, &request.received.info.attributes, &reason);
            Err(Denied {
                status,
                reason: reason.into_owned(),
            })
        }
    }
}
