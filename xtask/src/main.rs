//! The project's chores: `cargo xtask <verb>`, one verb per file in `verb/`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the terminal it runs in"
)]

mod debian;
mod failure;
mod peer;
mod pip;
mod shell;
mod system;
mod tally;
mod verb;

use std::env;
use std::process::ExitCode;

use failure::{Failure, Result};

const USAGE: &str = "\
usage: cargo xtask <verb> [argument…]

  peers           fetch the real peers that tests talk to (etcd, kubectl, a certificate linter, …) into .peers/
  test  [arg…]    fetch the peers, then `cargo test --workspace --locked`; arguments go to cargo test,
                  and `-p <package>` takes the place of --workspace
  ci              what has to pass before a change lands: format, clippy, dependencies, tests
  bench [arg…]    `cargo bench --workspace --locked`; arguments go to cargo bench

KUBETRUST_PEERS  another directory for the peers (default: .peers/ at the top of the workspace)
PYTHON           another Python than the `python3` in PATH, which fetches the peers and runs the linter
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (verb, rest) = match arguments.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", arguments),
    };
    match verb {
        "peers" => verb::peers::run(),
        "test" => verb::test::run(rest),
        "ci" => verb::ci::run(),
        "bench" => verb::bench::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => Err(Failure::new(format!("no verb is named `{unknown}`\n\n{USAGE}"))),
    }
}
