use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::fault::{Errno, Fault, FaultDisk};
use super::*;

const STAMP: &str = "20261124T065400Z";

// ---------------------------------------------------------------- faults

/// Replaces two pairs, adds a folder and removes one.
fn renewal<D: Disk>(root: &Path, disk: D) -> Result<Published, WriteError> {
    let directory = Directory::open(root, disk)?;
    let transaction = directory.begin(STAMP)?;
    transaction.stage(pair("hosts/m1", 1, "new"))?;
    transaction.stage(pair("authority", 0, "new"))?;
    transaction.stage(pair("hosts/w1", 1, "new"))?;
    transaction.stage_removal(rel("hosts/w9"), 1)?;
    transaction.commit()
}

/// The state before [`renewal`], with enough old backups that one is pruned.
///
/// In memory where possible: the faults need a thousand of them.
fn before_renewal() -> TempDir {
    let root = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    populate(root.path());
    for day in 10..20 {
        fs::create_dir_all(root.path().join(format!("backup/202610{day}T000000Z/authority"))).unwrap();
    }
    root
}

const RENEWED: [&str; 4] = ["authority", "hosts/m1", "hosts/w1", "hosts/w9"];

#[test]
fn after_any_fault_each_folder_is_whole_and_a_second_run_finishes() {
    let reference = before_renewal();
    let old = RENEWED.map(|folder| tree_of(&reference.path().join(folder)));
    let counter = FaultDisk::new();
    renewal(reference.path(), counter.clone()).unwrap();
    let new = RENEWED.map(|folder| tree_of(&reference.path().join(folder)));
    assert_eq!(
        old.iter().zip(&new).filter(|(old, new)| old == new).count(),
        0,
        "everything changes"
    );

    let operations = counter.log().len();
    assert!(operations > 80, "{operations}");
    let errors = [Errno::NOSPC, Errno::IO, Errno::ACCESS];
    let faults = errors
        .map(Fault::Once)
        .into_iter()
        .chain(errors.map(Fault::FromThenOn))
        .chain([Fault::Crash]);
    for fault in faults {
        let mut outcomes = BTreeMap::new();
        for at in 0..operations {
            let case = format!("{fault:?} at {at}: {:?}", counter.log()[at]);
            let root = before_renewal();
            let result = renewal(root.path(), FaultDisk::failing(at, fault));
            let found = RENEWED.map(|folder| tree_of(&root.path().join(folder)));

            let replaced: Vec<bool> = (0..RENEWED.len())
                .map(|i| {
                    assert!(
                        found[i] == old[i] || found[i] == new[i],
                        "{case}: {}: {:#?}",
                        RENEWED[i],
                        found[i]
                    );
                    found[i] == new[i]
                })
                .collect();
            let count = replaced.iter().filter(|replaced| **replaced).count();
            assert!(count == 0 || replaced[0], "{case}: the authority comes first");
            match result {
                Ok(published) => {
                    assert_eq!(count, RENEWED.len(), "{case}");
                    // What happened after the last step was only tidying up; `Drop` doesn't report at all.
                    *outcomes
                        .entry(if published.leftover.is_some() { "leftover" } else { "ok" })
                        .or_insert(0) += 1;
                }
                Err(WriteError::Interrupted { published, total, .. }) => {
                    assert_eq!((published, total), (count, RENEWED.len()), "{case}");
                    let kept = fs::read_dir(root.path().join(".staging/2")).unwrap().count();
                    assert!(
                        kept >= published - usize::from(replaced[2]), // a new folder has no old version
                        "{case}: old versions stay until the new ones are durable"
                    );
                    *outcomes.entry("interrupted").or_insert(0) += 1;
                }
                Err(error) => {
                    assert_eq!(count, 0, "{case}: {error}");
                    if matches!(fault, Fault::Once(_)) && at > 10 {
                        assert!(!root.path().join(".staging").exists(), "{case}: staging is discarded");
                    }
                    *outcomes.entry("unchanged").or_insert(0) += 1;
                }
            }
            for (i, folder) in RENEWED.iter().enumerate() {
                let backup = tree_of(&root.path().join("backup").join(STAMP).join(folder));
                let needed = replaced[i] && *folder != "hosts/w1";
                assert!(
                    backup == old[i] || backup.is_empty() && !needed,
                    "{case}: backup of {folder}: {backup:#?}"
                );
            }

            renewal(root.path(), FaultDisk::new()).unwrap_or_else(|error| panic!("{case}: second run: {error}"));
            assert_eq!(
                RENEWED.map(|folder| tree_of(&root.path().join(folder))),
                new,
                "{case}: second run"
            );
            assert!(!root.path().join(".staging").exists(), "{case}: second run");
        }
        // The scenario reaches every phase.
        assert!(
            outcomes.contains_key("unchanged") && outcomes.contains_key("interrupted"),
            "{outcomes:?}"
        );
        assert!(outcomes.contains_key("leftover"), "{outcomes:?}");
    }
}

