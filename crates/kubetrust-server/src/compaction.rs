//! Lets etcd forget: what is older than one or two intervals, once for all servers on it, kube-apiservers too
//! (`storage/etcd3/compact.go`). The embedded store does so by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kubetrust_store::{self as store, Change, Expect, Outcome, Revision, Store, Write};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::stop::told;

/// Whoever changes this key first compacts this time. It has no prefix: there is one history for all.
const KEY: &[u8] = b"compact_rev_key";

/// Compacts until the server stops.
pub async fn run(store: Arc<dyn Store>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut turn = Turn::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = told(&mut stop) => return,
        }
        match turn.take(store.as_ref()).await {
            Ok(Some(revision)) => info!(revision, "etcd was compacted"),
            Ok(None) => {}
            Err(error) => warn!(%error, "etcd could not be compacted"),
        }
    }
}

/// What was seen an interval ago.
#[derive(Default)]
struct Turn {
    /// Where the key was written last.
    key: Option<Revision>,
    /// What is forgotten next; nothing the first time.
    newest: Option<Revision>,
}

impl Turn {
    /// Compacts to what was newest an interval ago, unless another server has compacted since. What was compacted.
    async fn take(&mut self, store: &dyn Store) -> store::Result<Option<Revision>> {
        let claim = Write {
            key: Bytes::from_static(KEY),
            expect: Some(self.key.map_or(Expect::Absent, Expect::Modified)),
            change: Some(Change::Put {
                value: self.newest.unwrap_or_default().to_string().into(),
                lease: None,
            }),
        };
        match store.commit(vec![claim]).await? {
            Outcome::Committed(revision) => {
                self.key = Some(revision);
                let Some(newest) = self.newest.replace(revision) else {
                    return Ok(None);
                };
                match store.compact(newest).await {
                    Ok(()) => Ok(Some(newest)),
                    // Somebody else did, by hand.
                    Err(store::Error::Compacted { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Outcome::Conflict { revision, current } => {
                self.key = current.into_iter().flatten().next().map(|there| there.modified);
                self.newest = Some(revision);
                Ok(None)
            }
        }
    }
}
