//! What every engine takes, and what it refuses before it asks its disk or its peer.

use std::collections::HashSet;

use crate::{Change, Error, Result, Write};

/// Most bytes of all keys and values of one transaction: etcd's default `--max-request-bytes`.
pub const REQUEST_LIMIT: usize = 1_572_864;

/// Most keys of one transaction: etcd's default `--max-txn-ops`.
pub const WRITES_LIMIT: usize = 128;

/// Most bytes of a key. The longest of Kubernetes are below 1 KiB.
pub const KEY_LIMIT: usize = 4096;

/// Refuses a transaction that no engine carries out.
pub(crate) fn check(writes: &[Write]) -> Result<()> {
    if writes.len() > WRITES_LIMIT {
        return Err(Error::Invalid(format!(
            "the transaction has {} keys; at most {WRITES_LIMIT} are allowed",
            writes.len()
        )));
    }
    let mut seen = HashSet::with_capacity(writes.len());
    for write in writes {
        check_key(&write.key)?;
        if !seen.insert(&write.key) {
            return Err(Error::Invalid(format!("the key {} stands twice", shown(&write.key))));
        }
    }
    let size = writes.iter().map(size).sum();
    if size > REQUEST_LIMIT {
        return Err(Error::TooLarge {
            size,
            limit: REQUEST_LIMIT,
        });
    }
    Ok(())
}

/// Refuses a key that no engine has.
pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    match key.len() {
        0 => Err(Error::Invalid("the key is empty".to_owned())),
        1..=KEY_LIMIT => Ok(()),
        length => Err(Error::Invalid(format!(
            "the key has {length} bytes; at most {KEY_LIMIT} are allowed"
        ))),
    }
}

/// Bytes that a write carries.
pub(crate) fn size(write: &Write) -> usize {
    let value = match &write.change {
        Some(Change::Put { value, .. }) => value.len(),
        Some(Change::Delete) | None => 0,
    };
    write.key.len() + value
}

/// Most bytes of a key that a message shows.
const SHOWN: usize = 256;

/// A key for a message: as text, with what is no text escaped.
pub(crate) fn shown(key: &[u8]) -> String {
    let part = key.get(..SHOWN).unwrap_or(key);
    let ellipsis = if part.len() < key.len() { "…" } else { "" };
    format!("\"{}{ellipsis}\"", part.escape_ascii())
}
