//! The limit: a server that answers every request with the same bytes, over the same TLS and the same HTTP library.
//! It is this bench's own program, in a process of its own.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kubetrust_server::tls::{ServingPair, ServingPairs, server_config};
use kubetrust_store::Store;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

use super::server::{self, Setup};

const ARGUMENT: &str = "--bare";

/// The running limit.
pub struct Bare {
    child: Child,
    pub address: SocketAddr,
}

impl Bare {
    /// Answers with this body.
    pub fn start(setup: &Setup, body: &Bytes) -> Self {
        Self::start_with(setup, body, &[])
    }

    /// Stores what is posted on etcd, and answers with it.
    pub fn start_on_etcd(setup: &Setup) -> Self {
        Self::start_with(setup, &Bytes::new(), &setup.etcd_flags())
    }

    fn start_with(setup: &Setup, body: &Bytes, etcd: &[&str]) -> Self {
        // The certificate is for the one address: the limit listens on it too, on another port.
        let address = SocketAddr::new(setup.address().ip(), 6444);
        let folder = setup.file("bare");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("body"), body).unwrap();
        std::fs::write(folder.join("address"), address.to_string()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .arg(&folder)
            .args(etcd)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self { child, address }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process is to do, if it is to be the limit.
pub fn asked_for(arguments: &[String]) -> Option<Asked> {
    let at = arguments.iter().position(|argument| argument == ARGUMENT)?;
    Some(Asked {
        folder: arguments.get(at + 1).map(PathBuf::from)?,
        etcd: arguments.get(at + 2..).unwrap_or_default().to_vec(),
    })
}

/// What the limit is to do.
pub struct Asked {
    folder: PathBuf,
    /// The flags of the etcd that it stores on, if it does.
    etcd: Vec<String>,
}

/// Is the limit until it is killed.
pub fn serve(asked: &Asked) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(answer(&asked.folder, &asked.etcd));
}

async fn answer(folder: &Path, etcd: &[String]) {
    let store = (!etcd.is_empty()).then(|| server::etcd_with(etcd));
    let pki = folder.parent().unwrap().join("pki");
    let read = |name: &str| std::fs::read(pki.join(name)).unwrap();
    let default = ServingPair::from_pem(&read("apiserver.crt"), &read("apiserver.key"), &[]).unwrap();
    let tls = server_config(
        &Arc::new(ServingPairs {
            default,
            by_name: Vec::new(),
        }),
        &[],
    )
    .unwrap();
    let body = Bytes::from(std::fs::read(folder.join("body")).unwrap());
    let address: SocketAddr = std::fs::read_to_string(folder.join("address"))
        .unwrap()
        .parse()
        .unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    println!("ready");
    let (push, _) = broadcast::channel::<Bytes>(64);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, body, push) = (TlsAcceptor::from(Arc::clone(&tls)), body.clone(), push.clone());
        let store = store.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| {
                let (body, push, store) = (body.clone(), push.clone(), store.clone());
                async move {
                    Ok::<_, Infallible>(match store {
                        Some(store) => create(request, &*store).await,
                        None => reply(&request, body, &push),
                    })
                }
            });
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.max_concurrent_streams(2_000);
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Stores what is posted, under a key of its own.
async fn create(
    request: http::Request<hyper::body::Incoming>,
    store: &dyn Store,
) -> Response<BoxBody<Bytes, Infallible>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = std::process::id();
    let write = server::create(format!("/raw/configmaps/default/bare-{id}-{number}"), body.clone());
    store.commit(vec![write]).await.unwrap();
    let mut reply = json(Full::new(body).boxed());
    *reply.status_mut() = http::StatusCode::CREATED;
    reply
}

fn reply(
    request: &http::Request<hyper::body::Incoming>,
    body: Bytes,
    push: &broadcast::Sender<Bytes>,
) -> Response<BoxBody<Bytes, Infallible>> {
    let body = match request.uri().path() {
        // Everyone who listens is sent the bytes when somebody pushes.
        "/listen" => {
            let receiver = push.subscribe();
            let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
                let bytes = receiver.recv().await.ok()?;
                Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
            });
            StreamBody::new(frames).boxed()
        }
        "/push" => {
            let _ = push.send(body);
            Full::new(Bytes::new()).boxed()
        }
        _ => Full::new(body).boxed(),
    };
    json(body)
}

fn json(body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    reply
}
