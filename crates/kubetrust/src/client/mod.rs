//! A client of an API server: what a kubeconfig says, a TLS connection, and one request after the other.
//!
//! ```text
//! access (kubeconfig → Endpoint, Credential) → Connection → Answer
//! ```

pub mod access;
mod endpoint;

use std::io;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use endpoint::{Credential, Endpoint};

/// How long a connection, or the answer to a request, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of one answer: more than the largest page that is asked for.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("kubetrust/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL of an API server.
    #[error("{url:?} is no URL of an API server: {why}; write one as https://192.0.2.11:6443")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// PEM that holds nothing of use.
    #[error("the {0} can't be used: {1}")]
    Pem(&'static str, String),
    /// A header that HTTP does not allow.
    #[error("{0} has characters that no HTTP header may have")]
    Header(&'static str),
    /// TLS, before anything is sent.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// No connection, or one whose server proves nothing.
    #[error("{server} can't be reached: {error}")]
    Connect {
        /// Which.
        server: String,
        /// Why.
        error: io::Error,
    },
    /// The connection broke.
    #[error("{server} does not answer: {error}")]
    Broken {
        /// Which.
        server: String,
        /// Why.
        error: String,
    },
    /// Nothing came in time.
    #[error("{server} took longer than {seconds} s", seconds = PATIENCE.as_secs())]
    Late {
        /// Which.
        server: String,
    },
}

/// An open connection, with a credential.
pub struct Connection {
    server: String,
    host: HeaderValue,
    prefix: String,
    headers: HeaderMap,
    sender: SendRequest<Full<Bytes>>,
}

/// What a server answers.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the request was carried out.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

impl Connection {
    /// Connects; the server is verified, the credential is presented.
    pub async fn open(endpoint: &Endpoint, credential: &Credential) -> Result<Self, ClientError> {
        let server = endpoint.to_string();
        let opened = tokio::time::timeout(PATIENCE, Self::connect(endpoint, credential, &server)).await;
        opened.unwrap_or(Err(ClientError::Late { server }))
    }

    async fn connect(endpoint: &Endpoint, credential: &Credential, server: &str) -> Result<Self, ClientError> {
        let failed = |error| ClientError::Connect {
            server: server.to_owned(),
            error,
        };
        let config = endpoint.tls(credential)?;
        let stream = match endpoint.address() {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((endpoint.host(), endpoint.port())).await,
        };
        let stream = stream.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream = TlsConnector::from(config)
            .connect(endpoint.name(), stream)
            .await
            .map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ClientError::Broken {
                server: server.to_owned(),
                error: error.to_string(),
            })?;
        // It ends with the sender.
        tokio::spawn(connection);
        Ok(Self {
            host: HeaderValue::from_str(&endpoint.authority()).map_err(|_| ClientError::Header("the server's name"))?,
            server: server.to_owned(),
            prefix: endpoint.prefix().to_owned(),
            headers: credential.headers().clone(),
            sender,
        })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ClientError> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await;
        answered.unwrap_or_else(|_| {
            Err(ClientError::Late {
                server: self.server.clone(),
            })
        })
    }

    async fn exchange(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ClientError> {
        let broken = |error: &dyn ToString| ClientError::Broken {
            server: self.server.clone(),
            error: error.to_string(),
        };
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .body(Full::from(text))
            .map_err(|error| broken(&error))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(USER_AGENT, AGENT);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        headers.extend(self.headers.clone());
        self.sender.ready().await.map_err(|error| broken(&error))?;
        let sent = self.sender.send_request(request).await;
        let answer = sent.map_err(|error| ClientError::Broken {
            server: self.server.clone(),
            error: error.to_string(),
        })?;
        let code = answer.status().as_u16();
        let read = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = read.map_err(|error| ClientError::Broken {
            server: self.server.clone(),
            error: error.to_string(),
        })?;
        Ok(Answer {
            code,
            body: body.to_bytes(),
        })
    }
}

/// `Authorization: Bearer TOKEN`, marked as a secret.
fn bearer(token: &str) -> Result<(HeaderName, HeaderValue), ClientError> {
    let text = zeroize::Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| ClientError::Header("the token"))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}
