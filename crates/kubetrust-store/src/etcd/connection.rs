//! One HTTP/2 connection to one of the servers, shared by all calls; another server when it is gone.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use h2::client::SendRequest;
use h2::{Ping, Reason, RecvStream, SendStream};
use http_body::Frame;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::client::Grpc;

use super::credentials::Credentials;

/// How long a connection may take until it can be used.
const CONNECT: Duration = Duration::from_secs(3);

/// How often a connection is tried. etcd takes more than one each 5 s (`--grpc-keepalive-min-time`) for an attack, and
/// so some on a connection without calls: there is always a watch on this one.
const PING: Duration = Duration::from_secs(10);

/// How long the answer may take until the server is given up.
const PONG: Duration = Duration::from_secs(5);

/// What one call may have on its way; all calls together have the other.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;

/// Most bytes of an answer: a list of everything.
const ANSWER_LIMIT: usize = 2 << 30;

/// One of `--etcd-servers`.
#[derive(Clone, Debug)]
pub(super) struct Server {
    origin: http::Uri,
    host: String,
    port: u16,
    /// The name that its certificate has to have; `None` without TLS.
    name: Option<ServerName<'static>>,
}

/// The port of a URL that names none.
const PORT: u16 = 2379;

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.parse().map_err(|error| format!("{error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("write https://HOST:PORT".to_owned()),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("it has a path; write https://HOST:PORT".to_owned());
        }
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it has a user; etcd knows us by our certificate".to_owned());
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = tls.then(|| ServerName::try_from(host.clone())).transpose();
        let name = name.map_err(|_| format!("`{host}` is no name that a certificate can have"))?;
        let port = authority.port_u16().unwrap_or(PORT);
        let authority = authority.clone();
        let origin = http::Uri::builder()
            .scheme(if tls { "https" } else { "http" })
            .authority(authority)
            .path_and_query("/");
        Ok(Self {
            origin: origin.build().map_err(|error| error.to_string())?,
            host,
            port,
            name,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.name.is_some()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.origin.authority().map_or("", |authority| authority.as_str());
        write!(
            formatter,
            "{}://{authority}",
            if self.is_tls() { "https" } else { "http" }
        )
    }
}

/// All servers, and the connection to one of them.
pub(super) struct Pool {
    servers: Vec<Server>,
    credentials: Option<Credentials>,
    /// The server that is tried first.
    preferred: AtomicUsize,
    open: Mutex<Option<Connection>>,
    /// One at a time connects; the others wait and share what comes of it: a connection, or why there is none.
    connecting: tokio::sync::Mutex<String>,
    /// How often there was none.
    failed: AtomicU64,
}

impl Pool {
    pub(super) fn new(servers: Vec<Server>, credentials: Option<Credentials>) -> Self {
        Self {
            servers,
            credentials,
            preferred: AtomicUsize::new(0),
            open: Mutex::new(None),
            connecting: tokio::sync::Mutex::default(),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The open connection, or a new one. The error says of each server why not.
    pub(super) async fn connection(&self) -> Result<Connection, String> {
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        let failed = self.failed.load(Ordering::Acquire);
        let mut why = self.connecting.lock().await;
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        // While nobody answers, a hundred that wait would fail one after the other.
        if self.failed.load(Ordering::Acquire) != failed {
            return Err(why.clone());
        }
        let mut reasons = Vec::new();
        let first = self.preferred.load(Ordering::Relaxed);
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            let Some(server) = self.servers.get(index) else {
                continue;
            };
            match self.connect(server).await {
                Ok(connection) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    *self.open.lock() = Some(connection.clone());
                    return Ok(connection);
                }
                Err(reason) => reasons.push(format!("{server}: {reason}")),
            }
        }
        *why = reasons.join("; ");
        self.failed.fetch_add(1, Ordering::AcqRel);
        Err(why.clone())
    }

    fn usable(&self) -> Option<Connection> {
        self.open.lock().clone().filter(|open| !open.has_ended())
    }

    /// Does not use this connection for new calls any more; the next goes to the next server. Whether it was in use.
    pub(super) fn turn_from(&self, connection: &Connection) -> bool {
        let mut open = self.open.lock();
        let in_use = open.as_ref().is_some_and(|open| open.is(connection));
        if in_use {
            *open = None;
            self.preferred.fetch_add(1, Ordering::Relaxed);
        }
        in_use
    }

    /// Makes the next call on a new connection.
    pub(super) fn renew(&self) {
        *self.open.lock() = None;
    }

    async fn connect(&self, server: &Server) -> Result<Connection, String> {
        let late = |_| format!("no connection within {} s", CONNECT.as_secs());
        let connect = async {
            let connection = self.connect_patiently(server).await?;
            super::greet(&connection).await?;
            Ok(connection)
        };
        timeout(CONNECT, connect).await.map_err(late)?
    }

    async fn connect_patiently(&self, server: &Server) -> Result<Connection, String> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        match (&server.name, &self.credentials) {
            (Some(name), Some(credentials)) => {
                let connector = TlsConnector::from(credentials.config());
                let tls = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(|error| error.to_string())?;
                if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err("it does not speak HTTP/2".to_owned());
                }
                Connection::begin(server, tls).await
            }
            (Some(_), None) => Err("there are no credentials for it".to_owned()),
            (None, _) => Connection::begin(server, tcp).await,
        }
    }
}

