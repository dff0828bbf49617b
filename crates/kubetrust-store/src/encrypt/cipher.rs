//! The kinds of encryption, a row each, over aws-lc-rs and [`secretbox`].

use std::sync::Arc;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::secretbox::{self, Secretbox};

/// A provider of the configuration that has keys.
pub(super) struct Kind {
    /// As the configuration calls it.
    pub(super) name: &'static str,
    /// What its values begin with.
    pub(super) prefix: &'static str,
    /// Lengths that a key may have, in bytes.
    pub(super) key_lengths: &'static [usize],
    pub(super) make: Make,
}

pub(super) const AESCBC: Kind = Kind {
    name: "aescbc",
    prefix: "k8s:enc:aescbc:v1:",
    key_lengths: &[16, 24, 32],
    make: cbc,
};

pub(super) const AESGCM: Kind = Kind {
    name: "aesgcm",
    prefix: "k8s:enc:aesgcm:v1:",
    key_lengths: &[16, 24, 32],
    make: gcm,
};

pub(super) const SECRETBOX: Kind = Kind {
    name: "secretbox",
    prefix: "k8s:enc:secretbox:v1:",
    key_lengths: &[secretbox::KEY],
    make: |key| Secretbox::new(key).map(Arc::new).map(Cipher::Secretbox),
};

/// A key, ready to be used.
#[derive(Clone)]
pub(super) enum Cipher {
    /// Nonce, ciphertext, tag. The etcd key is authenticated: a value moved to another key is not read.
    Gcm(Arc<LessSafeKey>),
    /// Initialization vector and padded ciphertext; nothing is authenticated.
    Cbc(Arc<(PaddedBlockEncryptingKey, PaddedBlockDecryptingKey)>),
    /// Nonce, tag, ciphertext. The value is authenticated, the etcd key is not.
    Secretbox(Arc<Secretbox>),
}

/// Makes a cipher of a key; `None` for a key of another length.
type Make = fn(&[u8]) -> Option<Cipher>;

fn gcm(key: &[u8]) -> Option<Cipher> {
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

fn cbc(key: &[u8]) -> Option<Cipher> {
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
            Self::Secretbox(secretbox) => {
                let mut nonce = [0; secretbox::NONCE];
                aws_lc_rs::rand::fill(&mut nonce).ok()?;
                let tag = secretbox.seal(&nonce, &mut body);
                sealed.extend_from_slice(&nonce);
                sealed.extend_from_slice(&tag);
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
            Self::Secretbox(secretbox) => {
                let (nonce, rest) = sealed.split_first_chunk()?;
                let (tag, body) = rest.split_first_chunk()?;
                secretbox.open(nonce, tag, body)
            }
        }
    }
}
