//! `cargo xtask test`: the test suite, against real peers.

use crate::failure::{Failure, Result};
use crate::shell;
use crate::tally::Tally;
use crate::verb::peers;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    count(arguments).map(drop)
}

/// Runs the tests, closes with one line that sums up every test binary, and returns that sum.
pub(crate) fn count(arguments: &[String]) -> Result<Tally> {
    let peers = peers::fetch()?;
    let mut cargo = shell::cargo();
    cargo
        .args(["test", "--locked"])
        .args(scope(arguments))
        .args(arguments)
        .env("KUBETRUST_PEERS", peers);

    let mut tally = Tally::default();
    let outcome = shell::run_reading(&mut cargo, |line| tally.read(line));
    if tally.is_empty() {
        // Nothing ran: cargo has said why (it did not compile, or a flag asked for no run).
        return outcome.map(|()| tally);
    }
    println!("\n{tally}");
    outcome.map_err(|failure| Failure::new(format!("{failure}\nnext: read the first `---- … stdout ----` above")))?;
    Ok(tally)
}

/// The whole workspace, unless the arguments choose packages: cargo lets `--workspace` win over `--package`.
fn scope(arguments: &[String]) -> Option<&'static str> {
    let mut for_cargo = arguments.iter().take_while(|argument| *argument != "--");
    let chooses = |argument: &String| {
        argument.starts_with("-p") || argument.starts_with("--package") || argument == "--manifest-path"
    };
    if for_cargo.any(chooses) {
        None
    } else {
        Some("--workspace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_package_is_tested_alone() {
        let scope = |line: &str| scope(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(scope(""), Some("--workspace"));
        assert_eq!(scope("plan:: -- --nocapture -p"), Some("--workspace"));
        assert_eq!(scope("-p kubetrust-pki"), None);
        assert_eq!(scope("--package=kubetrust-pki plan::"), None);
    }
}