/// An open connection; a clone is the same one.
#[derive(Clone)]
pub(super) struct Connection {
    send: SendRequest<Bytes>,
    origin: http::Uri,
    ended: Arc<AtomicBool>,
}

impl Connection {
    async fn begin(server: &Server, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        let ended = Arc::new(AtomicBool::new(false));
        let (end, name) = (Arc::clone(&ended), server.to_string());
        tokio::spawn(async move {
            if let Err(reason) = run(connection).await {
                tracing::debug!(server = name, reason, "the connection to etcd ended");
            }
            end.store(true, Ordering::Release);
        });
        Ok(Self {
            send,
            origin: server.origin.clone(),
            ended,
        })
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ended, &other.ended)
    }

    pub(super) fn grpc(&self) -> Grpc<Self> {
        let origin = self.origin.clone();
        Grpc::with_origin(self.clone(), origin).max_decoding_message_size(ANSWER_LIMIT)
    }
}

/// Runs a connection until it ends, or its server is silent for too long.
async fn run(mut connection: h2::client::Connection<impl AsyncRead + AsyncWrite + Unpin, Bytes>) -> Result<(), String> {
    let pings = connection.ping_pong();
    let silence = async {
        let Some(mut pings) = pings else { return pending().await };
        loop {
            sleep(PING).await;
            // An error is the connection's, which ends by itself.
            if timeout(PONG, pings.ping(Ping::opaque())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        ended = connection => ended.map_err(|error| error.to_string()),
        () = silence => Err(format!("silent for {} s", PONG.as_secs())),
    }
}

/// A call that had no answer.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Broken {
    /// Whether the server has done nothing of it.
    pub(super) unsent: bool,
    reason: String,
}

impl Broken {
    fn unsent(error: &h2::Error) -> Self {
        Self {
            unsent: true,
            reason: error.to_string(),
        }
    }

    /// A server that refuses a stream has done nothing of it (RFC 9113, 8.7).
    fn unanswered(error: &h2::Error) -> Self {
        Self {
            unsent: error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM),
            reason: error.to_string(),
        }
    }
}

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Self::Response, Broken>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.send.poll_ready(context).map_err(|error| Broken::unsent(&error))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        let begun = self.send.send_request(http::Request::from_parts(head, ()), false);
        async move {
            let (answer, stream) = begun.map_err(|error| Broken::unsent(&error))?;
            send_message(body, stream).await?;
            let answer = answer.await.map_err(|error| Broken::unanswered(&error))?;
            Ok(answer.map(Answer))
        }
        .boxed()
    }
}

