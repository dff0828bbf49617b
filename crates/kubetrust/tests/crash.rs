//! The real binary, killed at any instant, and on a disk that takes no more: what is left is whole, and the next run
//! finishes.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]
#![allow(clippy::print_stderr, reason = "how often what was hit is worth knowing")]

mod support;
#[path = "../../kubetrust-pki/tests/support/tree.rs"]
mod tree;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kubetrust_testkit::{peers, run};
use support::{Cluster, kubetrust};
use tree::Tree;

/// How often each scenario is killed. A run that ended before the signal came does not count.
const KILLS: usize = 150;

/// A run is tried again so often, all in all, until it was killed as often as it has to be.
const ATTEMPTS: usize = 3 * KILLS;

const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

/// One of two clusters, of which each has a key algorithm of its own, and a host that the other has not.
fn spec(round: usize) -> String {
    let (algorithm, third, address) = [("ecdsa-p256", "w2", 13), ("ecdsa-p384", "w3", 14)][round % 2];
    format!(
        "kind: Cluster\n\
         keyAlgorithm: {algorithm}\n\
         layout: document\n\
         kubelets: {{serving: kubelet-ca, client: issued}}\n\
         hosts:\n\
         - {{name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd, worker]}}\n\
         - {{name: w1, addresses: [192.0.2.12]}}\n\
         - {{name: {third}, addresses: [192.0.2.{address}]}}\n"
    )
}

fn algorithm(round: usize) -> &'static str {
    ["ecdsa-p256", "ecdsa-p384"][round % 2]
}

#[test]
fn init_killed_at_any_instant_leaves_no_half_and_is_finished_by_the_next_run() {
    let file = Cluster::nowhere();
    let mut kills = Kills::default();
    let mut attempt = 0;
    while kills.counted() {
        let text = spec(0).replace("document", ["document", "kubeadm"][attempt % 2]);
        let given = file.beside().join("given.yaml");
        fs::write(&given, text).unwrap();
        let cluster = Cluster::nowhere();
        let root = cluster.root();
        let init = || {
            let mut command = kubetrust(["init", "-f"]);
            command.arg(&given).arg("-d").arg(&root);
            command
        };
        kills.kill(attempt, &root, &init());

        let left = Tree::check_with_backups(&root);
        // Before the spec is there, only the same command can finish; from then on, apply does as well.
        let finish = if attempt.is_multiple_of(2) && root.join("cluster.yaml").exists() {
            apply(&root)
        } else {
            init()
        };
        finish_and_check(&root, finish, &left, algorithm(0));
        attempt += 1;
    }
    kills.report("init");
}

#[test]
fn apply_killed_while_it_replaces_every_key_leaves_each_host_old_or_new() {
    let cluster = Cluster::init(&spec(0));
    let root = cluster.root();
    let mut kills = Kills::default();
    let mut attempt = 0;
    while kills.counted() {
        let round = attempt + 1;
        cluster.write_spec(&spec(round));
        let before = Tree::check(&root);
        kills.kill(attempt, &root, &apply(&root));

        let left = match attempt % 8 {
            0 => Tree::check_with_backups(&root),
            _ => Tree::check(&root),
        };
        left.keeps_authority_keys_of(&before);
        for (folder, kinds) in &left.algorithms {
            let of = |round| kinds.contains(algorithm(round));
            assert!(
                of(round) || (of(attempt) && before.algorithms.contains_key(folder)),
                "{folder}: {kinds:?}"
            );
        }
        let all_new = left.algorithms.values().all(|kinds| kinds.contains(algorithm(round)));
        kills.mixed += usize::from(left.files != before.files && !all_new);
        finish_and_check(&root, apply(&root), &left, algorithm(round));
        attempt += 1;
    }
    kills.report("apply");
    openssl_agrees(&root.join("hosts/m1/kubernetes/pki"));
}

