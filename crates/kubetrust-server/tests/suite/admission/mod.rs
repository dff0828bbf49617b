//! Admission, plugin by plugin: tables with a line a case, over a registry on either engine.

#![allow(
    clippy::needless_pass_by_value,
    reason = "the lines of a table hand over what json! makes"
)]

mod certificates;
mod flags;
mod namespaces;
mod nodes;
mod owners;
mod pods;
mod rights;
mod service_accounts;
mod world;
