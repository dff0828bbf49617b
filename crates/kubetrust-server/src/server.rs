//! The API server as a whole: what it holds, and the way of a request through it.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request};
use hyper::body::Incoming;
use jiff::Timestamp;
use kubetrust_api::status::Status;
use kubetrust_auth::authn::Authenticators;
use kubetrust_auth::authn::service_account::UsedSecret;
use kubetrust_auth::authz::Authorizer;
use kubetrust_auth::random::uuid;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, error, info_span};

use crate::admission::Admission;
use crate::aside;
use crate::audit::{self, Audit, Record};
use crate::chain::authenticate::authenticate;
use crate::chain::authorize::authorize;
use crate::chain::impersonate::impersonate;
use crate::chain::limit::InFlight;
use crate::chain::{Authenticated, Received};
use crate::connection::Connection;
use crate::credentials::Reloads;
use crate::endpoints;
use crate::endpoints::backup::Live;
use crate::http::request_info::{BadLine, RequestInfo};
use crate::http::respond::{self, Reply};
use crate::issuer::Issuer;
use crate::listen::Handler;
use crate::metrics::{About, Metrics, dry_run};
use crate::registry::Registry;
use crate::registry::target::Target;

/// Longest that a request may take which is not long-running (`--request-timeout`).
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// More objects are many.
const MANY: usize = 500;
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// A running API server.
pub struct ApiServer {
    /// The objects.
    pub registry: Registry,
    /// Who is believed. Replaced as a whole when a file changes.
    pub authenticators: Arc<ArcSwap<Authenticators>>,
    /// Who may what.
    pub authorizer: Arc<Authorizer>,
    /// What writes have to pass.
    pub admission: Admission,
    /// Who did what.
    pub audit: Audit,
    /// How many requests at once.
    pub in_flight: InFlight,
    /// What signs service-account tokens and says who issued them.
    pub issuer: Arc<ArcSwap<Issuer>>,
    /// What is told about itself.
    pub health: endpoints::health::Health,
    /// What is counted.
    pub metrics: Metrics,
    /// How often credentials were replaced.
    pub reloads: Arc<Reloads>,
    /// `HOST:PORT` that clients are told to reach this server at.
    pub address: String,
    /// The embedded store, for backups; `None` on etcd.
    pub embedded: Option<Live>,
    /// Secrets whose tokens were used, to be labelled so.
    pub used_secrets: mpsc::Sender<UsedSecret>,
    /// True when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl Handler for ApiServer {
    async fn handle(&self, connection: Arc<Connection>, request: Request<Incoming>) -> Reply {
        let id = audit::requested_id(request.headers()).map_or_else(|| uuid().unwrap_or_default(), str::to_owned);
        let span = info_span!("request", %id);
        // What wraps it holds it twice: a pointer, not all that a request may need.
        let answered = AssertUnwindSafe(Box::pin(self.answer(&id, connection, request)))
            .catch_unwind()
            .instrument(span)
            .await;
        let mut reply = answered.unwrap_or_else(|_| {
            error!(%id, "a handler panicked");
            respond::failure(&Status::internal(
                "the server failed to answer this request; its log says more",
            ))
        });
        if let Ok(mut value) = HeaderValue::from_str(&id) {
            // No secret, but never the same again: HTTP/2 is not to keep it for the next answer (RFC 7541, 7.1.3).
            value.set_sensitive(true);
            reply.headers_mut().insert(AUDIT_ID, value);
        }
        reply
    }
}

impl ApiServer {
    async fn answer(&self, id: &str, connection: Arc<Connection>, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let info = match RequestInfo::of(&head.method, &head.uri) {
            Ok(info) => info,
            // Whoever can't say what is asked for is told so before it is looked who asks: there is nothing to protect.
            Err(bad) => return respond::failure(&status_of(bad)),
        };
        let begun = Instant::now();
        let about = About::of(&head.method, &info);
        let (counted, dry) = (self.metrics.requests.enter(&info, about), dry_run(&info));
        let gzip = respond::takes_gzip(&head.headers);
        let is_long = goes_through_many(&info, |target| self.registry.has_more_than(MANY, target));
        let received = Box::new(Received {
            head,
            body,
            info,
            connection,
            now: Timestamp::now(),
        });
        let reply = aside::when(is_long, pin!(self.serve(id, received))).await;
        let reply = respond::compress(gzip, reply);
        self.metrics.requests.answered(about, dry, &reply, begun.elapsed());
        reply.map(|body| {
            body.shown_to(move |_| {
                let _until_it_ends = &counted;
            })
        })
    }

