//! What a scheme has to say about a request, and why. The texts are for the log: no secret is in any of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{bearer, bootstrap, front_proxy, service_account, x509};
use crate::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};

/// A way of proving who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// X-Remote-* headers of a proxy that proves itself by certificate (S9).
    FrontProxy,
    /// A client certificate.
    X509,
    /// The `Authorization: Bearer` header: what the token schemes below read.
    Bearer,
    /// A bearer token in a WebSocket's subprotocol, for browsers, which can't set headers.
    WebSocket,
    /// `--token-auth-file` (S12).
    TokenFile,
    /// A service account's token from a Secret.
    LegacyServiceAccount,
    /// A service account's token from the `TokenRequest` API.
    ServiceAccount,
    /// A bootstrap token (S3).
    Bootstrap,
    /// `--basic-auth-file` (S4).
    PasswordFile,
    /// No proof at all.
    Anonymous,
}

impl Scheme {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 10] = [
        Self::FrontProxy,
        Self::X509,
        Self::Bearer,
        Self::WebSocket,
        Self::TokenFile,
        Self::LegacyServiceAccount,
        Self::ServiceAccount,
        Self::Bootstrap,
        Self::PasswordFile,
        Self::Anonymous,
    ];

    /// As logs and explanations name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrontProxy => "front-proxy",
            Self::X509 => "x509",
            Self::Bearer => "bearer",
            Self::WebSocket => "websocket",
            Self::TokenFile => "token-file",
            Self::LegacyServiceAccount => "legacy-service-account",
            Self::ServiceAccount => "service-account",
            Self::Bootstrap => "bootstrap-token",
            Self::PasswordFile => "password-file",
            Self::Anonymous => "anonymous",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one scheme makes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing was presented that this scheme reads.
    Declined(Declined),
    /// Something was presented, and it is not good. Unless another scheme accepts, the request ends here.
    Refused(Refused),
    /// It is known who is asking.
    Authenticated(Authenticated),
}

/// Why a scheme has no opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The connection has no client certificate.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The certificate is good and names nobody.
    #[error("the certificate has no common name")]
    NoCommonName,
    /// The proxy is good and speaks for itself.
    #[error("no header names a user")]
    NoUserHeader,
    /// No `Authorization` header, or an empty one.
    #[error("there is no Authorization header")]
    NoAuthorization,
    /// `Authorization` of a scheme that isn't this one.
    #[error("the Authorization header is not of this scheme, or has no credential")]
    OtherAuthorization,
    /// `Authorization: Bearer  token`, with two spaces.
    #[error("{}", bearer::EXTRA_SPACE)]
    ExtraSpace,
    /// No WebSocket handshake, or no token in it.
    #[error("no WebSocket subprotocol carries a token")]
    NoSubprotocol,
    /// The token file has no such token.
    #[error("the token is not in the token file")]
    UnknownToken,
    /// It is not three base64url parts with an issuer.
    #[error("the token is not a JSON Web Token")]
    NotJwt,
    /// A JWT of somebody else.
    #[error("the token was issued by somebody else")]
    OtherIssuer,
    /// A bootstrap token's Secret doesn't vouch for it.
    #[error(transparent)]
    Bootstrap(#[from] bootstrap::NoBootstrapToken),
    /// The scheme knows of no audience but the server, and another is asked for.
    #[error("the scheme answers for the API server's audiences only, and others are asked for")]
    OtherAudience,
    /// Anonymous requests aren't allowed.
    #[error("anonymous requests are switched off")]
    AnonymousOff,
    /// Anonymous requests are allowed on other paths.
    #[error("anonymous requests are not allowed on this path")]
    AnonymousPath,
}

/// Why a scheme rejects what was presented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The certificate or its chain.
    #[error(transparent)]
    Certificate(#[from] x509::Untrusted),
    /// The proxy or its headers.
    #[error(transparent)]
    FrontProxy(#[from] front_proxy::Distrusted),
    /// A JWT of this cluster that isn't good.
    #[error(transparent)]
    ServiceAccount(#[from] service_account::InvalidToken),
    /// The header or subprotocol that should carry a token.
    #[error(transparent)]
    Bearer(#[from] bearer::Malformed),
    /// A bearer token that no scheme accepts.
    #[error("invalid bearer token")]
    UnknownToken,
    /// A user or password that isn't in the file.
    #[error("invalid username/password combination")]
    Password,
}

/// Who is asking, and what else the scheme has to say.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The identity, `system:authenticated` included.
    pub user: Arc<User>,
    /// The scheme that vouches for it.
    pub scheme: Scheme,
    /// Those of the asked audiences that the credential is good for; empty when audiences aren't configured.
    pub audiences: Arc<[String]>,
    /// `Warning` headers for the answer.
    pub warnings: Vec<Cow<'static, str>>,
    /// Annotations for the audit event.
    pub annotations: Vec<(&'static str, String)>,
    /// The Secret of a legacy token, whose last-used label is due.
    pub used_secret: Option<service_account::UsedSecret>,
    /// Until when the certificate, and its chain, prove it.
    pub expires: Option<Timestamp>,
}

impl Authenticated {
    pub(super) fn new(scheme: Scheme, user: Arc<User>, audiences: Arc<[String]>) -> Self {
        Self {
            user,
            scheme,
            audiences,
            warnings: Vec::new(),
            annotations: Vec::new(),
            used_secret: None,
            expires: None,
        }
    }
}

/// Adds the group of all who proved who they are, where Kubernetes does (`authenticated_group_adder.go`).
pub(super) fn with_authenticated_group(mut user: User) -> Arc<User> {
    let settled = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.name != ANONYMOUS && !user.groups.iter().any(settled) {
        user.groups.push(AUTHENTICATED.into());
    }
    Arc::new(user)
}

/// The request proves nobody: 401. The reasons are for the log; the client learns none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Each scheme that rejected what was presented; none when nothing was presented and anonymous is off.
    pub reasons: Vec<(Scheme, Refused)>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f.write_str("no credentials were presented, and anonymous requests are not allowed here");
        }
        for (index, (scheme, reason)) in self.reasons.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{scheme}: {reason}")?;
        }
        Ok(())
    }
}

/// The way to a decision: every scheme that was asked, in order, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The schemes, in the order in which they were asked.
    pub attempts: Vec<(Scheme, Outcome)>,
}

/// What a scheme answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No opinion.
    Declined(Declined),
    /// No.
    Refused(Refused),
    /// Yes: the user's name.
    Authenticated(String),
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Declined(reason) => Self::Declined(*reason),
            Verdict::Refused(reason) => Self::Refused(reason.clone()),
            Verdict::Authenticated(authenticated) => Self::Authenticated(authenticated.user.name.clone()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(reason) => write!(f, "declined: {reason}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Authenticated(name) => write!(f, "authenticated: {name:?}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (scheme, outcome)) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{scheme} {outcome}")?;
        }
        Ok(())
    }
}
