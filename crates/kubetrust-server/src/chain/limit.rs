//! How many requests are worked on at once, reads and writes apart (`--max-requests-inflight` and
//! `--max-mutating-requests-inflight`). Long-running ones, as watches, are not counted.

use std::sync::Arc;

use kubetrust_api::status::Status;
use kubetrust_auth::user::MASTERS;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Authenticated;

/// The two limits.
#[derive(Debug)]
pub struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

/// Held while a request is worked on.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "holding it is all it is for")] Option<OwnedSemaphorePermit>);

impl InFlight {
    /// At most so many reads and writes at once.
    #[must_use]
    pub fn new(reads: usize, writes: usize) -> Self {
        Self {
            reads: Arc::new(Semaphore::new(reads)),
            writes: Arc::new(Semaphore::new(writes)),
        }
    }

    /// A place for a request; 429 where there is none. `system:masters` are never turned away: they are who repairs it.
    pub fn enter(&self, request: &Authenticated) -> Result<Slot, Status> {
        let info = &request.received().info;
        if info.is_long_running() {
            return Ok(Slot(None));
        }
        let limit = if info.is_read_only() { &self.reads } else { &self.writes };
        match Arc::clone(limit).try_acquire_owned() {
            Ok(permit) => Ok(Slot(Some(permit))),
            Err(_) if request.identity().user.in_group(MASTERS) => Ok(Slot(None)),
            Err(_) => Err(Status::too_many_requests(
                "Too many requests, please try again later.",
                1,
            )),
        }
    }
}
