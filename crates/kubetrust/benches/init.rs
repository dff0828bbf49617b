//! End to end: `kubetrust init` as a whole process, each figure beside its limit, measured in the same run.
//!
//! Prints a table; `docs/BENCHMARKS.md` holds one with the machine it was taken on.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints and may stop"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::spec::KeyAlgorithm;
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

const RSA_RUNS: usize = 9;
const LARGE_RUNS: usize = 5;
const WORKERS: usize = 1_000;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let cores = thread::available_parallelism().unwrap().get();
    println!("{cores} cores; medians\n");
    println!("{:<58} {:>10} {:>10} {:>7}  goal", "what", "measured", "limit", "ratio");
    // Before anything is deleted on that disk.
    large();
    rsa(cores);
}

/// RSA-2048: the wall time is the keys'.
fn rsa(cores: usize) {
    let spec = spec(3, 0, 2, "rsa-2048", "none");
    let (keys, signatures) = count(&spec);
    // Key generation takes as long as luck has it: both sides draw as many keys, in turn, and the sums are compared.
    let (mut init, mut raw) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..RSA_RUNS {
        init += run_init(&spec).0;
        raw += raw_keys(KeyAlgorithm::Rsa2048, keys, signatures) / u32::try_from(cores).unwrap();
    }
    let runs = u32::try_from(RSA_RUNS).unwrap();
    row(
        &format!("init, RSA-2048, {keys} keys, {signatures} certificates"),
        init / runs,
        raw / runs,
        "<= 1.15 x raw key generation and signing / cores",
    );
}

/// A large ECDSA cluster: the wall time is the disk's.
fn large() {
    let large_spec = spec(5, 5, WORKERS, "ecdsa-p256", "cluster-ca");
    let small_spec = spec(5, 5, 0, "ecdsa-p256", "cluster-ca");
    // Children's peak memory only ever grows in this figure, so the small one goes first.
    run_init(&small_spec);
    let small_peak = peak_kib();
    let mut times = Vec::new();
    let mut disk = Vec::new();
    // Nothing is deleted between the runs: for a minute after, ext4 steps around every inode that was freed, and
    // creating files takes up to ten times as long, for us and for the limit beside us.
    let mut kept = Vec::new();
    for _ in 0..LARGE_RUNS {
        let (time, cluster) = run_init(&large_spec);
        times.push(time);
        let (time, copy) = raw_disk(&cluster.path().join("cluster"));
        disk.push(time);
        kept.extend([cluster, copy]);
    }
    let large_peak = peak_kib();
    row(
        &format!("init, 5 control-plane + 5 etcd hosts + {WORKERS} workers, P-256"),
        median(times),
        median(disk),
        "<= 2 s on two cores (limit: the same files, written and synced)",
    );
    let a_worker = (large_peak - small_peak) as f64 / WORKERS as f64;
    println!(
        "{:<58} {:>6.1} KiB {:>10} {:>7}  < 40 KiB",
        "  memory a worker (peak resident)", a_worker, "-", "-"
    );
    println!("{:<58} {:>6} MiB", "  peak resident", large_peak / 1024);
    let root = kept[0].path().join("cluster");
    let started = Instant::now();
    verb("apply", &root);
    row(
        "apply with nothing to do, the same cluster",
        started.elapsed(),
        read_all(&root),
        "- (limit: reading the same files)",
    );
}

fn row(what: &str, measured: Duration, limit: Duration, goal: &str) {
    let ratio = measured.as_secs_f64() / limit.as_secs_f64();
    println!("{what:<58} {measured:>10.3?} {limit:>10.3?} {ratio:>7.2}  {goal}");
}

fn spec(control_planes: usize, etcd: usize, workers: usize, algorithm: &str, serving: &str) -> String {
    let mut text = format!(
        "keyAlgorithm: {algorithm}\nkubelets: {{serving: {serving}}}\nnetworking: {{serviceSubnets: [172.16.0.0/12]}}\nhosts:\n"
    );
    let roles = [("control-plane", control_planes), ("etcd", etcd), ("worker", workers)];
    for (index, (role, count)) in roles.into_iter().enumerate() {
        for number in 0..count {
            let (high, low) = (number / 250, number % 250 + 1);
            writeln!(
                text,
                "- {{name: {role}-{number}, addresses: [10.{index}.{high}.{low}], roles: [{role}]}}"
            )
            .unwrap();
        }
    }
    text
}

fn run_init(spec: &str) -> (Duration, TempDir) {
    // Beside the build, on a real disk: /tmp may be memory.
    let temp = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = temp.path().join("given.yaml");
    fs::write(&file, spec).unwrap();
    let root = temp.path().join("cluster");
    let started = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
        .args([
            "init".as_ref(),
            "-d".as_ref(),
            root.as_os_str(),
            "-f".as_ref(),
            file.as_os_str(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let elapsed = started.elapsed();
    assert!(status.success());
    (elapsed, temp)
}

fn verb(verb: &str, root: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_kubetrust"))
        .args([verb.as_ref(), "-d".as_ref(), root.as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// How many keys and certificates a spec makes, by what lies on disk.
fn count(spec: &str) -> (usize, usize) {
    let (_, kept) = run_init(spec);
    let root = kept.path().join("cluster");
    let loaded = kubetrust_pki::cluster::Loaded::read(&root, jiff::Timestamp::now()).unwrap();
    let entries = kubetrust_pki::listing::list(&root, &loaded.cluster, &loaded.authorities, None).unwrap();
    let certificates = entries
        .iter()
        .filter(|entry| !matches!(entry.content, kubetrust_pki::listing::Content::Token { .. }))
        .count();
    // One key each, and the service accounts' pair.
    (certificates + 1, certificates)
}

/// The crypto library alone, on one core.
fn raw_keys(algorithm: KeyAlgorithm, keys: usize, signatures: usize) -> Duration {
    let started = Instant::now();
    let made: Vec<_> = (0..keys).map(|_| PrivateKey::generate(algorithm).unwrap()).collect();
    for _ in 0..signatures {
        made[0].sign(&[0x30; 800]).unwrap();
    }
    started.elapsed()
}

/// The same files, written anew into one fresh tree, and made durable at once.
fn raw_disk(root: &Path) -> (Duration, TempDir) {
    let files = tree(root);
    let temp = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let started = Instant::now();
    for (path, content) in &files {
        let target = temp.path().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, content).unwrap();
    }
    nix::unistd::syncfs(fs::File::open(temp.path()).unwrap()).unwrap();
    (started.elapsed(), temp)
}

fn read_all(root: &Path) -> Duration {
    let started = Instant::now();
    assert!(!tree(root).is_empty());
    started.elapsed()
}

fn tree(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let (mut folders, mut files) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap()));
            }
        }
    }
    files
}

fn peak_kib() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
