//! `get --watch` and `wait`: what changes is seen while it changes.

use std::time::Duration;

use kubetrust_testkit::Process;

use crate::call::Says::{Has, Is};
use crate::call::{BOTH, Kubectl, NEW, OLD, Row, Version};

/// How long a change may take to be seen.
const SEEN: Duration = Duration::from_secs(20);

/// What is done while somebody watches, and what the watcher has seen from then on.
const SEEN_BY_A_WATCHER: &[(&str, &str)] = &[
    ("create -f {dir}/settings.yaml", "ADDED settings 1"),
    ("patch cm settings -p {\"data\":{\"b\":\"2\"}}", "MODIFIED settings 2"),
    ("label cm settings tier=none --overwrite", "DELETED settings 2"),
    ("label cm settings tier=one --overwrite", "ADDED settings 2"),
    ("delete cm settings", "DELETED settings 2"),
];

#[test]
fn a_watch_shows_what_comes_into_a_selection_and_what_leaves_it() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        let mut watch = watch(&kubectl, *version, "get cm -l tier=one --watch --output-watch-events");
        for (number, (words, seen)) in SEEN_BY_A_WATCHER.iter().enumerate() {
            kubectl.admin(*version, words).success();
            watch.wait_for(
                |log| events(log).get(number).is_some_and(|event| event.starts_with(seen)),
                SEEN,
            );
        }
        assert_eq!(events(&watch.log()).len(), SEEN_BY_A_WATCHER.len(), "{}", watch.tail());
    }
}

#[test]
fn a_watch_of_one_object_begins_with_it() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        kubectl.admin(*version, "create -f {dir}/settings.yaml").success();
        let mut watch = watch(
            &kubectl,
            *version,
            "get cm settings --watch -o jsonpath={.data.a}{\"\\n\"}",
        );
        watch.wait_for(|log| log.lines().last() == Some("1"), SEEN);
        kubectl.admin(*version, "apply -f {dir}/settings-2.yaml").success();
        watch.wait_for(|log| log.lines().last() == Some("2"), SEEN);
    }
}

/// What is waited for, what is done meanwhile, and what is said in the end.
type Waits = (&'static [Version], &'static str, &'static str, &'static str);

#[rustfmt::skip]
const WAITS: &[Waits] = &[
    (BOTH, "wait --for=condition=Available deploy/web", r#"{"status":{"conditions":[{"type":"Available","status":"True"}]}}"#, "deployment.apps/web condition met"),
    (NEW, "wait --for=jsonpath={.status.availableReplicas}=1 deploy/web", r#"{"status":{"replicas":1,"readyReplicas":1,"availableReplicas":1}}"#, "deployment.apps/web condition met"),
    (BOTH, "wait --for=condition=Progressing=False deploy/web", r#"{"status":{"conditions":[{"type":"Progressing","status":"False"}]}}"#, "deployment.apps/web condition met"),
];

#[test]
fn a_wait_ends_when_what_is_waited_for_comes() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        kubectl.admin(*version, "create -f {dir}/web.yaml").success();
        for (_, words, status, said) in WAITS.iter().filter(|(versions, ..)| versions.contains(version)) {
            let early = kubectl.admin(*version, &format!("{words} --timeout=1s")).failure();
            assert!(
                early
                    .stderr
                    .contains("timed out waiting for the condition on deployments/web"),
                "{early}"
            );
            let mut wait = watch(&kubectl, *version, &format!("{words} --timeout=20s"));
            // kubectl 1.20 does not write to subresources, so today's does it for both.
            let patch = format!(
                "--namespace={} patch deploy web --subresource=status -p {status}",
                version.namespace()
            );
            kubectl.admin(Version::V1_37, &patch).success();
            wait.wait_for(|log| log.contains(said), SEEN);
            assert!(wait.wait_exit(SEEN).success(), "{}", wait.tail());
        }
        let mut gone = watch(&kubectl, *version, "wait --for=delete deploy/web --timeout=20s -v=6");
        // Only what is there can be waited for: 1.20 calls it an error when nothing is.
        gone.wait_for(|log| log.contains("watch=true"), SEEN);
        kubectl.admin(*version, "delete deploy web").success();
        assert!(gone.wait_exit(SEEN).success(), "{}", gone.tail());
    }
}

#[rustfmt::skip]
const WITHOUT_WAITING: &[Row] = &[
    (NEW, "wait --for=delete cm/nothing --timeout=1s", 0, Has(&[])),
    (OLD, "wait --for=delete cm/nothing --timeout=1s", 1, Is("error: no matching resources found")),
    (BOTH, "wait --for=delete cm/kube-root-ca.crt --timeout=1s", 1, Is("error: timed out waiting for the condition on configmaps/kube-root-ca.crt")),
    (NEW, "wait --for=condition=Ready pod/nothing --timeout=1s", 1, Is(r#"Error from server (NotFound): pods "nothing" not found"#)),
];

#[test]
fn a_wait_for_what_is_so_already_does_not_wait() {
    Kubectl::start().play(WITHOUT_WAITING);
}

fn watch(kubectl: &Kubectl, version: Version, words: &str) -> Process {
    Process::spawn(&mut kubectl.command(
        version,
        &format!("--kubeconfig={{auth}}/admin.conf --namespace={{ns}} {words}"),
    ))
}

/// The rows of a table of events, its blanks as one.
fn events(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines
        .filter(|line| {
            ["ADDED ", "MODIFIED ", "DELETED "]
                .iter()
                .any(|kind| line.starts_with(kind))
        })
        .collect()
}
