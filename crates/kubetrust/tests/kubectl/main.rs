//! Real kubectl, of today and of the document's time, drives the API server: tables of what it is told and what it says.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod access;
mod call;
mod certificates;
mod deletion;
mod describing;
mod objects;
mod watching;
