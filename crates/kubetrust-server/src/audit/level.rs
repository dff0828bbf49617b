//! How much of a request is recorded, and when.

use serde::{Serialize, Serializer};

/// How much of a request is recorded; each level holds what the ones before it hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who asked for what, when, and how it ended.
    Metadata,
    /// The object that was sent too.
    Request,
    /// The object that was answered too.
    RequestResponse,
}

/// The levels by their names.
pub const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];

/// When in the course of a request an event is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It is known who asks, and nothing has been done yet.
    RequestReceived,
    /// The head of the answer is sent: only of long-running requests, and of failed authentication.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// The server panicked over it.
    Panic,
}

/// The stages by their names, in the order in which they can come.
pub const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

/// The name of a row of [`LEVELS`] or [`STAGES`].
pub(super) fn name_of<T: PartialEq>(table: &'static [(&'static str, T)], value: &T) -> &'static str {
    table
        .iter()
        .find(|(_, each)| each == value)
        .map_or("", |(name, _)| name)
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&LEVELS, self))
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&STAGES, self))
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    /// The stages of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a stage is in it.
    #[must_use]
    pub const fn contains(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }
}

impl FromIterator<Stage> for Stages {
    fn from_iter<I: IntoIterator<Item = Stage>>(stages: I) -> Self {
        stages
            .into_iter()
            .fold(Self::default(), |set, stage| Self(set.0 | 1 << stage as u8))
    }
}