#[test]
fn after_any_fault_a_single_file_is_whole() {
    let write = |root: &Path, disk: FaultDisk| {
        Directory::open(root, disk)?.write_file(&rel("cluster.yaml"), b"new content", Mode::Public)
    };
    let counter = FaultDisk::new();
    let root = populated();
    write(root.path(), counter.clone()).unwrap();
    let renamed = counter.log().iter().position(|op| op.name == "rename_over").unwrap();
    assert_eq!(counter.log()[renamed + 1].name, "sync_dir");
    assert_eq!(counter.log()[renamed + 1].paths, [root.path()]);
    for at in 0..counter.log().len() {
        for fault in [Fault::Once(Errno::NOSPC), Fault::FromThenOn(Errno::IO), Fault::Crash] {
            let root = populated();
            let result = write(root.path(), FaultDisk::failing(at, fault));
            let content = fs::read_to_string(root.path().join("cluster.yaml")).unwrap();
            assert!(
                content == "new content" || content == "old" && result.is_err(),
                "{fault:?} at {at}: {content}"
            );
            write(root.path(), FaultDisk::new()).unwrap();
            assert_eq!(read(root.path(), "cluster.yaml"), "new content");
            assert!(!root.path().join(".staging").exists());
        }
    }
}

#[test]
fn each_step_is_durable_before_the_next() {
    let root = populated();
    let disk = FaultDisk::new();
    renewal(root.path(), disk.clone()).unwrap();
    let log = disk.log();
    let has = |op: &fault::Operation, part: &str| op.paths.iter().any(|path| path.to_str().unwrap().contains(part));
    let last = |name: &str, part: &str| log.iter().rposition(|op| op.name == name && has(op, part)).unwrap();
    let first = |name: &str, part: &str| log.iter().position(|op| op.name == name && has(op, part)).unwrap();

    // Whatever is created in the staging folder is synced: each file, and each folder, before anything is renamed.
    let renamed = first("rename_new", "backup");
    let in_transaction = root.path().join(".staging/2").to_str().unwrap().to_owned() + "/";
    for (created, synced) in [("create_file", "sync_file"), ("create_dir", "sync_dir")] {
        let created: Vec<_> = log
            .iter()
            .filter(|op| op.name == created && has(op, &in_transaction))
            .collect();
        assert!(created.len() >= 6);
        for op in created {
            let at = log
                .iter()
                .position(|other| other.name == synced && other.paths == op.paths);
            assert!(at.is_some_and(|at| at < renamed), "{op:?} is not synced");
        }
    }
    // Backups are durable before the first exchange, the authority before the hosts, all before the removals.
    let sync_of = |folder: &str, after: usize| {
        let folder = root.path().join(folder);
        after
            + log[after..]
                .iter()
                .position(|op| op.name == "sync_dir" && op.paths[0] == folder)
                .unwrap()
    };
    let authority = log
        .iter()
        .position(|op| op.name == "exchange" && has(op, "authority"))
        .unwrap();
    let backed_up = log[..authority].iter().rposition(|op| op.name == "rename_new").unwrap();
    for folder in ["", "backup", "backup/20261124T065400Z", "backup/20261124T065400Z/hosts"] {
        assert!(sync_of(folder, backed_up) < authority, "backup parent {folder}");
    }
    assert!(sync_of("", authority) < log.iter().rposition(|op| op.name == "exchange").unwrap());
    let renamed = last("exchange", "hosts").max(last("rename_new", "hosts"));
    let removed = renamed
        + log[renamed..]
            .iter()
            .position(|op| op.name.starts_with("remove"))
            .unwrap();
    assert!(sync_of("hosts", renamed) < removed && sync_of("", renamed) < removed);
}

