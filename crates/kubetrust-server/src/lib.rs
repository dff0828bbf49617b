//! A Kubernetes API server: the way of a request from the connection to the store.
//!
//! ```text
//! listen → tls → chain (authenticate → audit → impersonate → limit → authorize) → admission → registry → store
//! ```

pub mod admission;
pub mod http;
pub mod registry;
pub mod tls;
