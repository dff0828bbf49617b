//! Service-account tokens (S10): signed by a key of the cluster, and good as long as what they are bound to exists.

mod bound;
mod cache;
mod claims;
pub mod discovery;
pub mod issue;
mod jws;
mod keys;
mod legacy;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

pub use claims::Reference;
pub use jws::Unverifiable;
pub use keys::{CannotSign, Keys, SigningKey};
pub use legacy::LAST_USED;

use super::lookup::Lookup;
use super::token::Token;
use super::verdict::{Authenticated, Declined, Scheme, Verdict, with_authenticated_group};
use crate::random::NoRandomness;
use crate::user::{SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNTS, User};
use claims::{BadTime, Claims, LEGACY_ISSUER};
use jws::Jws;
use keys::BadSignature;

/// Verifies the tokens of one cluster.
pub struct ServiceAccounts {
    keys: Keys,
    // One or two, which are compared sooner than hashed.
    issuers: Vec<String>,
    audiences: Arc<[String]>,
    verified: cache::Verified,
}

/// A token with a good signature, and what follows from its claims alone.
#[cfg_attr(test, derive(Default))]
pub(super) struct Signed {
    claims: Claims,
    bound_user: Option<Arc<User>>,
    legacy_user: Arc<User>,
    // Of the server's own audiences, those that the token is for.
    audiences: Arc<[String]>,
}

/// Why a token of this cluster is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Its header or signature can't be used.
    #[error(transparent)]
    Unverifiable(#[from] Unverifiable),
    /// `kid` names none of the keys.
    #[error("invalid signature, no keys found")]
    NoKey,
    /// No key made the signature.
    #[error("the token's signature is by none of the service-account keys")]
    Signature,
    /// The payload is no set of claims.
    #[error("the token's claims are malformed")]
    Claims,
    /// For somebody else.
    #[error("token audiences {token:?} is invalid for the target audiences {target:?}")]
    Audience {
        /// `aud`.
        token: Vec<String>,
        /// What was asked for.
        target: Vec<String>,
    },
    /// `exp`.
    #[error("service account token has expired")]
    Expired,
    /// `nbf`.
    #[error("service account token is not valid yet")]
    NotYetValid,
    /// `iat`.
    #[error("service account token is issued in the future")]
    IssuedInTheFuture,
    /// A claim that has to be there.
    #[error("{0} claim is missing")]
    Incomplete(&'static str),
    /// `sub` is another than the claims say.
    #[error("sub claim is invalid")]
    Subject,
    /// Not there any more.
    #[error("the {0} of the token does not exist")]
    Gone(Object),
    /// There again under its name, and another.
    #[error("the {0} of the token was deleted and made anew: its UID does not match the claim")]
    OtherUid(Object),
    /// Deleted, and past its grace.
    #[error("the {0} of the token has been deleted")]
    Deleted(Object),
    /// A Secret that holds another token.
    #[error("Token does not match server's copy")]
    NotHeld,
    /// A Secret that was marked as unused.
    #[error(
        "the token in secret {secret} for service account {account} has been marked invalid; use tokens from the \
         TokenRequest API, or remove the label kubernetes.io/legacy-token-invalid-since from the secret"
    )]
    MarkedInvalid {
        /// Namespace and name.
        secret: String,
        /// Namespace and name.
        account: String,
        /// The Secret, if its last-used label is due: that somebody tried counts.
        used: Option<Box<UsedSecret>>,
    },
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// Its account.
    ServiceAccount,
    /// A pod.
    Pod,
    /// A Secret.
    Secret,
    /// A node.
    Node,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceAccount => "service account",
            Self::Pod => "pod",
            Self::Secret => "secret",
            Self::Node => "node",
        })
    }
}

/// A Secret whose token was used: its label `kubernetes.io/legacy-token-last-used` is to become `day`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSecret {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, as a precondition.
    pub uid: String,
    /// `2026-11-24`, in UTC.
    pub day: String,
}

impl ServiceAccounts {
    /// How many tokens were remembered when they came, and how many had to be verified.
    #[must_use]
    pub fn recalls(&self) -> (u64, u64) {
        self.verified.recalls()
    }