#[test]
fn many_files_take_one_sync() {
    let root = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let directory = Directory::open(root.path(), disk.clone()).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    thread::scope(|scope| {
        for part in 0..4 {
            let transaction = &transaction;
            scope.spawn(move || {
                for host in (0..100).filter(|host| host % 4 == part) {
                    transaction.stage(pair(&format!("hosts/w{host}"), 0, "new")).unwrap();
                }
            });
        }
    });
    assert_eq!(transaction.commit().unwrap().folders.len(), 100);
    for host in 0..100 {
        assert_eq!(read(root.path(), &format!("hosts/w{host}/pki/tls.key")), "new key");
    }
    let count = |name| disk.log().iter().filter(|op| op.name == name).count();
    assert_eq!((count("sync_filesystem"), count("sync_file")), (1, 0));
    let synced: Vec<_> = disk.log().into_iter().filter(|op| op.name == "sync_dir").collect();
    assert_eq!(synced.len(), 2, "the root and hosts, after the renames");
}

#[test]
fn a_filesystem_without_exchange_is_refused_before_anything_is_created() {
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP] {
        let root = populated();
        let before = tree_of(root.path());
        let disk = FaultDisk::new();
        disk.break_operation("exchange", errno);
        let error = Directory::open(root.path(), disk).unwrap_err();
        assert!(matches!(&error, WriteError::CannotExchange { path, .. } if path == root.path()));
        assert!(error.to_string().contains("ext4, xfs, btrfs or tmpfs"), "{error}");
        assert_eq!(tree_of(root.path()), before);
    }
}

#[test]
fn errors_say_what_to_do() {
    let hints = [
        (Errno::NOSPC, "free some space"),
        (Errno::ACCESS, "the user who owns"),
        (Errno::ROFS, "writable"),
    ];
    for (errno, hint) in hints {
        let root = populated();
        let disk = FaultDisk::new();
        let directory = Directory::open(root.path(), disk.clone()).unwrap();
        disk.break_operation("create_file", errno);
        let transaction = directory.begin(STAMP).unwrap();
        let error = transaction.stage(pair("hosts/m1", 0, "new")).unwrap_err();
        assert!(matches!(error, WriteError::Io { operation: "write", .. }));
        let text = error.to_string();
        assert!(text.contains(hint) && text.contains("tls.key"), "{text}");
        assert!(error.source().is_none(), "the message contains its cause");
    }
}

// ---------------------------------------------------------------- what stays

#[test]
fn unchanged_files_stay_the_same_files() {
    let root = populated();
    let m1 = root.path().join("hosts/m1");
    let identity = |name: &str| {
        let found = fs::symlink_metadata(m1.join(name)).unwrap();
        (found.ino(), found.mtime(), found.mtime_nsec())
    };
    let kept = ["etc/kubelet.yaml", "notes.txt", "private/dangling", "private/todo"];
    let before = kept.map(identity);
    let replaced = identity("pki/tls.key");
    renewal(root.path(), RealDisk).unwrap();
    assert_eq!(kept.map(identity), before);
    assert_ne!(identity("pki/tls.key"), replaced);
}

#[test]
fn what_the_user_added_survives() {
    let root = populated();
    let m1 = root.path().join("hosts/m1");
    fs::set_permissions(&m1, fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir(m1.join("empty")).unwrap();
    symlink("../../authority", m1.join("link-to-folder")).unwrap();
    let mut expected = tree_of(&m1);
    renewal(root.path(), RealDisk).unwrap();
    for (name, content) in [("pki/tls.key", "file 600 new key"), ("pki/tls.crt", "file 644 new crt")] {
        expected.insert(name.into(), content.into());
    }
    assert_eq!(expected[Path::new("")], "folder 750");
    assert_eq!(expected[Path::new("private")], "folder 710");
    assert_eq!(expected[Path::new("link-to-folder")], "link ../../authority");
    assert_eq!(tree_of(&m1), expected);
}

#[test]
fn a_folder_that_loses_its_last_file_is_removed() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    let remove = ["pki/tls.key", "pki/tls.crt", "pki/absent"].map(rel).into();
    transaction
        .stage(FolderChange {
            write: vec![],
            remove,
            ..pair("hosts/w9", 0, "")
        })
        .unwrap();
    // One of several files.
    let remove = vec![rel("notes.txt")];
    transaction
        .stage(FolderChange {
            write: vec![],
            remove,
            ..pair("hosts/m1", 0, "")
        })
        .unwrap();
    // Nothing of nothing.
    let remove = vec![rel("absent")];
    transaction
        .stage(FolderChange {
            write: vec![],
            remove,
            ..pair("hosts/absent", 0, "")
        })
        .unwrap();
    transaction.stage_removal(rel("hosts/also-absent"), 0).unwrap();
    assert_eq!(
        transaction.commit().unwrap().folders,
        [rel("hosts/m1"), rel("hosts/w9")]
    );
    assert!(!root.path().join("hosts/w9").exists() && !root.path().join("hosts/absent").exists());
    assert!(!root.path().join("hosts/m1/notes.txt").exists());
    assert_eq!(read(root.path(), "hosts/m1/pki/tls.key"), "old key");
    assert_eq!(
        read(root.path(), "backup/20261124T065400Z/hosts/w9/pki/tls.key"),
        "old key"
    );
}

