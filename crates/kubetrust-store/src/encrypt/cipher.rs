//! The two ciphers, over aws-lc-rs.

use std::sync::Arc;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

/// Lengths of keys, in bytes.
pub(super) const KEY_LENGTHS: [usize; 3] = [16, 24, 32];

/// A key, ready to be used.
#[derive(Clone)]
pub(super) enum Cipher {
    /// Nonce, ciphertext, tag. The etcd key is authenticated: a value moved to another key is not read.
    Gcm(Arc<LessSafeKey>),
    /// Initialization vector and padded ciphertext; nothing is authenticated.
    Cbc(Arc<(PaddedBlockEncryptingKey, PaddedBlockDecryptingKey)>),
}

/// Makes a cipher of a key; `None` for a key of no length that AES has.
pub(super) type Make = fn(&[u8]) -> Option<Cipher>;

pub(super) fn gcm(key: &[u8]) -> Option<Cipher> {
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        32 => &aead::AES_256_GCM,
        _ => return None,
    };
    Some(Cipher::Gcm(Arc::new(LessSafeKey::new(
        UnboundKey::new(algorithm, key).ok()?,
    ))))
}

pub(super) fn cbc(key: &[u8]) -> Option<Cipher> {
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        32 => &cipher::AES_256,
        _ => return None,
    };
    let unbound = || UnboundCipherKey::new(algorithm, key).ok();
    let encrypting = PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).ok()?;
    let decrypting = PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?).ok()?;
    Some(Cipher::Cbc(Arc::new((encrypting, decrypting))))
}

impl Cipher {
    /// Encrypts a value behind a head.
    pub(super) fn seal(&self, head: Vec<u8>, key: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = head;
        let mut body = plain.to_vec();
        match self {
            Self::Gcm(cipher) => {
                let mut nonce = [0; NONCE_LEN];
                aws_lc_rs::rand::fill(&mut nonce).ok()?;
                let assumed = Nonce::assume_unique_for_key(nonce);
                cipher
                    .seal_in_place_append_tag(assumed, Aad::from(key), &mut body)
                    .ok()?;
                sealed.extend_from_slice(&nonce);
            }
            Self::Cbc(keys) => {
                let DecryptionContext::Iv128(vector) = keys.0.encrypt(&mut body).ok()? else {
                    return None;
                };
                sealed.extend_from_slice(vector.as_ref());
            }
        }
        sealed.extend_from_slice(&body);
        Some(sealed)
    }

    pub(super) fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gcm(cipher) => {
                let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
                let mut body = body.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let length = cipher.open_in_place(nonce, Aad::from(key), &mut body).ok()?.len();
                body.truncate(length);
                Some(body)
            }
            Self::Cbc(keys) => {
                let (vector, body) = sealed.split_first_chunk::<AES_CBC_IV_LEN>()?;
                let mut body = body.to_vec();
                let context = DecryptionContext::Iv128(FixedLength::from(vector));
                let length = keys.1.decrypt(&mut body, context).ok()?.len();
                body.truncate(length);
                Some(body)
            }
        }
    }
}
