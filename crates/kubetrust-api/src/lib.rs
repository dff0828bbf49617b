//! The Kubernetes API as data: which resources there are, what their objects must look like, and how they are
//! changed, selected, printed and refused. No network, no store, no clock.
//!
//! An object is a [`serde_json::Value`]: what a client sent is kept faithfully, field by field, also where this
//! version knows no meaning for it.

pub mod decode;
pub mod default;
pub mod discovery;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod print;
pub mod protobuf;
pub mod resource;
pub mod schema;
pub mod select;
pub mod status;
pub mod strategy;
pub mod validate;