#[test]
fn a_transaction_that_is_dropped_changes_nothing() {
    let root = populated();
    let before = tree_of(root.path());
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    transaction.stage(pair("authority", 0, "new")).unwrap();
    transaction.stage_removal(rel("hosts/w9"), 0).unwrap();
    drop(transaction);
    assert_eq!(fs::read_dir(root.path().join(".staging")).unwrap().count(), 0);
    drop(directory);
    assert_eq!(tree_of(root.path()), before);
}

#[test]
fn leftovers_of_a_crashed_run_are_removed() {
    let root = populated();
    let before = tree_of(root.path());
    let left = root.path().join(".staging/0/7/pki");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("tls.key"), "half").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o555)).unwrap();
    symlink(root.path().join("authority"), root.path().join(".staging/0/link")).unwrap();
    drop(Directory::open(root.path(), RealDisk).unwrap());
    assert_eq!(tree_of(root.path()), before);
}

// ---------------------------------------------------------------- backups

#[test]
fn backups_hold_the_old_versions() {
    let root = populated();
    let old = ["authority", "hosts/m1", "hosts/w9"].map(|folder| tree_of(&root.path().join(folder)));
    let published = renewal(root.path(), RealDisk).unwrap();
    let backup = root.path().join("backup").join(STAMP);
    assert_eq!(published.backups.into_iter().collect::<Vec<_>>(), [backup.as_path()]);
    assert_eq!(
        ["authority", "hosts/m1", "hosts/w9"].map(|folder| tree_of(&backup.join(folder))),
        old
    );
    assert!(!backup.join("hosts/w1").exists(), "a new folder has no old version");
    for folder in ["backup", "backup/20261124T065400Z", "backup/20261124T065400Z/hosts"] {
        assert_eq!(mode_of(&root.path().join(folder)), 0o700, "{folder}");
    }
}

#[test]
fn a_backup_is_never_overwritten() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let replace = |folder: &str, content: &str| {
        let transaction = directory.begin(STAMP).unwrap();
        transaction.stage(pair(folder, 0, content)).unwrap();
        let backups = transaction.commit().unwrap().backups;
        let names: Vec<_> = backups
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.concat()
    };
    assert_eq!(replace("authority", "second"), STAMP);
    assert_eq!(replace("hosts/m1", "second"), STAMP, "the stamp's folder is shared");
    assert_eq!(replace("authority", "third"), format!("{STAMP}-2"));
    assert_eq!(replace("authority", "fourth"), format!("{STAMP}-3"));
    for (suffix, content) in [("", "old key"), ("-2", "second key"), ("-3", "third key")] {
        assert_eq!(
            read(root.path(), &format!("backup/{STAMP}{suffix}/authority/pki/tls.key")),
            content
        );
    }
}

