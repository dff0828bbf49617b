//! From the bytes of a request to an object of the expected kind.

pub mod tree;
