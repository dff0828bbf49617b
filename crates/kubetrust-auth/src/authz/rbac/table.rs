//! A map that is cheap to copy: a copy shares all that does not change afterwards.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

/// How many parts a [`Table`] has: a change copies one of them, a copy of the table counts up all of them. Ten thousand
/// entries make parts of some forty.
const SHARDS: usize = 256;

/// From strings to values. Keys are hashed once, by a hash that strangers cannot foresee.
#[derive(Clone, Debug)]
pub(super) struct Table<V> {
    hasher: RandomState,
    shards: Vec<Arc<Shard<V>>>,
    length: usize,
}

/// From the hash of a key to the entries that have it: nearly always one.
type Shard<V> = HashMap<u64, Vec<(Box<str>, V)>, Hashed>;

impl<V: Clone> Table<V> {
    /// An empty table.
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: vec![Arc::default(); SHARDS],
            length: 0,
        }
    }

    /// A hash of anything, by the same key.
    pub(super) fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let entries = self.shards.get(shard(hash))?.get(&hash)?;
        entries.iter().find(|(each, _)| &**each == key).map(|(_, value)| value)
    }

    /// The value at a key, made if there is none.
    pub(super) fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let entries = Arc::make_mut(self.shards.get_mut(shard(hash))?)
            .entry(hash)
            .or_default();
        let found = entries.iter().position(|(each, _)| &**each == key);
        let position = found.unwrap_or_else(|| {
            self.length += 1;
            entries.push((key.into(), make()));
            entries.len() - 1
        });
        entries.get_mut(position).map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, key: &str, value: V) {
        let copy = value.clone();
        if let Some(slot) = self.entry(key, || copy) {
            *slot = value;
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let part = Arc::make_mut(self.shards.get_mut(shard(hash))?);
        let entries = part.get_mut(&hash)?;
        let position = entries.iter().position(|(each, _)| &**each == key)?;
        let (_, value) = entries.swap_remove(position);
        if entries.is_empty() {
            part.remove(&hash);
        }
        self.length -= 1;
        Some(value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards
            .iter()
            .flat_map(|part| part.values().flatten().map(|(_, value)| value))
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}

fn shard(hash: u64) -> usize {
    usize::try_from(hash % SHARDS as u64).unwrap_or(0)
}

/// Keys that are hashes already. The low bits chose the shard, so that within one they say nothing.
#[derive(Clone, Debug, Default)]
struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = Taken;

    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

struct Taken(u64);

impl Hasher for Taken {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash.rotate_right(SHARDS.trailing_zeros());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
