//! `cargo xtask peers`: have everything on disk that the tests talk to.

use std::path::PathBuf;

use crate::failure::Result;
use crate::{peer, system};

pub(crate) fn run() -> Result<()> {
    let directory = fetch()?;
    eprintln!("peers are ready in {}", directory.display());
    Ok(())
}

/// Fetches what is missing, and returns the directory that `KUBETRUST_PEERS` has to name.
pub(crate) fn fetch() -> Result<PathBuf> {
    system::require("openssl", "openssl")?;
    for peer in &peer::TESTED_AGAINST {
        peer.fetch()?;
    }
    Ok(peer::directory())
}