/// Where a run had got when the kills came.
#[derive(Default)]
struct Kills {
    /// How long a run takes that is left alone.
    whole: Duration,
    tried: usize,
    killed: usize,
    /// Something had been staged.
    staged: usize,
    /// Something was new, and a host was old.
    mixed: usize,
}

impl Kills {
    fn counted(&self) -> bool {
        assert!(
            self.tried < ATTEMPTS,
            "{} of {} runs outran the signal",
            self.tried - self.killed,
            self.tried
        );
        self.killed < KILLS
    }

    /// Starts a run and kills it: half of the times at any instant of it, a quarter each once something is staged and
    /// once publishing begins, which are too short to be met by chance.
    fn kill(&mut self, attempt: usize, root: &Path, command: &Command) {
        if self.whole.is_zero() {
            self.whole = measure(root, command);
        }
        // Multiples of the golden ratio spread evenly over 0 to 1, however many there are.
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let fraction = (attempt as f64 * 0.618_033_988_749_895).fract();
        let old = inode(&root.join("authority"));
        let published = || inode(&root.join("authority")) != old;
        let (begun, share): (&dyn Fn() -> bool, f64) = match attempt % 4 {
            0 | 2 => (&|| true, 1.0),
            1 => (&|| root.join(".staging").exists(), 0.5),
            _ => (&published, 0.02),
        };

        let mut child = start(command);
        let watched = attempt.is_multiple_of(5).then(|| Watch::begin(root));
        while !begun() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(20));
        }
        thread::sleep(self.whole.mul_f64(share * fraction));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if let Some(watch) = watched {
            watch.end();
        }

        self.tried += 1;
        if status.signal() == Some(SIGKILL) {
            self.killed += 1;
            self.staged += usize::from(root.join(".staging").exists());
        } else {
            assert!(status.success(), "{status}");
        }
        // The machine is more busy now, or less: one in six of the signals comes too late.
        if attempt.is_multiple_of(2) {
            let correction = if status.success() { 0.9 } else { 1.02 };
            self.whole = self.whole.mul_f64(correction);
        }
    }

    fn report(&self, what: &str) {
        eprintln!(
            "{what}: a run takes {} ms; {} of {} were killed, {} of them with something staged, {} in the middle of \
             publishing",
            self.whole.as_millis(),
            self.killed,
            self.tried,
            self.staged,
            self.mixed
        );
        assert!(
            self.staged > KILLS / 10,
            "the kills came at other times than they should"
        );
    }
}

/// Runs it to its end, on a copy.
fn measure(root: &Path, command: &Command) -> Duration {
    let copy = Cluster::nowhere();
    if root.exists() {
        run(Command::new("cp").arg("-a").arg(root).arg(copy.root())).success();
    }
    let mut elsewhere = Command::new(command.get_program());
    elsewhere.args(command.get_args().map(|argument| {
        if argument == root.as_os_str() {
            copy.root().into_os_string()
        } else {
            argument.to_owned()
        }
    }));
    run(&mut elsewhere).success().elapsed
}

fn apply(root: &Path) -> Command {
    let mut command = kubetrust(["apply", "-d"]);
    command.arg(root);
    command
}

