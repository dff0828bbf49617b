//! A directory's files as they were, to tell which ones changed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A file as it was.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// Which file it is, and when it was last written: a file with the same bytes may still be another.
    written: (u64, i64, i64),
}

/// Every file by its path, but the backups.
pub type Tree = BTreeMap<String, File>;

/// Reads a directory.
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    tree
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            if name != "backup" {
                walk(root, &path, tree);
            }
        } else {
            let file = File {
                content: fs::read(&path).unwrap(),
                mode: metadata.mode() & 0o7777,
                written: (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()),
            };
            tree.insert(name, file);
        }
    }
}

/// The files that differ: `+` new, `-` gone, `~` another.
pub fn changes(before: &Tree, after: &Tree) -> BTreeSet<String> {
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |path: &String| match (before.get(path), after.get(path)) {
        (None, Some(_)) => Some(format!("+ {path}")),
        (Some(_), None) => Some(format!("- {path}")),
        (Some(old), Some(new)) if old != new => Some(format!("~ {path}")),
        _ => None,
    };
    paths.into_iter().filter_map(change).collect()
}
