//! A disk that fails or loses power at a chosen operation, for tests.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use rustix::io::Errno;

use super::disk::{Disk, Mode, RealDisk};

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and the next one works again.
    Once(Errno),
    /// It fails, and so does every later one.
    FromThenOn(Errno),
    /// The power goes: nothing reaches the disk from then on, and every file whose content was not made durable loses
    /// its second half. Renames and new entries stay, durable or not.
    Crash,
}

/// One call to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The method of [`Disk`].
    pub name: &'static str,
    /// Its paths; none for `sync_filesystem`.
    pub paths: Vec<PathBuf>,
}

/// The real disk, until an operation is to fail. Clones share their state.
///
/// It only keeps account of what was synced: with the real system calls, trying every fault would take minutes.
#[derive(Debug, Clone, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    log: Vec<Operation>,
    fault: Option<(usize, Fault)>,
    broken: Option<(&'static str, Errno)>,
    crashed: bool,
    /// Files that could lose their content, by inode.
    unsynced: HashMap<u64, File>,
}

impl FaultDisk {
    /// A disk on which everything works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with a fault at an operation, counted from 0.
    #[must_use]
    pub fn failing(at: usize, fault: Fault) -> Self {
        let disk = Self::default();
        disk.state().fault = Some((at, fault));
        disk
    }

    /// From now on, every operation of that name fails.
    pub fn break_operation(&self, name: &'static str, error: Errno) {
        self.state().broken = Some((name, error));
    }

    /// Every operation so far, failed ones included.
    #[must_use]
    pub fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    /// Runs one operation, unless it is to fail.
    fn step(
        &self,
        name: &'static str,
        paths: &[&Path],
        run: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let index = state.log.len();
        state.log.push(Operation {
            name,
            paths: paths.iter().map(PathBuf::from).collect(),
        });
        if state.crashed {
            return Err(Errno::IO.into());
        }
        if let Some((_, error)) = state.broken.filter(|(broken, _)| *broken == name) {
            return Err(error.into());
        }
        match state.fault {
            Some((at, Fault::Once(error))) if index == at => Err(error.into()),
            Some((at, Fault::FromThenOn(error))) if index >= at => Err(error.into()),
            Some((at, Fault::Crash)) if index == at => {
                state.crashed = true;
                for file in state.unsynced.values() {
                    file.set_len(file.metadata()?.len() / 2)?;
                }
                Err(Errno::IO.into())
            }
            _ => run(&mut state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step("create_dir", &[path], |_| RealDisk.create_dir(path, mode))
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step("set_mode", &[path], |_| RealDisk.set_mode(path, mode))
    }

    fn create_file(&self, path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
        let created = self.step("create_file", &[path], |state| {
            RealDisk.create_file(path, content, mode)?;
            let file = OpenOptions::new().write(true).open(path)?;
            state.unsynced.insert(file.metadata()?.ino(), file);
            Ok(())
        });
        if created.is_err() && !self.state().crashed {
            // A full disk leaves the part of the file that fitted.
            let _ = RealDisk.create_file(path, &content[..content.len() / 2], mode);
        }
        created
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("hard_link", &[from, to], |_| RealDisk.hard_link(from, to))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.step("exchange", &[a, b], |_| RealDisk.exchange(a, b))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename_new", &[from, to], |_| RealDisk.rename_new(from, to))
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename_over", &[from, to], |_| RealDisk.rename_over(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step("remove_file", &[path], |_| RealDisk.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step("remove_dir", &[path], |_| RealDisk.remove_dir(path))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.step("sync_file", &[path], |state| {
            state.unsynced.remove(&path.metadata()?.ino());
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step("sync_dir", &[path], |_| path.metadata().map(drop))
    }

    fn sync_filesystem(&self, _root: &File) -> io::Result<()> {
        self.step("sync_filesystem", &[], |state| {
            state.unsynced.clear();
            Ok(())
        })
    }
}
