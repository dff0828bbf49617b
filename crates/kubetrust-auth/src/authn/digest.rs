//! Secrets as keys of maps: what is compared and kept is a hash under a key that only this process knows, so that
//! neither timing nor a table tells a token, and nobody can aim at another's slot.
//!
//! The hash is GMAC, a universal hash: whoever doesn't know the key finds no two inputs of one tag but by chance, at
//! 2⁻¹²⁸ a block and try. Its nonce may be the same each time, which AES-GCM forbids, because a tag never leaves the
//! process. HMAC-SHA-256 would do too, at four times the cost, and on HTTP/1.1 each request pays it.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::random::{self, NoRandomness};

/// A tag of AES-256-GCM.
pub(super) type Digest = [u8; 16];

/// Hashes under the process's key.
pub(super) struct Hasher(LessSafeKey);

impl Hasher {
    /// The process's own. Its key is drawn once.
    pub fn of_process() -> Result<&'static Self, NoRandomness> {
        static HASHER: OnceLock<Result<Hasher, NoRandomness>> = OnceLock::new();
        HASHER.get_or_init(Self::random).as_ref().map_err(|error| *error)
    }

    fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        random::fill(&mut key)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| NoRandomness)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The hash; `None` for what is longer than AES-GCM takes, which nothing here is.
    pub fn digest(&self, secret: &[u8]) -> Option<Digest> {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(secret), &mut [])
            .ok()?;
        tag.as_ref().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let hasher = Hasher::of_process().unwrap();
        let secret = vec![b'x'; 1000];
        let digest = hasher.digest(&secret);
        assert!(digest.is_some());
        assert_eq!(digest, hasher.digest(&secret));
        for place in 0..secret.len() {
            let mut other = secret.clone();
            other[place] ^= 1;
            assert_ne!(digest, hasher.digest(&other), "{place}");
        }
        assert_ne!(digest, hasher.digest(&secret[1..]));
        assert_ne!(hasher.digest(b""), hasher.digest(b"\0"));
        assert_ne!(
            Hasher::random().unwrap().digest(&secret),
            digest,
            "each key has its own"
        );
    }
}
