//! All schemes in Kubernetes' order (`pkg/kubeapiserver/authenticator/config.go`): the first that accepts decides,
//! none can veto. A request that one rejected and none accepted is refused; one that none had an opinion on is
//! anonymous, where that is allowed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;

use super::anonymous::Anonymous;
use super::bearer::{self, NoToken};
use super::bootstrap;
use super::front_proxy::{FrontProxy, RemoteHeaders};
use super::lookup::Lookup;
use super::password_file::{PasswordFile, basic};
use super::presented::{PeerChain, Presented};
use super::service_account::ServiceAccounts;
use super::token::Token;
use super::token_file::TokenFile;
use super::verdict::{
    Authenticated, Declined, Explanation, Outcome, Refusal, Refused, Scheme, Verdict, with_authenticated_group,
};
use super::x509::{self, Untrusted, Verified};
use crate::user::User;

/// What is switched on. The default is nothing, and no request without credentials either.
pub struct Config {
    /// `--requestheader-*`.
    pub front_proxy: Option<FrontProxy>,
    /// `--client-ca-file`.
    pub client: Option<x509::Verifier>,
    /// `--token-auth-file`. Shared, so that a change of something else doesn't read it again.
    pub token_file: Option<Arc<TokenFile>>,
    /// `--basic-auth-file`.
    pub password_file: Option<Arc<PasswordFile>>,
    /// `--service-account-*`. Shared, so that the tokens it knows to be good survive a change of something else.
    pub service_accounts: Option<Arc<ServiceAccounts>>,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: bool,
    /// `--anonymous-auth`, or the configuration's.
    pub anonymous: Anonymous,
    /// `--api-audiences`, or the first issuer.
    pub audiences: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            front_proxy: None,
            client: None,
            token_file: None,
            password_file: None,
            service_accounts: None,
            bootstrap_tokens: false,
            anonymous: Anonymous::Off,
            audiences: Vec::new(),
        }
    }
}

/// One generation of the configuration, in force. It never changes; a new one takes its place.
pub struct Authenticators {
    config: Config,
    audiences: Arc<[String]>,
    anonymous: Arc<User>,
    generation: u64,
}

// Made once: it is needed on every request.
static STANDARD: LazyLock<RemoteHeaders> = LazyLock::new(RemoteHeaders::standard);

// What a connection remembers is of one generation; no two ever have the same number.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl Authenticators {
    /// Puts a configuration in force.
    pub fn new(config: Config) -> Self {
        Self {
            audiences: config.audiences.as_slice().into(),
            anonymous: Arc::new(User::anonymous()),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            config,
        }
    }

    /// Which generation this is. What a [`super::PeerChain`] remembers of another one doesn't count.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is switched on.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Who sent a request.
    pub fn authenticate(&self, presented: &Presented<'_>, lookup: &dyn Lookup) -> Result<Authenticated, Refusal> {
        Attempt::new(None).request(self, presented, lookup)
    }

    /// As [`Self::authenticate`], and how that came about.
    pub fn explain(
        &self,
        presented: &Presented<'_>,
        lookup: &dyn Lookup,
    ) -> (Result<Authenticated, Refusal>, Explanation) {
        let mut attempts = Vec::new();
        let result = Attempt::new(Some(&mut attempts)).request(self, presented, lookup);
        (result, Explanation { attempts })
    }

    /// Whether a scheme is switched on.
    #[must_use]
    pub fn is_on(&self, scheme: Scheme) -> bool {
        let config = &self.config;
        match scheme {
            Scheme::FrontProxy => config.front_proxy.is_some(),
            Scheme::X509 => config.client.is_some(),
            Scheme::Bearer | Scheme::WebSocket => true,
            Scheme::TokenFile => config.token_file.is_some(),
            Scheme::LegacyServiceAccount | Scheme::ServiceAccount => config.service_accounts.is_some(),
            Scheme::Bootstrap => config.bootstrap_tokens,
            Scheme::PasswordFile => config.password_file.is_some(),
            Scheme::Anonymous => !matches!(config.anonymous, Anonymous::Off),
        }
    }

    /// What each pool of CAs makes of a chain, by the flag that the pool comes from.
    #[must_use]
    pub fn pools(&self, peer: &PeerChain, now: Timestamp) -> Vec<(&'static str, Result<Arc<Verified>, Untrusted>)> {
        let chain = &peer.certificates;
        let client = self.config.client.as_ref().map(|verifier| {
            let found = x509::recall(&peer.as_client, verifier, chain, self.generation, now);
            ("--client-ca-file", found)
        });
        let proxy = self.config.front_proxy.as_ref().map(|proxy| {
            let found = x509::recall(&peer.as_proxy, proxy.verifier(), chain, self.generation, now);
            ("--requestheader-client-ca-file", found)
        });
        client.into_iter().chain(proxy).collect()
    }

    /// Whose a bearer token is, for a `TokenReview`. `audiences` are those of the review; `None` is the API server's.
    pub fn authenticate_token(
        &self,
        token: &str,
        audiences: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Result<Authenticated, Refusal> {
        let mut attempt = Attempt::new(None);
        let token = &Token::new(token);
        let found = attempt.token(self, Scheme::Bearer, token, audiences, lookup, now);
        found.ok_or(attempt.refusal())
    }

    /// Takes out of an authenticated request what proved who sent it, and whatever could look as if it did: no
    /// handler, and nobody the request is passed on to, is ever tempted to use it.
    pub fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        STANDARD.strip(headers);
        if let Some(proxy) = &self.config.front_proxy {
            proxy.headers().strip(headers);
        }
        bearer::strip_subprotocol(headers);
    }

    /// The audiences of schemes that know none: the server's own, as far as they were asked for.
    fn implicit_audiences(&self, target: Option<&[String]>) -> Result<Arc<[String]>, Declined> {
        let Some(target) = target else {
            return Ok(Arc::clone(&self.audiences));
        };
        let common: Arc<[String]> = target
            .iter()
            .filter(|each| self.audiences.contains(each))
            .cloned()
            .collect();
        if common.is_empty() {
            Err(Declined::OtherAudience)
        } else {
            Ok(common)
        }
    }
}

