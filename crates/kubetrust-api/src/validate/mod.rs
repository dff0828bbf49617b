//! What is wrong with an object: all faults in one answer, in upstream's words.

pub mod field;
pub mod meta;
pub mod names;
