//! JSON Web Signatures in compact form (RFC 7515), as strict as they can be read.
//!
//! One module over aws-lc-rs rather than the jsonwebtoken crate: that one has no ES512, which Kubernetes signs with
//! where the key is P-521, and it judges claims by rules of its own (leeway, audiences, required claims) where
//! upstream's decide here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubetrust_pki::key::KeyKind;
use serde::Deserialize;

/// How long header and signature may be; the payload is bounded by the token.
const PART_LIMIT: usize = 8 * 1024;

/// The algorithms that service-account tokens are signed with (RFC 7518 section 3). `none`, the HMACs and everything
/// else are not in the table, so they can't be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
}

/// An algorithm, its name, whether it fits a key, and what verifies it.
type Row = (
    Algorithm,
    &'static str,
    fn(KeyKind) -> bool,
    &'static dyn VerificationAlgorithm,
);

const ALGORITHMS: [Row; 6] = [
    (Algorithm::Rs256, "RS256", is_rsa, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, "RS384", is_rsa, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, "RS512", is_rsa, &RSA_PKCS1_2048_8192_SHA512),
    (
        Algorithm::Es256,
        "ES256",
        |kind| matches!(kind, KeyKind::P256),
        &ECDSA_P256_SHA256_FIXED,
    ),
    (
        Algorithm::Es384,
        "ES384",
        |kind| matches!(kind, KeyKind::P384),
        &ECDSA_P384_SHA384_FIXED,
    ),
    (
        Algorithm::Es512,
        "ES512",
        |kind| matches!(kind, KeyKind::P521),
        &ECDSA_P521_SHA512_FIXED,
    ),
];

const fn is_rsa(kind: KeyKind) -> bool {
    matches!(kind, KeyKind::Rsa(_))
}

impl Algorithm {
    /// The algorithms that a kind of key verifies, with what does it.
    pub fn of(kind: KeyKind) -> impl Iterator<Item = (Self, &'static dyn VerificationAlgorithm)> {
        ALGORITHMS
            .iter()
            .filter(move |(_, _, fits, _)| fits(kind))
            .map(|(algorithm, _, _, verification)| (*algorithm, *verification))
    }

    /// The one that a kind of key signs with, as Kubernetes chooses it.
    pub fn signing(kind: KeyKind) -> Option<Self> {
        Self::of(kind).map(|(algorithm, _)| algorithm).next()
    }

    /// Its `alg`.
    pub fn name(self) -> &'static str {
        ALGORITHMS
            .iter()
            .find(|(algorithm, ..)| *algorithm == self)
            .map_or("", |(_, name, ..)| name)
    }
}

/// A token taken apart. Nothing of it is to be believed before [`super::keys::Keys::verify`].
pub(super) struct Jws<'a> {
    pub payload: Vec<u8>,
    signed: &'a str,
    header: &'a str,
    signature: &'a str,
}

/// What a verification needs.
pub(super) struct Proof<'a> {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    pub signed: &'a [u8],
    pub signature: Vec<u8>,
}

/// Why a token with a good payload can't be verified at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverifiable {
    /// The header is no base64url of a JSON object, or has one name twice.
    #[error("the token's header is malformed")]
    Header,
    /// `alg` is `none`, an HMAC, or anything else than RS and ES.
    #[error("the token's algorithm is not one that service-account tokens are signed with")]
    Algorithm,
    /// `crit` lists something that must be understood.
    #[error("the token's header has critical parameters")]
    Critical,
    /// The signature is not base64url.
    #[error("the token's signature is malformed")]
    Signature,
}

impl<'a> Jws<'a> {
    /// Splits a token into its three parts, and decodes the payload.
    pub fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') || header.len() > PART_LIMIT || signature.len() > PART_LIMIT {
            return None;
        }
        Some(Self {
            payload: URL_SAFE_NO_PAD.decode(payload).ok()?,
            signed,
            header,
            signature,
        })
    }

    /// Reads header and signature. Keys that a header brings (`jwk`, `jku`, `x5c`) are not even looked at.
    pub fn proof(&self) -> Result<Proof<'a>, Unverifiable> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<serde::de::IgnoredAny>,
        }
        let header = URL_SAFE_NO_PAD.decode(self.header).map_err(|_| Unverifiable::Header)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Unverifiable::Header)?;
        if header.crit.is_some() {
            return Err(Unverifiable::Critical);
        }
        let algorithm = ALGORITHMS
            .iter()
            .find(|(_, name, ..)| *name == header.alg)
            .map(|(algorithm, ..)| *algorithm)
            .ok_or(Unverifiable::Algorithm)?;
        let signature = URL_SAFE_NO_PAD
            .decode(self.signature)
            .map_err(|_| Unverifiable::Signature)?;
        Ok(Proof {
            algorithm,
            key_id: header.kid.filter(|id| !id.is_empty()),
            signed: self.signed.as_bytes(),
            signature,
        })
    }
}

/// Header and payload in the form that is signed.
pub(super) fn to_sign(algorithm: Algorithm, key_id: &str, payload: &[u8]) -> String {
    let header = serde_json::json!({"alg": algorithm.name(), "kid": key_id}).to_string();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// The whole token.
pub(super) fn with_signature(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
