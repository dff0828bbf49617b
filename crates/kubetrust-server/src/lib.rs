//! A Kubernetes API server: the way of a request from the connection to the store.
//!
//! ```text
//! listen → tls → chain (authenticate → impersonate → limit → authorize) → endpoints → admission → registry → store
//! ```

pub mod admission;
mod aside;
pub mod audit;
pub mod bootstrap;
pub mod chain;
pub mod compaction;
pub mod connection;
mod controllers;
pub mod credentials;
pub mod endpoints;
pub mod files;
pub mod http;
pub mod issuer;
pub mod listen;
pub mod metrics;
pub mod options;
mod pace;
mod readers;
pub mod registry;
mod server;
mod sources;
pub mod start;
mod stop;
pub mod subresources;
pub mod tls;

pub use server::ApiServer;
