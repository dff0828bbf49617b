//! What clients asked and were told, and when: the history that the rules are held against.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names a write: each has one of its own, and leaves it in what it writes.
pub type Mark = u32;
/// A `resourceVersion`.
pub type Version = u64;
/// Which object.
pub type Key = usize;
/// Nanoseconds since the run began.
pub type Moment = u64;

/// The end of what nobody knows the end of.
pub const NEVER: Moment = Moment::MAX;

/// What of an object the workload writes. A patch leaves alone what a replacement wrote, so that a patch of something
/// older than what is there is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// The write that made it what it is.
    pub writer: Mark,
    /// The last write that replaced all of it.
    pub replaced: Mark,
    /// The last write that wrote this part.
    pub patched: Mark,
}

impl Content {
    /// All by one write.
    pub fn whole(mark: Mark) -> Self {
        Self {
            writer: mark,
            replaced: mark,
            patched: mark,
        }
    }

    /// A merge patch of a part.
    pub fn with_patch(self, mark: Mark) -> Self {
        Self {
            writer: mark,
            patched: mark,
            ..self
        }
    }

    /// A replacement by someone who had read it.
    pub fn with_replacement(self, mark: Mark) -> Self {
        Self {
            writer: mark,
            replaced: mark,
            ..self
        }
    }
}

/// An object as an answer or an event shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// What it holds.
    pub content: Content,
    /// When it was written.
    pub version: Version,
    /// Since when it is the same object.
    pub uid: Arc<str>,
}

/// What a client asked of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// POST.
    Create(Mark),
    /// GET without a resourceVersion, or a part of such a list.
    Get,
    /// PUT without a resourceVersion.
    Replace(Mark),
    /// PUT of what was read, with its resourceVersion.
    Swap(Mark, Seen),
    /// A merge PATCH without a resourceVersion.
    Patch(Mark),
    /// DELETE under preconditions, if any.
    Delete {
        /// The resourceVersion that it must have.
        version: Option<Version>,
        /// The UID that it must have.
        uid: Option<Arc<str>>,
    },
}

impl Call {
    /// The name of the write, if it writes.
    pub fn mark(&self) -> Option<Mark> {
        match self {
            Self::Create(mark) | Self::Replace(mark) | Self::Swap(mark, _) | Self::Patch(mark) => Some(*mark),
            Self::Get | Self::Delete { .. } => None,
        }
    }

    /// Whether it asks for one state of the object alone.
    pub fn is_conditional(&self) -> bool {
        match self {
            Self::Swap(..) => true,
            Self::Delete { version, uid } => version.is_some() || uid.is_some(),
            _ => false,
        }
    }
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This object: read, or written.
    Saw(Seen),
    /// It was removed; the UID that the answer names.
    Removed(Arc<str>),
    /// 404.
    Absent,
    /// 409: something else is there.
    Conflict,
    /// Nobody knows: it may take effect at any later time, or never.
    Unknown,
}

/// One request about one object. Requests that surely had no effect and told nothing are not kept.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which object.
    pub key: Key,
    /// What was asked.
    pub call: Call,
    /// What was told.
    pub outcome: Outcome,
    /// When it was asked.
    pub begun: Moment,
    /// When it was told; [`NEVER`] for what is unknown.
    pub ended: Moment,
}

/// A consistent list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When it was asked for.
    pub begun: Moment,
    /// When it was told.
    pub ended: Moment,
    /// Its resourceVersion.
    pub version: Version,
    /// What there is.
    pub items: BTreeMap<Key, Seen>,
}

/// All that clients did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Requests about single objects.
    pub operations: Vec<Operation>,
    /// Lists.
    pub listings: Vec<Listing>,
    /// How many writes were answered with "it did not happen".
    pub refused: usize,
}

impl History {
    /// Takes over what another client did.
    pub fn append(&mut self, mut other: Self) {
        self.operations.append(&mut other.operations);
        self.listings.append(&mut other.listings);
        self.refused += other.refused;
    }

    /// The requests about one object, a list being a read of it.
    pub fn of(&self, key: Key) -> Vec<Operation> {
        let own = self.operations.iter().filter(|operation| operation.key == key).cloned();
        let listed = self.listings.iter().map(|listing| Operation {
            key,
            call: Call::Get,
            outcome: listing.items.get(&key).cloned().map_or(Outcome::Absent, Outcome::Saw),
            begun: listing.begun,
            ended: listing.ended,
        });
        own.chain(listed).collect()
    }

    /// Every object that an answer showed, and whose it is.
    pub fn seen(&self) -> impl Iterator<Item = (Key, &Seen)> {
        let answers = self.operations.iter().filter_map(|operation| match &operation.outcome {
            Outcome::Saw(seen) => Some((operation.key, seen)),
            _ => None,
        });
        let listed = self.listings.iter().flat_map(|listing| &listing.items);
        answers.chain(listed.map(|(key, seen)| (*key, seen)))
    }
}

