//! What a request brought to prove who sent it.

use http::HeaderMap;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::token::LastToken;
use super::x509::Memo;

/// One request's credentials, and the circumstances that some schemes ask for.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The client certificate of the connection.
    pub peer: Option<&'a PeerChain>,
    /// What the connection remembers of its last token, where that may come again without being sent: on HTTP/2.
    pub last_token: Option<&'a LastToken>,
    /// All headers of the request.
    pub headers: &'a HeaderMap,
    /// The path of the URL, without the query.
    pub path: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// The certificates that a client sent in its handshake: its own, then intermediates, in its order.
///
/// The handshake proved that the client holds the first one's key; nobody looked at the chain. Keep one for each
/// connection: it remembers what the chain was found to be, until that ends or the configuration changes.
pub struct PeerChain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) as_client: Memo,
    pub(super) as_proxy: Memo,
}

impl PeerChain {
    /// `None` when the client sent no certificate.
    #[must_use]
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        (!certificates.is_empty()).then(|| Self {
            certificates,
            as_client: Memo::default(),
            as_proxy: Memo::default(),
        })
    }

    /// The certificates, the client's own first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}
