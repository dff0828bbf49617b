//! The store on an etcd cluster, 3.4 or later, over mutual TLS.
//!
//! All calls share one connection to one member; when that is gone, or has no leader, the next member is asked
//! (`connection`). Credentials are looked at every second and put to use when they hold together (`credentials`). All who
//! watch are fed by one watch of everything (`follow`).

mod connection;
mod credentials;
mod failure;
mod follow;
mod proto;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Request;
use tonic_prost::ProstCodec;

pub use self::credentials::{CredentialsError, Files};

use self::connection::{Connection, Pool, Server};
use self::credentials::Credentials;
use self::failure::Failure;
use crate::feed::{self, Feed};
use crate::limits;
use crate::{
    Change, Error, Expect, KeyValue, LeaseId, NO_END, Outcome, Page, Range, Result, Revision, Store, Watched, Write,
};

/// How long etcd may take to answer: its own limit is 5 s and two elections (`ReqTimeout`).
const CALL: Duration = Duration::from_secs(10);

/// How often the files of the credentials are looked at.
const REFRESH: Duration = Duration::from_secs(1);

/// Bytes of the newest events that are kept in memory; a watcher that falls behind them is cut off.
const FEED: usize = 8 << 20;

/// How an etcd cluster is reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--etcd-servers`: the client URLs of the members.
    pub servers: Vec<String>,
    /// `--etcd-cafile`, `--etcd-certfile`, `--etcd-keyfile`.
    pub files: Files,
}

