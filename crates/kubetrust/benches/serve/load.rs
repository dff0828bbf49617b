//! The client: so many requests at once, for so long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{self, Credential};
use super::indexed::{self, Asked};
use super::server::{Setup, median};

type Sender = SendRequest<Full<Bytes>>;

/// How requests are made.
#[derive(Clone, Copy)]
pub enum Mode {
    /// So many at once on one connection.
    Streams(usize),
    /// The same, by a client that keeps headers as Go's does ([`indexed`]).
    Indexed(usize),
    /// Each on a connection of its own, so many at once.
    Connections(usize),
}

/// One client of one server.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// An object that was created to be read.
pub struct Object {
    pub path: String,
    pub body: Bytes,
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What stands in an object where its name will.
const NAME: &str = "(name)";
/// What kubectl says it takes.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

impl Load {
    /// As the user of a kubeconfig, or with a token.
    pub fn new(setup: &Setup, address: SocketAddr, kubeconfig: Option<&str>, token: Option<String>) -> Self {
        let credential = kubeconfig.map_or_else(Credential::none, |name| {
            Credential::kubeconfig(&setup.file(&format!("auth/{name}.conf")))
        });
        let mut tls = ClientConfig::clone(&client::tls(&setup.file("pki/ca.crt"), &credential, b"h2"));
        // Every connection is a whole handshake.
        tls.resumption = Resumption::disabled();
        Self {
            address,
            tls: Arc::new(tls),
            token,
        }
    }

    /// A connection on which nothing has been said yet.
    pub async fn stream(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, stream).await.unwrap()
    }

    /// What its requests say in `Authorization`.
    pub fn authorization(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    async fn connect(&self) -> Sender {
        let stream = self.stream().await;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.initial_stream_window_size(4 << 20)
            .initial_connection_window_size(64 << 20);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address));
        if let Some(authorization) = self.authorization() {
            request = request.header("authorization", authorization);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request.body(Full::new(body)).unwrap()
    }

    async fn send(&self, sender: &mut Sender, method: Method, path: &str, body: Bytes) -> (u16, Bytes) {
        sender.ready().await.unwrap();
        let reply = sender.send_request(self.request(method, path, body)).await.unwrap();
        let code = reply.status().as_u16();
        (code, reply.into_body().collect().await.unwrap().to_bytes())
    }

