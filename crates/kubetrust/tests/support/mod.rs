//! A cluster's directory made by the real binary.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod folder;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubetrust_testkit::etcd::{Client, Member};
use kubetrust_testkit::{Output, peers, run};
use tempfile::TempDir;

/// The binary, in a clean environment.
pub fn kubetrust<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = peers::isolated(env!("CARGO_BIN_EXE_kubetrust"));
    command.args(arguments);
    command
}

/// A cluster's directory, removed with the value.
pub struct Cluster {
    temp: TempDir,
}

impl Cluster {
    /// An empty place for one.
    pub fn nowhere() -> Self {
        Self {
            temp: TempDir::new().unwrap(),
        }
    }

    /// `kubetrust init` with that spec, which must succeed.
    pub fn init(spec: &str) -> Self {
        let cluster = Self::nowhere();
        cluster.try_init(spec).success();
        cluster
    }

    /// `kubetrust init` with that spec, however it ends.
    pub fn try_init(&self, spec: &str) -> Output {
        let file = self.temp.path().join("given.yaml");
        std::fs::write(&file, spec).unwrap();
        run(kubetrust([
            "init".as_ref(),
            "-d".as_ref(),
            self.root().as_os_str(),
            "-f".as_ref(),
            file.as_os_str(),
        ])
        .current_dir(self.temp.path()))
    }

    /// Runs a verb on it: `["show", "-o", "json"]`.
    pub fn verb<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        run(kubetrust(arguments).arg("-d").arg(self.root()))
    }

    /// The flags that are printed for a component of a host, with the files where they lie.
    pub fn flags(&self, component: &str, host: &str) -> Vec<String> {
        let flags = self.verb(["flags", component, "--host", host, "--in-place"]);
        flags.success().stdout.lines().map(str::to_owned).collect()
    }

    /// The member of etcd of a host, with exactly the printed flags.
    pub fn etcd_member(&self, host: &str) -> Member {
        Member {
            name: host.to_owned(),
            arguments: self.flags("etcd", host),
            environment: Vec::new(),
            data_dir: self.beside().join("data").join(host),
            fsync: false,
        }
    }

    /// etcd's client as the API server of a host is told to be one.
    pub fn etcd_client(&self, host: &str) -> Client {
        let flags = self.flags("kube-apiserver", host);
        let value = |name: &str| {
            let mut values = flags.iter().filter_map(|flag| flag.strip_prefix(name));
            values.next().unwrap().to_owned()
        };
        Client {
            endpoints: value("--etcd-servers=").split(',').map(str::to_owned).collect(),
            cacert: Some(value("--etcd-cafile=").into()),
            cert: Some(value("--etcd-certfile=").into()),
            key: Some(value("--etcd-keyfile=").into()),
        }
    }

    /// Replaces the spec in the directory.
    pub fn write_spec(&self, spec: &str) {
        std::fs::write(self.root().join("cluster.yaml"), spec).unwrap();
    }

    /// The directory.
    pub fn root(&self) -> PathBuf {
        self.temp.path().join("cluster")
    }

    /// A folder beside the directory, for what a test makes itself.
    pub fn beside(&self) -> &Path {
        self.temp.path()
    }

    /// A file of a host's folder.
    pub fn host_file(&self, host: &str, path: &str) -> PathBuf {
        self.root().join("hosts").join(host).join(path)
    }
}
