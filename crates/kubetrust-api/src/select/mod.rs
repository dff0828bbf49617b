//! Which objects a request is about: label selectors and field selectors, in the syntax and with the errors of
//! `apimachinery/pkg/labels` and `apimachinery/pkg/fields`.

pub mod field;
pub mod label;

/// Longest selector that is read, in bytes. Upstream is bounded by the request line only.
pub const SELECTOR_MAX: usize = 64 * 1024;
