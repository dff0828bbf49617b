//! Real peers for kubetrust's tests, and the plumbing to run them: nothing here imitates a program that can be had.
//!
//! `cargo xtask peers` fetches the peers, `cargo xtask test` does so before it tests. Everything here fails by
//! panicking, at the line of the test that asked, with all that the peer said.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test kit reports by panicking")]
#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a call is often made for its assertion alone"
)]

pub mod etcd;
pub mod loopback;
pub mod peers;
pub mod pkilint;
mod process;
mod run;
pub mod up;

pub use process::Process;
pub use run::{Output, run, run_with_input, run_within};
