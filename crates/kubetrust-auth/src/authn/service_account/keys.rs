//! The keys that sign service-account tokens (S10): private to issue, public to verify, several of each kind.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    ParsedPublicKey, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use kubetrust_pki::key::{KeyKind, PrivateKey, PublicKey};
use kubetrust_pki::pem;
use serde_json::{Value, json};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::jws::{Algorithm, Proof};
use crate::authn::file::{FileError, pem_lines};

/// How many keys there may be: a token without `kid` is tried with each.
const KEYS_LIMIT: usize = 64;
/// The shortest RSA key, in bits (NIST SP 800-57 part 1, table 2).
const RSA_BITS: u32 = 2048;

/// Public keys.
#[derive(Default)]
pub struct Keys {
    keys: Vec<VerifyingKey>,
}

struct VerifyingKey {
    id: String,
    public: PublicKey,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Keys {
    /// Reads every key of a PEM file (`--service-account-key-file`): public keys (PKIX or PKCS#1), certificates, and
    /// private keys, of which the public half counts. `name` is how messages call it.
    pub fn from_pem(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let blocks = pem::blocks(text).map_err(|error| FileError::whole(name, error.to_string()))?;
        let mut keys = Self::default();
        for (block, line) in blocks.iter().zip(pem_lines(text)) {
            // `openssl ecparam -genkey` writes them before the key, which says them again.
            if block.label == "EC PARAMETERS" {
                continue;
            }
            let fault = |fault: String| FileError::at(name, line, 0, fault);
            let pem = zeroize::Zeroizing::new(pem::encode(&block.label, &block.der));
            let found = if block.encrypted {
                Err(kubetrust_pki::key::KeyError::Encrypted)
            } else {
                PublicKey::all_from_pem(pem.as_bytes())
            };
            for key in found.map_err(|error| fault(error.to_string()))? {
                keys.add(key).map_err(fault)?;
            }
        }
        if keys.keys.is_empty() {
            let fault = kubetrust_pki::key::KeyError::NoPublicKey.to_string();
            return Err(FileError::whole(name, fault));
        }
        Ok(keys)
    }

    /// Adds the keys of another file. One that is there already is not added again.
    pub fn extend(&mut self, other: Self) -> Result<(), FileError> {
        for key in other.keys {
            self.add(key.public)
                .map_err(|fault| FileError::whole("--service-account-key-file", fault))?;
        }
        Ok(())
    }

    fn add(&mut self, public: PublicKey) -> Result<(), String> {
        usable(public.kind)?;
        let id = key_id(&public);
        if self.keys.iter().any(|key| key.id == id) {
            return Ok(());
        }
        if self.keys.len() == KEYS_LIMIT {
            return Err(format!("there are more than {KEYS_LIMIT} keys"));
        }
        let bits = SubjectPublicKeyInfoRef::try_from(public.spki.as_slice())
            .ok()
            .and_then(|info| info.subject_public_key.as_bytes())
            .unwrap_or_default();
        let verifiers = Algorithm::of(public.kind)
            .map(|(algorithm, verification)| ParsedPublicKey::new(verification, bits).map(|key| (algorithm, key)))
            .collect::<Result<_, _>>()
            .map_err(|_| "the key is damaged; make a new one: openssl genpkey -algorithm RSA -out sa.key".to_owned())?;
        self.keys.push(VerifyingKey { id, public, verifiers });
        Ok(())
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Whether a key that the token may be of made its signature: the one that `kid` names, or without a `kid` any.
    /// A token whose `kid` names none of them is of nobody, as upstream has it.
    pub(super) fn verify(&self, proof: &Proof<'_>) -> Result<(), BadSignature> {
        let mut known = false;
        for key in &self.keys {
            if proof.key_id.as_ref().is_some_and(|id| *id != key.id) {
                continue;
            }
            known = true;
            let verifier = key
                .verifiers
                .iter()
                .find(|(algorithm, _)| *algorithm == proof.algorithm);
            if verifier.is_some_and(|(_, verifier)| verifier.verify_sig(proof.signed, &proof.signature).is_ok()) {
                return Ok(());
            }
        }
        Err(if known {
            BadSignature::Invalid
        } else {
            BadSignature::NoKey
        })
    }

    /// The key set (RFC 7517) that `/openid/v1/jwks` serves.
    pub fn jwks(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().filter_map(VerifyingKey::jwk).collect();
        json!({ "keys": keys })
    }

    /// The algorithms of the keys, sorted, for the discovery document.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| Algorithm::signing(key.public.kind))
            .map(Algorithm::name)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl VerifyingKey {
    fn jwk(&self) -> Option<Value> {
        let algorithm = Algorithm::signing(self.public.kind)?.name();
        let info = SubjectPublicKeyInfoRef::try_from(self.public.spki.as_slice()).ok()?;
        let bits = info.subject_public_key.as_bytes()?;
        let curve = match self.public.kind {
            KeyKind::Rsa(_) => {
                let (modulus, exponent) = rsa_numbers(bits)?;
                return Some(json!({
                    "use": "sig", "kty": "RSA", "kid": self.id, "alg": algorithm,
                    "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
                }));
            }
            KeyKind::P256 => "P-256",
            KeyKind::P384 => "P-384",
            KeyKind::P521 => "P-521",
            KeyKind::Ed25519 => return None,
        };
        // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
        let (4, point) = bits.split_first().map(|(form, point)| (*form, point))? else {
            return None;
        };
        let (x, y) = point.split_at_checked(point.len() / 2)?;
        Some(json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": curve, "alg": algorithm,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }))
    }
}

/// Why no key vouches for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSignature {
    NoKey,
    Invalid,
}

/// A key that issues tokens (`--service-account-signing-key-file`).
pub struct SigningKey {
    id: String,
    algorithm: Algorithm,
    public: PublicKey,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// The crypto library failed to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the crypto library failed to sign the token")]
pub struct CannotSign;

impl SigningKey {
    /// Reads the first private key of a PEM file. `name` is how messages call it.
    pub fn from_pem(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let fault = |fault: String| FileError::whole(name, fault);
        let key = PrivateKey::from_pem(text).map_err(|error| fault(error.to_string()))?;
        let public = key.public().clone();
        usable(public.kind).map_err(fault)?;
        // As PKCS#8, whatever it was: that is what both kinds of pair are read from.
        let pkcs8 = key.to_pem().map_err(|error| fault(error.to_string()))?;
        let pair = pem::blocks(pkcs8.as_bytes())
            .ok()
            .and_then(|blocks| blocks.into_iter().next())
            .and_then(|block| pair(public.kind, &block.der));
        let (Some(pair), Some(algorithm)) = (pair, Algorithm::signing(public.kind)) else {
            return Err(fault(kubetrust_pki::key::KeyError::Unsupported.to_string()));
        };
        Ok(Self {
            id: key_id(&public),
            algorithm,
            public,
            pair,
        })
    }

    /// Its id, the `kid` of its tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half, to verify with.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        }
        .map_err(|_| CannotSign)
    }
}

fn pair(kind: KeyKind, pkcs8: &[u8]) -> Option<Pair> {
    let curve = match kind {
        KeyKind::Rsa(_) => return RsaKeyPair::from_pkcs8(pkcs8).ok().map(Pair::Rsa),
        KeyKind::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        KeyKind::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        KeyKind::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        KeyKind::Ed25519 => return None,
    };
    EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok().map(Pair::Ecdsa)
}

fn usable(kind: KeyKind) -> Result<(), String> {
    let way_out = "Kubernetes signs tokens with RSA of 2048 bits or more, or ECDSA over P-256, P-384 or P-521";
    match kind {
        KeyKind::Ed25519 => Err(format!("the key is {kind}; {way_out}")),
        KeyKind::Rsa(bits) if bits < RSA_BITS => Err(format!("the key is {kind}; {way_out}")),
        _ => Ok(()),
    }
}

/// `kid`: base64url of the SHA-256 of the `SubjectPublicKeyInfo` (`keyIDFromPublicKey` of `pkg/serviceaccount/jwt.go`).
fn key_id(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &key.spki))
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1), without leading zeros.
fn rsa_numbers(bits: &[u8]) -> Option<(&[u8], &[u8])> {
    let sequence = der::asn1::AnyRef::from_der(bits).ok()?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let modulus = UintRef::decode(&mut reader).ok()?.as_bytes();
    let exponent = UintRef::decode(&mut reader).ok()?.as_bytes();
    reader.finish().ok()?;
    Some((modulus, exponent))
}
