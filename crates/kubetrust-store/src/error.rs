//! What can go wrong, sorted by what the caller can do about it.

use crate::Revision;

/// The result of a store's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The revision that was asked for is no longer kept.
    #[error("revision {asked} is compacted; the oldest that can be read is {oldest}")]
    Compacted {
        /// What was asked for.
        asked: Revision,
        /// What is left.
        oldest: Revision,
    },
    /// The revision that was asked for has not happened.
    #[error("revision {asked} has not happened yet; the newest is {newest}")]
    Future {
        /// What was asked for.
        asked: Revision,
        /// What there is.
        newest: Revision,
    },
    /// The consumer of a watch did not keep up.
    #[error("the watch was cut off: its reader did not keep up")]
    Slow,
    /// The value is larger than the store takes.
    #[error("the value has {size} bytes; the store takes {limit}")]
    TooLarge {
        /// Bytes of the value.
        size: usize,
        /// Most bytes.
        limit: usize,
    },
    /// The store can't be reached, or is too busy; the write did not happen.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Nobody knows whether the write happened.
    #[error("the store did not answer, and the write may or may not have happened: {0}")]
    Unknown(String),
    /// What is stored is damaged.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The request is one that no engine carries out: an empty key, a key twice, too many keys.
    #[error("the request is invalid: {0}")]
    Invalid(String),
    /// The lease is not there (any more).
    #[error("no such lease")]
    NoLease,
}
