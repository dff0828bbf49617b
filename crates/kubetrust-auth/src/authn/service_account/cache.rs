//! Tokens whose signature was verified. Only that is remembered: times, audiences and bound objects are judged anew
//! with each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use super::Signed;
use crate::authn::digest::{Digest, Hasher};
use crate::authn::token::Token;
use crate::random::NoRandomness;

/// How many tokens are remembered: those of the pods of a few hundred nodes. One more costs one verification.
const TOKENS: usize = 16 * 1024;

// No two caches ever have the same number: what is remembered of one is nothing to another.
static CACHES: AtomicU64 = AtomicU64::new(1);

/// By keyed hash, so that the table holds no token.
pub(super) struct Verified {
    /// What connections know it by.
    number: u64,
    hasher: &'static Hasher,
    tokens: Cache<Digest, Arc<Signed>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Verified {
    pub fn new() -> Result<Self, NoRandomness> {
        Ok(Self {
            number: CACHES.fetch_add(1, Ordering::Relaxed),
            hasher: Hasher::of_process()?,
            tokens: Cache::new(TOKENS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// The claims of a token: remembered, or `verify`'s, which are remembered if they are good.
    pub fn recall<E>(&self, token: &Token<'_>, verify: impl FnOnce() -> Result<Signed, E>) -> Result<Arc<Signed>, E> {
        if let Some(signed) = token.known_to(self.number) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(signed);
        }
        let Some(digest) = token.digest(self.hasher) else {
            return verify().map(Arc::new);
        };
        let signed = if let Some(signed) = self.tokens.get(&digest) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            signed
        } else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            let signed = Arc::new(verify()?);
            self.tokens.insert(digest, Arc::clone(&signed));
            signed
        };
        token.remember(self.number, &signed);
        Ok(signed)
    }

    /// How many were remembered, and how many were not.
    pub fn recalls(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Forgets a token whose time is over.
    pub fn forget(&self, token: &Token<'_>) {
        if let Some(digest) = token.digest(self.hasher) {
            self.tokens.remove(&digest);
        }
    }
}
