//! Certificates as they are found: what one says, who signed it, whether it fits a key or a [`Profile`].

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature as verify;
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
    SubjectKeyIdentifier, name::GeneralName,
};
use x509_cert::name::Name;

use crate::key::PublicKey;
use crate::pem;
use crate::spec::HostOrIp;

/// `id-kp-serverAuth`.
pub const SERVER_AUTH: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// `id-kp-clientAuth`.
pub const CLIENT_AUTH: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// A certificate and what it says.
#[derive(Clone)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// Its public key.
    pub public_key: PublicKey,
    /// Who it names.
    pub subject: Name,
    /// Who signed it, by its own word.
    pub issuer: Name,
    /// Its serial number, big-endian, as the DER holds it without the sign octet.
    pub serial: Vec<u8>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Its DNS names and addresses.
    pub sans: BTreeSet<HostOrIp>,
    /// Other subject alternative names: e-mail, URI, …
    pub other_sans: Vec<String>,
    /// Extended key usages; `None`: it has no such extension, so any.
    pub extended_usages: Option<Vec<der::oid::ObjectIdentifier>>,
    /// Key usages; `None`: it has no such extension, so any.
    pub usages: Option<KeyUsage>,
    /// Whether it is a CA, with its path length if it has one.
    pub authority: Option<Option<u8>>,
    /// Whether it carries name constraints.
    pub name_constraints: Option<NameConstraints>,
    /// Subject key identifier.
    pub key_id: Option<Vec<u8>>,
    /// Authority key identifier.
    pub authority_key_id: Option<Vec<u8>>,
    tbs: Vec<u8>,
    signature_algorithm: String,
    signature: Vec<u8>,
}