/// Why the options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No server.
    #[error("--etcd-servers is missing; write https://HOST:PORT, several with commas between them")]
    NoServer,
    /// A URL is not one of a server.
    #[error("--etcd-servers: \"{url}\": {reason}")]
    Server {
        /// Which.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// The engine. Dropping it ends all watches and connections.
pub struct Etcd {
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

struct Inner {
    pool: Pool,
    feed: Arc<Feed>,
    /// Whether the feed has begun.
    following: watch::Sender<bool>,
    /// Changes when calls go to another connection: with the credentials, and from a member that does not answer.
    moved: watch::Sender<()>,
    asking: Mutex<Asking>,
}

/// Who waits for the next answer to what the newest revision is.
#[derive(Default)]
struct Asking {
    waiting: Vec<oneshot::Sender<Result<Revision>>>,
    running: bool,
}

impl Etcd {
    /// Checks the options and begins to connect; etcd need not be there yet. To be called inside a tokio runtime.
    pub fn new(options: Options) -> Result<Self, ConfigError> {
        if options.servers.is_empty() {
            return Err(ConfigError::NoServer);
        }
        let parse = |url: &String| {
            Server::parse(url).map_err(|reason| ConfigError::Server {
                url: url.clone(),
                reason,
            })
        };
        let servers: Vec<Server> = options.servers.iter().map(parse).collect::<Result<_, _>>()?;
        let tls = servers.iter().any(Server::is_tls);
        let credentials = tls.then(|| Credentials::load(options.files)).transpose()?;
        let inner = Arc::new(Inner {
            pool: Pool::new(servers, credentials),
            // Nothing is in the ring before it begins.
            feed: Arc::new(Feed::new(Revision::MAX, 0, FEED)),
            following: watch::Sender::new(false),
            moved: watch::Sender::new(()),
            asking: Mutex::new(Asking::default()),
        });
        let tasks = vec![
            tokio::spawn(follow::follow(Arc::clone(&inner))),
            tokio::spawn(refresh(Arc::clone(&inner))),
        ];
        Ok(Self { inner, tasks })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.inner.feed.close();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Puts new credentials to use; the last good ones stay while the files do not hold together.
async fn refresh(inner: Arc<Inner>) {
    let Some(credentials) = inner.pool.credentials() else {
        return;
    };
    loop {
        tokio::time::sleep(REFRESH).await;
        match credentials.refresh() {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the credentials for etcd changed; connecting with the new ones");
                inner.pool.renew();
                inner.moved.send_replace(());
            }
            Err(error) => tracing::error!(%error, "the new credentials for etcd can't be used; the old ones stay"),
        }
    }
}

/// A request that a member without a leader refuses, instead of letting it wait.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
    request
}

async fn attempt<Q, A>(connection: &Connection, path: &'static str, message: Q) -> Result<A, Failure>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = connection.grpc();
    let call = async {
        grpc.ready().await.map_err(|broken| Failure::from(&broken))?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc
            .unary(request(message), PathAndQuery::from_static(path), codec)
            .await?;
        Ok(answer.into_inner())
    };
    let late = |_| Failure::Lost(format!("no answer within {} s", CALL.as_secs()));
    timeout(CALL, call).await.map_err(late)?
}

/// Asks a member something harmless. With TLS 1.3 it is only with the first answer that we know whether it takes our
/// certificate, and no write should be the one to find out; and a member without a leader is none to stay with.
async fn greet(connection: &Connection) -> Result<(), String> {
    let request = proto::RangeRequest {
        key: Bytes::from_static(NO_END),
        serializable: true,
        count_only: true,
        ..proto::RangeRequest::default()
    };
    match attempt::<_, proto::RangeResponse>(connection, proto::RANGE, request).await {
        // It spoke.
        Ok(_) | Err(Failure::Answered(_)) => Ok(()),
        Err(Failure::Unsent(reason) | Failure::Lost(reason) | Failure::Refused(reason)) => Err(reason),
    }
}

impl Inner {
    /// A call that changes nothing: asked again, of the other members too, until one answers.
    async fn read<Q, A>(&self, path: &'static str, message: Q) -> Result<A>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut reason = String::new();
        for _ in 0..=self.pool.servers() {
            let connection = self.pool.connection().await.map_err(Error::Unavailable)?;
            match attempt(&connection, path, message.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Answered(error)) => return Err(error),
                Err(Failure::Unsent(why) | Failure::Lost(why) | Failure::Refused(why)) => reason = why,
            }
            self.turn_from(&connection);
        }
        Err(Error::Unavailable(reason))
    }

    /// A call that changes something: asked again only when nothing can have happened.
    async fn write<Q, A>(&self, path: &'static str, message: Q) -> Result<A>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut reason = String::new();
        for _ in 0..=self.pool.servers() {
            let connection = self.pool.connection().await.map_err(Error::Unavailable)?;
            let failure = match attempt(&connection, path, message.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure {
                Failure::Answered(error) => return Err(error),
                Failure::Lost(why) => {
                    self.turn_from(&connection);
                    return Err(Error::Unknown(why));
                }
                Failure::Unsent(why) | Failure::Refused(why) => reason = why,
            }
            self.turn_from(&connection);
        }
        Err(Error::Unavailable(reason))
    }

    /// Asks another member from now on. The watch goes there too: of a member that hangs it would learn only when the
    /// connection is given up, and until then nothing that is written would be seen.
    fn turn_from(&self, connection: &Connection) {
        if self.pool.turn_from(connection) {
            self.moved.send_replace(());
        }
    }

    async fn ask_revision(&self) -> Result<Revision> {
        let request = proto::RangeRequest {
            key: Bytes::from_static(NO_END),
            count_only: true,
            ..proto::RangeRequest::default()
        };
        let answer: proto::RangeResponse = self.read(proto::RANGE, request).await?;
        Ok(header_revision(answer.header))
    }

    async fn range(&self, range: Range) -> Result<Page> {
        let at = match range.at {
            // To etcd 0 is "now".
            Some(0) => return Err(self.compacted(0).await),
            at => at.unwrap_or(0),
        };
        if range.end != NO_END && range.start >= range.end {
            let revision = self.ask_revision().await?;
            return Ok(Page {
                items: Vec::new(),
                count: 0,
                revision,
                later: None,
            });
        }
        let first = if range.start.is_empty() {
            Bytes::from_static(NO_END)
        } else {
            range.start
        };
        let request = proto::RangeRequest {
            key: first,
            range_end: range.end,
            limit: i64::try_from(range.limit).unwrap_or(i64::MAX),
            revision: i64::try_from(at).unwrap_or(i64::MAX),
            ..proto::RangeRequest::default()
        };
        let answer: proto::RangeResponse = match self.read(proto::RANGE, request).await {
            Err(Error::Compacted { .. }) => return Err(self.compacted(at).await),
            Err(Error::Future { .. }) => return Err(self.future(at).await),
            other => other?,
        };
        Ok(Page {
            items: answer.kvs.into_iter().map(key_value).collect(),
            count: usize::try_from(answer.count).unwrap_or(0),
            revision: header_revision(answer.header),
            later: None,
        })
    }

    /// etcd does not say what is left; it does to a watch.
    async fn compacted(&self, asked: Revision) -> Error {
        let oldest = follow::oldest(self).await.unwrap_or(asked.saturating_add(1));
        Error::Compacted { asked, oldest }
    }

    async fn future(&self, asked: Revision) -> Error {
        match self.ask_revision().await {
            Ok(newest) => Error::Future { asked, newest },
            Err(error) => error,
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<Outcome> {
        let answer: proto::TxnResponse = self.write(proto::TXN, transaction(&writes)).await?;
        let revision = header_revision(answer.header);
        if answer.succeeded {
            return Ok(Outcome::Committed(revision));
        }
        let current = answer.responses.into_iter().map(|answer| {
            let found = answer.range.and_then(|range| range.kvs.into_iter().next());
            found.map(key_value)
        });
        Ok(Outcome::Conflict {
            revision,
            current: current.collect(),
        })
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let request = proto::CompactionRequest {
            revision: i64::try_from(revision).unwrap_or(i64::MAX),
        };
        match self.write::<_, proto::Done>(proto::COMPACT, request).await {
            Ok(proto::Done {}) => {
                self.feed.compacted(revision);
                Ok(())
            }
            Err(Error::Compacted { .. }) => Err(self.compacted(revision).await),
            Err(Error::Future { .. }) => Err(self.future(revision).await),
            Err(other) => Err(other),
        }
    }

    /// Answers all who wait, until nobody does: each by an answer that was asked for after it came.
    async fn answer_all(self: Arc<Self>) {
        loop {
            let waiting = {
                let mut asking = self.asking.lock();
                asking.running = !asking.waiting.is_empty();
                std::mem::take(&mut asking.waiting)
            };
            if waiting.is_empty() {
                return;
            }
            let answer = self.ask_revision().await;
            for waiting in waiting {
                // Who left does not want to know.
                let _ = waiting.send(answer.clone());
            }
        }
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<(Option<KeyValue>, Revision)>> {
        async move {
            limits::check_key(key)?;
            let request = proto::RangeRequest {
                key: Bytes::copy_from_slice(key),
                ..proto::RangeRequest::default()
            };
            let answer: proto::RangeResponse = self.inner.read(proto::RANGE, request).await?;
            let found = answer.kvs.into_iter().next().map(key_value);
            Ok((found, header_revision(answer.header)))
        }
        .boxed()
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page>> {
        self.inner.range(range).boxed()
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Outcome>> {
        async move {
            limits::check(&writes)?;
            self.inner.commit(writes).await
        }
        .boxed()
    }

    fn watch(
        &self,
        start: Bytes,
        end: Bytes,
        after: Revision,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Watched>>>> {
        async move {
            let mut following = self.inner.following.subscribe();
            // The sender lives in what this holds.
            let _ = timeout(CALL, following.wait_for(|following| *following)).await;
            let past = follow::Replay::new(Arc::clone(&self.inner));
            Ok(feed::watch(Arc::clone(&self.inner.feed), past, start, end, after))
        }
        .boxed()
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move {
            let (sender, answer) = oneshot::channel();
            let idle = {
                let mut asking = self.inner.asking.lock();
                asking.waiting.push(sender);
                !std::mem::replace(&mut asking.running, true)
            };
            if idle {
                tokio::spawn(Arc::clone(&self.inner).answer_all());
            }
            let lost = |_| Error::Unavailable("the answer was lost".to_owned());
            answer.await.map_err(lost)?
        }
        .boxed()
    }

    fn revision_now(&self) -> Option<Revision> {
        None
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId>> {
        async move {
            let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
            let request = proto::LeaseGrantRequest {
                ttl: i64::try_from(whole).unwrap_or(i64::MAX).max(1),
            };
            let answer: proto::LeaseResponse = self.inner.write(proto::LEASE_GRANT, request).await?;
            Ok(LeaseId(answer.id))
        }
        .boxed()
    }

    fn time_to_live(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration>> {
        async move {
            let request = proto::LeaseRequest { id: lease.0 };
            let answer: proto::LeaseResponse = self.inner.read(proto::LEASE_TIME_TO_LIVE, request).await?;
            // -1 when it is not there.
            u64::try_from(answer.ttl)
                .map(Duration::from_secs)
                .map_err(|_| Error::NoLease)
        }
        .boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<()>> {
        async move {
            let request = proto::LeaseRequest { id: lease.0 };
            let proto::Done {} = self.inner.write(proto::LEASE_REVOKE, request).await?;
            Ok(())
        }
        .boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.inner.compact(revision).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        async move { self.inner.ask_revision().await.map(|_| ()) }.boxed()
    }

    fn size(&self) -> BoxFuture<'_, Result<u64>> {
        async move {
            let request = proto::StatusRequest {};
            let answer: proto::StatusResponse = self.inner.read(proto::STATUS, request).await?;
            Ok(u64::try_from(answer.db_size).unwrap_or(0))
        }
        .boxed()
    }
}

fn transaction(writes: &[Write]) -> proto::TxnRequest {
    let mut transaction = proto::TxnRequest::default();
    for write in writes {
        let key = write.key.clone();
        if let Some(expect) = write.expect {
            let revision = match expect {
                Expect::Absent => 0,
                Expect::Modified(revision) => revision,
            };
            transaction.compare.push(proto::Compare {
                target: proto::MOD,
                key: key.clone(),
                mod_revision: Some(i64::try_from(revision).unwrap_or(i64::MAX)),
            });
        }
        let change = write.change.as_ref().map(|change| match change {
            Change::Put { value, lease } => proto::Request::Put(proto::PutRequest {
                key: key.clone(),
                value: value.clone(),
                lease: lease.map_or(0, |lease| lease.0),
            }),
            Change::Delete => proto::Request::DeleteRange(proto::DeleteRangeRequest { key: key.clone() }),
        });
        if change.is_some() {
            transaction.success.push(proto::RequestOp { request: change });
        }
        let get = proto::Request::Range(proto::RangeRequest {
            key,
            ..proto::RangeRequest::default()
        });
        transaction.failure.push(proto::RequestOp { request: Some(get) });
    }
    transaction
}

fn key_value(kv: proto::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key,
        value: kv.value,
        created: revision_of(kv.create_revision),
        modified: revision_of(kv.mod_revision),
        version: revision_of(kv.version),
        lease: (kv.lease != 0).then_some(LeaseId(kv.lease)),
    }
}

fn header_revision(header: Option<proto::ResponseHeader>) -> Revision {
    header.map_or(0, |header| revision_of(header.revision))
}

/// etcd's numbers are signed and never negative.
fn revision_of(number: i64) -> Revision {
    u64::try_from(number).unwrap_or(0)
}
