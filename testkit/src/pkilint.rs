//! The certificate linter, an independent reading of RFC 5280: hundreds of certificates in one start of Python.

use std::path::PathBuf;

use serde_json::Value;

use crate::{peers, run_with_input};

const DRIVER: &str = include_str!("pkilint.py");

/// What the linter objects to, or merely notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file that holds the certificate.
    pub file: PathBuf,
    /// How bad it is.
    pub severity: Severity,
    /// The linter's name for it: `pkix.ca_certificate_no_ski`.
    pub code: String,
    /// Where in the certificate: `certificate.tbsCertificate.extensions`.
    pub place: String,
    /// What was found there, where the code alone does not say it.
    pub message: String,
}

/// The linter's scale, mildest first, so that `severity >= Severity::Error` reads as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Of use to the linter's authors.
    Debug,
    /// No sign of any problem.
    Info,
    /// Worth knowing, and against no rule.
    Notice,
    /// Against a SHOULD.
    Warning,
    /// Against a MUST.
    Error,
    /// So far off that the linter could not go on.
    Fatal,
}

/// Lints every certificate of these PEM or DER files (a bundle holds several). Files and findings are in one order.
///
/// Panics when a file holds no certificate or can't be read, which is a mistake of the test.
#[track_caller]
#[must_use]
pub fn lint(files: &[PathBuf]) -> Vec<Finding> {
    let paths: Vec<&str> = files
        .iter()
        .map(|file| file.to_str().expect("a path in UTF-8"))
        .collect();
    let input = serde_json::to_string(&paths).expect("paths as JSON");
    let output = run_with_input(&input, peers::pkilint().args(["-c", DRIVER])).success();
    output.stdout.lines().map(finding).collect()
}

/// The findings that break a rule: a MUST, or a SHOULD.
#[track_caller]
#[must_use]
pub fn violations(files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = lint(files);
    findings.retain(|finding| finding.severity >= Severity::Warning);
    findings
}

fn finding(line: &str) -> Finding {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("not a finding: {line}: {error}"));
    let text = |name: &str| {
        value[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {line}"))
            .to_owned()
    };
    Finding {
        file: text("file").into(),
        severity: severity(&text("severity")),
        code: text("code"),
        place: text("place"),
        message: text("message"),
    }
}

fn severity(name: &str) -> Severity {
    match name {
        "DEBUG" => Severity::Debug,
        "INFO" => Severity::Info,
        "NOTICE" => Severity::Notice,
        "WARNING" => Severity::Warning,
        "ERROR" => Severity::Error,
        "FATAL" => Severity::Fatal,
        unknown => panic!("the linter knows a severity that we don't: {unknown}"),
    }
}
