//! The one thread that writes: whatever waits goes into one transaction of the disk, and is answered when that is
//! durable.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::{Batch, Granted, Refusal};
use super::disk::{Fault, Folder};
use super::tables::{COMPACTED, Snapshot};
use super::{History, Shared};
use crate::{Error, Event, LeaseId, Outcome, Result, Revision, Write};

/// Requests that one transaction of the disk takes.
const BATCH: usize = 256;

/// Bytes of values after which a transaction takes no more requests.
const BATCH_BYTES: usize = 8 << 20;

/// The share of the last commit's time that a transaction waits for as many requests as that one had: those who were
/// just answered come again, and a write of a slow disk is better made for all of them. Waiting longer than that keeps
/// in step who could work while the others' writes are made.
const LINGER: u32 = 2;

/// The longest of that: a disk that hung once is no reason to wait.
const LINGER_AT_MOST: Duration = Duration::from_millis(5);

/// How long it sleeps at most when nothing is asked of it.
const TICK: Duration = Duration::from_secs(1);

/// How long after a failure of the disk it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// Leases that end in one transaction of the disk.
const EXPIRE: usize = 64;

/// Lines of the log that are swept beside other work, at least; twice as many as are written, if that is more.
const SWEEP: usize = 256;

/// How many times a history's length is looked at whether some of it can go.
const COMPACTIONS_PER_HISTORY: u64 = 10;

/// How many points in time are remembered of a history's length.
const SAMPLES_PER_HISTORY: u64 = 300;

/// What the writer is asked for, each with who waits for the answer.
pub(super) enum Request {
    Commit(Vec<Write>, oneshot::Sender<Result<Outcome>>),
    Grant(Duration, oneshot::Sender<Result<LeaseId>>),
    Revoke(LeaseId, oneshot::Sender<Result<()>>),
    Compact(Revision, oneshot::Sender<Result<()>>),
    Stop,
}

/// A request in the queue.
pub(super) struct Queued {
    pub(super) request: Request,
    /// Its place in the queue, free again when the request is taken.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

/// Tells one caller how it went: what was found, or the error that befell the whole transaction.
type Answer = Box<dyn FnOnce(Option<&Error>)>;

fn answer<T: 'static>(sender: oneshot::Sender<Result<T>>, result: Result<T>) -> Answer {
    Box::new(move |fate| {
        // A caller that left does not want to know.
        let _ = sender.send(fate.map_or(result, |error| Err(error.clone())));
    })
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    folder: Folder,
    history: History,
    revision: Revision,
    compacted: Revision,
    sweeping: bool,
    /// By deadline.
    leases: BTreeSet<(u64, LeaseId)>,
    last_lease: LeaseId,
    /// Which revision was the newest when.
    samples: VecDeque<(u64, Revision)>,
    next_compaction: u64,
    next_retry: Option<Instant>,
    /// How long the last commit took.
    commit_took: Duration,
}

/// What a transaction of the disk did.
struct Applied {
    revision: Revision,
    compacted: Revision,
    sweeping: bool,
    events: Vec<Event>,
    leases: Vec<(LeaseId, u64, Granted)>,
}

