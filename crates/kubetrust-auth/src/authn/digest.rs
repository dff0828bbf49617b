//! Secrets as keys of maps: what is compared and kept is a hash under a key that only this process knows, so that
//! neither timing nor a table tells a token, and nobody can aim at another's slot.
//!
//! The hash is GMAC, a universal hash: whoever doesn't know the key finds no two inputs of one tag but by chance, at
//! 2⁻¹²⁸ a block and try. Its nonce may be the same each time, which AES-GCM forbids, because a tag never leaves the
//! process. HMAC-SHA-256 would do too, at four times the cost; a token's hash is most of what its request costs.

use std::cell::OnceCell;
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use http::HeaderValue;
use parking_lot::Mutex;

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

/// A bearer token, which is hashed once however many look it up.
pub(super) struct Token<'a> {
    pub text: &'a str,
    source: Option<(&'a LastToken, &'a HeaderValue)>,
    digest: OnceCell<Option<Digest>>,
}

impl<'a> Token<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            source: None,
            digest: OnceCell::new(),
        }
    }

    /// The token of an `Authorization` header, on a connection that remembers its last one.
    pub fn of_header(text: &'a str, header: &'a HeaderValue, last: &'a LastToken) -> Self {
        Self {
            source: Some((last, header)),
            ..Self::new(text)
        }
    }

    pub fn digest(&self, hasher: &Hasher) -> Option<Digest> {
        let hash = || hasher.digest(self.text.as_bytes());
        *self.digest.get_or_init(|| match self.source {
            Some((last, header)) => last.recall(header, hash),
            None => hash(),
        })
    }
}

/// The hash of the token that came last on a connection.
///
/// A client that keeps its headers in HTTP/2's table (RFC 7541, 2.3.2), as Go's does, sends a token once; what its later
/// requests have is not a copy, but that header. So it is known again by where it lies, and no secret is compared.
#[derive(Default)]
pub struct LastToken(Mutex<Option<(HeaderValue, Digest)>>);

impl LastToken {
    fn recall(&self, header: &HeaderValue, hash: impl FnOnce() -> Option<Digest>) -> Option<Digest> {
        // The one remembered is held, so that no other can come to lie where it does.
        if let Some((last, digest)) = self.0.lock().as_ref()
            && std::ptr::eq(last.as_bytes(), header.as_bytes())
        {
            return Some(*digest);
        }
        let digest = hash()?;
        *self.0.lock() = Some((header.clone(), digest));
        Some(digest)
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

    #[test]
    fn a_header_is_known_again_by_where_it_lies() {
        let hasher = Hasher::of_process().unwrap();
        let header = |token: &str| HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let (first, second) = (header("first-token"), header("other-token"));
        let last = LastToken::default();
        // As a request has it: a clone of what the connection's table keeps. The text tells who hashed.
        let digest = |text, header: &HeaderValue| Token::of_header(text, &header.clone(), &last).digest(hasher);
        let hash = |text: &str| hasher.digest(text.as_bytes());
        for (text, header, want) in [
            ("first-token", &first, "first-token"),
            ("not hashed", &first, "first-token"),
            ("other-token", &second, "other-token"),
            ("not hashed", &second, "other-token"),
            ("hashed again", &first, "hashed again"),
            (
                "a copy is another",
                &HeaderValue::from_bytes(first.as_bytes()).unwrap(),
                "a copy is another",
            ),
        ] {
            assert_eq!(digest(text, header), hash(want), "{text}");
        }
        // What was remembered is still held when its sender has let it go: nothing else can have its place.
        drop(first);
        let elsewhere: Vec<_> = (0..1000).map(|_| header("first-token")).collect();
        let held = last.0.lock().clone().unwrap().0;
        assert!(
            elsewhere
                .iter()
                .all(|other| !std::ptr::eq(other.as_bytes(), held.as_bytes()))
        );
    }
}
