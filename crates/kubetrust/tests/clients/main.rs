//! The Python client drives the API server: each program lies beside this file, and asserts what it sees.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use kubetrust_testkit::up::Up;
use kubetrust_testkit::{peers, run_within};

/// How long a program may take, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(5);

/// Runs a program with the admin's kubeconfig, which must say at its end that it came there.
#[track_caller]
fn play(program: &str) {
    let up = Up::start(env!("CARGO_BIN_EXE_kubetrust"));
    let mut python = peers::python_kubernetes();
    python.args(["-c", program]).arg(up.kubeconfig("admin"));
    let output = run_within(LIMIT, &mut python);
    assert!(
        output.succeeded() && output.stdout.ends_with("done\n"),
        "{output}\n{}",
        up.tail()
    );
}

#[test]
fn pages_of_5000_objects_are_of_one_moment_while_they_change() {
    play(include_str!("paging.py"));
}

#[test]
fn objects_are_created_changed_and_deleted() {
    play(include_str!("objects.py"));
}

#[test]
fn a_watch_resumes_without_gap_and_without_doubles() {
    play(include_str!("watching.py"));
}
