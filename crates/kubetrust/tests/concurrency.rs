//! Several runs at once on one directory: whoever has the lock works, everybody else says so and leaves.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;
#[path = "../../kubetrust-pki/tests/support/tree.rs"]
mod tree;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kubetrust_pki::write::{Directory, ReadLock, RealDisk};
use kubetrust_testkit::run;
use support::{Cluster, kubetrust};
use tree::{Tree, snapshot};

const AT_ONCE: usize = 8;
const ROUNDS: usize = 12;

const BUSY: &str = "is in use by another kubetrust process; wait for it to end, then run again";

fn spec(round: usize) -> String {
    let algorithm = ["ecdsa-p256", "ecdsa-p384"][round % 2];
    format!(
        "kind: Cluster\n\
         keyAlgorithm: {algorithm}\n\
         kubelets: {{client: issued}}\n\
         hosts:\n\
         - {{name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd, worker]}}\n\
         - {{name: w{round}, addresses: [192.0.2.12]}}\n"
    )
}

/// Starts commands all at once, and waits for all of them.
fn at_once(commands: impl Iterator<Item = Command>) -> Vec<Output> {
    let children: Vec<_> = commands
        .map(|mut command| {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect()
}

/// Splits the runs into those that worked, by their index, and those that said why not.
#[track_caller]
fn winners(outputs: &[Output], excuses: &[&str]) -> Vec<usize> {
    let mut winners = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => winners.push(index),
            Some(1 | 2) if excuses.iter().any(|excuse| stderr.contains(excuse)) => {
                assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
            }
            code => panic!("{code:?}: {stderr}"),
        }
    }
    winners
}

fn on(root: &Path, verb: &[&str]) -> Command {
    let mut command = kubetrust(verb);
    command.arg("-d").arg(root);
    command
}

#[test]
fn of_several_applies_those_with_the_lock_finish_and_nothing_is_mixed() {
    let cluster = Cluster::init(&spec(0));
    let root = cluster.root();
    let mut refused = 0;
    for round in 1..=ROUNDS {
        cluster.write_spec(&spec(round));
        let outputs = at_once((0..AT_ONCE).map(|_| on(&root, &["apply"])));
        let winners = winners(&outputs, &[BUSY]);
        refused += AT_ONCE - winners.len();
        // Readers keep writers out too, so several can turn each other away; the last one always gets in.
        assert!(!winners.is_empty());
        let working = winners.iter().filter(|index| {
            let stderr = String::from_utf8_lossy(&outputs[**index].stderr).into_owned();
            !stderr.contains("Nothing to do") && !stderr.contains("Done: 0 steps")
        });
        assert_eq!(working.count(), 1, "one run does the work");

        let tree = Tree::check(&root);
        assert_eq!(tree.algorithms.len(), 2);
        assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
    }
    assert!(
        refused > ROUNDS,
        "only {refused} of {} were turned away",
        ROUNDS * AT_ONCE
    );
}

#[test]
fn of_several_inits_with_different_specs_one_makes_the_cluster() {
    for _ in 0..ROUNDS {
        let cluster = Cluster::nowhere();
        let root = cluster.root();
        let given: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let file = cluster.beside().join(format!("{number}.yaml"));
                fs::write(&file, spec(number)).unwrap();
                file
            })
            .collect();
        let outputs = at_once(given.iter().map(|file| {
            let mut init = on(&root, &["init"]);
            init.arg("-f").arg(file);
            init
        }));
        let winners = winners(
            &outputs,
            &[BUSY, "already holds a cluster with another spec", "is not empty"],
        );
        assert_eq!(winners.len(), 1);
        let (own, given) = (root.join("cluster.yaml"), &given[winners[0]]);
        assert_eq!(fs::read(own).unwrap(), fs::read(given).unwrap());
        assert_eq!(Tree::check(&root).algorithms.len(), 2);
        assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
    }
}

#[test]
fn every_verb_says_that_a_writer_is_at_work() {
    let cluster = Cluster::init(&spec(0));
    let root = cluster.root();
    let _writer = Directory::open(&root, RealDisk).unwrap();
    let before = snapshot(&root);
    for verb in [&["init"][..], &["plan"], &["apply"], &["show"], &["bundle", "m1"]] {
        let output = run(&mut on(&root, verb)).failure();
        assert_eq!(output.code(), Some(1), "{output}");
        assert!(
            output.stderr.contains(&format!("{} {BUSY}", root.display())),
            "{output}"
        );
        assert_eq!(output.stdout, "");
    }
    assert_eq!(snapshot(&root), before);
}

#[test]
fn readers_do_not_disturb_each_other_and_keep_writers_out() {
    let cluster = Cluster::init(&spec(0));
    let root = cluster.root();
    let reader = ReadLock::open(&root).unwrap();
    for verb in [&["plan"][..], &["apply"], &["show"], &["bundle", "m1"]] {
        run(&mut on(&root, verb)).success();
    }
    cluster.write_spec(&spec(1));
    let before = snapshot(&root);
    let output = run(&mut on(&root, &["apply"])).failure();
    assert!(output.stderr.contains(BUSY), "{output}");
    assert_eq!(snapshot(&root), before);
    drop(reader);
    run(&mut on(&root, &["apply"])).success();
}