/// One request's way through the schemes.
struct Attempt<'a> {
    refused: Vec<(Scheme, Refused)>,
    extra_space: bool,
    trace: Option<&'a mut Vec<(Scheme, Outcome)>>,
}

impl<'a> Attempt<'a> {
    fn new(trace: Option<&'a mut Vec<(Scheme, Outcome)>>) -> Self {
        Self {
            refused: Vec::new(),
            extra_space: false,
            trace,
        }
    }

    fn refusal(self) -> Refusal {
        Refusal { reasons: self.refused }
    }

    /// Writes a verdict down, and ends the search if it is a success.
    fn note(&mut self, scheme: Scheme, verdict: Verdict) -> Option<Authenticated> {
        if let Some(trace) = &mut self.trace {
            trace.push((scheme, Outcome::from(&verdict)));
        }
        match verdict {
            Verdict::Authenticated(authenticated) => return Some(authenticated),
            Verdict::Refused(reason) => self.refused.push((scheme, reason)),
            Verdict::Declined(Declined::ExtraSpace) => self.extra_space = true,
            Verdict::Declined(_) => {}
        }
        None
    }

    fn request(
        mut self,
        all: &Authenticators,
        presented: &Presented<'_>,
        lookup: &dyn Lookup,
    ) -> Result<Authenticated, Refusal> {
        let found = self
            .front_proxy(all, presented)
            .or_else(|| self.certificate(all, presented))
            .or_else(|| self.bearer(all, presented, lookup))
            .or_else(|| self.websocket(all, presented, lookup))
            .or_else(|| self.password(all, presented))
            .or_else(|| self.anonymous(all, presented));
        let Some(mut authenticated) = found else {
            return Err(self.refusal());
        };
        if self.extra_space {
            authenticated.warnings.push(bearer::EXTRA_SPACE.into());
        }
        Ok(authenticated)
    }

    fn front_proxy(&mut self, all: &Authenticators, presented: &Presented<'_>) -> Option<Authenticated> {
        let proxy = all.config.front_proxy.as_ref()?;
        let verdict = match proxy.authenticate(presented, all.generation) {
            Ok(Ok(user)) => accept(Scheme::FrontProxy, user, all),
            Ok(Err(reason)) => Verdict::Declined(reason),
            Err(reason) => Verdict::Refused(reason),
        };
        self.note(Scheme::FrontProxy, verdict)
    }

    fn certificate(&mut self, all: &Authenticators, presented: &Presented<'_>) -> Option<Authenticated> {
        let verifier = all.config.client.as_ref()?;
        let verdict = match presented.peer {
            None => Verdict::Declined(Declined::NoCertificate),
            Some(peer) => {
                let now = presented.now;
                match x509::recall(&peer.as_client, verifier, &peer.certificates, all.generation, now) {
                    Err(reason) => Verdict::Refused(reason.into()),
                    Ok(found) => match &found.user {
                        None => Verdict::Declined(Declined::NoCommonName),
                        Some(user) => Verdict::Authenticated(Authenticated {
                            expires: Some(found.not_after),
                            ..Authenticated::new(Scheme::X509, Arc::clone(user), Arc::clone(&all.audiences))
                        }),
                    },
                }
            }
        };
        self.note(Scheme::X509, verdict)
    }

