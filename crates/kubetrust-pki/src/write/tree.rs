//! Walks over trees of files: checks that refuse what is not ours to write to, hard-link clones, removal.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Mode};
use super::error::{At, WriteError};
use super::rel_path::RelPath;

/// Whether the folder `root/rel` exists. Refuses symbolic links and files anywhere on the way from `root` to it.
pub(super) fn folder_exists(root: &Path, rel: &Path) -> Result<bool, WriteError> {
    let mut path = root.to_path_buf();
    for part in rel {
        path.push(part);
        if !is_folder(&path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Creates the folders of `rel` that `root` lacks, and adds them to `created`. Refuses what [`folder_exists`] does.
pub(super) fn create_folders(
    disk: &impl Disk,
    root: &Path,
    rel: &Path,
    mode: Mode,
    created: &mut Vec<PathBuf>,
) -> Result<(), WriteError> {
    let mut path = root.to_path_buf();
    for part in rel {
        path.push(part);
        if !is_folder(&path)? {
            disk.create_dir(&path, mode.folder()).at("create", &path)?;
            created.push(path.clone());
        }
    }
    Ok(())
}

/// Whether there is a folder at `path`; an error if there is anything else.
fn is_folder(path: &Path) -> Result<bool, WriteError> {
    match lstat(path)? {
        None => Ok(false),
        Some(found) if found.is_symlink() => Err(WriteError::Symlink { path: path.into() }),
        Some(found) if !found.is_dir() => Err(WriteError::Occupied {
            path: path.into(),
            expected: "folder",
        }),
        Some(_) => Ok(true),
    }
}

/// Refuses to write or remove the file `root/rel` through a symbolic link, or where something else lies.
pub(super) fn check_file(root: &Path, rel: &RelPath) -> Result<(), WriteError> {
    if !folder_exists(root, rel.parent())? {
        return Ok(());
    }
    let path = root.join(rel);
    match lstat(&path)? {
        Some(found) if found.is_symlink() => Err(WriteError::Symlink { path }),
        Some(found) if !found.is_file() => Err(WriteError::Occupied { path, expected: "file" }),
        _ => Ok(()),
    }
}

/// What lies at `path` itself, without following a symbolic link.
pub(super) fn lstat(path: &Path) -> Result<Option<Metadata>, WriteError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("look at", path),
    }
}

/// Clones the folder `from` to `to`: new folders with the same permission bits, hard links to everything else. Leaves
/// out the paths in `skip`, adds the new folders to `created`, and returns how many links it made.
pub(super) fn link_tree(
    disk: &impl Disk,
    from: &Path,
    to: &Path,
    skip: &BTreeSet<PathBuf>,
    created: &mut Vec<PathBuf>,
) -> Result<usize, WriteError> {
    let mode = fs::symlink_metadata(from).at("look at", from)?.permissions().mode() & 0o7777;
    // The final bits come last: they may not allow to create entries.
    disk.create_dir(to, Mode::Private.folder()).at("create", to)?;
    created.push(to.into());
    let mut links = 0;
    for entry in fs::read_dir(from).at("read", from)? {
        let entry = entry.at("read", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().at("look at", &source)?.is_dir() {
            links += link_tree(disk, &source, &target, skip, created)?;
        } else if !skip.contains(&source) {
            disk.hard_link(&source, &target).at("hard-link", &source)?;
            links += 1;
        }
    }
    disk.set_mode(to, mode).at("set the permissions of", to)?;
    Ok(links)
}

/// Removes whatever lies at `path`, if anything does.
pub(super) fn remove_tree(disk: &impl Disk, path: &Path) -> Result<(), WriteError> {
    let Some(found) = lstat(path)? else { return Ok(()) };
    if !found.is_dir() {
        return disk.remove_file(path).at("remove", path);
    }
    // A folder that was cloned from a read-only one would keep its entries.
    if found.permissions().mode() & 0o700 != 0o700 {
        disk.set_mode(path, 0o700).at("set the permissions of", path)?;
    }
    for entry in fs::read_dir(path).at("read", path)? {
        remove_tree(disk, &entry.at("read", path)?.path())?;
    }
    disk.remove_dir(path).at("remove", path)
}
