//! A cluster of one host and its API server: the real binary, `kubetrust up`, at an address of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::loopback::Loopback;
use crate::{Process, peers};

/// The name of the host.
const HOST: &str = "m1";
/// How long it may take until it serves, on a machine that does other things too.
const START: Duration = Duration::from_mins(1);
/// What it says when it has looked itself over and goes on serving.
const SERVES: &str = "Serving until Ctrl-C.";

/// The server and its directory, ended and removed with the value.
#[derive(Debug)]
pub struct Up {
    program: PathBuf,
    folder: TempDir,
    loopback: Loopback,
    process: Process,
}

impl Up {
    /// Issues a cluster, and waits until its API server serves.
    #[track_caller]
    #[must_use]
    pub fn start(program: impl AsRef<OsStr>) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let loopback = Loopback::reserve();
        let spec = format!(
            "apiVersion: kubetrust.dev/v1alpha1\nkind: Cluster\nkeyAlgorithm: ecdsa-p256\nhosts:\n\
             - {{name: {HOST}, addresses: [{}], roles: [control-plane, etcd, worker]}}\n",
            loopback.host(1)
        );
        let file = folder.path().join("given.yaml");
        fs::write(&file, spec).expect("write the spec");
        let program = PathBuf::from(program.as_ref());
        let root = folder.path().join("cluster");
        crate::run(
            peers::isolated(&program)
                .arg("init")
                .arg("-d")
                .arg(&root)
                .arg("-f")
                .arg(&file),
        )
        .success();
        let process = Process::spawn(&mut command(&program, &root));
        let mut up = Self {
            program,
            folder,
            loopback,
            process,
        };
        up.process.wait_for(|log| log.contains(SERVES), START);
        up
    }

    /// Ends the server at once, as a crash would, and starts it again on the same directory and address.
    #[track_caller]
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.process = Process::spawn(&mut command(&self.program, &self.root()));
        self.process.wait_for(|log| log.contains(SERVES), START);
    }

    /// The cluster's directory.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    /// A folder beside it, for files of a test.
    #[must_use]
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the host, below `kubernetes/`: `pki/ca.crt`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root().join("hosts").join(HOST).join("kubernetes").join(name)
    }

    /// A kubeconfig of the host: `admin`.
    #[must_use]
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.file(&format!("auth/{name}.conf"))
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}:6443", self.loopback.host(1))
    }

    /// The last lines of its log, for a message.
    #[must_use]
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}

fn command(program: &Path, root: &Path) -> Command {
    let mut command = peers::isolated(program);
    command.arg("up").arg("-d").arg(root);
    command
}