    /// `issuers` are all values of `--service-account-issuer`, of which the first issues; `audiences` are those of
    /// the API server (`--api-audiences`, or the first issuer).
    pub fn new(
        keys: Keys,
        issuers: impl IntoIterator<Item = String>,
        audiences: impl IntoIterator<Item = String>,
    ) -> Result<Self, NoRandomness> {
        Ok(Self {
            keys,
            issuers: issuers.into_iter().filter(|issuer| !issuer.is_empty()).collect(),
            audiences: audiences.into_iter().collect(),
            verified: cache::Verified::new()?,
        })
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What either kind of token is, by [`Scheme::LegacyServiceAccount`] and [`Scheme::ServiceAccount`]. `target` is
    /// for whom the token is to be good; `None` is for the API server.
    pub(super) fn authenticate(
        &self,
        token: &Token<'_>,
        target: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> [(Scheme, Verdict); 2] {
        let (issuer, signed) = match self.verified.recall(token, || self.verify(token.text())) {
            Ok(signed) => (None, Ok(signed)),
            Err(Unverified::Declined(reason)) => {
                return KINDS.map(|scheme| (scheme, Verdict::Declined(reason)));
            }
            Err(Unverified::Invalid(issuer, reason)) => (Some(issuer), Err(reason)),
        };
        let issuer = match (&issuer, &signed) {
            (Some(issuer), _) => issuer.as_str(),
            (None, Ok(signed)) => signed.claims.iss.as_str(),
            (None, Err(_)) => "",
        };
        KINDS.map(|scheme| {
            let ours = match scheme {
                Scheme::LegacyServiceAccount => issuer == LEGACY_ISSUER,
                _ => self.is_ours(issuer),
            };
            let verdict = match &signed {
                _ if !ours => Verdict::Declined(Declined::OtherIssuer),
                Err(reason) => Verdict::Refused(reason.clone().into()),
                Ok(signed) => self
                    .judge(scheme, token, signed, target, lookup, now)
                    .map_or_else(|reason| Verdict::Refused(reason.into()), Verdict::Authenticated),
            };
            (scheme, verdict)
        })
    }

    fn is_ours(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|ours| ours == issuer)
    }

    /// Whether the token is of this cluster, and a key of it made the signature.
    fn verify(&self, token: &str) -> Result<Signed, Unverified> {
        let jws = Jws::split(token).ok_or(Unverified::Declined(Declined::NotJwt))?;
        let issuer = claims::issuer(&jws.payload).ok_or(Unverified::Declined(Declined::NotJwt))?;
        if issuer != LEGACY_ISSUER && !self.is_ours(&issuer) {
            return Err(Unverified::Declined(Declined::OtherIssuer));
        }
        self.verify_signature(&jws)
            .map_err(|reason| Unverified::Invalid(issuer, reason))
    }

    fn verify_signature(&self, jws: &Jws<'_>) -> Result<Signed, InvalidToken> {
        self.keys.verify(&jws.proof()?).map_err(|fault| match fault {
            BadSignature::NoKey => InvalidToken::NoKey,
            BadSignature::Invalid => InvalidToken::Signature,
        })?;
        let claims: Claims = serde_json::from_slice(&jws.payload).map_err(|_| InvalidToken::Claims)?;
        Ok(Signed {
            bound_user: claims
                .bound
                .as_ref()
                .map(|bound| with_authenticated_group(bound::user(&claims, bound))),
            legacy_user: with_authenticated_group(legacy::user(&claims)),
            audiences: self.common_audiences(&claims, &self.audiences).into(),
            claims,
        })
    }

    /// Those of the asked audiences that a token is for. A token without audiences is for the API server.
    fn common_audiences(&self, claims: &Claims, target: &[String]) -> Vec<String> {
        let own: &[String] = if claims.aud.is_empty() {
            &self.audiences
        } else {
            &claims.aud
        };
        target
            .iter()
            .filter(|audience| own.contains(audience))
            .cloned()
            .collect()
    }

    fn judge(
        &self,
        scheme: Scheme,
        token: &Token<'_>,
        signed: &Signed,
        target: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Result<Authenticated, InvalidToken> {
        let claims = &signed.claims;
        let audiences = match target {
            None => Arc::clone(&signed.audiences),
            Some(target) => self.common_audiences(claims, target).into(),
        };
        if audiences.is_empty() && !self.audiences.is_empty() {
            return Err(InvalidToken::Audience {
                token: claims.aud.clone(),
                target: target.unwrap_or(&self.audiences).to_vec(),
            });
        }
        let annotation = claims
            .aud
            .is_empty()
            .then(|| ("authentication.k8s.io/legacy-token", claims.sub.clone()));
        let mut authenticated = if scheme == Scheme::LegacyServiceAccount {
            let mut authenticated = Authenticated::new(scheme, Arc::clone(&signed.legacy_user), audiences);
            legacy::check(token.text(), claims, lookup, now, &mut authenticated)?;
            authenticated
        } else {
            claims.valid_at(now).map_err(|fault| match fault {
                BadTime::Expired => {
                    self.verified.forget(token);
                    InvalidToken::Expired
                }
                BadTime::NotYetValid => InvalidToken::NotYetValid,
                BadTime::IssuedInTheFuture => InvalidToken::IssuedInTheFuture,
            })?;
            let (Some(bound), Some(user)) = (&claims.bound, &signed.bound_user) else {
                return Err(InvalidToken::Incomplete("kubernetes.io"));
            };
            bound::check(bound, lookup, now)?;
            let mut authenticated = Authenticated::new(scheme, Arc::clone(user), audiences);
            authenticated.annotations.extend(bound::stale(claims, bound, now));
            authenticated
        };
        authenticated.annotations.extend(annotation);
        Ok(authenticated)
    }
}

/// The kinds of token, in the order in which upstream asks for them.
const KINDS: [Scheme; 2] = [Scheme::LegacyServiceAccount, Scheme::ServiceAccount];

/// Not ours, or not good, with its issuer.
enum Unverified {
    Declined(Declined),
    Invalid(String, InvalidToken),
}

/// `system:serviceaccount:NAMESPACE:NAME`.
fn name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// An account as a user.
fn user(namespace: &str, account: &str, uid: &str) -> User {
    User {
        name: name(namespace, account),
        uid: uid.to_owned(),
        groups: vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")],
        ..User::default()
    }
}
