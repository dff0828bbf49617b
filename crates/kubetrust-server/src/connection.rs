//! One client connection: who is at the other end.

use std::net::SocketAddr;

use kubetrust_auth::authn::{LastToken, PeerChain};

/// A connection whose handshake is done.
pub struct Connection {
    /// The other end.
    pub remote: SocketAddr,
    /// The certificates that the client sent; it has shown that it holds the key of the first, and none was verified.
    /// What the authenticators find out about them is remembered in it, so that a chain is verified once.
    pub peer: Option<PeerChain>,
    /// What is remembered of the token that came last.
    pub last_token: LastToken,
}
