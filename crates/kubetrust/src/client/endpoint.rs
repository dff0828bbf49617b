//! Where a server is, by what it is believed, and what a client shows it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use kubetrust_pki::pem;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use zeroize::Zeroizing;

use super::{ClientError, bearer};

/// The port of an `https` URL that names none.
const HTTPS: u16 = 443;
const PROTOCOL: &[u8] = b"http/1.1";

/// An API server.
#[derive(Clone)]
pub struct Endpoint {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    prefix: String,
    name: ServerName<'static>,
    roots: Arc<RootCertStore>,
    address: Option<SocketAddr>,
}

impl Endpoint {
    /// The server at a URL, verified by the CAs in this PEM.
    pub fn new(url: &str, authorities: &[u8]) -> Result<Self, ClientError> {
        let roots = Arc::new(roots(authorities)?);
        Ok(Self {
            roots,
            ..Self::parse(url)?
        })
    }

    fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = |why| ClientError::Url {
            url: url.to_owned(),
            why,
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it can't be read"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("it does not begin with https://"));
        }
        let host = uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| wrong("its host is no name or address"))?,
        };
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(HTTPS),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            name,
            roots: Arc::new(RootCertStore::empty()),
            address: None,
        })
    }

    /// Another server that is verified by the same CAs.
    pub fn moved(&self, url: &str) -> Result<Self, ClientError> {
        let roots = Arc::clone(&self.roots);
        Ok(Self {
            roots,
            ..Self::parse(url)?
        })
    }

    /// The same server, reached at this address whatever its name resolves to. It is verified by its name.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// A name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// `HOST:PORT`, for the `Host` header.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(super) fn tls(&self, credential: &Credential) -> Result<Arc<ClientConfig>, ClientError> {
        let builder = ClientConfig::builder_with_provider(kubetrust_server::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &credential.pair {
            Some(pair) => builder.with_client_auth_cert(pair.chain.clone(), pair.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.prefix)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    const WHAT: &str = "CA that verifies the server";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| ClientError::Pem(WHAT, error.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(ClientError::Pem(WHAT, "it holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// What a client shows: a certificate, headers, both, or nothing.
#[derive(Clone, Default)]
pub struct Credential {
    pair: Option<Arc<Pair>>,
    headers: HeaderMap,
}

struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credential {
    /// A certificate with its chain and its key, both PEM.
    pub fn certificate(certificate: &[u8], key: &[u8]) -> Result<Self, ClientError> {
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| ClientError::Pem("client certificate", error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| ClientError::Pem("client key", error.to_string()))?;
        Ok(Self {
            pair: Some(Arc::new(Pair { chain, key })),
            headers: HeaderMap::new(),
        })
    }

    /// A bearer token.
    pub fn token(token: &str) -> Result<Self, ClientError> {
        Self::default().with_token(token)
    }

    /// A bearer token beside what there is.
    pub fn with_token(mut self, token: &str) -> Result<Self, ClientError> {
        let (name, value) = bearer(token)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// One header more.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// What it shows of itself: its certificates as PEM, and its `Authorization` header. The key stays here.
    pub fn shown(&self) -> (String, Zeroizing<String>) {
        let chain = self.pair.iter().flat_map(|pair| &pair.chain);
        let certificates = chain.map(|der| pem::encode("CERTIFICATE", der)).collect();
        let header = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        (certificates, Zeroizing::new(header.unwrap_or_default().to_owned()))
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}