    async fn get(&self, sender: &mut Sender, path: &str) {
        let (code, _) = self.send(sender, Method::GET, path, Bytes::new()).await;
        assert_eq!(code, 200, "{path}");
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let mut sender = self.connect().await;
        let (code, answer) = self
            .send(&mut sender, Method::POST, path, body.to_string().into())
            .await;
        assert!(code < 300, "{path}: {code} {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap()
    }

    /// An object of about a KiB, and what a GET of it answers.
    pub async fn prepare_object(&self) -> Object {
        let path = format!("{CONFIG_MAPS}/measured");
        self.post(CONFIG_MAPS, &config_map("measured")).await;
        let (code, body) = self
            .send(&mut self.connect().await, Method::GET, &path, Bytes::new())
            .await;
        assert_eq!(code, 200);
        Object { path, body }
    }

    /// The token of an account that may read everything, by the same binding as the user of `scheduler.conf`.
    pub async fn account_with_token(&self) -> String {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
        self.post("/api/v1/namespaces/default/serviceaccounts", &account).await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "robot"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "robot", "namespace": "default"},
                {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:kube-scheduler"},
            ],
        });
        self.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)
            .await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let issued = self
            .post("/api/v1/namespaces/default/serviceaccounts/robot/token", &request)
            .await;
        issued["status"]["token"].as_str().unwrap().to_owned()
    }

    /// GETs per second.
    async fn rate(&self, path: &str, mode: Mode, time: Duration) -> f64 {
        let done = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let tasks: Vec<_> = match mode {
            Mode::Indexed(count) => return indexed::run(self, Asked::Get, path, count, time).1,
            Mode::Streams(count) => {
                let sender = self.connect().await;
                (0..count)
                    .map(|_| {
                        tokio::spawn(self.clone().repeat(
                            Some(sender.clone()),
                            path.to_owned(),
                            begun,
                            time,
                            Arc::clone(&done),
                        ))
                    })
                    .collect()
            }
            Mode::Connections(count) => (0..count)
                .map(|_| {
                    tokio::spawn(
                        self.clone()
                            .repeat(None, path.to_owned(), begun, time, Arc::clone(&done)),
                    )
                })
                .collect(),
        };
        for task in tasks {
            task.await.unwrap();
        }
        done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
    }

    async fn repeat(
        self,
        sender: Option<Sender>,
        path: String,
        begun: Instant,
        time: Duration,
        done: Arc<AtomicUsize>,
    ) {
        let mut kept = sender;
        while begun.elapsed() < time {
            match &mut kept {
                Some(sender) => self.get(sender, &path).await,
                None => self.get(&mut self.connect().await, &path).await,
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Creates per second, and how large the objects are.
    pub async fn creates(&self, writers: usize, time: Duration, round: usize) -> (f64, usize) {
        let (done, rate) = self.created(writers, time, round);
        assert_eq!(self.count(&format!("r{round}-")).await, done);
        (rate, objects(round)(0).len() + 120)
    }

    /// The same requests, to a server that does not list what it has stored.
    pub fn posts(&self, writers: usize, time: Duration, round: usize) -> f64 {
        self.created(writers, time, round).1
    }

    fn created(&self, writers: usize, time: Duration, round: usize) -> (usize, f64) {
        indexed::run(self, Asked::Create(&objects(round)), CONFIG_MAPS, writers, time)
    }

    /// How many objects have names that begin so.
    async fn count(&self, start: &str) -> usize {
        let (_, list) = self.whole_list().await;
        let needle = format!("\"name\":\"{start}");
        String::from_utf8_lossy(&list).matches(&needle).count()
    }

    /// Creates so many objects.
    pub async fn fill(&self, objects: usize, writers: usize) {
        let sender = self.connect().await;
        let next = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..writers * 4)
            .map(|_| {
                let (load, mut sender, next) = (self.clone(), sender.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= objects {
                            return;
                        }
                        let body = config_map(&format!("o{number}")).to_string();
                        let (code, _) = load.send(&mut sender, Method::POST, CONFIG_MAPS, body.into()).await;
                        assert_eq!(code, 201);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// How long the whole list takes, and its bytes.
    pub async fn whole_list(&self) -> (Duration, Bytes) {
        self.timed(CONFIG_MAPS).await
    }

    /// How long the limit's body takes.
    pub async fn whole_body(&self) -> (Duration, Bytes) {
        self.timed("/").await
    }

    /// How long GETs take, one after the other, while somebody else has the whole list made as kubectl asks for it: the
    /// shortest first, and how many lists there were.
    pub async fn beside_lists(&self, time: Duration) -> (Vec<Duration>, usize) {
        let load = self.clone();
        let asking = std::thread::spawn(move || load.one_by_one(time));
        let mut sender = self.connect().await;
        let mut made = 0;
        while !asking.is_finished() {
            let mut request = self.request(Method::GET, CONFIG_MAPS, Bytes::new());
            let headers = [("accept", TABLE), ("accept-encoding", "gzip")];
            let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            request.headers_mut().extend(headers);
            sender.ready().await.unwrap();
            let reply = sender.send_request(request).await.unwrap();
            assert_eq!(reply.status(), 200);
            reply.into_body().collect().await.unwrap();
            made += 1;
        }
        (asking.join().unwrap(), made)
    }

    /// How long GETs of a namespace take, one after the other: the shortest first.
    pub fn one_by_one(&self, time: Duration) -> Vec<Duration> {
        let asking = async {
            let mut sender = self.connect().await;
            let (begun, mut times) = (Instant::now(), Vec::new());
            while begun.elapsed() < time {
                let asked = Instant::now();
                self.get(&mut sender, "/api/v1/namespaces/default").await;
                times.push(asked.elapsed());
            }
            times.sort();
            times
        };
        in_own_thread(asking)
    }

    async fn timed(&self, path: &str) -> (Duration, Bytes) {
        let mut sender = self.connect().await;
        let mut times = Vec::new();
        let mut body = Bytes::new();
        for _ in 0..3 {
            let begun = Instant::now();
            let (code, answer) = self.send(&mut sender, Method::GET, path, Bytes::new()).await;
            assert_eq!(code, 200);
            times.push(begun.elapsed());
            body = answer;
        }
        (median(times), body)
    }

    /// How long it takes from a write until every one of so many watches has seen it.
    pub async fn watched_write(&self, watchers: usize, object: &Object, writes: usize) -> Duration {
        let version: Value = serde_json::from_slice(&object.body).unwrap();
        let from = version["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={from}");
        let mut streams = self.open(watchers, &path).await;
        let mut sender = self.connect().await;
        let mut times = Vec::new();
        for write in 0..writes {
            let body = json!({"data": {"turn": write.to_string()}}).to_string();
            let mut request = self.request(Method::PATCH, &object.path, body.into());
            request
                .headers_mut()
                .insert("content-type", "application/merge-patch+json".parse().unwrap());
            sender.ready().await.unwrap();
            let begun = Instant::now();
            let reply = sender.send_request(request);
            let (reply, ()) = tokio::join!(reply, each_frame(&mut streams));
            assert_eq!(reply.unwrap().status().as_u16(), 200);
            times.push(begun.elapsed());
        }
        median(times)
    }

    /// How long it takes until as many streams of the limit have been sent its bytes.
    pub async fn pushed(&self, listeners: usize, times: usize) -> Duration {
        let mut streams = self.open(listeners, "/listen").await;
        let mut sender = self.connect().await;
        let mut measured = Vec::new();
        for _ in 0..times {
            sender.ready().await.unwrap();
            let begun = Instant::now();
            let reply = sender.send_request(self.request(Method::GET, "/push", Bytes::new()));
            let (reply, ()) = tokio::join!(reply, each_frame(&mut streams));
            assert_eq!(reply.unwrap().status().as_u16(), 200);
            measured.push(begun.elapsed());
        }
        median(measured)
    }

    /// So many open streams, a hundred a connection.
    async fn open(&self, count: usize, path: &str) -> Vec<Incoming> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let mut sender = self.connect().await;
            for _ in 0..100.min(count - streams.len()) {
                sender.ready().await.unwrap();
                let reply = sender
                    .send_request(self.request(Method::GET, path, Bytes::new()))
                    .await
                    .unwrap();
                assert_eq!(reply.status().as_u16(), 200);
                streams.push(reply.into_body());
            }
        }
        streams
    }
}

/// Waits until each stream has had one more frame.
async fn each_frame(streams: &mut [Incoming]) {
    for stream in streams {
        stream.frame().await.unwrap().unwrap();
    }
}

/// Both rates, measured in turn; medians.
pub async fn in_turn(ours: &Load, limit: &Load, path: &str, mode: Mode, time: Duration, rounds: usize) -> (f64, f64) {
    let (mut measured, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        measured.push(ours.rate(path, mode, time).await);
        limits.push(limit.rate(path, mode, time).await);
    }
    (middle(measured), middle(limits))
}

pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The objects of a round by their numbers, as they are sent.
fn objects(round: usize) -> impl Fn(usize) -> Bytes {
    let whole = config_map(NAME).to_string();
    let (before, after) = whole.split_once(NAME).unwrap();
    let (before, after) = (before.to_owned(), after.to_owned());
    move |number| format!("{before}r{round}-{number}{after}").into()
}

/// Runs in a thread that waits for its connections itself: of a runtime with several threads, one would wait, and wake
/// another for every answer.
pub fn in_own_thread<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// An object of about a KiB.
fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"key": "x".repeat(800)}})
}
