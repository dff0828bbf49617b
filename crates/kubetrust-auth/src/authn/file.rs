//! What is wrong with a file of credentials: the file, the place in it, the fault, and the way out.

use std::fmt;

/// A file that can't be used. Nothing of it is taken; whoever reloads keeps what was in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line and column, from 1; the column is 0 where only the line is known, the line where neither is.
    pub line: usize,
    /// See `line`.
    pub column: usize,
    /// What is wrong, and what to do.
    pub fault: String,
}

impl FileError {
    pub(super) fn at(file: &str, line: usize, column: usize, fault: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column,
            fault: fault.into(),
        }
    }

    pub(super) fn whole(file: &str, fault: impl Into<String>) -> Self {
        Self::at(file, 0, 0, fault)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// Something in a file that does no harm, and that its author would want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWarning(pub FileError);

impl fmt::Display for FileWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lines, from 1, on which the PEM blocks of a text begin: the n-th is that of the n-th block of
/// [`kubetrust_pki::pem::blocks`].
pub(super) fn pem_lines(text: &[u8]) -> Vec<usize> {
    String::from_utf8_lossy(text)
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim().starts_with("-----BEGIN ") && line.trim().ends_with("-----"))
        .map(|(index, _)| index + 1)
        .collect()
}
