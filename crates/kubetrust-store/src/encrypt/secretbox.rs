//! `crypto_secretbox` of `NaCl`, XSalsa20-Poly1305, which aws-lc-rs does not have.
//!
//! Source: <https://cr.yp.to/highspeed/naclcrypto-20090310.pdf>, section 9: the first 32 bytes of the key stream are the key of
//! the tag, the rest encrypts, and the tag is over what was encrypted.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

/// Bytes of a key, of a nonce, and of a tag.
pub(super) const KEY: usize = 32;
pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;

/// A key.
pub(super) struct Secretbox(Zeroizing<[u8; KEY]>);

impl Secretbox {
    /// `None` for a key of another length.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(key.try_into().ok()?)))
    }

    /// Encrypts in place, and gives the tag. A nonce must never serve twice.
    pub(super) fn seal(&self, nonce: &[u8; NONCE], body: &mut [u8]) -> [u8; TAG] {
        let (mut stream, authenticator) = self.begin(nonce);
        stream.apply_keystream(body);
        authenticator.compute_unpadded(body).into()
    }

    /// `None` where the tag is not that of the body: nothing is decrypted then.
    pub(super) fn open(&self, nonce: &[u8; NONCE], tag: &[u8; TAG], body: &[u8]) -> Option<Vec<u8>> {
        let (mut stream, authenticator) = self.begin(nonce);
        let expected: [u8; TAG] = authenticator.compute_unpadded(body).into();
        verify_slices_are_equal(&expected, tag).ok()?;
        let mut plain = body.to_vec();
        stream.apply_keystream(&mut plain);
        Some(plain)
    }

    fn begin(&self, nonce: &[u8; NONCE]) -> (XSalsa20, Poly1305) {
        let mut stream = XSalsa20::new((&*self.0).into(), nonce.into());
        let mut key = Zeroizing::new([0; KEY]);
        stream.apply_keystream(key.as_mut_slice());
        (stream, Poly1305::new((&*key).into()))
    }
}
