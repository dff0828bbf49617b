//! What can go wrong, worded for the person at the terminal.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::rel_path::RelPath;

/// Why a directory could not be opened or changed.
///
/// The messages are complete: they contain their cause, so [`std::error::Error::source`] is always `None`.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Another process holds the lock.
    #[error("{} is in use by another kubetrust process; wait for it to end, then run again", root.display())]
    Busy {
        /// The directory.
        root: PathBuf,
    },

    /// A managed folder or file is a symbolic link. Nothing was changed.
    #[error("{} is a symbolic link; kubetrust writes only to real files and folders: replace the link", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },

    /// Something else lies where a file or a folder is needed. Nothing was changed.
    #[error("{} is not a {expected}; move it away, then run again", path.display())]
    Occupied {
        /// What lies there.
        path: PathBuf,
        /// What is needed there: "file" or "folder".
        expected: &'static str,
    },

    /// The caller gave a path or a stamp that this module does not accept.
    #[error("{} is not a valid path here: {reason}", path.display())]
    InvalidPath {
        /// The path.
        path: PathBuf,
        /// The rule that it breaks.
        reason: &'static str,
    },

    /// One transaction stages a folder twice, or a folder within another one.
    #[error("{folder} and {other} are changed at the same time; each folder can be changed once")]
    Overlap {
        /// The folder staged last.
        folder: RelPath,
        /// The one staged before.
        other: RelPath,
    },

    /// The filesystem cannot exchange two folders atomically.
    #[error(
        "the filesystem of {} cannot exchange two folders in one step ({error}); \
         the directory must be on a filesystem such as ext4, xfs, btrfs or tmpfs",
        path.display()
    )]
    CannotExchange {
        /// Where it was tried.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },

    /// An operation on the disk failed.
    #[error("cannot {operation} {}: {error}{}", path.display(), hint(error))]
    Io {
        /// The operation: a verb.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },

    /// Publishing stopped half-way. Every folder is wholly old or wholly new.
    #[error(
        "{published} of {total} folders were replaced, then: {cause}. \
         Every folder is complete, either old or new; running the same command again finishes"
    )]
    Interrupted {
        /// How many folders were replaced.
        published: usize,
        /// How many were to be replaced.
        total: usize,
        /// What stopped it.
        cause: Box<WriteError>,
    },
}

impl WriteError {
    /// The error of an atomic rename at `path`: tells a filesystem that does not know the operation from a failure.
    pub(super) fn rename(error: io::Error, path: &Path) -> Self {
        let path = path.into();
        match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Self::CannotExchange { path, error },
            _ => Self::Io {
                operation: "replace",
                path,
                error,
            },
        }
    }
}

/// Names the operation and the path of an [`io::Error`].
pub(super) trait At<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, WriteError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, WriteError> {
        self.map_err(|error| WriteError::Io {
            operation,
            path: path.into(),
            error,
        })
    }
}

/// What to do about an error, where that is known.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space there, then run again",
        io::ErrorKind::PermissionDenied => "; run as the user who owns the directory and everything in it",
        io::ErrorKind::ReadOnlyFilesystem => "; make the filesystem writable, or use another directory",
        _ => "",
    }
}