/// Why a text is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM block of a certificate.
    #[error("there is no certificate in it (expected a PEM block CERTIFICATE)")]
    None,
    /// The PEM can't be read.
    #[error(transparent)]
    Pem(#[from] pem::PemError),
    /// The DER can't be read.
    #[error("the certificate is damaged: {0}")]
    Damaged(String),
    /// The key in it is of a kind outside [`crate::key::KeyKind`].
    #[error("the certificate's key is of an unsupported type")]
    UnsupportedKey,
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Certificate {
    /// Every certificate of a PEM file, in order; at least one.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let certificates: Vec<_> = pem::blocks(text)?
            .into_iter()
            .filter(|block| block.label == "CERTIFICATE")
            .map(|block| Self::from_der(&block.der))
            .collect::<Result<_, _>>()?;
        if certificates.is_empty() {
            Err(CertificateError::None)
        } else {
            Ok(certificates)
        }
    }

    /// Reads one certificate.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(bytes)?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info().to_der()?;
        let mut certificate = Self {
            der: bytes.to_vec(),
            public_key: PublicKey::from_spki(&spki).ok_or(CertificateError::UnsupportedKey)?,
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            serial: tbs.serial_number().as_bytes().to_vec(),
            not_before: timestamp(&tbs.validity().not_before),
            not_after: timestamp(&tbs.validity().not_after),
            sans: BTreeSet::new(),
            other_sans: Vec::new(),
            extended_usages: tbs.get_extension::<ExtendedKeyUsage>()?.map(|(_, usages)| usages.0),
            usages: tbs.get_extension::<KeyUsage>()?.map(|(_, usages)| usages),
            authority: tbs
                .get_extension::<BasicConstraints>()?
                .filter(|(_, constraints)| constraints.ca)
                .map(|(_, constraints)| constraints.path_len_constraint),
            name_constraints: tbs
                .get_extension::<NameConstraints>()?
                .map(|(_, constraints)| constraints),
            key_id: tbs
                .get_extension::<SubjectKeyIdentifier>()?
                .map(|(_, id)| id.0.as_bytes().to_vec()),
            authority_key_id: tbs
                .get_extension::<AuthorityKeyIdentifier>()?
                .and_then(|(_, id)| id.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            tbs: tbs.to_der()?,
            signature_algorithm: parsed.signature_algorithm().oid.to_string(),
            signature: parsed.signature().raw_bytes().to_vec(),
        };
        if let Some((_, names)) = tbs.get_extension::<SubjectAltName>()? {
            for name in &names.0 {
                match san(name) {
                    Ok(name) => drop(certificate.sans.insert(name)),
                    Err(other) => certificate.other_sans.push(other),
                }
            }
        }
        Ok(certificate)
    }

    /// The certificate as a PEM block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// CN: the user name of a client (S3). `None` when absent or not text.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        attributes(&self.subject, "2.5.4.3").pop()
    }

    /// Every O, in order: the groups of a client (S3).
    #[must_use]
    pub fn organizations(&self) -> Vec<String> {
        attributes(&self.subject, "2.5.4.10")
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `issuer` signed it: the names meet and the signature verifies under the issuer's key. Dates, usages
    /// and path lengths are not looked at.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject && self.verifies_under(&issuer.public_key)
    }

    fn verifies_under(&self, key: &PublicKey) -> bool {
        // Deliberately few: SHA-1 and MD5 signatures verify under nothing.
        let algorithm: &dyn verify::VerificationAlgorithm = match (self.signature_algorithm.as_str(), key.kind) {
            ("1.2.840.10045.4.3.2", crate::key::KeyKind::P256) => &verify::ECDSA_P256_SHA256_ASN1,
            ("1.2.840.10045.4.3.3", crate::key::KeyKind::P256) => &verify::ECDSA_P256_SHA384_ASN1,
            ("1.2.840.10045.4.3.2", crate::key::KeyKind::P384) => &verify::ECDSA_P384_SHA256_ASN1,
            ("1.2.840.10045.4.3.3", crate::key::KeyKind::P384) => &verify::ECDSA_P384_SHA384_ASN1,
            ("1.2.840.10045.4.3.2", crate::key::KeyKind::P521) => &verify::ECDSA_P521_SHA256_ASN1,
            ("1.2.840.10045.4.3.3", crate::key::KeyKind::P521) => &verify::ECDSA_P521_SHA384_ASN1,
            ("1.2.840.10045.4.3.4", crate::key::KeyKind::P521) => &verify::ECDSA_P521_SHA512_ASN1,
            ("1.2.840.113549.1.1.11", crate::key::KeyKind::Rsa(_)) => &verify::RSA_PKCS1_2048_8192_SHA256,
            ("1.2.840.113549.1.1.12", crate::key::KeyKind::Rsa(_)) => &verify::RSA_PKCS1_2048_8192_SHA384,
            ("1.2.840.113549.1.1.13", crate::key::KeyKind::Rsa(_)) => &verify::RSA_PKCS1_2048_8192_SHA512,
            ("1.3.101.112", crate::key::KeyKind::Ed25519) => &verify::ED25519,
            _ => return false,
        };
        let Ok(info) = x509_cert::spki::SubjectPublicKeyInfoRef::try_from(key.spki.as_slice()) else {
            return false;
        };
        verify::UnparsedPublicKey::new(algorithm, info.subject_public_key.raw_bytes())
            .verify(&self.tbs, &self.signature)
            .is_ok()
    }

    /// Whether it may sign certificates: a CA whose key usages, if it has any, allow it.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.authority.is_some()
            && self
                .usages
                .is_none_or(|usages| usages.0.contains(KeyUsages::KeyCertSign))
    }

    /// The serial number as OpenSSL prints it and `ca.srl` holds it: upper-case hexadecimal.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        hex(&self.serial).to_uppercase()
    }

    /// SHA-256 over the DER, in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(digest(&SHA256, &self.der).as_ref())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.subject, self.serial_hex())
    }
}

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn timestamp(time: &x509_cert::time::Time) -> Timestamp {
    // Every time that X.509 can write lies within jiff's years -9999 to 9999.
    i64::try_from(time.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The values of one attribute type, in order. Values that are no text are passed over.
fn attributes(name: &Name, oid: &str) -> Vec<String> {
    use der::Tag;
    name.iter()
        .filter(|attribute| attribute.oid.to_string() == oid)
        .filter_map(|attribute| match der::Tagged::tag(&attribute.value) {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                String::from_utf8(attribute.value.value().to_vec()).ok()
            }
            _ => None,
        })
        .collect()
}

fn san(name: &GeneralName) -> Result<HostOrIp, String> {
    match name {
        GeneralName::DnsName(name) => Ok(HostOrIp::Name(name.to_string())),
        GeneralName::IpAddress(octets) => match octets.as_bytes() {
            octets if octets.len() == 4 => Ok(HostOrIp::Ip(IpAddr::V4(Ipv4Addr::from(
                <[u8; 4]>::try_from(octets).unwrap_or_default(),
            )))),
            octets if octets.len() == 16 => Ok(HostOrIp::Ip(IpAddr::V6(Ipv6Addr::from(
                <[u8; 16]>::try_from(octets).unwrap_or_default(),
            )))),
            octets => Err(format!("IP:{}", hex(octets))),
        },
        GeneralName::Rfc822Name(name) => Err(format!("email:{name}")),
        GeneralName::UniformResourceIdentifier(uri) => Err(format!("URI:{uri}")),
        GeneralName::DirectoryName(name) => Err(format!("dirName:{name}")),
        other => Err(format!("{other:?}")),
    }
}
