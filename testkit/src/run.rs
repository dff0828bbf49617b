//! Running a program to its end, within a time limit, and showing everything it said when that is not as expected.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a slow machine, short enough that a hang is seen.
const LIMIT: Duration = Duration::from_mins(1);

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Output {
    /// The command as it was run.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, as text.
    pub stdout: String,
    /// Its standard error, as text.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Output {
    /// Whether it exited with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Its exit code, unless a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts that it exited with 0.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the assertion is the point; the output is a convenience"
    )]
    pub fn success(self) -> Self {
        assert!(self.succeeded(), "expected success: {self}");
        self
    }

    /// Asserts that it ended in any other way.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the assertion is the point; the output is a convenience"
    )]
    pub fn failure(self) -> Self {
        assert!(!self.succeeded(), "expected a failure: {self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} ({}, {} ms)",
            self.command,
            self.status,
            self.elapsed.as_millis()
        )?;
        writeln!(out, "--- stdout\n{}", self.stdout.trim_end())?;
        write!(out, "--- stderr\n{}", self.stderr.trim_end())
    }
}

/// Runs a command with no input. Panics when it can't be started or has not ended within a minute.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    run_to_end(command, Stdio::null(), LIMIT)
}

/// As [`run`], with a limit of the caller's.
#[track_caller]
pub fn run_within(limit: Duration, command: &mut Command) -> Output {
    run_to_end(command, Stdio::null(), limit)
}

/// As [`run`], with text on standard input.
#[track_caller]
pub fn run_with_input(input: &str, command: &mut Command) -> Output {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(input.as_bytes())
        .and_then(|()| file.rewind())
        .expect("write a temporary file");
    run_to_end(command, file.into(), LIMIT)
}

#[track_caller]
fn run_to_end(command: &mut Command, stdin: Stdio, limit: Duration) -> Output {
    // Files, not pipes: a pipe fills up when nobody reads it, and stays open as long as any grandchild lives.
    let [mut stdout, mut stderr] = [(); 2].map(|()| tempfile::tempfile().expect("a temporary file"));
    let [stdout_end, stderr_end] = [&stdout, &stderr].map(|file| file.try_clone().expect("a second handle on a file"));

    let line = line(command);
    let start = Instant::now();
    let mut child = command
        .stdin(stdin)
        .stdout(stdout_end)
        .stderr(stderr_end)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
    let ended = wait(&mut child, limit);
    let status = ended.unwrap_or_else(|| {
        // Ending it can only fail if it just ended by itself.
        let _ = child.kill();
        child.wait().expect("wait for a child")
    });
    let output = Output {
        command: line,
        status,
        stdout: text(&mut stdout),
        stderr: text(&mut stderr),
        elapsed: start.elapsed(),
    };
    assert!(
        ended.is_some(),
        "still running after {} s, killed: {output}",
        limit.as_secs_f32()
    );
    output
}

/// Waits for a child, but no longer than this.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("read a temporary file");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn keeps_status_and_both_streams() {
        let output = run(&mut shell("echo out; echo err >&2; exit 3")).failure();
        assert_eq!(
            (output.code(), output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn passes_input_on() {
        assert_eq!(run_with_input("said\n", &mut shell("cat")).success().stdout, "said\n");
    }

    #[test]
    fn more_output_than_a_pipe_holds_is_no_deadlock() {
        assert_eq!(
            run(&mut shell("head -c 1000000 /dev/zero | tr '\\0' x"))
                .success()
                .stdout
                .len(),
            1_000_000
        );
    }

    #[test]
    #[should_panic(expected = "still running after 0.1 s, killed: sh -c echo before; exec sleep 30")]
    fn ends_what_does_not_end() {
        run_within(Duration::from_millis(100), &mut shell("echo before; exec sleep 30"));
    }

    #[test]
    #[should_panic(expected = "because of this")]
    fn shows_all_that_was_said() {
        run(&mut shell("echo because of this >&2; false")).success();
    }
}
