//! TLS: what the server shows, and what it asks for.
//!
//! The handshake requests a client certificate and checks that the client holds its key. Whether the chain is one to
//! believe is left to the authenticators: there are two pools (clients and front proxies), and a certificate that is
//! refused gets a 401 with a Status, not a broken connection.

pub mod possession;
pub mod serving;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

pub use serving::{ServingError, ServingPair, ServingPairs};

/// The protocols that are offered, in the order that is preferred.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// TLS sessions that can be resumed.
const SESSIONS: usize = 4096;

/// The one cryptographic backend, hybrid post-quantum key exchange first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The configuration for new connections: these serving pairs, and these authorities as hints to clients that have
/// several certificates.
pub fn server_config(
    pairs: &Arc<ServingPairs>,
    client_authorities: &[CertificateDer<'static>],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let verifier = possession::Possession::new(&provider, client_authorities);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::clone(pairs) as Arc<dyn rustls::server::ResolvesServerCert>);
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
    Ok(Arc::new(config))
}
