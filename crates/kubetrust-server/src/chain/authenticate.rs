//! Who is asking.

use std::borrow::Cow;

use kubetrust_api::status::Status;
use kubetrust_auth::authn::{Authenticators, Explanation, Lookup, Presented};
use tracing::{Level, debug, enabled};

use super::{Identity, Received};
use crate::endpoints::explain;

/// A request of which is known who makes it.
pub struct Authenticated {
    pub(super) received: Received,
    pub(super) identity: Identity,
    pub(super) warnings: Vec<Cow<'static, str>>,
    pub(super) explanation: Option<Explanation>,
}

impl Authenticated {
    /// The request.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Who makes it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Asks every scheme, and takes the credentials out of the request. 401 where something was presented and refused,
/// or nothing was and anonymous requests are not allowed.
pub fn authenticate(
    mut received: Received,
    authenticators: &Authenticators,
    lookup: &dyn Lookup,
) -> Result<Authenticated, Box<(Status, Received)>> {
    let presented = Presented {
        peer: received.connection.peer.as_ref(),
        headers: &received.head.headers,
        path: &received.info.path,
        now: received.now,
    };
    let (verdict, explanation) = if explain::is_asked(&received.info) || enabled!(Level::DEBUG) {
        let (verdict, explanation) = authenticators.explain(&presented, lookup);
        debug!(path = %received.info.path, remote = %received.connection.remote, %explanation, "authentication");
        (verdict, Some(explanation))
    } else {
        (authenticators.authenticate(&presented, lookup), None)
    };
    match verdict {
        Ok(authenticated) => {
            authenticators.strip(&mut received.head.headers);
            let identity = Identity {
                user: authenticated.user,
                by: None,
            };
            Ok(Authenticated {
                received,
                identity,
                warnings: authenticated.warnings,
                explanation,
            })
        }
        Err(refusal) => {
            debug!(path = %received.info.path, remote = %received.connection.remote, %refusal, "unable to authenticate the request");
            Err(Box::new((Status::unauthorized(), received)))
        }
    }
}
