//! An HTTPS client with any certificate, any headers and any path: what no well-behaved client would send.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kubetrust_pki::kubeconfig::{self, KeySource, Kubeconfig, Source};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// What a client proves itself with.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    /// PEM of certificates and key.
    pub pair: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Option<String>,
}

impl Credential {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn token(token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    pub fn pair(certificate: &Path, key: &Path) -> Self {
        Self {
            pair: Some((std::fs::read(certificate).unwrap(), std::fs::read(key).unwrap())),
            token: None,
        }
    }

    pub fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    pub fn kubeconfig(path: &Path) -> Self {
        let folder = path.parent().unwrap();
        let parsed = Kubeconfig::from_yaml(&std::fs::read_to_string(path).unwrap()).unwrap();
        match parsed.credential {
            kubeconfig::Credential::Token(token) => Self::token(&token),
            kubeconfig::Credential::Certificate { certificate, key } => {
                let certificate = match certificate {
                    Source::File(file) => std::fs::read(folder.join(file)).unwrap(),
                    Source::Data(data) => data.into_bytes(),
                    Source::Absent => panic!("no certificate"),
                };
                let key = match key {
                    KeySource::File(file) => std::fs::read(folder.join(file)).unwrap(),
                    KeySource::Data(data) => data.as_bytes().to_vec(),
                    KeySource::Absent => panic!("no key"),
                };
                Self {
                    pair: Some((certificate, key)),
                    token: None,
                }
            }
            kubeconfig::Credential::Other => panic!("no credential"),
        }
    }
}

/// One HTTP/2 connection, opened at the first request and again when it is gone.
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
    sender: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// The TLS of a client that verifies by this CA, shows this credential and offers this protocol.
pub fn tls(ca: &Path, credential: &Credential, alpn: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match &credential.pair {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate)
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap())
                .unwrap()
        }
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(tls)
}

impl Client {
    pub fn new(address: SocketAddr, ca: &Path, credential: Credential) -> Self {
        let tls = tls(ca, &credential, b"h2");
        Self {
            address,
            tls,
            token: credential.token,
            sender: Mutex::new(None),
        }
    }

    async fn connect(&self) -> io::Result<http2::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Reply> {
        let (head, body) = self.open(request).await?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Reply {
            code: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Sends a request, and leaves its answer's body to be read as it comes: a watch.
    pub async fn open(&self, mut request: Request<Full<Bytes>>) -> io::Result<http::Response<Incoming>> {
        if let Some(token) = &self.token
            && !request.headers().contains_key("authorization")
        {
            request.headers_mut().insert(
                "authorization",
                HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
            );
        }
        let mut sender = {
            let mut held = self.sender.lock().await;
            if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
                sender.clone()
            } else {
                let sender = self.connect().await?;
                *held = Some(sender.clone());
                sender
            }
        };
        sender.ready().await.map_err(io::Error::other)?;
        sender.send_request(request).await.map_err(io::Error::other)
    }

    /// A request that may fail on its way.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> io::Result<Reply> {
        self.send(self.build(method, path, headers, body.into())).await
    }

    /// A request with any method, headers and body.
    pub fn build(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).unwrap()
    }

    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address));
        if body.is_some()
            && !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.send(request.body(Full::new(body)).unwrap()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::POST, path, &[], Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::PUT, path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path, &[], None).await
    }

    pub async fn patch(&self, path: &str, content_type: &str, body: &Value) -> Reply {
        self.request(Method::PATCH, path, &[("content-type", content_type)], Some(body))
            .await
    }

    /// Who the server takes this client for: the user and its groups, or the code of the refusal.
    pub async fn whoami(&self, headers: &[(&str, &str)]) -> Result<(String, Vec<String>), u16> {
        let review = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let reply = self.request(Method::POST, path, headers, Some(&review)).await;
        if reply.code != 201 {
            return Err(reply.code);
        }
        let info = reply.json()["status"]["userInfo"].clone();
        let groups = info["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|group| group.as_str().unwrap().to_owned())
            .collect();
        Ok((info["username"].as_str().unwrap().to_owned(), groups))
    }
}
