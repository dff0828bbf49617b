//! What nobody well-behaved sends, over real TLS: each gets an answer or is cut off within bounds, nobody gets what is
//! another's, and everybody else is served as before.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]

mod bombs;
mod connections;
mod frames;
mod limits;
mod paths;
mod routes;
mod spoofing;
#[allow(unused_imports, reason = "each test uses the part that it needs")]
#[path = "../support/mod.rs"]
mod support;
mod wire;
mod world;
