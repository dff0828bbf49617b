//! A disk that fails, fills up or loses power at every single operation of a run over a whole cluster.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

#[path = "support/tree.rs"]
mod tree;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;
use kubetrust_pki::cluster::{Loaded, SPEC_FILE};
use kubetrust_pki::write::fault::{Errno, Fault, FaultDisk};
use kubetrust_pki::write::{Directory, Disk, Mode, RelPath};
use tempfile::TempDir;
use tree::{Tree, snapshot};

const FAULTS: [Fault; 3] = [Fault::Once(Errno::IO), Fault::FromThenOn(Errno::NOSPC), Fault::Crash];

const OLD: &str = "\
kind: Cluster
kubelets: {serving: kubelet-ca, client: issued}
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.12]}
";

/// The same cluster with other keys everywhere, a new host and one less.
const NEW: &str = "\
kind: Cluster
keyAlgorithm: ecdsa-p384
kubelets: {serving: kubelet-ca, client: issued}
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w2, addresses: [192.0.2.13]}
";

/// What init and apply do: the spec, if it is not there, and then whatever differs from it. Returns how many steps
/// were taken.
fn make<D: Disk>(root: &Path, disk: D, spec: &str) -> Result<usize, Box<dyn Error>> {
    let directory = Directory::open(root, disk)?;
    if fs::read_to_string(root.join(SPEC_FILE)).ok().as_deref() != Some(spec) {
        directory.write_file(&RelPath::new(SPEC_FILE)?, spec.as_bytes(), Mode::Public)?;
    }
    let loaded = Loaded::read(root, Timestamp::now())?;
    let plan = loaded.plan(root)?;
    let steps = plan.steps().len();
    if steps > 0 {
        loaded.apply(&directory, plan, &())?;
    }
    Ok(steps)
}

/// Counts the operations of a run on a disk that works, and then lets each of them fail in each way.
#[track_caller]
fn every_fault(prepare: impl Fn(&Path) + Sync, spec: &str, algorithms: &[&str]) {
    let (before, count) = {
        let (_temp, root) = place();
        prepare(&root);
        let before = Tree::check(&root);
        let disk = FaultDisk::new();
        make(&root, disk.clone(), spec).unwrap();
        (before, disk.log().len())
    };
    assert!(count > 100, "{count} operations are too few for a cluster");
    let cases: Vec<(usize, Fault)> = (0..count).flat_map(|at| FAULTS.map(|fault| (at, fault))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one_fault(&prepare, &before, spec, algorithms, *at, *fault);
                }
            });
        }
    });
}

#[track_caller]
fn one_fault(prepare: &impl Fn(&Path), before: &Tree, spec: &str, algorithms: &[&str], at: usize, fault: Fault) {
    let (_temp, root) = place();
    prepare(&root);
    let files = snapshot(&root);
    let disk = FaultDisk::failing(at, fault);
    let outcome = make(&root, disk.clone(), spec);
    let context = || {
        let log = disk.log();
        format!("{fault:?} at operation {at}, {:?}", log.get(at))
    };

    // Four in five faults come while nothing is published yet: what is as it was need not be parsed again.
    let mut files_left = snapshot(&root);
    files_left.retain(|name, _| !name.starts_with(".staging"));
    let left = match fault {
        _ if files_left == files => before.clone(),
        Fault::Crash => Tree::check_with_backups(&root),
        _ => Tree::check(&root),
    };
    left.keeps_authority_keys_of(before);
    for (folder, kinds) in &left.algorithms {
        assert!(
            kinds.iter().all(|kind| algorithms.contains(&kind.as_str())),
            "{folder}: {}",
            context()
        );
    }
    match &outcome {
        // Only what comes after the last change may fail without a word: clearing away what was replaced.
        Ok(_) => assert_eq!(
            left.files.get(SPEC_FILE).map(String::as_str),
            Some(spec),
            "{}",
            context()
        ),
        Err(error) => {
            let cause = match fault {
                Fault::FromThenOn(_) => "No space left on device",
                _ => "Input/output error",
            };
            let message = error.to_string();
            assert!(
                message.contains("cannot ") && message.contains(cause),
                "{message}: {}",
                context()
            );
        }
    }

    let finished = make(&root, FaultDisk::new(), spec);
    let finished = finished.unwrap_or_else(|error| panic!("not finished: {error}: {}", context()));
    assert!(
        outcome.is_err() || finished == 0,
        "said to be done, but was not: {}",
        context()
    );
    let whole = Tree::check(&root);
    whole.keeps_authority_keys_of(&left);
    let new = algorithms[algorithms.len() - 1];
    whole.keeps_hosts_of(&left, new);
    for (folder, kinds) in &whole.algorithms {
        assert_eq!(kinds.iter().collect::<Vec<_>>(), [new], "{folder}: {}", context());
    }
    if fault == Fault::Crash {
        assert_eq!(make(&root, FaultDisk::new(), spec).unwrap(), 0, "{}", context());
    }
    assert!(!root.join(".staging").exists(), "{}", context());
}

