//! A program that keeps running while a test talks to it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::run::{line, wait};

/// How much of a log a panic shows.
const TAIL_LINES: usize = 40;

/// Waits until nobody can write to its input any more, then ends a process and removes what it leaves. Signals from the
/// terminal, which everyone gets, do not keep it from that.
const LAST: &str = r#"trap '' HUP INT TERM; read -r _; kill -KILL "$1"; rm -rf -- "$2" "$3""#;

/// A running program and its log. Dropping it ends the program.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    log: NamedTempFile,
    /// The shell that outlives this process, see [`Self::end_with_this_process`].
    last: Option<Child>,
}

impl Process {
    /// Starts a command; standard output and standard error go to one log.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let log = NamedTempFile::new().expect("a temporary file");
        let [stdout, stderr] = [(); 2].map(|()| log.as_file().try_clone().expect("a second handle on a file"));
        let line = line(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Self {
            command: line,
            child,
            log,
            last: None,
        }
    }

    /// Ends it, and removes its log and this folder, when this process is gone, however that comes. For a program in a
    /// `static`, which nothing drops.
    #[track_caller]
    pub fn end_with_this_process(&mut self, folder: &Path) {
        let mut shell = Command::new("sh");
        shell.args(["-c", LAST, "sh", &self.id().to_string()]);
        shell.args([folder, self.log.path()]);
        let quiet = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.last = Some(quiet.spawn().expect("a shell"));
    }

    /// All it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).expect("read a log")).into_owned()
    }

    /// The last lines of the log, under the command, for a message.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        format!(
            "{}\n--- log, without its first {skipped} lines\n{}",
            self.command,
            lines[skipped..].join("\n")
        )
    }

    /// The operating system's number for it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_none()
    }

    /// Waits until the log is as described. Panics, with the log, when the limit passes or the program ends first.
    #[track_caller]
    pub fn wait_for(&mut self, described: impl Fn(&str) -> bool, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            // Asked before the log is read, so that last words count.
            let running = self.is_running();
            if described(&self.log()) {
                return;
            }
            assert!(running, "ended before it said what was waited for: {}", self.tail());
            let left = Instant::now() < deadline;
            assert!(
                left,
                "did not say what was waited for within {} s: {}",
                limit.as_secs_f32(),
                self.tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends by itself. Panics, with the log, when it does not.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let ended = wait(&mut self.child, limit);
        ended.unwrap_or_else(|| panic!("still running after {} s: {}", limit.as_secs_f32(), self.tail()))
    }

    /// Sends a signal by name: `HUP`, `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        crate::run(Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())])).success();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // Fails only when it has ended by itself, which is what was asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // First, lest it ends whoever has the number next.
        if let Some(mut last) = self.last.take() {
            let _ = last.kill();
            let _ = last.wait();
        }
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn waits_for_the_log_and_ends_on_a_signal() {
        let mut process = shell("trap 'echo hung up; exit 4' HUP; echo ready; while :; do sleep 0.01; done");
        process.wait_for(|log| log.contains("ready"), LIMIT);
        assert!(process.is_running());
        process.signal("HUP");
        assert_eq!(process.wait_exit(LIMIT).code(), Some(4));
        assert_eq!(process.log(), "ready\nhung up\n");
    }

    #[test]
    #[should_panic(expected = "cannot bind")]
    fn a_death_is_reported_with_its_last_words() {
        shell("echo cannot bind >&2; exit 1").wait_for(|log| log.contains("ready"), LIMIT);
    }

    #[test]
    #[should_panic(expected = "within 0.1 s")]
    fn a_wait_is_bounded() {
        shell("exec sleep 30").wait_for(|log| log.contains("ready"), Duration::from_millis(100));
    }

    fn is_there(id: &str) -> bool {
        crate::run(Command::new("sh").args(["-c", &format!("kill -0 {id}")])).succeeded()
    }

    #[test]
    fn dropping_ends_it() {
        let process = shell("exec sleep 30");
        let id = process.id();
        drop(process);
        assert!(!is_there(&id.to_string()));
    }

    #[test]
    fn what_nothing_drops_ends_with_its_process_and_leaves_nothing() {
        const FOLDER: &str = "KUBETRUST_TESTKIT_FOLDER";
        if let Some(folder) = std::env::var_os(FOLDER) {
            // As a `static` holds it, in the process that is started below.
            let mut process = shell("exec sleep 30");
            process.end_with_this_process(Path::new(&folder));
            println!("\nleft {} {}", process.id(), process.log.path().display());
            std::process::abort();
        }
        let folder = tempfile::tempdir().unwrap().keep();
        let mut other = Command::new(std::env::current_exe().unwrap());
        let name = "process::tests::what_nothing_drops_ends_with_its_process_and_leaves_nothing";
        other
            .args(["--exact", name, "--nocapture"])
            .env(FOLDER, &folder)
            .stderr(Stdio::null());
        let said = String::from_utf8(other.output().unwrap().stdout).unwrap();
        let left = said.lines().find_map(|line| line.strip_prefix("left ")).expect(&said);
        let (id, log) = left.split_once(' ').unwrap();
        let deadline = Instant::now() + LIMIT;
        while is_there(id) || folder.exists() || Path::new(log).exists() {
            assert!(
                Instant::now() < deadline,
                "{left} is still there, or {}",
                folder.display()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}
