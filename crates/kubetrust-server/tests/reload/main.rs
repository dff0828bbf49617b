//! Every credential is replaced while clients of several kinds are at work: nobody is dropped, and what is put in place
//! is in force within a second.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up has failed"
)]

mod broken;
mod files;
mod load;
mod replaced;
#[path = "../support/mod.rs"]
mod support;
