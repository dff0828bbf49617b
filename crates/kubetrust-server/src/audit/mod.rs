//! Who did what, when, and how it ended (`k8s.io/apiserver/pkg/audit`): `--audit-policy-file` and `--audit-log-*`.
//!
//! ```text
//! authenticated → begin (policy) → Record ─ RequestReceived ─ … ─ ResponseStarted ─ ResponseComplete → log
//!      refused  → refused (policy) ─ ResponseStarted → log                        └ or Panic
//! ```
//!
//! It differs from upstream in what it can't be made to record: no token, and nothing of what a Secret holds, whatever
//! the policy says ([`redact`]); in objects that are cut at [`MAX_OBJECT`] always; in a policy that is refused where
//! upstream warns of it; and in a log that neither blocks requests for long nor grows in memory ([`log`]).

mod client;
pub mod counters;
pub mod event;
pub mod level;
pub mod log;
pub mod policy;
mod record;
pub mod redact;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use jiff::Timestamp;
use kubetrust_api::status::Status;
use kubetrust_auth::user::User;

use crate::chain::Received;
use crate::connection::Connection;
use crate::http::request_info::RequestInfo;
use level::{Level, Stage};
use log::Log;
use policy::{Policy, PolicyError};

pub use client::requested_id;
pub use record::{MAX_ANNOTATIONS, MAX_OBJECT, Record};

/// Where stages get their time from.
pub type Clock = fn() -> Timestamp;

/// Auditing, on or off. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Audit(Option<Arc<Auditor>>);

#[derive(Debug)]
struct Auditor {
    policy: ArcSwap<Policy>,
    log: Log,
    clock: Clock,
}

/// A request, as far as events tell of it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its id, that the `Audit-ID` header of the answer says too.
    pub id: &'a str,
    /// Its head.
    pub head: &'a Parts,
    /// What its line asks for.
    pub info: &'a RequestInfo,
    /// The connection that it came on.
    pub connection: &'a Connection,
    /// When it came.
    pub now: Timestamp,
}

impl<'a> Request<'a> {
    /// From the request as the chain has it.
    pub fn of(id: &'a str, received: &'a Received) -> Self {
        let Received {
            head,
            info,
            connection,
            now,
            ..
        } = received;
        Self {
            id,
            head,
            info,
            connection,
            now: *now,
        }
    }
}

impl Audit {
    /// Records nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Records into a log what a policy says.
    pub fn new(policy: Policy, log: Log, clock: Clock) -> Self {
        Self(Some(Arc::new(Auditor {
            policy: ArcSwap::from_pointee(policy),
            log,
            clock,
        })))
    }

    /// Goes on with another policy. Requests that have begun keep the one that they began with.
    pub fn replace(&self, policy: Policy) {
        if let Some(auditor) = &self.0 {
            auditor.policy.store(Arc::new(policy));
        }
    }

    /// Goes on with the policy of a file that has changed; if it is not good, with the one that there is.
    pub fn reload(&self, file: &[u8]) -> Result<(), PolicyError> {
        self.replace(Policy::parse(file)?);
        Ok(())
    }

    /// Begins the record of a request whose user is known, before anything is done for it: call it after authentication
    /// and before impersonation. Costs the policy's rules where nothing is recorded, and nothing where auditing is off.
    pub async fn begin(&self, request: &Request<'_>, user: &Arc<User>) -> Record {
        let Some(record) = self.record(request, Some(user)) else {
            return Record::none();
        };
        record.emit(Stage::RequestReceived).await;
        record
    }

    /// Records that authentication failed. As upstream has it the event is of stage `ResponseStarted`, its user is
    /// empty, and its message says how it was tried.
    pub async fn refused(&self, request: &Request<'_>, status: &Status) {
        if let Some(record) = self.record(request, None) {
            let has_certificate = request.connection.peer.is_some();
            record
                .refuse(status, client::attempted(&request.head.headers, has_certificate))
                .await;
        }
    }

    fn record(&self, request: &Request<'_>, user: Option<&Arc<User>>) -> Option<Record> {
        let auditor = self.0.as_ref()?;
        let config = auditor.policy.load().level_of(user.map(Arc::as_ref), request.info);
        auditor.log.counters().level(config.level).inc();
        (config.level != Level::None).then(|| Record::new(Arc::clone(auditor), config, request, user))
    }

    /// Waits until all events so far are written and on the disk, as a server does before it stops. False if the log
    /// did not manage it within [`log::MAX_FLUSH`].
    pub async fn flush(&self) -> bool {
        match &self.0 {
            Some(auditor) => auditor.log.flush().await,
            None => true,
        }
    }

    /// What it counts, for `/metrics`; `None` where it is off.
    #[must_use]
    pub fn counters(&self) -> Option<&counters::Counters> {
        self.0.as_ref().map(|auditor| auditor.log.counters())
    }
}
