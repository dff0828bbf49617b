//! Moves what is in one store to another, of whatever engine.

use std::collections::HashMap;

use bytes::Bytes;

use crate::limits::shown;
use crate::{
    Change, Error, Expect, KeyValue, LeaseId, Outcome, Page, Range, Result, Revision, Store, WRITES_LIMIT, Write,
    prefix_end,
};

/// Keys that are read at once.
const PAGE: usize = 500;

/// Bytes of one transaction, about.
const TRANSACTION: usize = 512 << 10;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The revision of the source that was copied.
    pub revision: Revision,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Why a copy was not made, or is not one.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store that is read.
    #[error("reading: {0}")]
    Source(#[source] Error),
    /// The store that is written.
    #[error("writing: {0}")]
    Target(#[source] Error),
    /// There is something already.
    #[error("the target has {0} already; copy to an empty store")]
    NotEmpty(String),
    /// Somebody writes to it.
    #[error("{0} was changed in the target during the copy; stop what uses it")]
    Changed(String),
}

/// Copies the values of all keys with a prefix, as of one revision, to a store that has none of them; revisions and
/// history are the target's own. Leases are made anew with the time that they still have. Every value is read back.
/// `progress` is told how many keys were written so far.
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    prefix: Bytes,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Copied, CopyError> {
    let there = Range {
        limit: 1,
        ..Range::prefix(prefix.clone())
    };
    if let Some(kv) = to.range(there).await.map_err(CopyError::Target)?.items.first() {
        return Err(CopyError::NotEmpty(shown(&kv.key)));
    }
    let revision = from.revision().await.map_err(CopyError::Source)?;
    let mut copied = Copied {
        revision,
        ..Copied::default()
    };
    let mut leases = HashMap::new();
    let mut pages = Pages::new(prefix, revision);
    while let Some(items) = pages.next(from).await.map_err(CopyError::Source)? {
        for part in parts(&items) {
            write(from, to, part, &mut leases).await?;
            copied.keys += part.len() as u64;
            copied.bytes += part.iter().map(|kv| size(kv) as u64).sum::<u64>();
            progress(copied.keys);
        }
    }
    Ok(copied)
}

/// The keys of a prefix at one revision, page by page.
struct Pages {
    start: Bytes,
    end: Bytes,
    at: Revision,
    ended: bool,
}

impl Pages {
    fn new(prefix: Bytes, at: Revision) -> Self {
        Self {
            end: prefix_end(&prefix),
            start: prefix,
            at,
            ended: false,
        }
    }

    async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<KeyValue>>> {
        if self.ended {
            return Ok(None);
        }
        let range = Range {
            start: self.start.clone(),
            end: self.end.clone(),
            limit: PAGE,
            at: Some(self.at),
            count: false,
            later: 0,
        };
        let Page { items, .. } = store.range(range).await?;
        self.ended = items.len() < PAGE;
        if let Some(last) = items.last() {
            self.start = [last.key.as_ref(), &[0]].concat().into();
        }
        Ok(Some(items))
    }
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

/// Cuts a page into transactions.
fn parts(mut items: &[KeyValue]) -> impl Iterator<Item = &[KeyValue]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = items.iter().take(WRITES_LIMIT).take_while(|kv| {
            bytes += size(kv);
            bytes <= TRANSACTION
        });
        // One that is big goes alone.
        let count = fits.count().max(1).min(items.len());
        let (part, rest) = items.split_at(count);
        items = rest;
        (!part.is_empty()).then_some(part)
    })
}

async fn write(
    from: &dyn Store,
    to: &dyn Store,
    part: &[KeyValue],
    leases: &mut HashMap<LeaseId, Option<LeaseId>>,
) -> Result<(), CopyError> {
    let mut writes = Vec::with_capacity(part.len());
    for kv in part {
        let lease = match kv.lease {
            None => None,
            Some(old) => match renewed(from, to, old, leases).await? {
                None => continue,
                new => new,
            },
        };
        writes.push(Write {
            key: kv.key.clone(),
            expect: Some(Expect::Absent),
            change: Some(Change::Put {
                value: kv.value.clone(),
                lease,
            }),
        });
    }
    match to.commit(writes.clone()).await {
        // Whether it happened is seen when it is read back.
        Ok(Outcome::Committed(_)) | Err(Error::Unknown(_)) => {}
        Ok(Outcome::Conflict { current, .. }) => {
            let key = current.into_iter().flatten().next().map(|kv| shown(&kv.key));
            return Err(CopyError::Changed(key.unwrap_or_default()));
        }
        Err(error) => return Err(CopyError::Target(error)),
    }
    for write in writes {
        let Some(Change::Put { value, lease }) = write.change else {
            continue;
        };
        let found = to.get(&write.key).await.map_err(CopyError::Target)?.0;
        // What has a lease may have ended by now.
        if found.map_or(lease.is_some(), |found| found.value == value) {
            continue;
        }
        return Err(CopyError::Changed(shown(&write.key)));
    }
    Ok(())
}

/// The lease in the target for one of the source; `None` when it ended there, and with it its keys.
async fn renewed(
    from: &dyn Store,
    to: &dyn Store,
    old: LeaseId,
    leases: &mut HashMap<LeaseId, Option<LeaseId>>,
) -> Result<Option<LeaseId>, CopyError> {
    if let Some(new) = leases.get(&old) {
        return Ok(*new);
    }
    let new = match from.time_to_live(old).await {
        Ok(left) => Some(to.grant(left).await.map_err(CopyError::Target)?),
        Err(Error::NoLease) => None,
        Err(error) => return Err(CopyError::Source(error)),
    };
    leases.insert(old, new);
    Ok(new)
}
