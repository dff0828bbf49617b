//! The server as its clients see it, every case on both engines (`support::engine`). One program, since linking the
//! server takes longer than most of the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up has failed"
)]

#[macro_use]
mod support;

mod admission;
mod faults;
mod fuzz;
mod hostile;
mod identity;
mod metrics;
mod registry;
mod reload;
