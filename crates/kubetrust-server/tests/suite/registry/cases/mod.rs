//! The cases. Each takes a server on any engine, and keeps to namespaces of its own.

pub mod deletions;
pub mod forms;
pub mod identities;
pub mod lists;
pub mod namespaces;
pub mod services;
pub mod watches;
pub mod writes;