#[test]
fn the_newest_ten_stamps_are_kept() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let replace = |stamp: &str| {
        let transaction = directory.begin(stamp).unwrap();
        transaction.stage(pair("authority", 0, stamp)).unwrap();
        assert!(transaction.commit().unwrap().leftover.is_none());
    };
    fs::create_dir_all(root.path().join("backup/keep-me")).unwrap();
    fs::write(root.path().join("backup/2000"), "a file").unwrap();
    for day in 10..22 {
        replace(&format!("202611{day}T000000Z"));
        replace(&format!("202611{day}T000000Z"));
    }
    let names = || {
        let entries = fs::read_dir(root.path().join("backup")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut expected: Vec<_> = (12..22)
        .flat_map(|day| ["", "-2"].map(|n| format!("202611{day}T000000Z{n}")))
        .collect();
    expected.insert(0, "2000".into());
    expected.push("keep-me".into());
    assert_eq!(names(), expected);

    // A clock that went back: the version just replaced is what the user may need.
    replace("20251111T000000Z");
    assert!(names().contains(&"20251111T000000Z".into()));
    assert_eq!(names().len(), 2 + 1 + 9 * 2);
}

// ---------------------------------------------------------------- modes

#[test]
fn modes_are_exact_under_any_umask() {
    // The umask belongs to the process, so each case runs this test again in one of its own.
    let Ok(umask) = std::env::var("KUBETRUST_TEST_UMASK") else {
        let name = module_path!().split_once("::").unwrap().1.to_owned() + "::modes_are_exact_under_any_umask";
        for umask in ["000", "022", "077", "277"] {
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            let mut child = Command::new("sh");
            child
                .arg("-c")
                .arg(script)
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", &name]);
            let output = child.env("KUBETRUST_TEST_UMASK", umask).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "umask {umask}: {text}"
            );
        }
        return;
    };
    let root = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    assert_eq!(mode_of(&root.path().join(".staging")), 0o700, "umask {umask}");
    for _ in 0..2 {
        let transaction = directory.begin(STAMP).unwrap();
        transaction
            .stage(FolderChange {
                mode: Mode::Private,
                ..pair("authority", 0, "new")
            })
            .unwrap();
        transaction.stage(pair("hosts/m1", 0, "new")).unwrap();
        transaction.commit().unwrap();
        directory.write_file(&rel("cluster.yaml"), b"", Mode::Public).unwrap();
        for (path, mode) in [
            ("authority", 0o700),
            ("authority/pki", 0o700),
            ("authority/pki/tls.key", 0o600),
            ("hosts", 0o755),
            ("hosts/m1", 0o755),
            ("hosts/m1/pki", 0o755),
            ("hosts/m1/pki/tls.key", 0o600),
            ("hosts/m1/pki/tls.crt", 0o644),
            ("cluster.yaml", 0o644),
        ] {
            assert_eq!(mode_of(&root.path().join(path)), mode, "{path}, umask {umask}");
        }
    }
    assert_eq!(mode_of(&root.path().join("backup")), 0o700, "umask {umask}");
}

#[test]
fn private_folders_are_closed_again() {
    let root = populated();
    fs::set_permissions(root.path().join("authority"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.path().join("backup")).unwrap();
    fs::set_permissions(root.path().join("backup"), fs::Permissions::from_mode(0o755)).unwrap();
    renewal(root.path(), RealDisk).unwrap();
    assert_eq!(mode_of(&root.path().join("authority")), 0o700);
    assert_eq!(mode_of(&root.path().join("backup")), 0o700);
}

#[test]
fn a_file_is_never_written_through_an_existing_one() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("target");
    symlink(&target, root.path().join("link")).unwrap();
    RealDisk
        .create_file(&root.path().join("link"), b"key", Mode::Private)
        .unwrap_err();
    assert!(!target.exists());
    fs::write(&target, "old").unwrap();
    RealDisk.create_file(&target, b"key", Mode::Private).unwrap_err();
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    fs::write(root.path().join("new"), "new").unwrap();
    RealDisk.rename_new(&root.path().join("new"), &target).unwrap_err();
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
}

#[test]
fn a_private_file_is_private_while_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let content = vec![b'k'; 16 << 20];
    let mut seen_half_written = false;
    for attempt in 0..100 {
        let path = root.path().join(attempt.to_string());
        thread::scope(|scope| {
            let writer = scope.spawn(|| RealDisk.create_file(&path, &content, Mode::Private).unwrap());
            while !writer.is_finished() {
                if let Ok(found) = fs::metadata(&path) {
                    assert_eq!(found.mode() & 0o7777, 0o600);
                    seen_half_written |= found.len() < 16 << 20;
                }
            }
        });
        fs::remove_file(&path).unwrap();
        if seen_half_written {
            return;
        }
    }
    panic!("the file was never seen half-written");
}

// ---------------------------------------------------------------- refusals

