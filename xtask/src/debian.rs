//! Debian's package manager, the way to programs that are published as packages of Debian alone. Nothing is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::shell;

/// Unpacks exactly this version of a package into a directory.
pub(crate) fn unpack(package: &str, version: &str, target: &Path) -> Result<()> {
    let work = target.join(".debian");
    fs::create_dir_all(&work).map_err(Failure::on("create", &work))?;
    let pinned = format!("{package}={version}");
    download(&pinned, &work).map_err(|failure| {
        Failure::new(format!(
            "cannot fetch Debian's package {pinned}: {failure}\n\
             next: on Debian 12 check the network and `apt-get update`; another system does not offer this version, so \
             run the tests on Debian 12, in a container for example"
        ))
    })?;
    let archive = archive(&work)?;
    shell::output(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(target))?;
    fs::remove_dir_all(&work).map_err(Failure::on("remove", &work))
}

fn download(pinned: &str, work: &Path) -> Result<()> {
    for program in ["apt-get", "dpkg-deb"] {
        if !shell::is_installed(program) {
            return Err(Failure::new(format!("`{program}` is not in PATH")));
        }
    }
    // The system's own lists are enough where they are there and new enough.
    if shell::output(apt_get(work).args(["download", pinned])).is_ok() {
        return Ok(());
    }
    // Lists of our own need no root, and leave the system's as they are.
    let lists = work.join("lists");
    fs::create_dir_all(lists.join("partial")).map_err(Failure::on("create", &lists))?;
    let own = format!("Dir::State::Lists={}", lists.display());
    shell::output(apt_get(work).args(["-o", &own, "update"]))?;
    shell::output(apt_get(work).args(["-o", &own, "download", pinned])).map(drop)
}

/// Keeps all that it writes below `work`.
fn apt_get(work: &Path) -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get
        .current_dir(work)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet")
        .args(["-o", "Acquire::Retries=3"])
        // As root it would otherwise fetch as a user who may not write here, and warn of it.
        .args(["-o", "APT::Sandbox::User="])
        .args(["-o", &format!("Dir::Cache={}", work.join("cache").display())]);
    apt_get
}

fn archive(work: &Path) -> Result<std::path::PathBuf> {
    let entries = fs::read_dir(work).map_err(Failure::on("read", work))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::new("apt-get said that it downloaded a package, and there is none"))
}
