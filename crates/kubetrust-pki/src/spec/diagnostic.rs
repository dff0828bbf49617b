//! What is wrong, where, and what to do about it.

use std::fmt::{self, Write};

/// An error or a warning, with the place it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The spec's name, as given to [`parse`](super::parse).
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field's path, such as `hosts[2].addresses[0]`; empty where the diagnostic is about the file.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a spec: at least one error, in the order of the file. Displays a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecErrors(Vec<Diagnostic>);

impl SpecErrors {
    pub(super) fn new(errors: Vec<Diagnostic>) -> Self {
        debug_assert!(!errors.is_empty());
        Self(errors)
    }

    /// The errors. Never empty.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char('\n')?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

/// A place in the spec. Both count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// What is wrong with a value, wherever it stands.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// A problem in its place: a diagnostic that doesn't know its file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) field: String,
    pub(super) problem: Problem,
}

/// The faults as diagnostics, in the order of the file.
pub(super) fn in_file(file: &str, mut faults: Vec<Fault>) -> Vec<Diagnostic> {
    faults.sort_by_key(|fault| fault.at);
    let diagnostic = |Fault { at, field, problem }| Diagnostic {
        file: file.to_owned(),
        line: at.line,
        column: at.column,
        field,
        message: problem.message,
        hint: problem.hint,
    };
    faults.into_iter().map(diagnostic).collect()
}

/// `text` between backticks: on one line, without control characters, and no longer than a diagnostic can bear.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    // `escape_debug` is meant for literals, where quotes would end the text.
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The one of `known` that `word` was probably meant to be: the same in other case, or at most two slips away.
pub(super) fn closest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .filter(|name| name.len().abs_diff(word.len()) <= 2)
        .map(|name| (slips(&word.to_lowercase(), &name.to_lowercase()), name))
        // Of a short word, two slips leave nothing.
        .filter(|(slips, name)| *slips <= 2 && slips * 2 < name.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// The Levenshtein distance, in bytes.
fn slips(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let here = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        row[0] = i + 1;
    }
    row[b.len()]
}
