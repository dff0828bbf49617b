//! A change of any number of folders: staged, made durable, then published.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, fs, mem};

use zeroize::Zeroizing;

use super::directory::{self, BACKUP, Directory, Unsynced};
use super::disk::{Disk, Mode, RealDisk};
use super::error::{At, WriteError};
use super::rel_path::RelPath;
use super::tree;

/// How many stamps of backups are kept.
const KEPT_BACKUPS: usize = 10;

/// What changes in one folder. Everything else in it stays: the same files, not copies of them.
#[derive(Debug)]
pub struct FolderChange {
    /// The folder, relative to the directory.
    pub folder: RelPath,
    /// Who may look into the folder. `Private` is enforced; `Public` is for what is created, and leaves alone an
    /// existing folder that the user closed to others.
    pub mode: Mode,
    /// Folders with a lower rank are published, and durable, before those with a higher one.
    pub rank: u8,
    /// The files to create or replace, relative to the folder.
    pub write: Vec<NewFile>,
    /// The files to remove, relative to the folder. They need not exist. A folder without files is removed.
    pub remove: Vec<RelPath>,
}

/// A file to write.
pub struct NewFile {
    /// Its path, relative to the folder.
    pub path: RelPath,
    /// Its content, wiped from memory once staged.
    pub content: Zeroizing<Vec<u8>>,
    /// Who may read it.
    pub mode: Mode,
}

impl fmt::Debug for NewFile {
    /// Leaves out the content, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewFile")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What a transaction did.
#[derive(Debug)]
pub struct Published {
    /// The folders that were created, replaced or removed, in the order in which that happened.
    pub folders: Vec<RelPath>,
    /// Where their old versions are: one folder, unless the stamp was used before. Empty if all folders are new.
    pub backups: BTreeSet<PathBuf>,
    /// Why old versions could not be cleared away from `.staging` and `backup`, if so. The change itself is complete
    /// and durable, and the next run tries again.
    pub leftover: Option<WriteError>,
}

/// A change of any number of folders. Dropped without [`commit`](Self::commit), it changes nothing.
#[derive(Debug)]
pub struct Transaction<'d, D: Disk = RealDisk> {
    directory: &'d Directory<D>,
    stamp: String,
    /// This transaction's folder in `.staging`.
    staging: PathBuf,
    state: Mutex<State>,
    /// Whether `staging` can go when the transaction ends.
    discard: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Folders that a call to `stage` has taken on.
    claimed: BTreeSet<RelPath>,
    /// Those that are ready to be published.
    staged: Vec<Staged>,
    unsynced: Unsynced,
}

#[derive(Debug)]
struct Staged {
    folder: RelPath,
    rank: u8,
    action: Action,
    /// Where the new version lies; once it is published, the old one.
    slot: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Replace,
    Remove,
}

impl Staged {
    /// Where the old version's clone waits until it is moved to `backup`.
    fn backup_clone(&self) -> PathBuf {
        self.slot.with_extension("backup")
    }
}

impl<'d, D: Disk> Transaction<'d, D> {
    pub(super) fn begin(directory: &'d Directory<D>, stamp: &str) -> Result<Self, WriteError> {
        if !is_stamp(stamp) {
            return Err(WriteError::InvalidPath {
                path: stamp.into(),
                reason: "a stamp is a time: a digit, then letters and digits",
            });
        }
        let staging = directory.staging_path();
        directory
            .disk()
            .create_dir(&staging, Mode::Private.folder())
            .at("create", &staging)?;
        Ok(Self {
            directory,
            stamp: stamp.into(),
            staging,
            state: Mutex::default(),
            discard: true,
        })
    }

    /// Builds a folder's new version. Can be called from several threads at once.
    ///
    /// Fails with [`WriteError::Symlink`] if the folder, a file to write or remove, or a folder on the way to one of
    /// them is a symbolic link, with [`WriteError::Occupied`] if it is neither the folder nor the file that it should
    /// be, with [`WriteError::Overlap`] if the folder is staged already, with [`WriteError::InvalidPath`] if its name
    /// is reserved, and with [`WriteError::Io`]. The directory is unchanged then, and the folder isn't part of the
    /// transaction.
    pub fn stage(&self, change: FolderChange) -> Result<(), WriteError> {
        let exists = self.claim(&change.folder)?;
        let old = self.directory.root().join(&change.folder);
        for path in change.write.iter().map(|file| &file.path).chain(&change.remove) {
            tree::check_file(&old, path)?;
        }

        let (folder, rank, slot) = (change.folder.clone(), change.rank, self.slot());
        let mut unsynced = Unsynced::default();
        let files = self.build(&slot, exists.then_some(&old), change, &mut unsynced)?;
        let action = match (exists, files) {
            (true, 0) => Action::Remove,
            (true, _) => Action::Replace,
            (false, 0) => return Ok(()),
            (false, _) => Action::Create,
        };
        if action == Action::Remove {
            // Nothing is left of the folder. Its old version will be moved to the slot.
            tree::remove_tree(self.directory.disk(), &slot)?;
            unsynced = Unsynced::default();
        }
        let staged = Staged {
            folder,
            rank,
            action,
            slot,
        };
        self.finish(staged, unsynced)
    }

