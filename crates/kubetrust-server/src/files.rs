//! Files that are read again when they change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Largest credential or policy file that is read, in bytes.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A file that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {}: {why}", path.display())]
pub struct BadFile {
    /// The flag that names it.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and the way out.
    pub why: String,
}

impl BadFile {
    /// For a file that a flag names.
    pub fn new(flag: &'static str, path: &Path, why: &impl ToString) -> Self {
        Self {
            flag,
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

/// Reads a file that a flag names, whole.
pub fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, BadFile> {
    let bad = |error: std::io::Error| BadFile::new(flag, path, &error);
    let mut content = Vec::new();
    let read = File::open(path)
        .map_err(bad)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut content)
        .map_err(bad)?;
    if read as u64 > MAX_FILE {
        return Err(BadFile::new(flag, path, &format!("larger than {MAX_FILE} bytes")));
    }
    Ok(content)
}

/// What a file looked like: another file, size or time means that it may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    device: u64,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds of the inode's own change: a rename over it, a restored time.
    changed: (i64, i64),
}

/// Files and what they looked like when they were last looked at.
#[derive(Debug, Default)]
pub struct Watched(BTreeMap<PathBuf, Option<Looks>>);

impl Watched {
    /// These files, as they are now. Take it before the files are read: a change in between is seen as one.
    pub fn now(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), looks(&path))).collect())
    }

    /// Whether any of them looks different now.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.0.iter().any(|(path, known)| looks(path) != *known)
    }
}

fn looks(path: &Path) -> Option<Looks> {
    let metadata = fs::metadata(path).ok()?;
    Some(Looks {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: metadata.modified().ok(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
