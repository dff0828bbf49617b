//! The cluster's directory: its lock, its single files, and what reaches the disk when.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Mode as Bits, OFlags};

use super::disk::{Disk, Mode, RealDisk};
use super::error::{At, WriteError};
use super::rel_path::RelPath;
use super::transaction::Transaction;
use super::tree;

/// Where new versions are built and old ones are discarded. Exists only while a [`Directory`] is open.
const STAGING: &str = ".staging";
/// Where the versions that were replaced are kept.
pub(super) const BACKUP: &str = "backup";

/// Up to so many files and folders are made durable one by one, more of them by one `syncfs`.
///
/// Measured on ext4: 0.3 to 0.45 ms per `fsync`, 60 to 220 ms per `syncfs` after 5,000 new files. The break-even is
/// near 300, but `syncfs` also waits for whatever else is unwritten on that filesystem: we stay with `fsync` up to it.
const SYNC_ONE_BY_ONE: usize = 256;

/// A cluster's directory, open for changes by this process alone.
#[derive(Debug)]
pub struct Directory<D: Disk = RealDisk> {
    root: PathBuf,
    disk: D,
    /// The root itself. Holds the lock, and is open since before the first write: `syncfs` reports through it every
    /// write error that happens from then on.
    handle: File,
    /// Numbers what is put into `.staging`.
    next: AtomicUsize,
}

impl<D: Disk> Directory<D> {
    /// Locks a directory, which must exist, and removes what a crashed run left in `.staging`.
    ///
    /// Fails with [`WriteError::Busy`] while another process has it open, with [`WriteError::CannotExchange`] if its
    /// filesystem cannot exchange folders, with [`WriteError::Symlink`] if `.staging` or `backup` is a symbolic link,
    /// and with [`WriteError::Io`].
    pub fn open(root: &Path, disk: D) -> Result<Self, WriteError> {
        let handle = open_root(root)?;
        check_lock(handle.try_lock(), root)?;
        let directory = Self {
            root: root.into(),
            disk,
            handle,
            next: AtomicUsize::new(0),
        };
        directory.prepare()?;
        directory.try_exchange()?;
        Ok(directory)
    }

    /// The directory's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins a change of folders. `stamp` names its backups: a time such as `20261124T065400Z`, so that a later one
    /// sorts after an earlier one.
    ///
    /// Fails with [`WriteError::InvalidPath`] if the stamp isn't made of letters and digits, a digit first, and with
    /// [`WriteError::Io`].
    pub fn begin(&self, stamp: &str) -> Result<Transaction<'_, D>, WriteError> {
        Transaction::begin(self, stamp)
    }

    /// Writes one file directly in the root, such as `cluster.yaml`, all or nothing. Durable on return; keeps no
    /// backup.
    ///
    /// Fails with [`WriteError::InvalidPath`] if the file lies deeper, with [`WriteError::Symlink`] and
    /// [`WriteError::Occupied`] if something other than a file lies there, and with [`WriteError::Io`]. The old file
    /// is then untouched, unless only the last step failed, which makes the new one durable.
    pub fn write_file(&self, path: &RelPath, content: &[u8], mode: Mode) -> Result<(), WriteError> {
        check_name(path)?;
        if path.first() != path.as_path() {
            return Err(WriteError::InvalidPath {
                path: path.as_path().into(),
                reason: "a single file lies directly in the directory",
            });
        }
        tree::check_file(&self.root, path)?;
        let (new, target) = (self.staging_path(), self.root.join(path));
        let written = self.disk.create_file(&new, content, mode).at("write", &target);
        let written = written.and_then(|()| self.disk.sync_file(&new).at("write", &target));
        let written = written.and_then(|()| self.disk.rename_over(&new, &target).at("replace", &target));
        if written.is_err() {
            // Best effort: the next run clears `.staging` anyway.
            let _ = self.disk.remove_file(&new);
        }
        written?;
        self.disk.sync_dir(&self.root).at("sync", &self.root)
    }

    pub(super) fn disk(&self) -> &D {
        &self.disk
    }

    /// A path in `.staging` that nothing uses yet.
    pub(super) fn staging_path(&self) -> PathBuf {
        self.root.join(STAGING).join(self.next_number())
    }

    /// A name that nothing in `.staging` has yet.
    pub(super) fn next_number(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Returns once everything in `unsynced` would survive a crash.
    pub(super) fn make_durable(&self, unsynced: &Unsynced) -> Result<(), WriteError> {
        if unsynced.many {
            return self.disk.sync_filesystem(&self.handle).at("sync", &self.root);
        }
        for file in &unsynced.files {
            self.disk.sync_file(file).at("sync", file)?;
        }
        for folder in &unsynced.folders {
            self.disk.sync_dir(folder).at("sync", folder)?;
        }
        Ok(())
    }

    /// Clears `.staging`, and closes `.staging` and `backup` to other users.
    fn prepare(&self) -> Result<(), WriteError> {
        let private = Mode::Private.folder();
        if tree::folder_exists(&self.root, Path::new(BACKUP))? {
            let backup = self.root.join(BACKUP);
            self.disk
                .set_mode(&backup, private)
                .at("set the permissions of", &backup)?;
        }
        let staging = self.root.join(STAGING);
        if tree::folder_exists(&self.root, Path::new(STAGING))? {
            tree::remove_tree(&self.disk, &staging)?;
        }
        self.disk.create_dir(&staging, private).at("create", &staging)
    }

    /// Fails now if the filesystem cannot exchange folders: otherwise the first run would succeed there, which only
    /// creates folders, and every renewal after it fail.
    fn try_exchange(&self) -> Result<(), WriteError> {
        let (a, b) = (self.staging_path(), self.staging_path());
        self.disk.create_dir(&a, Mode::Private.folder()).at("create", &a)?;
        self.disk.create_dir(&b, Mode::Private.folder()).at("create", &b)?;
        let exchanged = self.disk.exchange(&a, &b);
        self.disk.remove_dir(&a).at("remove", &a)?;
        self.disk.remove_dir(&b).at("remove", &b)?;
        exchanged.map_err(|error| WriteError::rename(error, &self.root))
    }
}

