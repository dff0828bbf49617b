//! What a connection's chain was found to be, so that only its first request pays for the signatures.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::{Untrusted, Verified};
use rustls_pki_types::CertificateDer;

/// How long a chain that was refused stays so unseen: the clock, and nothing else, may make it good.
const REFUSAL_LASTS: SignedDuration = SignedDuration::from_secs(1);

/// The finding of one generation of the configuration; another generation, with other CAs or revocations, looks anew.
#[derive(Default)]
pub struct Memo(Mutex<Option<Finding>>);

struct Finding {
    generation: u64,
    from: Timestamp,
    until: Timestamp,
    result: Result<Arc<Verified>, Untrusted>,
}

impl Memo {
    /// The finding, if it holds at `now` for that generation; otherwise `verify`'s, which is kept.
    pub fn recall(
        &self,
        generation: u64,
        now: Timestamp,
        verify: impl FnOnce() -> Result<Arc<Verified>, Untrusted>,
    ) -> Result<Arc<Verified>, Untrusted> {
        if let Some(finding) = self.0.lock().as_ref()
            && finding.generation == generation
            && (finding.from..=finding.until).contains(&now)
        {
            return finding.result.clone();
        }
        // Not under the lock: requests of one connection that come at once each verify, and agree.
        let result = verify();
        let (from, until) = match &result {
            Ok(verified) => (verified.not_before, verified.not_after),
            Err(_) => (now, now.checked_add(REFUSAL_LASTS).unwrap_or(now)),
        };
        *self.0.lock() = Some(Finding {
            generation,
            from,
            until,
            result: result.clone(),
        });
        result
    }
}

/// Recalls or verifies a chain.
pub(in crate::authn) fn recall(
    memo: &Memo,
    verifier: &super::Verifier,
    chain: &[CertificateDer<'static>],
    generation: u64,
    now: Timestamp,
) -> Result<Arc<Verified>, Untrusted> {
    memo.recall(generation, now, || verifier.recall(chain, now))
}
