//! The server under measurement: a process of its own, on a cluster's directory with real credentials.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubetrust_store::embedded::{Embedded, Options};
use kubetrust_store::{Change, Expect, Store as _, Write};
use kubetrust_testkit::loopback::Loopback;
use tempfile::TempDir;

/// A cluster's directory, and an address of its own.
pub struct Setup {
    folder: TempDir,
    loopback: Loopback,
    flags: Vec<String>,
}

/// Which store a server starts on.
#[derive(Clone, Copy)]
pub enum Store {
    /// A new one.
    Empty,
    /// The one that the setup keeps.
    Kept,
}

impl Setup {
    pub fn new(algorithm: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback = Loopback::reserve();
        let address = loopback.host(1);
        let spec = folder.path().join("spec.yaml");
        let text = format!(
            "apiVersion: kubetrust.dev/v1alpha1\nkind: Cluster\nkeyAlgorithm: {algorithm}\nhosts:\n  \
             - {{name: m1, addresses: [{address}], roles: [control-plane, etcd, worker]}}\n"
        );
        std::fs::write(&spec, text).unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
            .args(["init", "-d"])
            .arg(folder.path().join("cluster"))
            .arg("-f")
            .arg(&spec)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let output = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
            .args(["flags", "kube-apiserver", "--in-place", "-d"])
            .arg(folder.path().join("cluster"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let flags = text
            .lines()
            .filter(|line| !line.starts_with("--etcd-"))
            .map(str::to_owned)
            .collect();
        Self {
            folder,
            loopback,
            flags,
        }
    }

    /// A file of the host.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("cluster/hosts/m1/kubernetes").join(name)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.loopback.host(1).into(), 6443)
    }

    fn store(&self, store: Store) -> PathBuf {
        match store {
            Store::Kept => self.folder.path().join("kept"),
            Store::Empty => tempfile::Builder::new()
                .prefix("store")
                .tempdir_in(self.folder.path())
                .unwrap()
                .keep(),
        }
    }

    /// Starts a server and waits until it is ready.
    pub fn run(&self, store: Store) -> Server {
        let store = self.store(store);
        let address = self.address();
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
            .arg("apiserver")
            .args(&self.flags)
            .arg(format!("--bind-address={}", address.ip()))
            .arg(format!("--data-dir={}", store.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says so once `/readyz` is ok.
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listens on") {
            line.clear();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "the server ended before it was ready"
            );
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Server { child, address }
    }

    /// How long a start takes until `/readyz` is ok.
    pub fn ready_in(&self, store: Store) -> Duration {
        let begun = Instant::now();
        let server = self.run(store);
        let took = begun.elapsed();
        server.stop();
        took
    }

    /// How long it takes to read the kept store's file.
    pub fn read_store(&self) -> Duration {
        let begun = Instant::now();
        let mut total = 0;
        for path in files(&self.folder.path().join("kept")) {
            let mut content = Vec::new();
            total += std::fs::File::open(path).unwrap().read_to_end(&mut content).unwrap();
        }
        assert!(total > 0);
        begun.elapsed()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// What it holds in memory now.
    pub fn resident_mib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most it ever held.
    pub fn peak_mib(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the engine itself does of the same writes, without a server.
pub async fn raw_commits(setup: &Setup, writers: usize, bytes: usize, time: Duration) -> f64 {
    let store = Arc::new(Embedded::open(&setup.store(Store::Empty), Options::default()).unwrap());
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0_usize;
                while begun.elapsed() < time {
                    let key = format!("/registry/configmaps/default/w{writer}-{done}")
                        .into_bytes()
                        .into();
                    let change = Change::Put {
                        value: vec![b'x'; bytes].into(),
                        lease: None,
                    };
                    store
                        .commit(vec![Write {
                            key,
                            expect: Some(Expect::Absent),
                            change: Some(change),
                        }])
                        .await
                        .unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    total as f64 / begun.elapsed().as_secs_f64()
}

pub fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}
