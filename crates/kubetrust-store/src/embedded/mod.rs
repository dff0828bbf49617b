//! The store in a folder of this machine, on [redb](https://docs.rs/redb).
//!
//! One writer thread commits everything that waits in one transaction of the disk, and answers once it is durable
//! (`writer`). Readers see the last commit (`tables`); those who watch get what was committed from memory, and what
//! was before from the disk (`feed`). Every record has a checksum (`record`).

mod apply;
mod backup;
mod check;
mod disk;
#[cfg(test)]
mod faults;
mod record;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use self::backup::{BackupError, Summary, check_backup, restore};
pub use self::check::{FAULTS_LIMIT, Report, check};

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::{Semaphore, oneshot};

use crate::feed::{self, Feed, Past};
use crate::limits;
use crate::{Error, Event, KeyValue, LeaseId, Outcome, Page, Range, Result, Revision, Store, Watched, Write};
use disk::{Fault, Folder, Refused};
use tables::Snapshot;
use writer::{Queued, Request, Writer};

/// Requests that may wait for the writer; more wait for a place.
const QUEUE: usize = 1024;

/// Tells the time, for leases and for the age of the history.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// What is younger is kept, as long as the next bound allows: 5 minutes, as kube-apiserver has it by default.
    pub time: Duration,
    /// At most about so many revisions, whatever their age.
    pub revisions: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            revisions: 250_000,
        }
    }
}

/// What can be chosen. The defaults are what a server runs with.
#[derive(Clone)]
pub struct Options {
    /// How much of the past is kept.
    pub history: History,
    /// Bytes of the file that are kept in memory.
    pub cache: usize,
    /// Bytes of the newest events that are kept in memory; a watcher that falls behind them is cut off.
    pub feed: usize,
    /// Tells the time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History::default(),
            cache: 16 << 20,
            feed: 8 << 20,
            clock: Arc::new(Timestamp::now),
        }
    }
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it.
    #[error("{}: another process uses this store; stop it first", folder.display())]
    InUse {
        /// Where.
        folder: PathBuf,
    },
    /// What is there is no store, or is damaged.
    #[error("{}: the store is damaged: {reason}; restore it from a backup", folder.display())]
    Damaged {
        /// Where.
        folder: PathBuf,
        /// How.
        reason: String,
    },
    /// Another kubetrust made it.
    #[error("{}: the store has format {found}, and this kubetrust knows {known}; use the one that made it", folder.display())]
    Format {
        /// Where.
        folder: PathBuf,
        /// What it has.
        found: u64,
        /// What is known.
        known: u64,
    },
    /// The disk does not let us.
    #[error("{}: {reason}", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// The engine. Dropping it closes the file.
pub struct Embedded {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
    places: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What readers, watchers and the writer have in common.
struct Shared {
    /// Where the data is.
    file: PathBuf,
    /// `None` while the file is closed.
    database: RwLock<Option<Database>>,
    feed: Arc<Feed>,
    clock: Clock,
    /// Why nothing is served at the moment.
    failed: Mutex<Option<String>>,
}

/// Whether a folder has a store, whatever state it is in.
#[must_use]
pub fn is_there(folder: &Path) -> bool {
    folder.join(disk::DATA).exists()
}

impl Embedded {
    /// Opens the store in a folder, or makes one there.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_with(path, options, None)
    }

    fn open_with(path: &Path, options: Options, between: Option<disk::Between>) -> Result<Self, OpenError> {
        let folder = take(path, &options, between)?;
        let (shared, writer) =
            guarded(|| Self::begin(path, folder, options)).map_err(|fault| opening(path, fault))??;
        let (queue, requests) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread
            .spawn(move || writer.run(&requests))
            .map_err(|error| OpenError::Io {
                folder: path.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared,
            queue,
            places: Arc::new(Semaphore::new(QUEUE)),
            writer: Mutex::new(Some(thread)),
        })
    }