    fn bearer(
        &mut self,
        all: &Authenticators,
        presented: &Presented<'_>,
        lookup: &dyn Lookup,
    ) -> Option<Authenticated> {
        let header = bearer::authorization(presented.headers);
        match header.and_then(|header| Token::of_header(header, presented.last_token)) {
            Ok(token) => self.token(all, Scheme::Bearer, &token, None, lookup, presented.now),
            Err(reason) => self.note(Scheme::Bearer, reason.into()),
        }
    }

    fn websocket(
        &mut self,
        all: &Authenticators,
        presented: &Presented<'_>,
        lookup: &dyn Lookup,
    ) -> Option<Authenticated> {
        match bearer::in_subprotocol(presented.headers) {
            Ok(token) => {
                let token = &Token::new(&token);
                self.token(all, Scheme::WebSocket, token, None, lookup, presented.now)
            }
            Err(reason) => self.note(Scheme::WebSocket, reason.into()),
        }
    }

    /// Asks all that know tokens. Each may decline a token that it doesn't know; that none knows it is a refusal.
    fn token(
        &mut self,
        all: &Authenticators,
        source: Scheme,
        token: &Token<'_>,
        target: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Option<Authenticated> {
        let before = self.refused.len();
        let found = self
            .listed_token(all, token, target)
            .or_else(|| self.service_account(all, token, target, lookup, now))
            .or_else(|| self.bootstrap_token(all, token, target, lookup, now));
        if found.is_none() && self.refused.len() == before {
            self.note(source, Verdict::Refused(Refused::UnknownToken));
        }
        found
    }

    fn listed_token(
        &mut self,
        all: &Authenticators,
        token: &Token<'_>,
        target: Option<&[String]>,
    ) -> Option<Authenticated> {
        let file = all.config.token_file.as_ref()?;
        let user = file.find(token).cloned().ok_or(Declined::UnknownToken);
        self.note(Scheme::TokenFile, for_audiences(Scheme::TokenFile, user, all, target))
    }

    fn service_account(
        &mut self,
        all: &Authenticators,
        token: &Token<'_>,
        target: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Option<Authenticated> {
        let accounts = all.config.service_accounts.as_ref()?;
        accounts
            .authenticate(token, target, lookup, now)
            .into_iter()
            .find_map(|(scheme, verdict)| self.note(scheme, verdict))
    }

    fn bootstrap_token(
        &mut self,
        all: &Authenticators,
        token: &Token<'_>,
        target: Option<&[String]>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Option<Authenticated> {
        if !all.config.bootstrap_tokens {
            return None;
        }
        let user = bootstrap::authenticate(token.text(), lookup, now)
            .map(with_authenticated_group)
            .map_err(Declined::Bootstrap);
        self.note(Scheme::Bootstrap, for_audiences(Scheme::Bootstrap, user, all, target))
    }

    fn password(&mut self, all: &Authenticators, presented: &Presented<'_>) -> Option<Authenticated> {
        let file = all.config.password_file.as_ref()?;
        let verdict = match bearer::authorization(presented.headers) {
            Err(reason) => reason.into(),
            Ok(header) => match basic(header) {
                None => Verdict::Declined(Declined::OtherAuthorization),
                Some((name, password)) => match file.user(&name, &password) {
                    None => Verdict::Refused(Refused::Password),
                    Some(user) => accept(Scheme::PasswordFile, Arc::clone(user), all),
                },
            },
        };
        self.note(Scheme::PasswordFile, verdict)
    }

    fn anonymous(&mut self, all: &Authenticators, presented: &Presented<'_>) -> Option<Authenticated> {
        if !self.refused.is_empty() {
            return None;
        }
        let verdict = match all.config.anonymous.admits(presented.path) {
            Ok(()) => accept(Scheme::Anonymous, Arc::clone(&all.anonymous), all),
            Err(reason) => Verdict::Declined(reason),
        };
        self.note(Scheme::Anonymous, verdict)
    }
}

impl From<NoToken> for Verdict {
    fn from(reason: NoToken) -> Self {
        match reason {
            NoToken::Declined(reason) => Self::Declined(reason),
            NoToken::Refused(reason) => Self::Refused(reason),
        }
    }
}

fn accept(scheme: Scheme, user: Arc<User>, all: &Authenticators) -> Verdict {
    Verdict::Authenticated(Authenticated::new(scheme, user, Arc::clone(&all.audiences)))
}

/// The verdict of a scheme that knows no audiences (`WrapAudienceAgnosticToken`).
fn for_audiences(
    scheme: Scheme,
    user: Result<Arc<User>, Declined>,
    all: &Authenticators,
    target: Option<&[String]>,
) -> Verdict {
    user.and_then(|user| Ok((user, all.implicit_audiences(target)?)))
        .map_or_else(Verdict::Declined, |(user, audiences)| {
            Verdict::Authenticated(Authenticated::new(scheme, user, audiences))
        })
}
