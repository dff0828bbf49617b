//! Standard output has the answer and nothing else, standard error the talk; neither has colours that nobody sees.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use kubetrust_testkit::{Output, peers, run};
use serde_json::Value;
use support::{Cluster, kubetrust};

const SPEC: &str = "\
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane]}
- {name: m2, addresses: [192.0.2.12], roles: [control-plane]}
- {name: w1, addresses: [192.0.2.13]}
";

const OTHER_KEYS: &str = "\
keyAlgorithm: ecdsa-p384
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane]}
- {name: m2, addresses: [192.0.2.12], roles: [control-plane]}
- {name: w1, addresses: [192.0.2.13]}
";

const VERBS: [&str; 9] = [
    "init",
    "plan",
    "apply",
    "show",
    "flags",
    "bundle",
    "spec",
    "completions",
    "man",
];

const ESCAPE: char = '\u{1b}';

#[test]
fn json_is_all_there_is_on_standard_output_and_in_the_order_of_the_work() {
    let cluster = Cluster::init(SPEC);
    cluster.write_spec(OTHER_KEYS);
    let (plan, again) = (
        json(&cluster.verb(["plan", "-o", "json"])),
        json(&cluster.verb(["plan", "-o", "json"])),
    );
    assert_eq!(plan, again, "plan changes nothing");
    assert!(plan["steps"].as_array().unwrap().len() > 10);
    let applied = cluster.verb(["apply", "-o", "json"]);
    assert_eq!(json(&applied), plan, "apply does what plan says");
    assert!(applied.stderr.contains("What was replaced lies in"), "{applied}");
    assert_eq!(
        json(&cluster.verb(["apply", "-o", "json"]))["steps"],
        Value::Array(Vec::new())
    );
    let shown = json(&cluster.verb(["show", "-o", "json"]));
    let as_yaml: Value = serde_saphyr::from_str(&cluster.verb(["show", "-o", "yaml"]).success().stdout).unwrap();
    assert_eq!(as_yaml, shown);

    let fresh = Cluster::nowhere();
    let given = fresh.beside().join("given.yaml");
    fs::write(&given, SPEC).unwrap();
    let init = run(kubetrust(["init", "-o", "json", "-f"])
        .arg(given)
        .arg("-d")
        .arg(fresh.root()));
    assert!(json(&init)["steps"].as_array().unwrap().len() > 10);
    json(&run(&mut kubetrust(["spec", "schema"])));
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.succeeded(), "{output}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn the_talk_is_on_standard_error() {
    let cluster = Cluster::nowhere();
    let made = cluster.try_init(SPEC).success();
    for talk in ["warning:", "Done:", "The cluster is in"] {
        assert!(
            made.stderr.contains(talk) && !made.stdout.contains(talk),
            "{talk}: {made}"
        );
    }
    let nothing = cluster.verb(["apply"]).success();
    assert_eq!(nothing.stdout, "");
    assert!(nothing.stderr.contains("Nothing to do"), "{nothing}");
    cluster.write_spec(OTHER_KEYS);
    let plan = cluster.verb(["plan"]).success();
    assert!(plan.stdout.starts_with("ACTION  CREDENTIAL"), "{plan}");
    assert!(
        plan.stdout
            .lines()
            .all(|line| !line.contains("warning") && line == line.trim_end()),
        "{plan}"
    );
    assert!(plan.stderr.contains("`kubetrust apply` takes them"), "{plan}");
}

/// The words of every verb that prints, for a cluster.
const ANSWERS: [&[&str]; 8] = [
    &["plan"],
    &["show"],
    &["show", "-o", "wide"],
    &["flags", "kube-apiserver", "--host", "m1"],
    &["bundle", "m1"],
    &["spec", "example"],
    &["completions", "bash"],
    &["--help"],
];

/// A command for one of them.
fn answer(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = kubetrust(words);
    if !matches!(words[0], "spec" | "completions" | "--help") {
        command.arg("-d").arg(cluster.root());
    }
    command
}

