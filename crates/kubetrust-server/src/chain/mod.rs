//! The chain that every request goes through before a handler sees it.
//!
//! ```text
//! Received → authenticate → Authenticated → impersonate → limit → authorize → Authorized
//! ```
//!
//! Each step takes the type of the step before and gives its own: a handler takes an [`Authorized`], which nothing but
//! [`authorize`] makes. A step that refuses gives a Status and nothing else.

pub mod authenticate;
pub mod authorize;
pub mod impersonate;
pub mod limit;

use std::sync::Arc;

use http::request::Parts;
use hyper::body::Incoming;
use jiff::Timestamp;
use kubetrust_auth::user::User;

use crate::connection::Connection;
use crate::http::request_info::RequestInfo;

pub use authenticate::Authenticated;
pub use authorize::Authorized;

/// A request whose line has been read. It goes through the chain in a box: every step hands it on.
pub struct Received {
    /// Method, URI and headers.
    pub head: Parts,
    /// The body, not read yet.
    pub body: Incoming,
    /// What the request line asks for.
    pub info: RequestInfo,
    /// The connection that it came on.
    pub connection: Arc<Connection>,
    /// When it came.
    pub now: Timestamp,
}

/// Who a request is made as, and by whom.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who the request acts as.
    pub user: Arc<User>,
    /// Who made it, where that is someone else (impersonation).
    pub by: Option<Arc<User>>,
}
