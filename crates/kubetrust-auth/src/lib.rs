//! Who is asking, and what they may do: the decisions of Kubernetes' authentication and authorization.
//!
//! ```text
//! credentials → authn (one scheme per file, and their union) → User
//! User + Attributes → authz (system:masters, node, RBAC) → Decision
//! ```
//!
//! No network and no store: what a decision needs to look up, it asks of a trait, and the time is an argument.

pub mod authn;
pub mod authz;
pub mod random;
pub mod user;
