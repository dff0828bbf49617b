//! `cargo xtask bench`: the benchmarks, from the same locked dependencies as the tests.

use crate::failure::Result;
use crate::shell;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["bench", "--workspace", "--locked"])
            .args(arguments),
    )
}
