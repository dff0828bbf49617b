//! Accepts connections, within limits, until it is told to stop; then lets every request in flight finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use kubetrust_auth::authn::{LastToken, PeerChain};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::connection::Connection;
use crate::http::respond::Reply;
use crate::pace::{Pace, Verdict};
use crate::stop::told;

/// What a listener puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the header of an HTTP/1.1 request.
    pub header: Duration,
    /// Bytes of a request's header.
    pub header_bytes: u32,
    /// HTTP/2 streams at once on a connection (`--http2-max-streams-per-connection`).
    pub streams: u32,
    /// How often a silent HTTP/2 connection is pinged, and how long the answer may take.
    pub ping: (Duration, Duration),
    /// How long a client may leave what it asked for lie.
    pub stall: Duration,
    /// How long a connection may be unused.
    pub idle: Duration,
    /// How long requests in flight have to finish at a shutdown.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(32),
            header_bytes: 64 * 1024,
            streams: 250,
            ping: (Duration::from_secs(30), Duration::from_secs(15)),
            stall: Duration::from_mins(1),
            idle: Duration::from_secs(90),
            shutdown: Duration::from_mins(1),
        }
    }
}

/// Streams that a client may reset before they were accepted; more end the connection (CVE-2023-44487).
const RESET_STREAMS: usize = 50;
/// Looks at a connection in each of its time limits: what is too slow is found after at most 1 + 1/4 times the limit.
const LOOKS: u32 = 4;
/// How long to wait after the system refused a connection, for want of files perhaps.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Answers requests. Failures are answers too.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn handle(&self, connection: Arc<Connection>, request: Request<Incoming>) -> impl Future<Output = Reply> + Send;
}

/// Accepts connections until `stop` turns true, then until the last request is answered.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    handler: Arc<H>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let closing = stop.clone();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = told(&mut stop) => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let _ = stream.set_nodelay(true);
                let acceptor = TlsAcceptor::from(tls.load_full());
                let (handler, stop) = (Arc::clone(&handler), closing.clone());
                tokio::spawn(connection(
                    Accepted {
                        stream,
                        remote,
                        handler,
                        limits,
                        stop,
                        _permit: permit,
                    },
                    acceptor,
                ));
            }
            Err(error) => {
                warn!(%error, "the system refused a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let left = limits.connections - permits.available_permits();
    info!(
        connections = left,
        "no new connections; requests in flight are finished"
    );
    // Every connection task holds a permit until it is over: all of them back means all are over.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.shutdown, permits.acquire_many(all))
        .await
        .is_err()
    {
        warn!("some requests did not end in time");
    }
}

struct Accepted<H> {
    stream: TcpStream,
    remote: SocketAddr,
    handler: Arc<H>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    /// Held until the connection is over.
    _permit: OwnedSemaphorePermit,
}

async fn connection<H: Handler>(accepted: Accepted<H>, acceptor: TlsAcceptor) {
    let Accepted {
        stream,
        remote,
        handler,
        limits,
        mut stop,
        _permit,
    } = accepted;
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(limits.handshake, acceptor.accept(stream)) => handshake,
        () = told(&mut stop) => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%remote, %error, "TLS handshake error"),
        Err(_) => return debug!(%remote, "TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let peer = session
        .peer_certificates()
        .and_then(|chain| PeerChain::new(chain.iter().map(|der| der.clone().into_owned()).collect()));
    let connection = Arc::new(Connection {
        remote,
        peer,
        last_token: LastToken::default(),
    });
    let pace = Pace::new(Instant::now());
    let begun = Arc::clone(&pace);
    let service = service_fn(move |request| {
        let (handler, connection, exchange) = (Arc::clone(&handler), Arc::clone(&connection), begun.begin());
        async move {
            let answered = handler.handle(connection, request).await;
            Ok::<_, Infallible>(answered.map(|body| exchange.answer(body)))
        }
    });
    let stream = TokioIo::new(stream);
    let result = if is_h2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .keep_alive_interval(limits.ping.0)
            .keep_alive_timeout(limits.ping.1);
        drive(http.serve_connection(stream, service), &pace, limits, stop).await
    } else {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(limits.header_bytes as usize);
        drive(http.serve_connection(stream, service), &pace, limits, stop).await
    };
    if let Err(error) = result {
        debug!(%remote, %error, "the connection ended");
    }
}

/// Why a connection ended before its client wanted it to.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the client does not take what it asked for")]
    Stalled,
    #[error("nothing was asked for any more")]
    Idle,
}

/// Runs a connection until it ends, is told to, or has to be cut off.
async fn drive<C>(connection: C, pace: &Pace, limits: Limits, mut stop: watch::Receiver<bool>) -> Result<(), Ended>
where
    C: GracefulConnection<Error = hyper::Error> + Future<Output = Result<(), hyper::Error>>,
{
    let mut running = pin!(connection);
    let mut ending = false;
    loop {
        tokio::select! {
            result = running.as_mut() => return Ok(result?),
            () = told(&mut stop), if !ending => {
                ending = true;
                running.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(limits.stall.min(limits.idle) / LOOKS) => {
                // Whoever was asked to leave has time for the last bytes, no more.
                let idle = if ending { limits.stall } else { limits.idle };
                match pace.verdict(Instant::now(), limits.stall, idle) {
                    Verdict::Fine => {}
                    Verdict::Stalled => return Err(Ended::Stalled),
                    Verdict::Idle if ending => return Err(Ended::Idle),
                    Verdict::Idle => {
                        ending = true;
                        running.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}
