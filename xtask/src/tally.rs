//! The sum over every test binary, read from the closing lines that `cargo test` prints.

use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    binaries: usize,
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    /// Adds a line of output: `test result: ok. 3 passed; 0 failed; 1 ignored; …`, or any other.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        self.binaries += 1;
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let number: usize = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.binaries == 0
    }

    pub(crate) fn passed(self) -> usize {
        self.passed
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(out, ", {} skipped", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_closing_lines_and_nothing_else() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test spec::tests::a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.20s",
            "9 passed; 9 failed",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                binaries: 2,
                passed: 10,
                failed: 2,
                ignored: 1
            }
        );
        assert_eq!(tally.to_string(), "10 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn is_empty_until_a_test_binary_has_closed() {
        let mut tally = Tally::default();
        tally.read("error: could not compile `kubetrust`");
        assert!(tally.is_empty());
    }
}