#[test]
fn what_is_piped_has_no_colours_even_when_the_environment_speaks_of_some() {
    let cluster = Cluster::init(SPEC);
    cluster.write_spec(OTHER_KEYS);
    for words in ANSWERS {
        let output = run(answer(&cluster, words)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor"));
        assert!(output.succeeded(), "{output}");
        assert!(
            !output.stdout.contains(ESCAPE) && !output.stderr.contains(ESCAPE),
            "{output}"
        );
    }
    let refused = run(kubetrust(["apply", "--force"]).env("TERM", "xterm"));
    assert!(!refused.stderr.contains(ESCAPE), "{refused}");
}

/// Runs the rest of its arguments on a terminal, whose output it prints.
const TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[test]
fn a_terminal_gets_colours_unless_it_asks_for_none() {
    let cluster = Cluster::init(SPEC);
    let on_a_terminal = |words: &[&str], no_color: bool| {
        let mut python = Command::new("python3");
        python
            .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_kubetrust")])
            .args(words)
            .arg("-d")
            .arg(cluster.root());
        python
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("CI");
        if no_color {
            python.env("NO_COLOR", "1");
        }
        run(&mut python)
    };
    // A warning of ours, an error of ours, and one of the argument parser's.
    for words in [&["apply"][..], &["show", "--host", "w9"], &["apply", "--force"]] {
        let (plain, coloured) = (on_a_terminal(words, true), on_a_terminal(words, false));
        assert!(
            plain.stdout.contains("error:") || plain.stdout.contains("warning:"),
            "{plain}"
        );
        assert!(
            !plain.stdout.contains("\u{1b}[3") && !plain.stdout.contains("\u{1b}[1m"),
            "{plain}"
        );
        assert!(coloured.stdout.contains("\u{1b}["), "{coloured}");
        assert_eq!(plain.code(), coloured.code());
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let cluster = Cluster::init(SPEC);
    cluster.write_spec(OTHER_KEYS);
    let code = cluster.beside().join("code");
    // The reader is gone before the first byte is written.
    let script = format!("{{ sleep 0.1; \"$@\"; echo $? > {}; }} | true", code.display());
    let apply: &[&str] = &["apply"];
    for words in ANSWERS.into_iter().chain([apply]) {
        let command = answer(&cluster, words);
        let output = run(peers::isolated("sh")
            .args(["-c", &script, "sh"])
            .arg(command.get_program())
            .args(command.get_args()));
        assert!(
            !output.stderr.contains("panicked") && !output.stderr.contains("error"),
            "{command:?}: {output}"
        );
        assert_eq!(fs::read_to_string(&code).unwrap(), "0\n", "{command:?}: {output}");
    }
    assert!(
        cluster.verb(["apply"]).success().stderr.contains("Nothing to do"),
        "apply works without a reader"
    );

    let first = run(peers::isolated("sh")
        .args([
            "-c",
            "\"$@\" | head -1",
            "sh",
            env!("CARGO_BIN_EXE_kubetrust"),
            "show",
            "-d",
        ])
        .arg(cluster.root()));
    assert!(
        first.succeeded() && first.stdout.starts_with("NAME") && first.stderr.is_empty(),
        "{first}"
    );
}

#[test]
fn the_help_of_every_verb_shows_an_example() {
    let help = run(&mut kubetrust(["--help"])).success();
    assert!(help.stdout.contains("Exit codes: 0 done"), "{help}");
    let listed = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed: Vec<&str> = (listed.take_while(|line| line.starts_with("  ")))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| VERBS.contains(verb))
        .collect();
    assert_eq!(listed, VERBS, "a verb is missing here or in the help: {help}");
    for verb in VERBS {
        let help = run(&mut kubetrust([verb, "--help"])).success();
        let example = help
            .stdout
            .split("Example")
            .nth(1)
            .unwrap_or_else(|| panic!("no example: {help}"));
        assert!(example.contains(&format!("kubetrust {verb}")), "{help}");
        assert_eq!(help.stderr, "");
    }
    let version = run(&mut kubetrust(["--version"])).success();
    assert_eq!(version.stdout, format!("kubetrust {}\n", env!("CARGO_PKG_VERSION")));
}

/// A shell, a check of its script if the shell is on this machine, and what has to be in the script.
const SHELLS: [(&str, &[&str], &str); 3] = [
    ("bash", &["-n"], "complete -F _kubetrust"),
    ("zsh", &["-n"], "#compdef kubetrust"),
    ("fish", &["--no-execute"], "complete -c kubetrust"),
];

#[test]
fn completions_know_every_verb_and_man_has_a_page_for_each() {
    let place = Cluster::nowhere();
    for (shell, check, mark) in SHELLS {
        let script = run(&mut kubetrust(["completions", shell])).success().stdout;
        assert!(script.contains(mark), "{shell}: {script}");
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
        let file = place.beside().join(shell);
        fs::write(&file, script).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|folder| folder.join(shell).is_file()) {
            run(peers::isolated(shell).args(check).arg(&file)).success();
        }
    }
    let folder = place.beside().join("man1");
    fs::create_dir(&folder).unwrap();
    let output = run(kubetrust(["man"]).arg(&folder)).success();
    assert_eq!(output.stdout, "");
    let page = |name: &str| fs::read_to_string(Path::new(&folder).join(name)).unwrap();
    assert!(page("kubetrust.1").contains(".SH SYNOPSIS"));
    for verb in VERBS {
        let text = page(&format!("kubetrust-{verb}.1"));
        assert!(text.starts_with(".ie") && text.contains(".TH"), "{verb}: {text}");
        assert!(text.contains("Example"), "{verb}: {text}");
    }
}