/// What is known of each write by whoever saw it: one version, one content, whoever looks.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    by_writer: HashMap<Mark, (Key, Seen)>,
    by_version: BTreeMap<Version, (Key, Mark)>,
}

impl Facts {
    /// Brings together what was seen. An error where two saw it differently, or what nobody wrote, or of whose write a
    /// client was told that it did not happen.
    pub fn gather<'a>(history: &'a History, events: impl Iterator<Item = (Key, &'a Seen)>) -> Result<Self, String> {
        let may_have_happened = |outcome: &Outcome| matches!(outcome, Outcome::Saw(_) | Outcome::Unknown);
        let written: HashMap<Mark, Key> = history
            .operations
            .iter()
            .filter(|operation| may_have_happened(&operation.outcome))
            .filter_map(|operation| Some((operation.call.mark()?, operation.key)))
            .collect();
        let mut facts = Self::default();
        for (key, seen) in history.seen().chain(events) {
            let writer = seen.content.writer;
            if written.get(&writer) != Some(&key) {
                return Err(format!(
                    "nobody wrote {seen:?} to object {key}, as far as clients were told"
                ));
            }
            facts.add(key, seen)?;
        }
        Ok(facts)
    }

    fn add(&mut self, key: Key, seen: &Seen) -> Result<(), String> {
        let (_, known) = self
            .by_writer
            .entry(seen.content.writer)
            .or_insert_with(|| (key, seen.clone()));
        if known != seen {
            return Err(format!(
                "one write of object {key}, seen differently: {known:?} and {seen:?}"
            ));
        }
        let (_, writer) = *self
            .by_version
            .entry(seen.version)
            .or_insert((key, seen.content.writer));
        if writer != seen.content.writer {
            return Err(format!("the version of {seen:?} is that of write {writer} too"));
        }
        Ok(())
    }

    /// What a write left, if anyone saw it.
    pub fn of(&self, writer: Mark) -> Option<&Seen> {
        self.by_writer.get(&writer).map(|(_, seen)| seen)
    }

    /// Whether a write is the first of its object after a version, of those that anyone saw.
    pub fn is_next(&self, writer: Mark, after: Version) -> bool {
        let Some((key, _)) = self.by_writer.get(&writer) else {
            return false;
        };
        let later = self.by_version.range(after + 1..);
        let mut of_object = later.filter(|(_, (whose, _))| whose == key);
        of_object.next().is_some_and(|(_, (_, next))| *next == writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(writer: Mark, version: Version) -> Seen {
        Seen {
            content: Content::whole(writer),
            version,
            uid: "u".into(),
        }
    }

    fn created(key: Key, asked: Mark, seen: Seen) -> Operation {
        Operation {
            key,
            call: Call::Create(asked),
            outcome: Outcome::Saw(seen),
            begun: 0,
            ended: 1,
        }
    }

    fn told(call: Call, outcome: Outcome) -> Operation {
        Operation {
            key: 0,
            call,
            outcome,
            begun: 0,
            ended: 1,
        }
    }

    #[test]
    fn what_is_seen_of_a_write_is_one_thing_and_was_written() {
        let read = || told(Call::Get, Outcome::Saw(seen(1, 5)));
        #[rustfmt::skip]
        let cases = [
            ("two writes",             vec![created(0, 1, seen(1, 5)), created(1, 2, seen(2, 6))], None),
            ("one without an answer",  vec![told(Call::Create(1), Outcome::Unknown), read()], None),
            ("never written",          vec![created(0, 1, seen(9, 5))], Some("nobody wrote")),
            ("never sent",             vec![read()], Some("nobody wrote")),
            ("refused, and there",     vec![told(Call::Create(1), Outcome::Conflict), read()], Some("nobody wrote")),
            ("written elsewhere",      vec![created(0, 1, seen(1, 5)), created(1, 2, seen(1, 5))], Some("nobody wrote")),
            ("one version twice",      vec![created(0, 1, seen(1, 5)), created(0, 2, seen(2, 5))], Some("is that of write 1 too")),
            ("two versions of one",    vec![created(0, 1, seen(1, 5)), created(0, 1, seen(1, 6))], Some("seen differently")),
        ];
        for (name, operations, fault) in cases {
            let history = History {
                operations,
                ..History::default()
            };
            let found = Facts::gather(&history, std::iter::empty()).map(|_| ());
            match fault {
                None => assert_eq!(found, Ok(()), "{name}"),
                Some(words) => assert!(
                    found.clone().is_err_and(|text| text.contains(words)),
                    "{name}: {found:?}"
                ),
            }
        }
    }
}