/// Sends the one message of a call, and that it was the last, in one frame; of a call that goes on, as a watch, only
/// the message: the call is over when its answer is dropped.
async fn send_message(mut body: Body, mut stream: SendStream<Bytes>) -> Result<(), Broken> {
    let message = body.frame().await.transpose().map_err(|status| {
        stream.send_reset(Reason::CANCEL);
        Broken {
            unsent: true,
            reason: status.message().to_owned(),
        }
    })?;
    let message = message.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
    let is_last = matches!(body.frame().now_or_never(), Some(None));
    stream
        .send_data(message, is_last)
        .map_err(|error| Broken::unanswered(&error))
}

/// The body of an answer.
pub(super) struct Answer(RecvStream);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match ready!(self.0.poll_data(context)) {
            Some(data) => Some(data.and_then(|data| {
                self.0.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            })),
            None => ready!(self.0.poll_trailers(context))
                .transpose()
                .map(|trailers| trailers.map(Frame::trailers)),
        })
    }
}

#[cfg(test)]
mod tests {
    use h2::server::SendResponse;
    use http::{HeaderMap, Request, Response};
    use tokio::io::DuplexStream;

    use super::super::{Failure, attempt, proto};
    use super::*;

    /// A connection, and its server's end.
    async fn pair() -> (Connection, h2::server::Connection<DuplexStream, Bytes>) {
        let (ours, its) = tokio::io::duplex(1 << 16);
        let server = Server::parse("http://127.0.0.1:2379").unwrap();
        let (connection, its) = tokio::join!(Connection::begin(&server, ours), h2::server::handshake(its));
        (connection.unwrap(), its.unwrap())
    }

    async fn call(connection: &Connection) -> Result<proto::Done, Failure> {
        let request = proto::CompactionRequest { revision: 1 };
        attempt(connection, proto::COMPACT, request).await
    }

    /// Serves one call, and drives the connection until its client has gone.
    async fn serve(
        mut server: h2::server::Connection<DuplexStream, Bytes>,
        answer: impl AsyncFnOnce(Request<RecvStream>, SendResponse<Bytes>),
    ) {
        let (request, response) = server.accept().await.unwrap().unwrap();
        let rest = async { while server.accept().await.is_some() {} };
        tokio::join!(rest, answer(request, response));
    }

    #[tokio::test]
    async fn what_a_server_refuses_it_has_not_begun() {
        for (reason, unsent) in [
            (Reason::REFUSED_STREAM, true),
            (Reason::CANCEL, false),
            (Reason::INTERNAL_ERROR, false),
            (Reason::NO_ERROR, false),
        ] {
            let (connection, server) = pair().await;
            let done = serve(server, async move |_, mut response| response.send_reset(reason));
            let asked = async move { call(&connection).await };
            let (failure, ()) = tokio::join!(asked, done);
            match failure.unwrap_err() {
                Failure::Unsent(_) => assert!(unsent, "{reason}"),
                Failure::Lost(_) => assert!(!unsent, "{reason}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_message_and_its_end_are_one_frame() {
        let (connection, server) = pair().await;
        let done = serve(server, async |request, mut response| {
            let mut body = request.into_body();
            let message = body.data().await.unwrap().unwrap();
            // Five bytes say how long it is; the field's number, and 1.
            assert_eq!(message, [0, 0, 0, 0, 2, 8, 1].as_slice());
            assert!(body.is_end_stream());
            let mut answer = response.send_response(Response::new(()), false).unwrap();
            answer.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            answer.send_trailers(trailers).unwrap();
        });
        let asked = async move { call(&connection).await };
        let (answer, ()) = tokio::join!(asked, done);
        assert_eq!(answer.unwrap(), proto::Done {});
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let (connection, server) = pair().await;
        sleep(PING).await;
        assert!(!connection.has_ended());
        sleep(PONG + Duration::from_secs(1)).await;
        assert!(connection.has_ended());
        assert!(matches!(call(&connection).await.unwrap_err(), Failure::Unsent(_)));
        drop(server);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_pings_is_kept() {
        let (connection, mut server) = pair().await;
        let driven = tokio::spawn(async move { while server.accept().await.is_some() {} });
        sleep(PING * 5).await;
        assert!(!connection.has_ended());
        driven.abort();
    }
}
