//! Private keys: made, read, written as PKCS#8, and used to sign.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use crate::pem;
use crate::spec::KeyAlgorithm;

/// A private key. It never shows its secret, and the secret's bytes are zeroed when it is dropped.
pub struct PrivateKey {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A public key: its `SubjectPublicKeyInfo` and what that says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// DER of the `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub spki: Vec<u8>,
    /// What kind of key it is.
    pub kind: KeyKind,
}

/// The kinds of key that certificates in a cluster carry: those of the spec, and those that brought CAs may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA, with its modulus's length in bits.
    Rsa(u32),
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
    /// ECDSA over P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// The kind that a spec's algorithm makes.
    #[must_use]
    pub const fn of(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::EcdsaP256 => Self::P256,
            KeyAlgorithm::EcdsaP384 => Self::P384,
            KeyAlgorithm::Rsa2048 => Self::Rsa(2048),
            KeyAlgorithm::Rsa3072 => Self::Rsa(3072),
            KeyAlgorithm::Rsa4096 => Self::Rsa(4096),
            KeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }

    /// Whether the key can encrypt, as the RSA key exchange of TLS 1.2 does: the `keyEncipherment` usage is for
    /// these alone (RFC 5480 section 3 and RFC 8410 section 5 forbid it for the others).
    #[must_use]
    pub const fn enciphers(self) -> bool {
        matches!(self, Self::Rsa(_))
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "rsa-{bits}"),
            Self::P256 => f.write_str("ecdsa-p256"),
            Self::P384 => f.write_str("ecdsa-p384"),
            Self::P521 => f.write_str("ecdsa-p521"),
            Self::Ed25519 => f.write_str("ed25519"),
        }
    }
}

/// Why a key file is no key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The PEM says that it is encrypted.
    #[error("the key is encrypted; decrypt it first: openssl pkey -in KEY -out KEY")]
    Encrypted,
    /// No PEM block of a private key.
    #[error("there is no private key in it (expected a PEM block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    NoKey,
    /// No PEM block of a public key.
    #[error("there is no public key in it (expected a PEM block PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, or a key)")]
    NoPublicKey,
    /// A PEM block that breaks off or isn't base64.
    #[error("the PEM is damaged or cut off: {0}")]
    Damaged(String),
    /// DER that is no key, or of a type that no Kubernetes component takes.
    #[error(
        "the key is damaged or of an unsupported type; RSA of 2048 to 8192 bits, ECDSA over P-256, P-384 or P-521, \
         and Ed25519 are supported"
    )]
    Unsupported,
    /// The system's source of randomness or the crypto library failed.
    #[error("the crypto library failed to make a key")]
    Generation,
}

impl PrivateKey {
    /// Makes a new key. Fails only when the system gives no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let rsa = |size| RsaKeyPair::generate(size).map(Secret::Rsa);
        let secret = match algorithm {
            KeyAlgorithm::EcdsaP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Secret::Ecdsa),
            KeyAlgorithm::EcdsaP384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Secret::Ecdsa),
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Secret::Ed25519),
        };
        Self::from_secret(secret.map_err(|_| KeyError::Generation)?).map_err(|_| KeyError::Generation)
    }

    /// Reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC 1.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::blocks(text).map_err(|error| KeyError::Damaged(error.to_string()))?;
        let block = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
            .ok_or(KeyError::NoKey)?;
        if block.label == "ENCRYPTED PRIVATE KEY" || block.encrypted {
            return Err(KeyError::Encrypted);
        }
        let der = block.der.as_slice();
        let secret = match block.label.as_str() {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(der).ok().map(Secret::Rsa),
            "EC PRIVATE KEY" => {
                ecdsa_curves().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok().map(Secret::Ecdsa))
            }
            "PRIVATE KEY" => ecdsa_curves()
                .find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok().map(Secret::Ecdsa))
                .or_else(|| {
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                        .ok()
                        .map(Secret::Ed25519)
                })
                .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(Secret::Rsa)),
            _ => None,
        };
        Self::from_secret(secret.ok_or(KeyError::Unsupported)?)
    }

    fn from_secret(secret: Secret) -> Result<Self, KeyError> {
        let spki: Result<PublicKeyX509Der<'_>, _> = match &secret {
            Secret::Ecdsa(key) => key.public_key().as_der(),
            Secret::Rsa(key) => key.public_key().as_der(),
            Secret::Ed25519(key) => key.public_key().as_der(),
        };
        let spki = spki.map_err(|_| KeyError::Unsupported)?.as_ref().to_vec();
        let public = PublicKey::from_spki(&spki).ok_or(KeyError::Unsupported)?;
        Ok(Self { secret, public })
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key as a PKCS#8 PEM file.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let encode = |der: &[u8]| pem::encode("PRIVATE KEY", der);
        match &self.secret {
            Secret::Ecdsa(key) => key.to_pkcs8v1().map(|der| encode(der.as_ref())),
            Secret::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key).map(|der| encode(der.as_ref())),
            Secret::Ed25519(key) => key.to_pkcs8v1().map(|der| encode(der.as_ref())),
        }
        .map(Zeroizing::new)
        .map_err(|_| KeyError::Unsupported)
    }

    /// Signs `message` as certificates are signed: ECDSA with the hash of the curve's size, RSA PKCS#1 v1.5 with
    /// SHA-256, or Ed25519.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Ecdsa(key) => key.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Secret::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        }
        .map_err(|_| KeyError::Generation)
    }
}

