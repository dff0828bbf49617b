//! `delete --cascade`: what becomes of the objects that belong to another.

use std::thread;
use std::time::{Duration, Instant};

use crate::call::{BOTH, Kubectl, Version};

/// How long the garbage collector may take.
const COLLECTED: Duration = Duration::from_secs(20);

/// What is left of the dependent when its owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// It owes nothing to anybody any more.
    Orphan,
}

#[rustfmt::skip]
const TABLE: &[(&str, Left)] = &[
    ("background", Left::Nothing),
    ("foreground", Left::Nothing),
    ("orphan", Left::Orphan),
];

#[test]
fn dependents_go_with_their_owner_before_it_after_it_or_not_at_all() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        for (cascade, left) in TABLE {
            let [owner, dependent] = ["owner", "dependent"].map(|name| format!("{name}-{cascade}"));
            kubectl.admin(*version, &format!("create configmap {owner}")).success();
            let uid = kubectl
                .admin(*version, &format!("get cm {owner} -o jsonpath={{.metadata.uid}}"))
                .success()
                .stdout;
            let manifest = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {dependent}\n  ownerReferences:\n  \
                 - {{apiVersion: v1, kind: ConfigMap, name: {owner}, uid: {uid}, blockOwnerDeletion: true}}\n"
            );
            kubectl.write(*version, "dependent.yaml", &manifest);
            kubectl.admin(*version, "create -f {dir}/dependent.yaml").success();

            kubectl
                .admin(
                    *version,
                    &format!("delete cm {owner} --cascade={cascade} --timeout=20s"),
                )
                .success();
            if *cascade == "foreground" {
                // The owner goes last, and delete waited for it.
                assert_eq!(names(&kubectl, *version, &dependent), "", "{cascade}");
            }
            match left {
                Left::Nothing => eventually(|| names(&kubectl, *version, &dependent).is_empty(), cascade),
                Left::Orphan => eventually(
                    || {
                        let owners = kubectl.admin(
                            *version,
                            &format!("get cm {dependent} -o jsonpath={{.metadata.ownerReferences}}"),
                        );
                        owners.success().stdout.is_empty()
                    },
                    cascade,
                ),
            }
            assert_eq!(names(&kubectl, *version, &owner), "", "{cascade}");
        }
    }
}

#[test]
fn a_finalizer_keeps_an_object_until_it_is_taken_away() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        kubectl.admin(*version, "create configmap kept").success();
        kubectl
            .admin(
                *version,
                r#"patch cm kept -p {"metadata":{"finalizers":["example.org/later"]}}"#,
            )
            .success();
        let output = kubectl.admin(*version, "delete cm kept --timeout=1s").failure();
        assert!(
            output.stderr.contains("timed out waiting for the condition"),
            "{output}"
        );
        let marked = kubectl
            .admin(*version, "get cm kept -o jsonpath={.metadata.deletionTimestamp}")
            .success();
        assert!(!marked.stdout.is_empty(), "{marked}");
        kubectl
            .admin(
                *version,
                r#"patch cm kept --type=merge -p {"metadata":{"finalizers":null}}"#,
            )
            .success();
        assert_eq!(names(&kubectl, *version, "kept"), "");
    }
}

#[test]
fn a_selection_is_deleted_and_nothing_else() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        for name in ["a", "b", "c"] {
            kubectl.admin(*version, &format!("create configmap {name}")).success();
        }
        kubectl.admin(*version, "label cm a b chosen=yes").success();
        kubectl.admin(*version, "delete cm -l chosen=yes").success();
        let left = kubectl.admin(*version, "get cm -o name").success();
        assert_eq!(left.stdout, "configmap/c\nconfigmap/kube-root-ca.crt\n");
        kubectl
            .admin(*version, "delete cm c --grace-period=0 --force")
            .success();
        assert_eq!(names(&kubectl, *version, "c"), "");
    }
}

fn names(kubectl: &Kubectl, version: Version, name: &str) -> String {
    kubectl
        .admin(version, &format!("get cm {name} --ignore-not-found -o name"))
        .success()
        .stdout
}

#[track_caller]
fn eventually(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + COLLECTED;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "{what}: not within {} s",
            COLLECTED.as_secs()
        );
        thread::sleep(Duration::from_millis(50));
    }
}