/// Memory, if there is such a filesystem: thousands of clusters are made, and no test here needs a disk's durability.
const MEMORY: &str = "/dev/shm";

/// A directory for a cluster, gone with the first value.
fn place() -> (TempDir, PathBuf) {
    let temp = TempDir::new_in(MEMORY).or_else(|_| TempDir::new()).unwrap();
    let root = temp.path().join("cluster");
    fs::create_dir(&root).unwrap();
    (temp, root)
}

/// A cluster as it was before the spec changed.
fn old_cluster() -> (TempDir, PathBuf) {
    let (temp, root) = place();
    make(&root, FaultDisk::new(), OLD).unwrap();
    (temp, root)
}

/// Copies a tree of files, modes included.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn init_survives_a_fault_at_every_operation() {
    every_fault(|_| {}, OLD, &["ecdsa-p256"]);
}

#[test]
fn renewing_every_key_survives_a_fault_at_every_operation() {
    let (_temp, old) = old_cluster();
    every_fault(|root| copy(&old, root), NEW, &["ecdsa-p256", "ecdsa-p384"]);
}

/// What the disk says to an operation, and what the message must say about the way out.
const REFUSALS: [(&str, Errno, &str); 8] = [
    ("create_dir", Errno::ACCESS, "run as the user who owns the directory"),
    ("create_file", Errno::ACCESS, "run as the user who owns the directory"),
    (
        "create_dir",
        Errno::ROFS,
        "make the filesystem writable, or use another directory",
    ),
    ("create_file", Errno::NOSPC, "free some space there, then run again"),
    ("create_file", Errno::DQUOT, "free some space there, then run again"),
    ("hard_link", Errno::PERM, "run as the user who owns the directory"),
    ("exchange", Errno::INVAL, "cannot exchange two folders in one step"),
    ("sync_file", Errno::IO, "Input/output error"),
];

#[test]
fn what_the_disk_refuses_is_said_with_the_way_out_and_nothing_changes() {
    for (operation, errno, way_out) in REFUSALS {
        let (_temp, root) = old_cluster();
        fs::write(root.join(SPEC_FILE), NEW).unwrap();
        let before = snapshot(&root);
        let disk = FaultDisk::new();
        disk.break_operation(operation, errno);
        let error = make(&root, disk, NEW).unwrap_err().to_string();
        assert!(error.contains(way_out), "{operation}: {error}");
        assert!(error.contains(root.to_str().unwrap()), "{operation}: {error}");
        let mut after = snapshot(&root);
        after.retain(|name, _| !name.starts_with(".staging"));
        assert_eq!(
            after.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>(),
            "{operation}"
        );
        for (name, entry) in &after {
            assert_eq!(entry, &before[name], "{operation}: {name}");
        }
    }
}
