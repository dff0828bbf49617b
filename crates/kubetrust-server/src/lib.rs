//! A Kubernetes API server: the way of a request from the connection to the store.
//!
//! ```text
//! listen → tls → chain (authenticate → impersonate → limit → authorize) → endpoints → admission → registry → store
//! ```

pub mod admission;
pub mod chain;
pub mod connection;
pub mod endpoints;
pub mod http;
pub mod issuer;
pub mod listen;
mod readers;
pub mod registry;
mod server;
pub mod subresources;
pub mod tls;

pub use server::ApiServer;
