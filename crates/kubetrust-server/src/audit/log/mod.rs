//! Where events go: one line each, written by one thread from a bounded queue (`--audit-log-path`).
//!
//! Upstream's log blocks each request until its event is written; its batch mode drops at once what does not fit. Here
//! a request waits a little for room. If there is still none, its event is dropped and counted, and nobody waits again
//! until something has been written: a disk that hangs takes the log down, not the server.

mod file;
mod writer;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use super::counters::Counters;

pub use file::{LogError, LogFile, Options};
use writer::{Message, Output};

/// Room of the queue, in [`UNIT`]s: events that wait to be written take at most 64 MiB.
pub const QUEUE_UNITS: u32 = 65_536;
/// What events are measured in, in bytes; each takes one at least, so there are never more than [`QUEUE_UNITS`].
pub const UNIT: usize = 1024;
/// Longest that a request waits for room.
pub const MAX_WAIT: Duration = Duration::from_millis(250);
/// Longest that [`Log::flush`] waits: a disk that hangs must not keep a server from stopping.
pub const MAX_FLUSH: Duration = Duration::from_secs(10);

/// The log. The thread behind it ends when this is dropped and all is written.
#[derive(Debug)]
pub struct Log {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    /// Set when a wait was in vain, and taken back when something is written.
    stalled: Arc<AtomicBool>,
    counters: Counters,
}

impl Log {
    /// A log in a file, rotated as the options say.
    pub fn open(options: Options, now: Timestamp, counters: Counters) -> Result<Self, LogError> {
        let file = LogFile::open(options, now)?;
        Self::spawn(Output::file(file), counters)
    }

    /// A log in anything else: standard output, for `--audit-log-path=-`.
    pub fn to_writer(writer: Box<dyn Write + Send>, counters: Counters) -> Result<Self, LogError> {
        Self::spawn(Output::stream(writer), counters)
    }

    fn spawn(output: Output, counters: Counters) -> Result<Self, LogError> {
        let (queue, messages) = mpsc::channel();
        let stalled = Arc::new(AtomicBool::new(false));
        let (flag, count) = (Arc::clone(&stalled), counters.clone());
        thread::Builder::new()
            .name("audit-log".into())
            .spawn(move || writer::run(&messages, output, &flag, &count))
            .map_err(LogError::Thread)?;
        Ok(Self {
            queue,
            room: Arc::new(Semaphore::new(QUEUE_UNITS as usize)),
            stalled,
            counters,
        })
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Puts a line into the queue; waits for room, but not long.
    pub(super) async fn send(&self, line: Vec<u8>) {
        let room = match self.room_now(line.len()) {
            Some(room) => Some(room),
            None if self.stalled.load(Ordering::Relaxed) => None,
            None => self.wait_for_room(line.len()).await,
        };
        self.put(line, room);
    }

    /// Puts a line into the queue if there is room.
    pub(super) fn send_now(&self, line: Vec<u8>) {
        let room = self.room_now(line.len());
        self.put(line, room);
    }

    fn room_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(units(bytes)).ok()
    }

    async fn wait_for_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room).acquire_many_owned(units(bytes));
        if let Ok(Ok(room)) = tokio::time::timeout(MAX_WAIT, room).await {
            return Some(room);
        }
        if !self.stalled.swap(true, Ordering::Relaxed) {
            warn!("the audit log does not keep up: events are dropped until it does");
        }
        None
    }

    fn put(&self, line: Vec<u8>, room: Option<OwnedSemaphorePermit>) {
        let sent = room.is_some_and(|room| self.queue.send(Message::Line(line, room)).is_ok());
        if !sent {
            self.counters.dropped.inc();
        }
    }

    /// Waits until all that was sent is written and on the disk. False if that took longer than [`MAX_FLUSH`].
    pub async fn flush(&self) -> bool {
        let (written, wait) = oneshot::channel();
        self.queue.send(Message::Flush(written)).is_ok()
            && matches!(tokio::time::timeout(MAX_FLUSH, wait).await, Ok(Ok(())))
    }
}

/// How much of the queue a line takes. One that is larger than the queue takes all of it.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT + 1).unwrap_or(QUEUE_UNITS).min(QUEUE_UNITS)
}