    #[allow(
        clippy::type_complexity,
        reason = "a fault is turned into an error by the caller, once"
    )]
    fn begin(path: &Path, folder: Folder, options: Options) -> Result<Result<(Arc<Shared>, Writer), OpenError>, Fault> {
        let now = milliseconds((options.clock)());
        let exists = folder.has_data().map_err(|error| Fault::Disk(error.to_string()))?;
        let database = if exists {
            folder.open()?
        } else {
            folder.create(|database| tables::initialize(database, now))?
        };
        let snapshot = Snapshot::take(&database)?;
        let found = snapshot.number(tables::FORMAT)?;
        if found != tables::FORMAT_NOW {
            return Ok(Err(OpenError::Format {
                folder: path.to_owned(),
                found,
                known: tables::FORMAT_NOW,
            }));
        }
        let shared = Arc::new(Shared {
            file: path.join(disk::DATA),
            database: RwLock::new(Some(database)),
            feed: Arc::new(Feed::new(
                snapshot.revision()?,
                snapshot.number(tables::COMPACTED)?,
                options.feed,
            )),
            clock: options.clock,
            failed: Mutex::new(None),
        });
        let writer = Writer::new(Arc::clone(&shared), folder, options.history, &snapshot)?;
        Ok(Ok((shared, writer)))
    }

    /// Ends all watches, lets the writer finish what waits, and closes the file. The folder is free then.
    pub fn close(&self) {
        let Some(writer) = self.writer.lock().take() else {
            return;
        };
        let stop = Queued {
            request: Request::Stop,
            _place: None,
        };
        // It is gone already when it can't be told; either way it has ended after this.
        let _ = self.queue.send(stop);
        let _ = writer.join();
        self.shared.close();
    }

    /// Queues a request and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request) -> Result<T> {
        self.shared.is_well().map_err(Error::Unavailable)?;
        let closed = || Error::Unavailable(CLOSED.to_owned());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (sender, answer) = oneshot::channel();
        let queued = Queued {
            request: request(sender),
            _place: Some(place),
        };
        self.queue.send(queued).map_err(|_| closed())?;
        let lost = |_| Error::Unknown("the writer ended before it answered".to_owned());
        answer.await.map_err(lost)?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

const CLOSED: &str = "the store is closed";

impl Shared {
    fn now(&self) -> u64 {
        milliseconds((self.clock)())
    }

    fn is_closed(&self) -> bool {
        self.feed.is_closed()
    }

    fn close(&self) {
        self.feed.close();
        if let Some(database) = self.database.write().take()
            && let Err(error) = database.close()
        {
            tracing::warn!(%error, "the store was not closed well; it is checked at the next start");
        }
    }

    /// `Err` says why nothing is served.
    fn is_well(&self) -> Result<(), String> {
        if self.is_closed() {
            return Err(CLOSED.to_owned());
        }
        self.failed.lock().clone().map_or(Ok(()), Err)
    }

    /// Nothing is served from now on, until the writer has opened the file anew.
    fn fail(&self, reason: &str) {
        let mut failed = self.failed.lock();
        if failed.is_none() {
            tracing::error!(reason, "the store failed");
            *failed = Some(reason.to_owned());
        }
    }

    fn failed_again(&self, reason: &str) {
        *self.failed.lock() = Some(reason.to_owned());
    }

    fn recovered(&self) {
        *self.failed.lock() = None;
    }