/// How a transaction of the disk failed.
enum Failure {
    /// It did not happen.
    Before(Fault),
    /// It may have happened.
    Commit(Fault),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: Folder,
        history: History,
        snapshot: &Snapshot,
    ) -> Result<Self, Fault> {
        let mut writer = Self {
            revision: 0,
            compacted: 0,
            sweeping: true,
            leases: BTreeSet::new(),
            last_lease: LeaseId(0),
            samples: VecDeque::new(),
            next_compaction: 0,
            next_retry: None,
            commit_took: Duration::ZERO,
            shared,
            folder,
            history,
        };
        writer.load(snapshot)?;
        Ok(writer)
    }

    fn load(&mut self, snapshot: &Snapshot) -> Result<(), Fault> {
        let leases = snapshot.leases()?;
        self.revision = snapshot.revision()?;
        self.compacted = snapshot.number(COMPACTED)?;
        self.last_lease = leases.iter().map(|(lease, ..)| *lease).max().unwrap_or(self.last_lease);
        self.leases = leases
            .into_iter()
            .map(|(lease, deadline, _)| (deadline, lease))
            .collect();
        Ok(())
    }

    /// Works until it is told to stop; then the file is closed, and the folder free.
    pub(super) fn run(mut self, queue: &Receiver<Queued>) {
        let mut last = 0;
        loop {
            let first = match queue.recv_timeout(self.patience()) {
                Ok(queued) => Some(queued),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (batch, stop) = gather(first, queue, last, (self.commit_took / LINGER).min(LINGER_AT_MOST));
            last = batch.len();
            self.work(batch);
            if stop {
                break;
            }
        }
        self.shared.close();
    }

    /// How long it can sleep when nobody asks.
    fn patience(&self) -> Duration {
        if self.next_retry.is_some() {
            return RETRY;
        }
        if self.sweeping {
            return Duration::ZERO;
        }
        let now = self.shared.now();
        let deadline = self
            .leases
            .first()
            .map(|(deadline, _)| Duration::from_millis(deadline.saturating_sub(now)));
        deadline.map_or(TICK, |deadline| deadline.min(TICK))
    }

    fn work(&mut self, batch: Vec<Queued>) {
        if let Err(reason) = self.shared.is_well() {
            if self.next_retry.is_none_or(|retry| retry <= Instant::now()) {
                self.next_retry = Some(Instant::now() + RETRY);
                self.recover();
            }
            if self.shared.is_well().is_err() {
                refuse(batch, &Error::Unavailable(reason));
                return;
            }
        }
        self.next_retry = None;
        // Whoever waits for an answer that was lost in a panic sees that it does not come.
        let worked = catch_unwind(AssertUnwindSafe(|| self.step(batch)));
        if worked.is_err() {
            self.shared.fail("writing ended in a panic");
        }
    }

    fn step(&mut self, batch: Vec<Queued>) {
        let mut answers = Vec::with_capacity(batch.len());
        let shared = Arc::clone(&self.shared);
        let result = {
            let database = shared.database.read();
            match database.as_ref() {
                Some(database) => self.transact(database, batch, &mut answers),
                None => Err(Failure::Before(Fault::Disk("the store is closed".to_owned()))),
            }
        };
        let fate = match result {
            Ok(applied) => {
                self.adopt(applied);
                None
            }
            Err(Failure::Before(fault)) => {
                self.shared.fail(&fault.to_string());
                Some(Error::Unavailable(fault.to_string()))
            }
            Err(Failure::Commit(fault)) => {
                self.shared.fail(&fault.to_string());
                Some(Error::Unknown(fault.to_string()))
            }
        };
        for answer in answers {
            answer(fate.as_ref());
        }
    }

    /// One transaction of the disk: the requests in their order, then what time has brought.
    fn transact(
        &mut self,
        database: &Database,
        requests: Vec<Queued>,
        answers: &mut Vec<Answer>,
    ) -> Result<Applied, Failure> {
        let before = |fault| Failure::Before(fault);
        let idle = requests.is_empty();
        let now = self.shared.now();
        if idle && !self.is_due(now) {
            return Ok(self.nothing());
        }
        let transaction = database.begin_write().map_err(|error| before(error.into()))?;
        let (applied, changed) = {
            let mut batch = Batch::begin(&transaction, self.revision, self.compacted, now).map_err(before)?;
            let lines = SWEEP.max(requests.len() * 2);
            let mut fatal = None;
            for Queued { request, .. } in requests {
                let (answer, fault) = self.apply(&mut batch, request);
                answers.extend(answer);
                fatal = fatal.or(fault);
            }
            if let Some(fault) = fatal {
                return Err(before(fault));
            }
            self.expire(&mut batch).map_err(before)?;
            self.compact(&mut batch).map_err(before)?;
            let sweeping = batch.sweep(lines).map_err(before)?;
            let applied = Applied {
                revision: batch.revision,
                compacted: batch.compacted,
                sweeping,
                events: batch.events,
                leases: batch.leases,
            };
            (applied, batch.changed)
        };
        if changed {
            let begun = Instant::now();
            transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
            self.commit_took = begun.elapsed();
        } else {
            transaction.abort().map_err(|error| before(error.into()))?;
        }
        Ok(applied)
    }

    fn is_due(&self, now: u64) -> bool {
        self.sweeping
            || now >= self.next_compaction
            || self.leases.first().is_some_and(|(deadline, _)| *deadline <= now)
    }

    fn nothing(&self) -> Applied {
        Applied {
            revision: self.revision,
            compacted: self.compacted,
            sweeping: self.sweeping,
            events: Vec::new(),
            leases: Vec::new(),
        }
    }

    fn apply(&mut self, batch: &mut Batch<'_>, request: Request) -> (Option<Answer>, Option<Fault>) {
        match request {
            Request::Commit(writes, sender) => sort(sender, batch.commit(writes)),
            Request::Grant(ttl, sender) => sort(sender, batch.grant(self.next_lease(), ttl)),
            Request::Revoke(lease, sender) => sort(sender, batch.revoke(lease)),
            Request::Compact(revision, sender) => sort(sender, batch.compact(revision)),
            Request::Stop => (None, None),
        }
    }

    /// Grows, over restarts too, so that a lease that ended is never taken for another.
    fn next_lease(&mut self) -> LeaseId {
        const COUNTER_BITS: u32 = 20;
        let by_time = i64::try_from(self.shared.now() << COUNTER_BITS).unwrap_or(i64::MAX);
        self.last_lease = LeaseId(by_time.max(self.last_lease.0.saturating_add(1)));
        self.last_lease
    }

    fn expire(&self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        let due = self.leases.iter().take_while(|(deadline, _)| *deadline <= batch.now);
        let due: Vec<LeaseId> = due.map(|(_, lease)| *lease).take(EXPIRE).collect();
        for lease in due {
            match batch.revoke(lease) {
                // It was revoked by a request of this very transaction.
                Ok(()) | Err(Refusal::Answer(Error::NoLease)) => {}
                Err(Refusal::Answer(error)) => tracing::error!(lease = lease.0, %error, "the lease can't end"),
                Err(Refusal::Fatal(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Compacts what is older than the history that is kept.
    fn compact(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        let length = u64::try_from(self.history.time.as_millis()).unwrap_or(u64::MAX);
        self.sample(batch.now, length);
        let too_many = batch.revision.saturating_sub(self.history.revisions);
        let slack = self.history.revisions / COMPACTIONS_PER_HISTORY;
        if batch.now < self.next_compaction && batch.compacted.saturating_add(slack) >= too_many {
            return Ok(());
        }
        self.next_compaction = batch.now.saturating_add(length / COMPACTIONS_PER_HISTORY);
        let old = batch.now.saturating_sub(length);
        let known = self.samples.partition_point(|(time, _)| *time <= old);
        let too_old = self
            .samples
            .drain(..known)
            .next_back()
            .map_or(0, |(_, revision)| revision);
        let target = too_many.max(too_old);
        if target <= batch.compacted {
            return Ok(());
        }
        match batch.compact(target) {
            Ok(()) | Err(Refusal::Answer(_)) => Ok(()),
            Err(Refusal::Fatal(fault)) => Err(fault),
        }
    }

    fn sample(&mut self, now: u64, length: u64) {
        let due = self
            .samples
            .back()
            .is_none_or(|(time, _)| now >= time.saturating_add(length / SAMPLES_PER_HISTORY));
        if due {
            self.samples.push_back((now, self.revision));
        }
    }

    /// Takes over what the disk has now, and tells everybody.
    fn adopt(&mut self, applied: Applied) {
        for (lease, deadline, granted) in applied.leases {
            match granted {
                Granted::Yes => self.leases.insert((deadline, lease)),
                Granted::Ended => self.leases.remove(&(deadline, lease)),
            };
        }
        self.compacted = applied.compacted;
        self.shared.feed.compacted(applied.compacted);
        self.sweeping = applied.sweeping;
        if applied.revision > self.revision {
            self.revision = applied.revision;
            self.shared.feed.publish(applied.revision, applied.events);
        }
    }

    /// Opens the file again after a failure. What was acknowledged has to be there; what was not may be, and those who
    /// watch see it then.
    fn recover(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut slot = shared.database.write();
        let closed = slot.take();
        let opened = catch_unwind(AssertUnwindSafe(|| {
            drop(closed);
            self.reopened()
        }));
        match opened {
            Ok(Ok(database)) => {
                tracing::info!(revision = self.revision, "the store is back");
                *slot = Some(database);
                shared.recovered();
            }
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "the store can't be opened again yet");
                shared.failed_again(&fault.to_string());
            }
            Err(_) => shared.failed_again("opening it again ended in a panic"),
        }
    }

    fn reopened(&mut self) -> Result<Database, Fault> {
        let database = self.folder.reopen()?;
        let snapshot = Snapshot::take(&database)?;
        let (acknowledged, found) = (self.shared.feed.newest(), snapshot.revision()?);
        if found < acknowledged {
            return Err(Fault::Damaged(format!(
                "revision {acknowledged} was acknowledged; the disk has no more than {found}"
            )));
        }
        let (events, _) = snapshot.replay(self.revision, usize::MAX)?;
        self.load(&snapshot)?;
        self.sweeping = true;
        if found > acknowledged {
            self.shared.feed.publish(found, events);
        }
        Ok(database)
    }
}

/// What waits, up to the bounds of a transaction, and with some patience as many as are expected; and whether the end of all
/// work is among it.
fn gather(first: Option<Queued>, queue: &Receiver<Queued>, expected: usize, patience: Duration) -> (Vec<Queued>, bool) {
    let deadline = Instant::now() + patience;
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = first;
    while let Some(queued) = next {
        match &queued.request {
            Request::Stop => return (batch, true),
            Request::Commit(writes, _) => bytes += writes.iter().map(crate::limits::size).sum::<usize>(),
            Request::Grant(..) | Request::Revoke(..) | Request::Compact(..) => {}
        }
        batch.push(queued);
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            break;
        }
        next = match queue.try_recv() {
            Ok(queued) => Some(queued),
            Err(_) if batch.len() < expected => {
                let left = deadline.saturating_duration_since(Instant::now());
                queue.recv_timeout(left).ok()
            }
            Err(_) => None,
        };
    }
    (batch, false)
}

fn sort<T: 'static>(sender: oneshot::Sender<Result<T>>, result: Result<T, Refusal>) -> (Option<Answer>, Option<Fault>) {
    match result {
        Ok(value) => (Some(answer(sender, Ok(value))), None),
        Err(Refusal::Answer(error)) => (Some(answer(sender, Err(error))), None),
        Err(Refusal::Fatal(fault)) => {
            let error = Error::Unavailable(fault.to_string());
            (Some(answer(sender, Err(error))), Some(fault))
        }
    }
}

fn refuse(batch: Vec<Queued>, error: &Error) {
    for Queued { request, .. } in batch {
        match request {
            Request::Commit(_, sender) => answer(sender, Err(error.clone()))(None),
            Request::Grant(_, sender) => answer(sender, Err(error.clone()))(None),
            Request::Revoke(_, sender) | Request::Compact(_, sender) => answer(sender, Err(error.clone()))(None),
            Request::Stop => {}
        }
    }
}
