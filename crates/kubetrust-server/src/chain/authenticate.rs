//! Who is asking.

use std::sync::Arc;

use http::Version;
use kubetrust_api::status::Status;
use kubetrust_auth::authn::service_account::{InvalidToken, UsedSecret};
use kubetrust_auth::authn::{self, Authenticators, Explanation, Lookup, Presented, Refusal};
use tracing::{Level, debug, enabled};

use super::{Identity, Received};
use crate::endpoints::explain;

/// A request of which is known who makes it.
pub struct Authenticated {
    pub(super) received: Box<Received>,
    pub(super) identity: Identity,
    pub(super) found: authn::Authenticated,
    pub(super) explanation: Option<Explanation>,
}

impl Authenticated {
    /// The request.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Who makes it.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the scheme says that vouches for it.
    #[must_use]
    pub fn found(&self) -> &authn::Authenticated {
        &self.found
    }
}

/// A request that proves nobody.
pub struct Refused {
    /// 401.
    pub status: Status,
    /// The request.
    pub received: Box<Received>,
    /// Why, for the log.
    refusal: Refusal,
}

impl Refused {
    /// The legacy token's Secret that is marked as invalid, if that is why: whether its label is due.
    #[must_use]
    pub fn marked_secret(&self) -> Option<Option<&UsedSecret>> {
        self.refusal.reasons.iter().find_map(|(_, reason)| match reason {
            authn::Refused::ServiceAccount(InvalidToken::MarkedInvalid { used, .. }) => Some(used.as_deref()),
            _ => None,
        })
    }
}

/// Asks every scheme, and takes the credentials out of the request. 401 where something was presented and refused,
/// or nothing was and anonymous requests are not allowed.
pub fn authenticate(
    mut received: Box<Received>,
    authenticators: &Authenticators,
    lookup: &dyn Lookup,
) -> Result<Authenticated, Box<Refused>> {
    let presented = Presented {
        peer: received.connection.peer.as_ref(),
        last_token: (received.head.version == Version::HTTP_2).then_some(&received.connection.last_token),
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
        Ok(found) => {
            authenticators.strip(&mut received.head.headers);
            let identity = Identity {
                user: Arc::clone(&found.user),
                by: None,
            };
            Ok(Authenticated {
                received,
                identity,
                found,
                explanation,
            })
        }
        Err(refusal) => {
            debug!(path = %received.info.path, remote = %received.connection.remote, %refusal, "unable to authenticate the request");
            Err(Box::new(Refused {
                status: Status::unauthorized(),
                received,
                refusal,
            }))
        }
    }
}
