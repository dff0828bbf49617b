//! Python's installer, the way to programs that are published as wheels.

use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::{shell, system};

const ATTEMPTS: u32 = 3;

/// Installs exactly these requirements (no dependency that is not listed) into a directory of their own.
pub(crate) fn install(requirements: &[&str], target: &Path) -> Result<()> {
    require()?;
    let mut attempt = 1;
    loop {
        let Err(failure) = try_install(requirements, target) else {
            return Ok(());
        };
        if attempt == ATTEMPTS {
            return Err(Failure::new(format!(
                "cannot fetch {} from PyPI, tried {ATTEMPTS} times: {failure}\n\
                 next: check the network and pip's own settings (`python3 -m pip config list`), then run \
                 `cargo xtask peers` again; without a network, PIP_NO_INDEX=1 PIP_FIND_LINKS=<directory of wheels> \
                 takes them from disk",
                requirements.join(" ")
            )));
        }
        let pause = Duration::from_secs(2 * u64::from(attempt));
        eprintln!(
            "  attempt {attempt} of {ATTEMPTS} failed, again in {} s",
            pause.as_secs()
        );
        thread::sleep(pause);
        attempt += 1;
    }
}

/// Which interpreter a compiled Python module was made for.
pub(crate) fn interpreter() -> Result<String> {
    let tag = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())";
    shell::output(python().args(["-c", tag])).map_err(|failure| no_python(&failure))
}

fn try_install(requirements: &[&str], target: &Path) -> Result<()> {
    // --target leaves the user's Python as it is, and so works where the system owns that Python (PEP 668).
    // --no-user: a `user = true` in pip's configuration contradicts --target.
    // --only-binary: building from source would need more of this machine than we may ask.
    let options = [
        "--disable-pip-version-check",
        "--quiet",
        "--no-input",
        "--no-user",
        "--no-deps",
        "--no-warn-script-location",
        "--only-binary=:all:",
        "--upgrade",
    ];
    let mut pip = python();
    pip.args(["-m", "pip", "install"])
        .args(options)
        .arg("--target")
        .arg(target)
        .args(requirements);
    shell::output(&mut pip).map(drop)
}

fn require() -> Result<()> {
    shell::output(python().arg("--version")).map_err(|failure| no_python(&failure))?;
    if has_pip() {
        return Ok(());
    }
    system::install("python3-pip")
        .and_then(|()| {
            if has_pip() {
                Ok(())
            } else {
                Err(Failure::new("still no pip"))
            }
        })
        .map_err(|failure| {
            Failure::new(format!(
                "Python has no pip, and the real peers of the tests are published as Python wheels: {failure}\n\
                 next: `python3 -m ensurepip`, or install your system's package `python3-pip`"
            ))
        })
}

fn has_pip() -> bool {
    shell::output(python().args(["-m", "pip", "--version"])).is_ok()
}

fn no_python(failure: &Failure) -> Failure {
    Failure::new(format!(
        "the real peers of the tests are published as Python wheels, and Python is not to be had: {failure}\n\
         next: install Python 3.10 or newer, or name one with PYTHON=/path/to/python3"
    ))
}

fn python() -> Command {
    Command::new(env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}
