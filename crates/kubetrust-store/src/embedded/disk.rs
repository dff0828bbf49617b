//! The folder of the engine: its lock, its file, and what becomes of a disk that fails.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, StorageBackend};

pub(super) const DATA: &str = "store.redb";
/// Takes the data's name once it is a whole store: a start that was killed half-way leaves nothing that looks like one.
const UNBORN: &str = "store.redb.new";
const LOCK: &str = "lock";

/// What a read or a write met.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is stored is not what was written.
    Damaged(String),
    /// The disk did not do what it was asked to.
    Disk(String),
}

impl From<redb::StorageError> for Fault {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Corrupted(reason) => Self::Damaged(reason),
            // No file of redb's, or one that ends too soon.
            redb::StorageError::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<redb::TableError> for Fault {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for Fault {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<redb::CommitError> for Fault {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<redb::DatabaseError> for Fault {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) | Self::Disk(reason) => formatter.write_str(reason),
        }
    }
}

/// Puts something between the store and its file: a test's disk that fails. Without one it is [`Disk`] alone.
pub(super) type Between = Arc<dyn Fn(Disk) -> Arc<dyn StorageBackend> + Send + Sync>;

/// A folder that this process alone has.
pub(super) struct Folder {
    path: PathBuf,
    cache: usize,
    between: Option<Between>,
    /// Held as long as the folder is.
    lock: File,
}

impl Drop for Folder {
    /// A process that is being started has a copy of the file for a moment, and with it the lock, unless it is given up.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the lock goes with the process");
        }
    }
}

/// Why a folder can't be had.
pub(super) enum Refused {
    Locked,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Folder {
    /// Makes the folder if there is none, for its owner alone: it holds every Secret of the cluster.
    pub(super) fn take(path: &Path, cache: usize, between: Option<Between>) -> Result<Self, Refused> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|error| named(LOCK, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Refused::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self {
            path: path.to_owned(),
            cache,
            between,
            lock,
        })
    }

    pub(super) fn has_data(&self) -> io::Result<bool> {
        self.path.join(DATA).try_exists()
    }

    /// Makes the file, fills it by `fill`, and only then gives it its name.
    pub(super) fn create(&self, fill: impl FnOnce(&Database) -> Result<(), Fault>) -> Result<Database, Fault> {
        let unborn = self.path.join(UNBORN);
        match std::fs::remove_file(&unborn) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_fault(UNBORN, &error)),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.create_new(true).mode(0o600);
        let database = self.open_file(UNBORN, &mut options)?;
        fill(&database)?;
        std::fs::rename(&unborn, self.path.join(DATA)).map_err(|error| io_fault(DATA, &error))?;
        let folder = File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(|error| io_fault(".", &error))?;
        Ok(database)
    }

    pub(super) fn open(&self) -> Result<Database, Fault> {
        self.open_file(DATA, &mut OpenOptions::new())
    }

    /// Opens the file and verifies every page of it first.
    pub(super) fn open_verified(&self) -> Result<Database, Fault> {
        let mut builder = self.builder();
        builder.set_check_integrity_on_open(true);
        Ok(builder.create_with_backend(self.backend(DATA, &mut OpenOptions::new())?)?)
    }

    /// Opens the file anew after the disk failed. What the disk did not take may still stand in the page cache, marked
    /// as written (`fsync(2)`: a second one succeeds); so it is thrown away first, and redb sees what a crash would
    /// have left.
    pub(super) fn reopen(&self) -> Result<Database, Fault> {
        let forgotten = File::open(self.path.join(DATA)).and_then(|file| {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)
        });
        forgotten.map_err(|error| io_fault(DATA, &error))?;
        self.open()
    }

    fn open_file(&self, name: &str, options: &mut OpenOptions) -> Result<Database, Fault> {
        Ok(self.builder().create_with_backend(self.backend(name, options)?)?)
    }

    fn backend(&self, name: &str, options: &mut OpenOptions) -> Result<Backend, Fault> {
        let failed = |error| io_fault(name, &error);
        let file = options
            .read(true)
            .write(true)
            .open(self.path.join(name))
            .map_err(failed)?;
        // redb makes a database of it.
        if name == DATA && file.metadata().map_err(failed)?.len() == 0 {
            return Err(Fault::Damaged(format!("{name} is empty")));
        }
        let disk = Disk(file);
        Ok(Backend(match &self.between {
            None => Arc::new(disk),
            Some(between) => between(disk),
        }))
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache);
        builder.set_repair_callback(|_| tracing::info!("the store was not closed; checking it"));
        builder
    }
}

/// Says which file of the folder it was.
fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

fn io_fault(name: &str, error: &io::Error) -> Fault {
    Fault::Disk(named(name, error).to_string())
}

/// What redb is given.
#[derive(Debug)]
struct Backend(Arc<dyn StorageBackend>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// redb's own file backend, less its locks: the folder has one.
#[derive(Debug)]
pub(super) struct Disk(File);

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
