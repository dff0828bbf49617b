//! Issuing tokens: what a `TokenRequest` gets (`pkg/registry/core/serviceaccount/storage/token.go`), and what a
//! Secret of type `kubernetes.io/service-account-token` holds.

use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::claims::{Bound, Claims, LEGACY_ISSUER, Legacy, Reference};
use super::jws;
use super::keys::{CannotSign, SigningKey};
use crate::random::{NoRandomness, uuid};

/// The shortest life that may be asked for.
pub const SHORTEST_SECONDS: i64 = 10 * 60;
/// The longest life that may be asked for.
pub const LONGEST_SECONDS: i64 = 1 << 32;
/// What the kubelet asks for pods that have not chosen: 1 hour and 7 seconds, a value nobody else asks for.
pub const KUBELET_SECONDS: i64 = 60 * 60 + 7;
/// What it gets when old clients, which never read their token again, are waited for.
pub const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Issues tokens in the name of one issuer.
pub struct TokenIssuer {
    issuer: String,
    key: SigningKey,
    audiences: Vec<String>,
    longest_seconds: Option<i64>,
    extend: bool,
}

/// What a `TokenRequest` asks for, once its objects have been found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAsk {
    /// Namespace of the account.
    pub namespace: String,
    /// The account.
    pub account: Reference,
    /// What the token dies with, besides the account.
    pub bound_to: BoundTo,
    /// For whom; empty is for the API server.
    pub audiences: Vec<String>,
    /// Seconds of life.
    pub expiration_seconds: i64,
}

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BoundTo {
    /// The account alone.
    #[default]
    Account,
    /// A pod; and the node that it runs on, of which the UID is empty if it isn't known.
    Pod(Reference, Option<Reference>),
    /// A Secret.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// A token, and what is answered with it.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// `spec.audiences` of the answer.
    pub audiences: Vec<String>,
    /// `spec.expirationSeconds` of the answer.
    pub expiration_seconds: i64,
    /// `status.expirationTimestamp`: when a new one is to be asked for, which may be before this one's end.
    pub expiration: Timestamp,
    /// `JTI=…`, for the audit annotation `authentication.kubernetes.io/issued-credential-id`.
    pub credential_id: String,
    /// `Warning` header for the answer.
    pub warning: Option<String>,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// `spec.expirationSeconds`: invalid.
    #[error("may not specify a duration less than 10 minutes")]
    TooShort,
    /// `spec.expirationSeconds`: invalid.
    #[error("may not specify a duration larger than 2^32 seconds")]
    TooLong,
    /// Internal.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Internal.
    #[error(transparent)]
    Sign(#[from] CannotSign),
    /// Internal: no claims of ours can't be written.
    #[error("the claims can't be written as JSON")]
    Json,
}

impl TokenIssuer {
    /// `audiences` are those of the API server; `longest_seconds` is `--service-account-max-token-expiration`;
    /// `extend` is `--service-account-extend-token-expiration`.
    #[must_use]
    pub fn new(
        issuer: String,
        key: SigningKey,
        audiences: Vec<String>,
        longest_seconds: Option<i64>,
        extend: bool,
    ) -> Self {
        Self {
            issuer,
            key,
            audiences,
            longest_seconds: longest_seconds.filter(|seconds| *seconds > 0),
            extend,
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Answers a `TokenRequest`.
    pub fn issue(&self, ask: TokenAsk, now: Timestamp) -> Result<IssuedToken, IssueError> {
        let asked = ask.expiration_seconds;
        if asked < SHORTEST_SECONDS {
            return Err(IssueError::TooShort);
        }
        if asked > LONGEST_SECONDS {
            return Err(IssueError::TooLong);
        }
        let seconds = self.longest_seconds.map_or(asked, |longest| asked.min(longest));
        let warning = (seconds != asked)
            .then(|| format!("requested expiration of {asked} seconds shortened to {seconds} seconds"));
        let audiences = if ask.audiences.is_empty() {
            self.audiences.clone()
        } else {
            ask.audiences
        };
        let ours = audiences.iter().all(|audience| self.audiences.contains(audience));
        let extended = self.extend && ours && seconds == KUBELET_SECONDS && matches!(ask.bound_to, BoundTo::Pod(..));

        let issued = now.as_second();
        let jti = uuid()?;
        let (pod, secret, node) = match ask.bound_to {
            BoundTo::Account => (None, None, None),
            BoundTo::Pod(pod, node) => (Some(pod), None, node),
            BoundTo::Secret(secret) => (None, Some(secret), None),
            BoundTo::Node(node) => (None, None, Some(node)),
        };
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: super::name(&ask.namespace, &ask.account.name),
            aud: audiences.clone(),
            iat: Some(issued),
            nbf: Some(issued),
            exp: Some(issued.saturating_add(if extended { EXTENDED_SECONDS } else { seconds })),
            jti: jti.clone(),
            bound: Some(Bound {
                namespace: ask.namespace,
                serviceaccount: ask.account,
                pod,
                secret,
                node,
                warnafter: extended.then(|| issued.saturating_add(seconds)),
            }),
            legacy: Legacy::default(),
        };
        Ok(IssuedToken {
            token: self.sign(&claims)?,
            audiences,
            expiration_seconds: seconds,
            expiration: now
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MAX),
            credential_id: format!("JTI={jti}"),
            warning,
        })
    }

    /// The token for a Secret of type `kubernetes.io/service-account-token`. It is good while that Secret holds it.
    pub fn issue_legacy(
        &self,
        namespace: &str,
        account: &Reference,
        secret: &str,
    ) -> Result<Zeroizing<String>, IssueError> {
        self.sign(&Claims {
            iss: LEGACY_ISSUER.to_owned(),
            sub: super::name(namespace, &account.name),
            legacy: Legacy {
                namespace: namespace.to_owned(),
                name: account.name.clone(),
                uid: account.uid.clone(),
                secret: secret.to_owned(),
            },
            ..Claims::default()
        })
    }

    fn sign(&self, claims: &Claims) -> Result<Zeroizing<String>, IssueError> {
        let payload = serde_json::to_vec(claims).map_err(|_| IssueError::Json)?;
        let signed = jws::to_sign(self.key.algorithm(), self.key.id(), &payload);
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(Zeroizing::new(jws::with_signature(&signed, &signature)))
    }
}
