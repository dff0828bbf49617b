//! Authentication as a whole: every credential that a cluster has and everything that only looks like one, against
//! the same configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]
#![allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::similar_names,
    reason = "a table is as long as its cases, and Jane and June are friends"
)]
#![allow(missing_docs, reason = "tests are named for what they show")]

mod certificates;
mod fuzz;
mod peers;
mod revocation;
mod service_account;
mod support;
mod union;