    /// Authentication, audit, and the rest of the chain: each step that refuses is recorded.
    async fn serve(&self, id: &str, received: Box<Received>) -> Reply {
        let authenticated = match authenticate(received, &self.authenticators.load(), &self.registry) {
            Ok(authenticated) => authenticated,
            Err(refused) => {
                let marked = refused.marked_secret();
                self.metrics.authentication.failed(marked.is_some());
                self.used(marked.flatten());
                let request = audit::Request::of(id, &refused.received);
                self.audit.refused(&request, &refused.status).await;
                return respond::failure(&refused.status);
            }
        };
        let found = authenticated.found();
        self.metrics
            .authentication
            .succeeded(found, authenticated.received().now);
        self.used(found.used_secret.as_ref());
        let request = audit::Request::of(id, authenticated.received());
        let record = self.audit.begin(&request, &authenticated.identity().user).await;
        for (key, value) in &authenticated.found().annotations {
            record.annotate(key, value);
        }
        let reply = match self.work(authenticated, &record).await {
            Ok(reply) => {
                record.response(&reply);
                reply
            }
            Err(status) => {
                record.failed(&status);
                respond::failure(&status)
            }
        };
        record.finish(reply).await
    }

    /// Leaves a Secret whose token was used to be labelled so. Where too many wait, the next use is time enough.
    fn used(&self, secret: Option<&UsedSecret>) {
        if let Some(secret) = secret {
            let _ = self.used_secrets.try_send(secret.clone());
        }
    }

    /// What is done for a user who is known.
    async fn work(&self, authenticated: Authenticated, record: &Record) -> Result<Reply, Status> {
        let authenticated = impersonate(authenticated, &self.authorizer)?;
        if authenticated.identity().by.is_some() {
            record.impersonated(&authenticated.identity().user);
        }
        let _slot = self.in_flight.enter(&authenticated)?;
        let authorized = match authorize(authenticated, &self.authorizer) {
            Ok(authorized) => authorized,
            Err(denied) => {
                record.authorized(false, &denied.reason);
                return Err(denied.status);
            }
        };
        record.authorized(true, authorized.reason());
        if authorized.received().info.is_long_running() {
            return endpoints::serve(self, authorized, record).await;
        }
        tokio::time::timeout(REQUEST_TIMEOUT, endpoints::serve(self, authorized, record))
            .await
            .unwrap_or_else(|_| {
                Err(Status::timeout(
                    "the request did not complete within the allotted timeout",
                ))
            })
    }
}

/// Whether so many objects are looked at that it takes long. (A watch may go on where another was; that is not asked here.)
fn goes_through_many(info: &RequestInfo, are_many: impl Fn(&Target) -> bool) -> bool {
    info.resource().is_some_and(|asked| {
        matches!(asked.verb.as_str(), "list" | "watch" | "deletecollection")
            && Target::of(asked).is_ok_and(|target| are_many(&target))
    })
}

fn status_of(bad: BadLine) -> Status {
    match bad {
        BadLine::TooLong => Status::new(414, "BadRequest", bad.to_string()),
        BadLine::Malformed => Status::bad_request(bad.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn what_goes_through_many_objects_is_known_before_it_is_done() {
        let pods = "/api/v1/namespaces/a/pods";
        for (method, path, are_many, is_long) in [
            (Method::GET, pods, false, false),
            (Method::GET, pods, true, true),
            (Method::GET, "/api/v1/pods?watch=1", true, true),
            (Method::DELETE, pods, true, true),
            (Method::GET, "/api/v1/namespaces/a/pods/p", true, false),
            (Method::DELETE, "/api/v1/namespaces/a/pods/p", true, false),
            (Method::POST, pods, true, false),
            (Method::GET, "/apis/none/v1/things", true, false),
            (Method::GET, "/healthz", true, false),
        ] {
            let info = RequestInfo::of(&method, &path.parse().unwrap()).unwrap();
            let found = goes_through_many(&info, |_| are_many);
            assert_eq!(found, is_long, "{method} {path} {are_many}");
        }
    }
}
