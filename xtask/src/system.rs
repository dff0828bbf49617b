//! Programs that no language registry offers: the system has them, or its package manager does.

use std::process::Command;

use crate::failure::{Failure, Result};
use crate::shell;

/// Makes sure that `program` is in PATH. As root on Debian and its kin (a container, a CI runner)
/// it is installed; anywhere else that is the user's to decide.
pub(crate) fn require(program: &str, package: &str) -> Result<()> {
    if shell::is_installed(program) {
        return Ok(());
    }
    install(package).map_err(|failure| {
        Failure::new(format!(
            "the tests need `{program}`, which is not in PATH: {failure}\n\
             next: install the package `{package}` with your system's package manager"
        ))
    })
}

/// Installs a Debian package, where we are allowed to.
pub(crate) fn install(package: &str) -> Result<()> {
    if !shell::is_installed("apt-get") {
        return Err(Failure::new("no apt-get here to install it with"));
    }
    if shell::output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err(Failure::new("only root may install it"));
    }
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(apt_get().args(["update", "--quiet"]))?;
    shell::run(apt_get().args(["install", "--quiet", "--yes", "--no-install-recommends", package]))
}