impl<D: Disk> Drop for Directory<D> {
    fn drop(&mut self) {
        // Stays if publishing was interrupted, see `Transaction`: the next run clears it.
        let _ = self.disk.remove_dir(&self.root.join(STAGING));
        unlock(&self.handle);
    }
}

/// Keeps writers away from a directory, for as long as it exists. Any number of readers can hold one.
#[derive(Debug)]
pub struct ReadLock {
    root: PathBuf,
    handle: File,
}

impl ReadLock {
    /// Fails with [`WriteError::Busy`] while a [`Directory`] is open there, and with [`WriteError::Io`].
    pub fn open(root: &Path) -> Result<Self, WriteError> {
        let handle = open_root(root)?;
        check_lock(handle.try_lock_shared(), root)?;
        Ok(Self {
            root: root.into(),
            handle,
        })
    }

    /// Whether a crashed run left something, old keys perhaps, which the next [`Directory::open`] removes.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        self.root.join(STAGING).exists()
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        unlock(&self.handle);
    }
}

/// Refuses what isn't the caller's to write.
pub(super) fn check_name(path: &RelPath) -> Result<(), WriteError> {
    if [STAGING, BACKUP].iter().any(|own| path.first() == Path::new(own)) {
        return Err(WriteError::InvalidPath {
            path: path.as_path().into(),
            reason: "this name is reserved",
        });
    }
    Ok(())
}

fn open_root(root: &Path) -> Result<File, WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(root, flags, Bits::empty());
    handle.map(File::from).map_err(Into::into).at("open", root)
}

fn check_lock(locked: Result<(), TryLockError>, root: &Path) -> Result<(), WriteError> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(WriteError::Busy { root: root.into() }),
        Err(TryLockError::Error(error)) => Err(error).at("lock", root),
    }
}

/// Releases a lock now. Closing the handle isn't enough: a process that another thread is just starting has a copy of
/// it until it runs its program.
fn unlock(handle: &File) {
    let _ = handle.unlock();
}

/// New files and changed folders that a crash could still take away.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    pub(super) files: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
    /// There were too many to sync one by one: the lists are empty.
    many: bool,
}

impl Unsynced {
    pub(super) fn of_folders(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut unsynced = Self::default();
        unsynced.append(Self {
            folders: folders.into_iter().collect(),
            ..Self::default()
        });
        unsynced
    }

    /// Adds `more`. Forgets all paths once there are so many that [`Directory::make_durable`] doesn't need them.
    pub(super) fn append(&mut self, more: Self) {
        self.files.extend(more.files);
        self.folders.extend(more.folders);
        if more.many || self.many || self.files.len() + self.folders.len() > SYNC_ONE_BY_ONE {
            *self = Self {
                many: true,
                ..Self::default()
            };
        }
    }
}