#[test]
fn one_writer_or_many_readers() {
    let root = populated();
    let busy =
        |result: Result<(), WriteError>| matches!(result, Err(WriteError::Busy { root: path }) if path == root.path());
    let write = || Directory::open(root.path(), RealDisk);
    let read = || ReadLock::open(root.path());

    let writer = write().unwrap();
    assert!(busy(write().map(drop)) && busy(read().map(drop)));
    assert!(
        root.path().join(".staging").exists(),
        "the second writer leaves the first one's staging alone"
    );
    drop(writer);
    let readers = [read().unwrap(), read().unwrap()];
    assert!(busy(write().map(drop)));
    drop(readers);
    drop(write().unwrap());

    assert!(matches!(
        ReadLock::open(&root.path().join("absent")),
        Err(WriteError::Io { operation: "open", .. })
    ));
    assert!(matches!(
        ReadLock::open(&root.path().join("cluster.yaml")),
        Err(WriteError::Io { operation: "open", .. })
    ));
}

#[test]
fn symbolic_links_are_refused_at_every_level() {
    for name in [
        ".staging",
        "backup",
        "authority",
        "hosts",
        "hosts/m1",
        "hosts/m1/pki",
        "hosts/m1/pki/tls.key",
        "hosts/w9",
        "cluster.yaml",
    ] {
        for dangling in [false, true] {
            let root = populated();
            let elsewhere = tempfile::tempdir().unwrap();
            let (link, target) = (root.path().join(name), elsewhere.path().join("target"));
            if link.exists() {
                fs::rename(&link, &target).unwrap();
            } else {
                fs::create_dir(&target).unwrap();
                fs::write(target.join("precious"), "").unwrap();
            }
            if dangling {
                fs::rename(&target, elsewhere.path().join("moved")).unwrap();
            }
            symlink(&target, &link).unwrap();
            let before = (tree_of(root.path()), tree_of(elsewhere.path()));

            let error = renewal(root.path(), RealDisk).map(drop).and_then(|()| {
                Directory::open(root.path(), RealDisk)?.write_file(&rel("cluster.yaml"), b"new", Mode::Public)
            });
            let error = error.expect_err(name);
            assert!(
                matches!(&error, WriteError::Symlink { path } if *path == link),
                "{name}: {error}"
            );
            if name != "cluster.yaml" {
                assert_eq!(tree_of(root.path()), before.0, "{name}");
            }
            assert_eq!(tree_of(elsewhere.path()), before.1, "{name}");
        }
    }
}

#[test]
fn links_are_not_removed_either() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    let remove = vec![rel("private/dangling")];
    let error = transaction
        .stage(FolderChange {
            remove,
            ..pair("hosts/m1", 0, "new")
        })
        .unwrap_err();
    assert!(matches!(error, WriteError::Symlink { .. }));
}

#[test]
fn what_is_neither_file_nor_folder_as_expected_is_refused() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    let stage = |folder: &str, file: &str| {
        let write = vec![file_of(file, "", Mode::Public)];
        match transaction.stage(FolderChange {
            write,
            ..pair(folder, 0, "")
        }) {
            Err(WriteError::Occupied { path, expected }) => (path.strip_prefix(root.path()).unwrap().into(), expected),
            other => panic!("{folder} {file}: {other:?}"),
        }
    };
    assert_eq!(stage("cluster.yaml", "a"), (PathBuf::from("cluster.yaml"), "folder"));
    assert_eq!(stage("cluster.yaml/m1", "a"), (PathBuf::from("cluster.yaml"), "folder"));
    assert_eq!(
        stage("hosts/m1", "notes.txt/a"),
        (PathBuf::from("hosts/m1/notes.txt"), "folder")
    );
    assert_eq!(stage("hosts/w9", "pki"), (PathBuf::from("hosts/w9/pki"), "file"));
    let error = directory.write_file(&rel("hosts"), b"", Mode::Public).unwrap_err();
    assert!(matches!(error, WriteError::Occupied { expected: "file", .. }));
}

#[test]
fn overlapping_folders_are_refused() {
    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    let transaction = directory.begin(STAMP).unwrap();
    transaction.stage(pair("hosts/m1", 0, "new")).unwrap();
    transaction.stage(pair("hosts/m1-2", 0, "new")).unwrap();
    transaction.stage(pair("hosts/m10", 0, "new")).unwrap();
    for folder in ["hosts/m1", "hosts", "hosts/m1/pki"] {
        let error = transaction.stage(pair(folder, 0, "new")).unwrap_err();
        assert!(
            matches!(&error, WriteError::Overlap { other, .. } if *other == rel("hosts/m1")),
            "{folder}: {error}"
        );
        assert!(matches!(
            transaction.stage_removal(rel(folder), 0),
            Err(WriteError::Overlap { .. })
        ));
    }
}

