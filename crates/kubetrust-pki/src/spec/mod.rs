//! `cluster.yaml`: what a user writes, checked and read into a [`Cluster`].
//!
//! `table` describes every field once; the checker, the reader, the JSON Schema and the example all follow it.
//! A text becomes a cluster in four steps:
//!
//! 1. `yaml` reads it as a tree that knows where everything stands. A syntax error ends here.
//! 2. `check` holds the tree against the table and collects every error that a field has by itself.
//! 3. `build` turns the tree into a [`Cluster`].
//! 4. `cross` holds the fields against each other.
//!
//! Step 4 runs only on a tree without errors, so that no error is the mere consequence of another.

mod build;
mod check;
mod choice;
mod cross;
mod diagnostic;
mod example;
mod model;
mod schema;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod yaml;

pub use diagnostic::{Diagnostic, SpecErrors};
pub use example::example;
pub use model::*;
pub use schema::json_schema;

use diagnostic::Fault;
use table::ROOT;

/// No spec is larger, in bytes. Reading stops one byte past it, so that the parser can say so with a place.
pub const MAX_BYTES: u64 = yaml::MAX_BYTES as u64 + 1;

/// A valid spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The cluster it describes.
    pub cluster: Cluster,
    /// What is allowed, yet hardly meant, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the spec `text`. `file` is the name that diagnostics give it.
pub fn parse(file: &str, text: &str) -> Result<Parsed, SpecErrors> {
    let refuse = |faults: Vec<Fault>| Err(SpecErrors::new(diagnostic::in_file(file, faults)));

    let mut tree = match yaml::read(text) {
        Ok(tree) => tree,
        Err(fault) => return refuse(vec![fault]),
    };
    let faults = check::check(&tree, &ROOT);
    if !faults.is_empty() {
        return refuse(faults);
    }
    let cluster = match build::build(&mut tree) {
        Ok(cluster) => cluster,
        Err(fault) => return refuse(vec![fault]),
    };
    let findings = cross::check(&cluster, &tree);
    if !findings.errors.is_empty() {
        return refuse(findings.errors);
    }
    Ok(Parsed {
        cluster,
        warnings: diagnostic::in_file(file, findings.warnings),
    })
}
