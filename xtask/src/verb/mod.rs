//! What can be asked of `cargo xtask`.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod peers;
pub(crate) mod test;
