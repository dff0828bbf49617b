//! The few operations that change the disk, behind a trait so that tests can make each of them fail.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, RenameFlags};

/// Who may read a file or look into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only the owner: files 0600, folders 0700.
    Private,
    /// Everybody: files 0644, folders 0755.
    Public,
}

impl Mode {
    /// The permission bits of a file.
    #[must_use]
    pub fn file(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }

    /// The permission bits of a folder.
    #[must_use]
    pub fn folder(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Public => 0o755,
        }
    }
}

/// Every operation that changes the disk or makes a change durable. Reading needs no abstraction.
///
/// All of them fail with the kernel's error, and none follows a symbolic link in the last part of a path that it
/// creates, links, renames or removes.
pub trait Disk: Send + Sync {
    /// Creates a folder with exactly these permission bits, whatever the umask.
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Sets the permission bits of a folder.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Creates a file that must not exist. No other user can read it before it is complete.
    fn create_file(&self, path: &Path, content: &[u8], mode: Mode) -> io::Result<()>;

    /// Gives the file or the symbolic link `from` the further name `to`, which must not exist.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Swaps what lies at `a` and at `b`, atomically.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;

    /// Renames to a name that must not exist.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, replacing the one at `to` if there is one.
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes anything but a folder.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a file's content durable.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes everything on the filesystem of `root` durable. Reports the write errors since `root` was opened.
    fn sync_filesystem(&self, root: &File) -> io::Result<()>;
}

/// The disk itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(path)?;
        self.set_mode(path, mode)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn create_file(&self, path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        // The umask can only have taken bits away: set them exactly.
        file.set_permissions(Permissions::from_mode(mode.file()))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        // No AT_SYMLINK_FOLLOW: a symbolic link is linked itself, not what it points to.
        Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_filesystem(&self, root: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(root)?)
    }
}