#[test]
fn names_that_are_not_the_callers_are_refused() {
    for path in ["", ".", "..", "/", "/etc", "../x", "a/../b", "./a", "a/.."] {
        assert!(
            matches!(RelPath::new(path), Err(WriteError::InvalidPath { .. })),
            "{path}"
        );
    }
    assert_eq!(rel("a//b/./c/").as_path().as_os_str(), "a/b/c");

    let root = populated();
    let directory = Directory::open(root.path(), RealDisk).unwrap();
    for stamp in ["", "..", "a/b", "now", "2026-11-24", "20261124T065400Z/x"] {
        assert!(
            matches!(directory.begin(stamp), Err(WriteError::InvalidPath { .. })),
            "{stamp}"
        );
    }
    let transaction = directory.begin(STAMP).unwrap();
    for folder in [".staging", "backup", "backup/x", ".staging/0"] {
        assert!(
            matches!(
                transaction.stage(pair(folder, 0, "")),
                Err(WriteError::InvalidPath { .. })
            ),
            "{folder}"
        );
        let written = directory.write_file(&rel(folder), b"", Mode::Public);
        assert!(matches!(written, Err(WriteError::InvalidPath { .. })), "{folder}");
    }
    let written = directory.write_file(&rel("hosts/m1/notes.txt"), b"", Mode::Public);
    assert!(matches!(written, Err(WriteError::InvalidPath { .. })));
}

#[test]
fn content_is_not_printed() {
    let text = format!("{:?}", pair("authority", 0, "secret"));
    assert!(
        text.contains("tls.key") && !text.contains("secret") && !text.contains("115, 101"),
        "{text}"
    );
}

// ---------------------------------------------------------------- helpers

/// A directory with an authority, two hosts, and things in it that aren't ours.
fn populated() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    populate(root.path());
    root
}

fn populate(root: &Path) {
    for folder in ["authority", "hosts/m1", "hosts/w9"] {
        let folder = root.join(folder);
        create_folder(&folder.join("pki"), 0o755);
        for (name, content, mode) in [("tls.key", "old key", 0o600), ("tls.crt", "old crt", 0o644)] {
            fs::write(folder.join("pki").join(name), content).unwrap();
            fs::set_permissions(folder.join("pki").join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    fs::set_permissions(root.join("authority"), fs::Permissions::from_mode(0o700)).unwrap();
    let m1 = root.join("hosts/m1");
    create_folder(&m1.join("etc"), 0o755);
    create_folder(&m1.join("private"), 0o710);
    for file in ["etc/kubelet.yaml", "notes.txt", "private/todo"] {
        let file = File::create(m1.join(file)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))
            .unwrap();
    }
    symlink("nowhere", m1.join("private/dangling")).unwrap();
    fs::write(root.join("cluster.yaml"), "old").unwrap();
}

fn create_folder(path: &Path, mode: u32) {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A change that writes a key and its certificate.
fn pair(folder: &str, rank: u8, content: &str) -> FolderChange {
    let write = vec![
        file_of("pki/tls.key", &format!("{content} key"), Mode::Private),
        file_of("pki/tls.crt", &format!("{content} crt"), Mode::Public),
    ];
    let mode = if folder == "authority" {
        Mode::Private
    } else {
        Mode::Public
    };
    FolderChange {
        folder: rel(folder),
        mode,
        rank,
        write,
        remove: vec![],
    }
}

fn file_of(path: &str, content: &str, mode: Mode) -> NewFile {
    NewFile {
        path: rel(path),
        content: content.as_bytes().to_vec().into(),
        mode,
    }
}

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything at and below `path`: kinds, permission bits and contents. Empty if there is nothing.
fn tree_of(path: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, String>) {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return;
        };
        let mode = metadata.permissions().mode() & 0o7777;
        let text = if metadata.is_symlink() {
            format!("link {}", fs::read_link(path).unwrap().display())
        } else if metadata.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(root, &entry.unwrap().path(), found);
            }
            format!("folder {mode:o}")
        } else {
            format!("file {mode:o} {}", fs::read_to_string(path).unwrap())
        };
        found.insert(path.strip_prefix(root).unwrap().into(), text);
    }
    let mut found = BTreeMap::new();
    walk(path, path, &mut found);
    found
}