/// `RS*` and `ES*` keys hold their secret in the crypto library, which zeroes it; nothing of ours is left to zero.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("kind", &self.public.kind)
            .finish_non_exhaustive()
    }
}

fn ecdsa_curves() -> impl Iterator<Item = &'static aws_lc_rs::signature::EcdsaSigningAlgorithm> {
    [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ]
    .into_iter()
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`. `None` if it is none, or of a kind outside [`KeyKind`].
    #[must_use]
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        use der::{Decode, Encode, Reader};
        use x509_cert::spki::SubjectPublicKeyInfoRef;

        let info = SubjectPublicKeyInfoRef::try_from(spki).ok()?;
        let kind = match info.algorithm.oid.to_string().as_str() {
            "1.3.101.112" => KeyKind::Ed25519,
            "1.2.840.10045.2.1" => {
                match info
                    .algorithm
                    .parameters?
                    .decode_as::<der::oid::ObjectIdentifier>()
                    .ok()?
                    .to_string()
                    .as_str()
                {
                    "1.2.840.10045.3.1.7" => KeyKind::P256,
                    "1.3.132.0.34" => KeyKind::P384,
                    "1.3.132.0.35" => KeyKind::P521,
                    _ => return None,
                }
            }
            "1.2.840.113549.1.1.1" => {
                // RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 appendix A.1.1)
                let key = info.subject_public_key.as_bytes()?;
                let modulus = der::SliceReader::new(key)
                    .and_then(|mut reader| {
                        reader.sequence(|inner| {
                            let modulus = der::asn1::Uint::decode(inner)?;
                            der::asn1::Uint::decode(inner)?;
                            Ok::<_, der::Error>(modulus)
                        })
                    })
                    .ok()?;
                let bytes = modulus.as_bytes();
                let bits = u32::try_from(bytes.len()).ok()? * 8 - bytes.first()?.leading_zeros();
                KeyKind::Rsa(bits)
            }
            _ => return None,
        };
        let spki = info.to_der().ok()?;
        Some(Self { spki, kind })
    }

    /// The key as a PEM file (`PUBLIC KEY`).
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki)
    }

    /// Reads every public key of a PEM file, in order. A private key counts as its public half, and a certificate as
    /// the key in it, as `--service-account-key-file` takes them (S10).
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>, KeyError> {
        let blocks = pem::blocks(text).map_err(|error| KeyError::Damaged(error.to_string()))?;
        let keys: Vec<_> = blocks.iter().map(Self::from_block).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            Err(KeyError::NoPublicKey)
        } else {
            Ok(keys)
        }
    }

    fn from_block(block: &pem::Block) -> Result<Self, KeyError> {
        match block.label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&block.der).ok_or(KeyError::Unsupported),
            "RSA PUBLIC KEY" => {
                let key = aws_lc_rs::rsa::PublicKey::from_der(&block.der).map_err(|_| KeyError::Unsupported)?;
                let spki: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Unsupported)?;
                Self::from_spki(spki.as_ref()).ok_or(KeyError::Unsupported)
            }
            "CERTIFICATE" => crate::certificate::Certificate::from_der(&block.der)
                .map(|certificate| certificate.public_key)
                .map_err(|_| KeyError::Unsupported),
            label => {
                let pem = Zeroizing::new(pem::encode(label, &block.der));
                PrivateKey::from_pem(pem.as_bytes()).map(|key| key.public().clone())
            }
        }
    }
}
