//! Every credential of a Kubernetes cluster: what it must be, what is on disk, and what to do about it.
//!
//! ```text
//! spec → catalog → inventory → plan → issue → render → write
//! ```
//!
//! [`cluster`] runs that line over a directory. No terminal, no network, and no clock: the time is an argument.

pub mod apply;
mod brought;
pub mod bundle;
pub mod catalog;
pub mod certificate;
pub mod cluster;
pub mod flags;
pub mod inventory;
pub mod issue;
pub mod key;
pub mod kubeconfig;
pub mod listing;
pub mod manifests;
pub mod pem;
pub mod plan;
pub mod profile;
pub mod render;
pub mod spec;
pub mod token;
pub mod write;
