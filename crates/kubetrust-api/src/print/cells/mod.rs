//! Cells that take more than a path, by what they are about.

pub(super) mod certificates;
pub(super) mod events;
pub(super) mod hpa;
pub(super) mod network;
pub(super) mod nodes;
pub(super) mod others;
pub(super) mod pod;
pub(super) mod rbac;
pub(super) mod storage;
pub(super) mod workloads;
