//! `cargo xtask ci`: what has to pass before a change lands, cheapest first.

use crate::failure::{Failure, Result};
use crate::verb::test;
use crate::{peer, shell};

pub(crate) fn run() -> Result<()> {
    format()?;
    clippy()?;
    dependencies()?;
    tests()
}

fn format() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))
        .map_err(|failure| Failure::new(format!("{failure}\nnext: run `cargo fmt --all`")))
}

fn clippy() -> Result<()> {
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The advisory check is not among these: it needs a database from the network, and its verdict
/// changes without a change of ours. `cargo deny check advisories` runs it by hand.
fn dependencies() -> Result<()> {
    // Duplicate versions are warnings, with a tree for each: `cargo deny check bans` shows them.
    let errors_only = ["--log-level", "error", "--workspace", "--locked"];
    shell::run(
        peer::cargo_deny()?
            .args(errors_only)
            .args(["check", "bans", "licenses", "sources"]),
    )
}

fn tests() -> Result<()> {
    // Every failure in one run: a second look at CI costs more than the rest of the tests.
    let tally = test::count(&["--no-fail-fast".to_owned()])?;
    if tally.passed() == 0 {
        return Err(Failure::new(
            "no test ran, so nothing is proven; `cargo test --workspace` should list some",
        ));
    }
    Ok(())
}
