//! What the objects of each kind must look like.
//!
//! The build script writes the schemas of all kinds as one compressed document, [`document`]. Validation, patches and
//! defaults work on [`Schema`], a compact tree without descriptions, made from it on first use. A server that nobody
//! asks holds neither.

mod builtin;
#[cfg(test)]
mod facts;
mod tree;

pub use builtin::{document, lookup, name_of_kind, names, of_kind, of_resource};
pub use tree::{Format, Link, ListType, PatchStrategy, Schema, Type};

/// Where schemas refer to each other in [`document`], followed by the name of a definition.
pub const REFERENCE: &str = "#/components/schemas/";
