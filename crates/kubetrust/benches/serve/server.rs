//! The server under measurement: a process of its own, on a cluster's directory with real credentials.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use kubetrust_store::embedded::{self, Embedded};
use kubetrust_store::etcd::{self, Etcd};
use kubetrust_store::{self as store, Change, Expect, Write};
use kubetrust_testkit::etcd as peer;
use kubetrust_testkit::loopback::Loopback;
use tempfile::TempDir;
use tokio::task::JoinHandle;

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
    /// The etcd of [`Setup::etcd`].
    Etcd,
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
        let flags = printed_flags(&folder.path().join("cluster"), "kube-apiserver");
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

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// A folder for a new store.
    fn new_store(&self) -> PathBuf {
        let mut folder = tempfile::Builder::new();
        folder.prefix("store").tempdir_in(self.folder.path()).unwrap().keep()
    }

    /// A real etcd with the printed flags, which ends with the value.
    pub fn etcd(&self) -> peer::Cluster {
        let member = peer::Member {
            name: "m1".to_owned(),
            arguments: printed_flags(&self.folder.path().join("cluster"), "etcd"),
            environment: Vec::new(),
            data_dir: self.folder.path().join("etcd"),
            fsync: true,
        };
        let client = peer::Client {
            endpoints: vec![self.flag("--etcd-servers=").to_owned()],
            cacert: Some(self.flag("--etcd-cafile=").into()),
            cert: Some(self.flag("--etcd-certfile=").into()),
            key: Some(self.flag("--etcd-keyfile=").into()),
        };
        peer::Cluster::start(vec![member], client)
    }

    fn flag(&self, name: &str) -> &str {
        value(&self.flags, name)
    }

    /// The flags that say how the etcd is reached.
    pub fn etcd_flags(&self) -> Vec<&str> {
        let flags = self.flags.iter().map(String::as_str);
        flags.filter(|flag| flag.starts_with("--etcd-")).collect()
    }

    /// Starts a server and waits until it is ready.
    pub fn run(&self, store: Store) -> Server {
        let folder = match store {
            Store::Empty => Some(self.new_store()),
            Store::Kept => Some(self.kept()),
            Store::Etcd => None,
        };
        let address = self.address();
        let flags = self.flags.iter();
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
            .arg("apiserver")
            .args(flags.filter(|flag| folder.is_none() || !flag.starts_with("--etcd-")))
            .args(folder.map(|folder| format!("--data-dir={}", folder.display())))
            .arg(format!("--bind-address={}", address.ip()))
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

    /// How long a start takes until `/readyz` is ok, after a server that ended as it is meant to.
    pub fn ready_in(&self, store: Store) -> Duration {
        let begun = Instant::now();
        let server = self.run(store);
        let took = begun.elapsed();
        server.end();
        took
    }

    /// How long it takes a process that has just begun to read the kept store's file: as a server that starts, it has to
    /// be given the memory for it first.
    pub fn read_store(&self) -> Duration {
        let mut reading = Command::new(std::env::current_exe().unwrap());
        let output = reading.arg(READ).arg(self.kept()).output().unwrap();
        let nanos = String::from_utf8(output.stdout).unwrap();
        Duration::from_nanos(nanos.trim().parse().unwrap())
    }
}

const READ: &str = "--read";

/// What this process is to read, if that is all.
pub fn asked_to_read(arguments: &[String]) -> Option<PathBuf> {
    let at = arguments.iter().position(|argument| argument == READ)?;
    arguments.get(at + 1).map(PathBuf::from)
}

/// Reads all files of a folder, and says how many nanoseconds that took.
pub fn read(folder: &Path) {
    let begun = Instant::now();
    let contents: Vec<Vec<u8>> = files(folder)
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let took = begun.elapsed();
    assert!(contents.iter().any(|content| !content.is_empty()));
    println!("{}", took.as_nanos());
}

fn printed_flags(cluster: &Path, component: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
        .args(["flags", component, "--in-place", "-d"])
        .arg(cluster)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
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

    /// Kills it: what it has stored is not looked at again.
    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator does: the store is closed well.
    pub fn end(mut self) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").arg(process).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The embedded engine, on a new store.
pub fn engine(setup: &Setup) -> Arc<dyn store::Store> {
    Arc::new(Embedded::open(&setup.new_store(), embedded::Options::default()).unwrap())
}

/// The client of etcd, alone.
pub fn etcd_client(setup: &Setup) -> Arc<dyn store::Store> {
    etcd_with(&setup.etcd_flags())
}

/// The client that flags of [`Setup::etcd_flags`] are for.
pub fn etcd_with(flags: &[impl AsRef<str>]) -> Arc<dyn store::Store> {
    let flag = |name| value(flags, name);
    let options = etcd::Options {
        servers: vec![flag("--etcd-servers=").to_owned()],
        files: etcd::Files {
            cafile: Some(flag("--etcd-cafile=").into()),
            certfile: Some(flag("--etcd-certfile=").into()),
            keyfile: Some(flag("--etcd-keyfile=").into()),
        },
    };
    Arc::new(Etcd::new(options).unwrap())
}

/// What the flag of this name says.
fn value<'a>(flags: &'a [impl AsRef<str>], name: &str) -> &'a str {
    let mut values = flags.iter().filter_map(|flag| flag.as_ref().strip_prefix(name));
    values.next().unwrap()
}

/// The write that creates a key.
pub fn create(key: String, value: Bytes) -> Write {
    Write {
        key: key.into(),
        expect: Some(Expect::Absent),
        change: Some(Change::Put { value, lease: None }),
    }
}

/// Creates per second that a store does by itself, without a server.
pub async fn raw_commits(
    store: Arc<dyn store::Store>,
    writers: usize,
    bytes: usize,
    time: Duration,
    round: &str,
) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, keys) = (Arc::clone(&store), format!("/raw/configmaps/default/{round}-w{writer}"));
            tokio::spawn(async move {
                let mut done = 0_usize;
                while begun.elapsed() < time {
                    let write = create(format!("{keys}-{done}"), vec![b'x'; bytes].into());
                    store.commit(vec![write]).await.unwrap();
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

/// Follows what [`raw_commits`] writes.
pub async fn watch(store: &Arc<dyn store::Store>) -> JoinHandle<()> {
    let (start, after) = (Bytes::from_static(b"/raw/"), store.revision().await.unwrap());
    let end = store::prefix_end(&start);
    let mut watched = store.watch(start, end, after).await.unwrap();
    tokio::spawn(async move { while watched.next().await.is_some() {} })
}

pub fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}