    /// Removes a folder with everything in it. It need not exist. Can be called from several threads at once, and
    /// fails like [`stage`](Self::stage).
    pub fn stage_removal(&self, folder: RelPath, rank: u8) -> Result<(), WriteError> {
        if self.claim(&folder)? {
            let staged = Staged {
                folder,
                rank,
                action: Action::Remove,
                slot: self.slot(),
            };
            self.finish(staged, Unsynced::default())?;
        }
        Ok(())
    }

    /// Publishes what was staged. Durable on return.
    ///
    /// Fails with [`WriteError::CannotExchange`] and [`WriteError::Io`], the published folders being unchanged, and
    /// with [`WriteError::Interrupted`] if some were replaced already: each one is then wholly old or wholly new, and
    /// the same change, staged again, finishes.
    pub fn commit(mut self) -> Result<Published, WriteError> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let State {
            mut staged, unsynced, ..
        } = mem::take(state);
        staged.sort_by(|a, b| (a.rank, &a.folder).cmp(&(b.rank, &b.folder)));

        self.directory.make_durable(&unsynced)?;
        let backups = self.keep_backups(&staged)?;
        self.publish(&staged)?;
        let leftover = self.clean_up(!backups.is_empty()).err();
        Ok(Published {
            folders: staged.into_iter().map(|change| change.folder).collect(),
            backups,
            leftover,
        })
    }

    /// Reserves a folder for the caller, and tells whether it exists.
    fn claim(&self, folder: &RelPath) -> Result<bool, WriteError> {
        directory::check_name(folder)?;
        let exists = tree::folder_exists(self.directory.root(), folder.as_path())?;
        let claimed = &mut self.state().claimed;
        // Paths sort by their names: the folder itself and what lies within it come first from there on.
        let next = claimed.range::<RelPath, _>(folder..).next();
        let within = next.filter(|other| other.as_path().starts_with(folder));
        if let Some(other) = within.or_else(|| folder.parent().ancestors().find_map(|parent| claimed.get(parent))) {
            return Err(WriteError::Overlap {
                folder: folder.clone(),
                other: other.clone(),
            });
        }
        claimed.insert(folder.clone());
        Ok(exists)
    }

    /// Builds a new version in `slot`, from the old one if there is one. Returns how many files it has.
    fn build(
        &self,
        slot: &Path,
        old: Option<&PathBuf>,
        change: FolderChange,
        unsynced: &mut Unsynced,
    ) -> Result<usize, WriteError> {
        let disk = self.directory.disk();
        let mut files = change.write.len();
        if let Some(old) = old {
            let replaced = change.write.iter().map(|file| &file.path).chain(&change.remove);
            let replaced = replaced.map(|path| old.join(path)).collect();
            files += tree::link_tree(disk, old, slot, &replaced, &mut unsynced.folders)?;
            if change.mode == Mode::Private {
                disk.set_mode(slot, change.mode.folder())
                    .at("set the permissions of", slot)?;
            }
        } else {
            disk.create_dir(slot, change.mode.folder()).at("create", slot)?;
            unsynced.folders.push(slot.into());
        }
        for NewFile { path, content, mode } in change.write {
            tree::create_folders(disk, slot, path.parent(), change.mode, &mut unsynced.folders)?;
            let target = slot.join(&path);
            disk.create_file(&target, &content, mode).at("write", &target)?;
            unsynced.files.push(target);
        }
        Ok(files)
    }

    /// Prepares the backup of a folder whose new version is ready, and takes it into the transaction.
    fn finish(&self, staged: Staged, mut unsynced: Unsynced) -> Result<(), WriteError> {
        if staged.action != Action::Create {
            let live = self.directory.root().join(&staged.folder);
            let (disk, clone) = (self.directory.disk(), staged.backup_clone());
            tree::link_tree(disk, &live, &clone, &BTreeSet::new(), &mut unsynced.folders)?;
        }
        let mut state = self.state();
        state.unsynced.append(unsynced);
        state.staged.push(staged);
        Ok(())
    }

    /// Moves the backups to their place, durably. Returns the folders in `backup` that have them.
    fn keep_backups(&self, staged: &[Staged]) -> Result<BTreeSet<PathBuf>, WriteError> {
        let (root, disk) = (self.directory.root(), self.directory.disk());
        let mut kept = BTreeSet::new();
        let mut changed = BTreeSet::new();
        for change in staged.iter().filter(|change| change.action != Action::Create) {
            let backup = self.free_backup(&change.folder)?;
            let parent = backup.join(change.folder.parent());
            tree::create_folders(disk, root, &parent, Mode::Private, &mut Vec::new())?;
            let place = root.join(&backup).join(&change.folder);
            disk.rename_new(&change.backup_clone(), &place)
                .map_err(|error| WriteError::rename(error, &place))?;
            changed.extend(parent.ancestors().map(|folder| root.join(folder)));
            kept.insert(root.join(backup));
        }
        self.directory.make_durable(&Unsynced::of_folders(changed))?;
        Ok(kept)
    }

    /// The folder of backups, relative to the root, that gets the old version of `folder`: the stamp's own one, or the
    /// first of `<stamp>-2`, `<stamp>-3`, … that has none of it yet.
    fn free_backup(&self, folder: &RelPath) -> Result<PathBuf, WriteError> {
        let mut backup = Path::new(BACKUP).join(&self.stamp);
        for number in 2.. {
            if tree::lstat(&self.directory.root().join(&backup).join(folder))?.is_none() {
                break;
            }
            backup.set_file_name(format!("{}-{number}", self.stamp));
        }
        Ok(backup)
    }

    /// Puts the new versions in place, rank by rank.
    fn publish(&mut self, staged: &[Staged]) -> Result<(), WriteError> {
        let mut published = 0;
        for rank in staged.chunk_by(|a, b| a.rank == b.rank) {
            if let Err(cause) = self.publish_rank(rank, &mut published) {
                if published == 0 {
                    return Err(cause);
                }
                // An old version must not go before the new one is known to be durable: leave both to the next run.
                self.discard = false;
                return Err(WriteError::Interrupted {
                    published,
                    total: staged.len(),
                    cause: Box::new(cause),
                });
            }
        }
        Ok(())
    }

    fn publish_rank(&self, staged: &[Staged], published: &mut usize) -> Result<(), WriteError> {
        let (root, disk) = (self.directory.root(), self.directory.disk());
        let mut changed = BTreeSet::new();
        for Staged {
            folder, action, slot, ..
        } in staged
        {
            let live = root.join(folder);
            let renamed = match action {
                Action::Create => {
                    tree::create_folders(disk, root, folder.parent(), Mode::Public, &mut Vec::new())?;
                    disk.rename_new(slot, &live)
                }
                Action::Replace => disk.exchange(slot, &live),
                Action::Remove => disk.rename_new(&live, slot),
            };
            renamed.map_err(|error| WriteError::rename(error, &live))?;
            *published += 1;
            changed.extend(folder.parent().ancestors().map(|parent| root.join(parent)));
        }
        self.directory.make_durable(&Unsynced::of_folders(changed))
    }

    /// Removes the old versions, and the backups that are too old if there are new ones.
    fn clean_up(&self, prune: bool) -> Result<(), WriteError> {
        tree::remove_tree(self.directory.disk(), &self.staging)?;
        if prune { self.prune_backups() } else { Ok(()) }
    }

    /// Removes all backups but those of the newest stamps. This transaction's own stay, even if the clock went back.
    fn prune_backups(&self) -> Result<(), WriteError> {
        let root = self.directory.root().join(BACKUP);
        let mut backups = Vec::new();
        for entry in fs::read_dir(&root).at("read", &root)? {
            let path = entry.at("read", &root)?.path();
            if let Some(stamp) = stamp_of(&path)
                && stamp != self.stamp
            {
                backups.push((stamp.to_owned(), path));
            }
        }
        let mut stamps: Vec<&String> = backups.iter().map(|(stamp, _)| stamp).collect();
        stamps.sort_unstable();
        stamps.dedup();
        // The newest of those to remove, if there are so many: our own stamp takes one of the places.
        let Some(&last) = stamps.iter().rev().nth(KEPT_BACKUPS - 1) else {
            return Ok(());
        };
        for (_, path) in backups.iter().filter(|(stamp, _)| stamp <= last) {
            tree::remove_tree(self.directory.disk(), path)?;
        }
        Ok(())
    }

    /// A path in this transaction's part of `.staging` that nothing uses yet.
    fn slot(&self) -> PathBuf {
        self.staging.join(self.directory.next_number())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked in here left nothing half-done: every change of the state is a single insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk> Drop for Transaction<'_, D> {
    fn drop(&mut self) {
        if self.discard {
            // Best effort: the next run clears `.staging` anyway.
            let _ = tree::remove_tree(self.directory.disk(), &self.staging);
        }
    }
}

/// Whether a name can be a stamp. Whatever else the user puts into `backup` is never pruned.
fn is_stamp(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The stamp of a folder of backups: `<stamp>` or `<stamp>-<number>`.
fn stamp_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let (stamp, number) = name.split_once('-').unwrap_or((name, "1"));
    (path.is_dir() && !path.is_symlink() && is_stamp(stamp) && number.parse::<usize>().is_ok()).then_some(stamp)
}
