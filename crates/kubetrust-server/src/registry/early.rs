//! What this server wrote itself and the store's watch has not told yet.

use std::collections::BTreeMap;

use kubetrust_store::Revision;

use super::cache::Applied;

/// Bytes of what waits for its turn, about. Of what is left out nothing is lost: the store tells it too.
const BYTES: usize = 16 << 20;

/// Own writes by their revision, until it is their turn.
///
/// Whoever holds it takes changes over, one at a time; a whole re-read does not hold it, and puts it on hold.
#[derive(Debug, Default)]
pub(super) struct Early {
    writes: BTreeMap<Revision, (&'static str, Applied)>,
    bytes: usize,
    /// Everything is read anew, as of a revision that may be before these. After a read that failed it stays so until one
    /// succeeds.
    pub(super) on_hold: bool,
}

impl Early {
    /// Keeps a write to the table at a storage path.
    pub(super) fn put(&mut self, storage: &'static str, write: Applied) {
        let size = write.size();
        if self.bytes + size <= BYTES {
            self.take(write.revision);
            self.bytes += size;
            self.writes.insert(write.revision, (storage, write));
        }
    }

    /// The write right after a revision, if it is there. Those up to it are known by now.
    pub(super) fn after(&mut self, reached: Revision) -> Option<(&'static str, Applied)> {
        while let Some((&first, _)) = self.writes.first_key_value() {
            match first {
                _ if first <= reached => drop(self.take(first)),
                // No revision lies between.
                _ if first == reached + 1 && !self.on_hold => return self.take(first),
                _ => return None,
            }
        }
        None
    }

    fn take(&mut self, revision: Revision) -> Option<(&'static str, Applied)> {
        let taken = self.writes.remove(&revision)?;
        self.bytes -= taken.1.size();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::object::Object;
    use super::*;

    fn write(revision: Revision, bytes: usize) -> Applied {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{}},"data":"{}"}}"#,
            "x".repeat(bytes)
        );
        Applied {
            key: "/registry/configmaps/a".into(),
            revision,
            object: Object::from_stored(text.as_bytes(), revision).map(Arc::new),
        }
    }

    #[test]
    fn so_many_bytes_wait_and_no_more() {
        let mut early = Early::default();
        let (big, kept) = (1 << 20, BYTES >> 20);
        for revision in 2..100 {
            early.put("configmaps", write(revision, big));
        }
        assert!(early.bytes <= BYTES);
        let mut reached = 1;
        while let Some((_, next)) = early.after(reached) {
            reached = next.revision;
        }
        assert_eq!(reached, 1 + kept as Revision - 1);
        assert_eq!((early.writes.len(), early.bytes), (0, 0));
        // There is room again, and what is known frees its own.
        early.put("configmaps", write(200, big));
        assert!(early.after(200).is_none());
        assert_eq!((early.writes.len(), early.bytes), (0, 0));
    }
}
