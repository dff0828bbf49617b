//! What they may do.

pub mod attributes;
