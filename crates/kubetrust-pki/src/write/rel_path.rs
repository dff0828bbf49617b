//! Relative paths that cannot leave the directory they are joined to.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::error::WriteError;

/// A relative path of plain names: never empty, never absolute, never with `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

impl RelPath {
    /// Checks a path. Fails with [`WriteError::InvalidPath`] unless it consists of plain names only.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, WriteError> {
        let path = path.as_ref();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if plain && path.components().next().is_some() {
            // Collecting the components drops doubled and trailing slashes: equal places compare equal.
            Ok(Self(path.components().collect()))
        } else {
            Err(WriteError::InvalidPath {
                path: path.into(),
                reason: "it must be relative and consist of plain names",
            })
        }
    }

    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The first name: the entry of the root that the path lies in.
    pub(super) fn first(&self) -> &Path {
        self.0.iter().next().map_or(Path::new(""), Path::new)
    }

    /// The folder that the path lies in; empty for a single name.
    pub(super) fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new(""))
    }
}

impl TryFrom<&str> for RelPath {
    type Error = WriteError;

    fn try_from(path: &str) -> Result<Self, WriteError> {
        Self::new(path)
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Borrow<Path> for RelPath {
    fn borrow(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