    /// Reads the last commit. A disk that fails while it is read is the writer's to recover.
    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, Fault>) -> Result<T> {
        self.is_well().map_err(Error::Unavailable)?;
        let slot = self.database.read();
        let database = slot.as_ref().ok_or_else(|| Error::Unavailable(CLOSED.to_owned()))?;
        match catch_unwind(AssertUnwindSafe(|| {
            Snapshot::take(database).and_then(|snapshot| read(&snapshot))
        })) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Fault::Damaged(reason))) => {
                tracing::error!(reason, "the store is damaged");
                Err(Error::Corrupt(reason))
            }
            Ok(Err(Fault::Disk(reason))) => {
                self.fail(&reason);
                Err(Error::Unavailable(reason))
            }
            Err(panic) => {
                let reason = format!("reading it ended in a panic: {}", message(panic.as_ref()));
                self.fail(&reason);
                Err(Error::Corrupt(reason))
            }
        }
    }

    /// The same, where it may take long.
    async fn read_aside<T, R>(self: &Arc<Self>, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnOnce(&Snapshot) -> Result<T, Fault> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || shared.read(read));
        task.await.map_err(|error| Error::Unavailable(error.to_string()))?
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<(Option<KeyValue>, Revision)>> {
        async move {
            limits::check_key(key)?;
            let (kv, revision) = self
                .shared
                .read(|snapshot| Ok((snapshot.get(key)?, snapshot.revision()?)))?;
            self.shared.feed.seen(revision);
            Ok((kv, revision))
        }
        .boxed()
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page>> {
        async move {
            let page = self.shared.read_aside(move |snapshot| page(snapshot, &range)).await??;
            self.shared.feed.seen(page.revision);
            Ok(page)
        }
        .boxed()
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Outcome>> {
        async move {
            limits::check(&writes)?;
            self.ask(|answer| Request::Commit(writes, answer)).await
        }
        .boxed()
    }

    fn watch(
        &self,
        start: Bytes,
        end: Bytes,
        after: Revision,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Watched>>>> {
        let opened = self.shared.is_well().map_err(Error::Unavailable);
        let stream = opened.map(|()| {
            let feed = Arc::clone(&self.shared.feed);
            feed::watch(feed, Log(Arc::clone(&self.shared)), start, end, after)
        });
        std::future::ready(stream).boxed()
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        let well = self.shared.is_well().map_err(Error::Unavailable);
        std::future::ready(well.map(|()| self.shared.feed.newest())).boxed()
    }

    fn revision_now(&self) -> Option<Revision> {
        Some(self.shared.feed.newest())
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId>> {
        self.ask(move |answer| Request::Grant(ttl, answer)).boxed()
    }

    fn time_to_live(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration>> {
        async move {
            let deadline = self
                .shared
                .read(|snapshot| snapshot.lease_deadline(lease))?
                .ok_or(Error::NoLease)?;
            Ok(Duration::from_millis(deadline.saturating_sub(self.shared.now())))
        }
        .boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<()>> {
        self.ask(move |answer| Request::Revoke(lease, answer)).boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.ask(move |answer| Request::Compact(revision, answer)).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(self.shared.is_well().map_err(Error::Unavailable)).boxed()
    }

    fn size(&self) -> BoxFuture<'_, Result<u64>> {
        let found = std::fs::metadata(&self.shared.file).map(|file| file.len());
        std::future::ready(found.map_err(|error| Error::Unavailable(error.to_string()))).boxed()
    }
}

/// Bytes of values that one read of the log delivers at most, about.
const REPLAY: usize = 1 << 20;

/// The past, on the disk.
struct Log(Arc<Shared>);

impl Past for Log {
    fn after(&mut self, after: Revision) -> BoxFuture<'_, Result<(Vec<Event>, Revision)>> {
        let read = self.0.read_aside(move |snapshot| {
            let compacted = snapshot.number(tables::COMPACTED)?;
            if after < compacted {
                return Ok(Err(Error::Compacted {
                    asked: after,
                    oldest: compacted,
                }));
            }
            snapshot.replay(after, REPLAY).map(Ok)
        });
        async { read.await? }.boxed()
    }
}

/// Reads a page of one snapshot.
fn page(snapshot: &Snapshot, range: &Range) -> Result<Result<Page>, Fault> {
    let newest = snapshot.revision()?;
    let at = range.at.unwrap_or(newest);
    if at > newest {
        return Ok(Err(Error::Future { asked: at, newest }));
    }
    let oldest = snapshot.number(tables::COMPACTED)?;
    if at < oldest {
        return Ok(Err(Error::Compacted { asked: at, oldest }));
    }
    let found = snapshot.range(range, at)?;
    Ok(Ok(Page {
        items: found.items,
        count: found.count,
        revision: newest,
        later: found.later,
    }))
}

/// Takes a folder for this process alone.
fn take(path: &Path, options: &Options, between: Option<disk::Between>) -> Result<Folder, OpenError> {
    Folder::take(path, options.cache, between).map_err(|refused| match refused {
        Refused::Locked => OpenError::InUse {
            folder: path.to_owned(),
        },
        Refused::Io(error) => OpenError::Io {
            folder: path.to_owned(),
            reason: error.to_string(),
        },
    })
}

/// Turns a panic of redb over a file that somebody else wrote into a fault.
fn guarded<T>(open: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| Err(Fault::Damaged(message(panic.as_ref()))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_owned()
}

fn opening(path: &Path, fault: Fault) -> OpenError {
    let folder = path.to_owned();
    match fault {
        Fault::Damaged(reason) => OpenError::Damaged { folder, reason },
        Fault::Disk(reason) => OpenError::Io { folder, reason },
    }
}

/// Milliseconds since 1970; 0 before it.
fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}
