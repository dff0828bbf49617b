//! Authorization as clients see it: the default policy, who may do what under it, and the rules by which that is decided.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking, as the tests themselves do"
)]

mod aggregate;
mod default_policy;
mod escalation;
mod matrix;
mod modes;
mod naive;
mod node;
mod random;
mod rbac;
mod reconcile;
mod words;