/// Starts it with the umask that gives nothing away by itself, but takes nothing away either.
fn start(command: &Command) -> Child {
    shell("umask 0; exec \"$@\"", command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A shell's script, in which `"$@"` is the command.
fn shell(script: &str, command: &Command) -> Command {
    let mut shell = peers::isolated("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    shell
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.ino())
}

/// Lets a command finish what `left` is, and checks that there is nothing left to do after it.
#[track_caller]
fn finish_and_check(root: &Path, mut finish: Command, left: &Tree, algorithm: &str) {
    run(&mut finish).success();
    let finished = Tree::check(root);
    finished.keeps_authority_keys_of(left);
    finished.keeps_hosts_of(left, algorithm);
    assert_eq!(finished.algorithms.len(), 3, "{:?}", finished.algorithms);
    for (folder, kinds) in &finished.algorithms {
        assert_eq!(kinds.iter().collect::<Vec<_>>(), [algorithm], "{folder}");
    }
    let again = run(&mut apply(root)).success();
    assert!(again.stderr.contains("Nothing to do"), "{again}");
    assert!(!root.join(".staging").exists());
}

/// An independent reading: every certificate's key is the one beside it.
#[track_caller]
fn openssl_agrees(folder: &Path) {
    for name in [
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "kubelet",
        "ca",
    ] {
        let public = |arguments: &[&str], extension: &str| {
            let file = folder.join(format!("{name}.{extension}"));
            run(peers::openssl().args(arguments).arg(file)).success().stdout
        };
        assert_eq!(
            public(&["x509", "-noout", "-pubkey", "-in"], "crt"),
            public(&["pkey", "-pubout", "-in"], "key"),
            "{name}"
        );
    }
}

/// Looks at the mode of everything in a directory, `.staging` too, over and over.
struct Watch {
    stop: std::sync::Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Watch {
    fn begin(root: &Path) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let (stopped, root) = (stop.clone(), root.to_path_buf());
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) && seen.is_empty() {
                tree::walk(&root, &mut |path, found| {
                    // One handle, so that mode and content are those of one file.
                    let Ok(mut file) = fs::File::open(path) else { return };
                    let mut content = String::new();
                    let Ok(metadata) = file.metadata() else { return };
                    if found.is_dir()
                        || metadata.mode().trailing_zeros() >= 6
                        || file.read_to_string(&mut content).is_err()
                    {
                        return;
                    }
                    if tree::is_secret(&path.display().to_string(), &content) {
                        seen.push(format!("{}: {:o}", path.display(), metadata.mode() & 0o7777));
                    }
                });
            }
            seen
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        assert!(seen.is_empty(), "others could read {seen:?}");
    }
}

/// Limits on a file's size, in units of 512 bytes: the spec, keys, certificates, kubeconfigs and manifests are of
/// different sizes, so each limit stops a run at other files. From the last one on, everything fits.
const SIZE_LIMITS: std::ops::RangeInclusive<u32> = 0..=7;

#[test]
fn a_limit_on_file_sizes_stops_a_run_and_breaks_nothing() {
    // A program that does not ignore the signal dies of it: one more way to crash. One that inherits it ignored gets
    // an error, which it has to report.
    for (ignore, answers) in [("trap '' XFSZ;", true), ("", false)] {
        let mut stopped = 0;
        for limit in SIZE_LIMITS {
            let cluster = Cluster::init(&spec(0));
            let root = cluster.root();
            cluster.write_spec(&spec(1));
            let before = Tree::check(&root);
            let limited = limited(ignore, limit, &apply(&root));
            let left = Tree::check_with_backups(&root);
            if limited.status.success() {
                assert_eq!(
                    left.algorithms["hosts/m1"].first().map(String::as_str),
                    Some(algorithm(1))
                );
            } else {
                stopped += 1;
                ended_as_expected(&limited, answers);
                // Everything is staged before anything is published.
                assert!(left == before, "something was published");
            }
            finish_and_check(&root, apply(&root), &left, algorithm(1));
        }
        assert!((5..=7).contains(&stopped), "{stopped}");

        for limit in SIZE_LIMITS {
            let cluster = Cluster::nowhere();
            let (given, root) = (cluster.beside().join("given.yaml"), cluster.root());
            fs::write(&given, spec(0)).unwrap();
            let mut init = kubetrust(["init", "-f"]);
            init.arg(&given).arg("-d").arg(&root);
            let limited = limited(ignore, limit, &init);
            let left = Tree::check_with_backups(&root);
            if !limited.status.success() {
                ended_as_expected(&limited, answers);
                assert!(
                    left.files.keys().all(|name| name == "cluster.yaml"),
                    "{:?}",
                    left.files.keys()
                );
            }
            finish_and_check(&root, init, &left, algorithm(0));
        }
    }
}

/// Runs it with a limit. Its output goes through pipes: a limit counts for files alone.
fn limited(ignore: &str, limit: u32, command: &Command) -> Output {
    let script = format!("ulimit -c 0; {ignore} ulimit -f {limit}; exec \"$@\"");
    shell(&script, command).output().unwrap()
}

#[track_caller]
fn ended_as_expected(limited: &Output, answers: bool) {
    let stderr = String::from_utf8_lossy(&limited.stderr);
    if answers {
        assert_eq!(limited.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("error: cannot write ") && stderr.contains("File too large"),
            "{stderr}"
        );
    } else {
        assert_eq!(limited.status.signal(), Some(SIGXFSZ), "{stderr}");
    }
}

/// What a small filesystem offers, too little for the cluster: pages of 4 KiB for content, or inodes.
const SMALL_DISKS: [&str; 20] = [
    "size=4k",
    "size=8k",
    "size=20k",
    "size=40k",
    "size=60k",
    "size=80k",
    "size=100k",
    "size=120k",
    "size=140k",
    "size=160k",
    "size=180k",
    "size=200k",
    "nr_inodes=2",
    "nr_inodes=4",
    "nr_inodes=8",
    "nr_inodes=16",
    "nr_inodes=32",
    "nr_inodes=48",
    "nr_inodes=64",
    "nr_inodes=80",
];

/// Runs a command on a disk of that size, and again once there is room, and takes copies of both outcomes.
const ON_A_SMALL_DISK: &str = r#"
small=$1 disk=$2 copies=$3; shift 3
mount -t tmpfs -o "$small" none "$disk" || exit 99
"$@" 2> "$copies/stderr"; code=$?
cp -a "$disk" "$copies/left" && mount -o remount,size=100m,nr_inodes=10000 "$disk" || exit 98
"$@" 2> /dev/null && cp -a "$disk" "$copies/finished" || exit 97
exit $code
"#;

#[test]
fn a_full_disk_is_said_and_breaks_nothing() {
    let unshare = |command: &mut Command| -> Output { command.output().unwrap() };
    let mut probe = peers::isolated("unshare");
    if !unshare(probe.args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]))
        .status
        .success()
    {
        // Injected errors (kubetrust-pki, tests/faults.rs) cover the same on every machine.
        eprintln!("skipped: this machine lets nobody make a small filesystem (unshare -rm)");
        return;
    }
    for small in SMALL_DISKS {
        let place = Cluster::nowhere();
        let [disk, copies] = ["disk", "copies"].map(|name| place.beside().join(name));
        fs::create_dir(&disk).unwrap();
        fs::create_dir(&copies).unwrap();
        let given = place.beside().join("given.yaml");
        fs::write(&given, spec(0)).unwrap();
        let mut command = peers::isolated("unshare");
        command
            .args(["-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", small])
            .args([&disk, &copies]);
        command
            .arg(env!("CARGO_BIN_EXE_kubetrust"))
            .args(["init", "-f"])
            .arg(&given)
            .arg("-d")
            .arg(disk.join("c"));
        let output = unshare(&mut command);
        let stderr = fs::read_to_string(copies.join("stderr")).unwrap_or_default();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{small}: {stderr}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            stderr.contains("o space left on device") && stderr.contains("free some space"),
            "{small}: {stderr}"
        );

        let left = Tree::check_with_backups(&copies.join("left/c"));
        assert!(
            left.files.keys().all(|name| name == "cluster.yaml"),
            "{:?}",
            left.files.keys()
        );
        let finished = Tree::check(&copies.join("finished/c"));
        assert_eq!(finished.algorithms.len(), 3, "{small}");
    }
}

#[test]
fn the_watch_sees_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = Cluster::init(&spec(0));
    let key = cluster.host_file("m1", "kubernetes/pki/apiserver.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let watch = Watch::begin(&cluster.root());
    let start = Instant::now();
    while !watch.thread.is_finished() && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(watch.thread.join().unwrap()[0].ends_with("apiserver.key: 640"));
}
