//! Where the real programs are, each as a [`Command`] that sees nothing of the user who runs the tests: no
//! configuration, no credentials, no proxy.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names another etcd than the pinned one: `KUBETRUST_TESTKIT_ETCD=/usr/bin/etcd` is 3.4 on Debian 12.
const ANOTHER_ETCD: &str = "KUBETRUST_TESTKIT_ETCD";

/// The etcd server.
#[track_caller]
#[must_use]
pub fn etcd() -> Command {
    isolated(another_etcd().unwrap_or_else(|| fetched("bin/etcd")))
}

/// The etcd that is asked for in the place of the pinned one; it may know fewer flags.
#[must_use]
pub fn another_etcd() -> Option<PathBuf> {
    env::var_os(ANOTHER_ETCD).map(PathBuf::from)
}

/// etcd's own client.
#[track_caller]
#[must_use]
pub fn etcdctl() -> Command {
    isolated(fetched("bin/etcdctl"))
}

/// The Kubernetes client. Name the kubeconfig with `--kubeconfig`: there is none by default.
#[track_caller]
#[must_use]
pub fn kubectl() -> Command {
    homeless("bin/kubectl")
}

/// The Kubernetes client of the document's time: 1.20, which speaks JSON and validates by `OpenAPI` v2.
#[track_caller]
#[must_use]
pub fn kubectl_1_20() -> Command {
    homeless("bin/kubectl-1.20")
}

#[track_caller]
fn homeless(program: &str) -> Command {
    let mut kubectl = isolated(fetched(program));
    // Whatever file is named, kubectl looks into its home first, and gives up when that is no directory. Nor can
    // anything be created here.
    kubectl.env("HOME", "/proc/nowhere");
    kubectl
}

/// The system's `openssl`, with its own default configuration.
#[track_caller]
#[must_use]
pub fn openssl() -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|directory| directory.join("openssl"))
        .find(|program| program.is_file());
    isolated(found.unwrap_or_else(|| panic!("openssl is not in PATH; run `cargo xtask peers`")))
}

/// A Python in which `import pkilint` works: `-c` and a program, or `-m` and a module, come next.
#[track_caller]
#[must_use]
pub fn pkilint() -> Command {
    python_with("pkilint")
}

/// A Python in which `import kubernetes` works, the client that most scripts use.
#[track_caller]
#[must_use]
pub fn python_kubernetes() -> Command {
    let mut python = python_with("python-kubernetes");
    // requests would take these over what the kubeconfig says.
    for variable in [
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
        "https_proxy",
    ] {
        python.env_remove(variable);
    }
    python
}

/// It keeps the user's environment, which may be what tells `python3` where it lives.
#[track_caller]
fn python_with(peer: &str) -> Command {
    let mut python = Command::new(env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    // -s -B: no module of the user's own, no cache files in the peer's directory.
    python
        .args(["-s", "-B"])
        .env("PYTHONPATH", fetched(peer))
        .env_remove("PYTHONSTARTUP");
    python
}

/// kubetrust itself, for tests of packages that cargo does not tell where it is.
#[track_caller]
#[must_use]
pub fn kubetrust() -> PathBuf {
    // Test programs lie in `deps`, beside which the programs of the same build lie.
    let this = env::current_exe().expect("the path of this test");
    let build = this.parent().and_then(Path::parent).expect("a folder of cargo's");
    let program = build.join("kubetrust");
    assert!(
        program.exists(),
        "{} is missing; run `cargo build -p kubetrust`",
        program.display()
    );
    program
}

/// A command for any program, under the same isolation as the peers: kubetrust's own binary, say.
#[must_use]
pub fn isolated(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for kept in ["PATH", "TMPDIR"] {
        if let Some(value) = env::var_os(kept) {
            command.env(kept, value);
        }
    }
    // Not a directory, even for root: nothing can be read from home, or left there for the next test to find
    // (kubectl caches what an API server offers under its address, and addresses are used again).
    command
        .env("HOME", "/dev/null")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    command
}

#[track_caller]
fn fetched(path: &str) -> PathBuf {
    let full = directory().join(path);
    assert!(full.exists(), "{} is missing; run `cargo xtask peers`", full.display());
    full
}

/// What `cargo xtask test` names, or the place where `cargo xtask peers` fetches to.
fn directory() -> PathBuf {
    match env::var_os("KUBETRUST_PEERS") {
        Some(directory) => directory.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".peers"),
    }
}
