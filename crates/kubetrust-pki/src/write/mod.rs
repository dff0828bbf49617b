//! Writes the cluster's directory so that a key and its certificate match after a crash at any instant.
//!
//! The unit of change is a *folder*: `authority`, `manifests`, `hosts/m1`. A changed folder is built as a complete
//! new version next to the old one, made durable, and then put in its place by one atomic exchange:
//!
//! ```text
//! ROOT/hosts/m1           the folder that everybody reads
//! ROOT/.staging/0/7       its new version: unchanged files are hard links, changed ones are new files
//! ROOT/backup/<stamp>/…   its old version, as hard links
//! ```
//!
//! [`Transaction::commit`] goes through four steps, each durable before the next begins:
//!
//! 1. all staged versions reach the disk;
//! 2. the backups take their place;
//! 3. the folders are exchanged, in the order of their ranks;
//! 4. what was replaced, now in `.staging`, is removed.
//!
//! A crash before step 3 leaves every folder old, one in step 3 leaves each folder wholly old or wholly new, and a
//! later one leaves them all new. The next [`Directory::open`] clears `.staging` in every case.

mod directory;
mod disk;
mod error;
#[cfg(any(test, feature = "fault-injection"))]
pub mod fault;
mod rel_path;
#[cfg(test)]
mod tests;
mod transaction;
mod tree;

pub use directory::{Directory, ReadLock};
pub use disk::{Disk, Mode, RealDisk};
pub use error::WriteError;
pub use rel_path::RelPath;
pub use transaction::{FolderChange, NewFile, Published, Transaction};
