//! Secrets as keys of maps: what is compared and kept is an HMAC under a key that only this process knows, so that
//! neither timing nor a core dump's table tells a token, and nobody can aim at a slot.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;

/// HMAC-SHA-256.
pub(super) type Digest = [u8; 32];

/// Hashes under a key of its own.
pub(super) struct Hasher(hmac::Key);

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's source of randomness failed")]
pub struct NoRandomness;

impl Hasher {
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| NoRandomness)?;
        Ok(Self(hmac::Key::new(HMAC_SHA256, &key)))
    }

    pub fn digest(&self, secret: &[u8]) -> Digest {
        let mut digest = Digest::default();
        // The tag of HMAC-SHA-256 is exactly as long.
        digest.copy_from_slice(hmac::sign(&self.0, secret).as_ref());
        digest
    }
}
