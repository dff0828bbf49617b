//! The only module that signs certificates and requests.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use der::asn1::{
    Any, BitString, Ia5String, Null, ObjectIdentifier, OctetString, PrintableStringRef, SetOfVec, Utf8StringRef,
};
use der::{Decode, Encode};
use jiff::{SignedDuration, Timestamp};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
    SubjectKeyIdentifier, name::GeneralName,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use crate::certificate::{CLIENT_AUTH, Certificate, CertificateError, SERVER_AUTH};
use crate::key::{KeyError, KeyKind, PrivateKey, PublicKey};
use crate::profile::{Kind, Profile, Subject, Usages};
use crate::spec::HostOrIp;

/// Why a certificate couldn't be made. None of these can happen to a valid [`Profile`] and a healthy system; they
/// are errors and not panics because an issuer that stops half-way must say so.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A name or time that X.509 can't write.
    #[error("cannot be written as X.509: {0}")]
    Encoding(#[from] der::Error),
    /// The builder refused.
    #[error("cannot be written as X.509: {0}")]
    Builder(#[from] x509_cert::builder::Error),
    /// What was made can't be read back.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The issuer may not sign this.
    #[error("{issuer} must not sign it: {reason}")]
    Forbidden {
        /// The issuer's subject.
        issuer: String,
        /// Why.
        reason: &'static str,
    },
}

/// A serial number of 128 random bits (the CA/Browser Forum asks for 64; RFC 5280 section 4.1.2.2 allows 20 octets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serial([u8; 16]);

impl Serial {
    /// Draws one.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; 16];
        // A zero first octet would shorten the DER, so such a draw does not count.
        while bytes[0] == 0 {
            SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Generation)?;
        }
        Ok(Self(bytes))
    }

    /// As `openssl x509 -CAserial` reads and writes it: upper-case hexadecimal, an even number of digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        crate::certificate::hex(&self.0).to_uppercase()
    }
}

/// A CA with its key, as one that may sign.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    certificate: &'a Certificate,
    key: &'a PrivateKey,
}

impl<'a> Issuer<'a> {
    /// Takes a CA's certificate and key if the pair matches and the certificate may sign.
    pub fn new(certificate: &'a Certificate, key: &'a PrivateKey) -> Result<Self, IssueError> {
        let forbidden = |reason| IssueError::Forbidden {
            issuer: certificate.subject.to_string(),
            reason,
        };
        if !certificate.may_sign() {
            return Err(forbidden("it is no CA"));
        }
        if certificate.public_key != *key.public() {
            return Err(forbidden("its key is another's"));
        }
        Ok(Self { certificate, key })
    }

    /// Signs a certificate for `public` that says what `profile` says. It starts `backdate` before `now`, for
    /// clocks that run behind, and never outlives the issuer.
    pub fn sign(
        &self,
        profile: &Profile,
        public: &PublicKey,
        serial: Serial,
        now: Timestamp,
        backdate: SignedDuration,
    ) -> Result<Certificate, IssueError> {
        let ca = self.certificate;
        let forbidden = |reason| IssueError::Forbidden {
            issuer: ca.subject.to_string(),
            reason,
        };
        match (&profile.kind, ca.authority.flatten()) {
            (Kind::Authority { .. }, Some(0)) => return Err(forbidden("its path length allows no CA below it")),
            (Kind::Authority { path_len, .. }, Some(limit)) if *path_len >= limit => {
                return Err(forbidden("its path length allows fewer CAs below it"));
            }
            _ => {}
        }
        if ca.not_after <= now {
            return Err(forbidden("it has expired"));
        }
        let validity = Span {
            from: (now - backdate).max(ca.not_before),
            until: (now + profile.lifetime).min(ca.not_after),
        };
        let authority_key_id = ca.key_id.clone().unwrap_or_else(|| key_id(&ca.public_key));
        build(
            profile,
            public,
            serial,
            &validity,
            &ca.subject,
            authority_key_id,
            self.key,
        )
    }
}

/// Makes a root: a CA certificate signed by its own key.
pub fn self_sign(
    profile: &Profile,
    key: &PrivateKey,
    serial: Serial,
    now: Timestamp,
    backdate: SignedDuration,
) -> Result<Certificate, IssueError> {
    let validity = Span {
        from: now - backdate,
        until: now + profile.lifetime,
    };
    build(
        profile,
        key.public(),
        serial,
        &validity,
        &name(&profile.subject)?,
        key_id(key.public()),
        key,
    )
}

/// Makes a PKCS#10 request (RFC 2986) for what `profile` says, in PEM.
pub fn request(profile: &Profile, key: &PrivateKey) -> Result<String, IssueError> {
    let subject = name(&profile.subject)?;
    let extensions = extensions(profile, key.public(), None)?;
    let mut attributes = SetOfVec::new();
    attributes.insert(ExtensionReq(extensions).try_into()?)?;
    let info = CertReqInfo {
        version: x509_cert::request::Version::V1,
        subject,
        public_key: SubjectPublicKeyInfoOwned::from_der(&key.public().spki)?,
        attributes,
    };
    let signature = BitString::from_bytes(&key.sign(&info.to_der()?)?)?;
    let request = CertReq {
        info,
        algorithm: signature_algorithm(key.public().kind),
        signature,
    };
    Ok(crate::pem::encode("CERTIFICATE REQUEST", &request.to_der()?))
}

struct Span {
    from: Timestamp,
    until: Timestamp,
}

fn build(
    profile: &Profile,
    public: &PublicKey,
    serial: Serial,
    validity: &Span,
    issuer: &Name,
    authority_key_id: Vec<u8>,
    key: &PrivateKey,
) -> Result<Certificate, IssueError> {
    let rows = Rows {
        subject: name(&profile.subject)?,
        issuer: issuer.clone(),
        extensions: extensions(profile, public, Some(authority_key_id))?,
    };
    let validity = Validity::new(time(validity.from)?, time(validity.until)?);
    let builder = CertificateBuilder::new(
        rows,
        SerialNumber::new(&serial.0)?,
        validity,
        SubjectPublicKeyInfoOwned::from_der(&public.spki)?,
    )?;
    let made = builder.build::<_, DerSignature>(&Signer(key))?;
    Ok(Certificate::from_der(&made.to_der()?)?)
}

/// The names and extensions of one certificate, in the form that the builder takes.
struct Rows {
    subject: Name,
    issuer: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Rows {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// The extensions of a certificate, or of a request when there is no authority key identifier yet.
fn extensions(
    profile: &Profile,
    public: &PublicKey,
    authority_key_id: Option<Vec<u8>>,
) -> Result<Vec<Extension>, IssueError> {
    let mut extensions = Extensions(Vec::new());
    let in_request = authority_key_id.is_none();
    if let Some(id) = authority_key_id {
        extensions.add(&AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(id)?),
            ..AuthorityKeyIdentifier::default()
        })?;
        extensions.add(&SubjectKeyIdentifier(OctetString::new(key_id(public))?))?;
    }
    match &profile.kind {
        Kind::Leaf(usages) => {
            let mut key_usages = KeyUsages::DigitalSignature.into();
            if public.kind.enciphers() {
                key_usages |= KeyUsages::KeyEncipherment;
            }
            extensions.add(&KeyUsage(key_usages))?;
            extensions.add(&extended_key_usage(*usages))?;
            // In a request it would only invite the signer to copy it; in a certificate it must be critical.
            if !in_request {
                extensions.0.push(critical(&BasicConstraints {
                    ca: false,
                    path_len_constraint: None,
                })?);
            }
        }
        Kind::Authority { path_len, confined_to } => {
            extensions.add(&KeyUsage(
                KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            ))?;
            extensions.0.push(critical(&BasicConstraints {
                ca: true,
                path_len_constraint: Some(*path_len),
            })?);
            if let Some(names) = confined_to {
                extensions.add(&extended_key_usage(Usages::Server))?;
                extensions.add(&constraints(names)?)?;
            }
        }
    }
    if !profile.sans.is_empty() {
        let names = profile.sans.iter().map(general_name).collect::<Result<_, _>>()?;
        extensions.add(&SubjectAltName(names))?;
    }
    Ok(extensions.0)
}

struct Extensions(Vec<Extension>);

impl Extensions {
    fn add<E: ToExtension<Error = der::Error>>(&mut self, extension: E) -> Result<(), der::Error> {
        // The only extension whose criticality depends on the subject is subjectAltName, critical where the subject
        // is empty; ours never is.
        let subject = Name::default();
        let mut made = extension.to_extension(&subject, &self.0)?;
        if made.extn_id == <SubjectAltName as der::oid::AssociatedOid>::OID {
            made.critical = false;
        }
        self.0.push(made);
        Ok(())
    }
}

fn critical<E: der::oid::AssociatedOid + Encode>(extension: &E) -> Result<Extension, der::Error> {
    (true, extension).to_extension(&Name::default(), &[])
}

fn extended_key_usage(usages: Usages) -> ExtendedKeyUsage {
    let mut oids = Vec::new();
    if usages.server() {
        oids.push(SERVER_AUTH);
    }
    if usages.client() {
        oids.push(CLIENT_AUTH);
    }
    ExtendedKeyUsage(oids)
}

/// Permits exactly these names and addresses (RFC 5280 section 4.2.1.10: an address is followed by its mask).
pub(crate) fn constraints(names: &BTreeSet<HostOrIp>) -> Result<NameConstraints, der::Error> {
    let subtree = |name: &HostOrIp| {
        let base = match name {
            HostOrIp::Ip(ip) => {
                let mut octets = match ip {
                    std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                    std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                octets.extend(vec![0xff; octets.len()]);
                GeneralName::IpAddress(OctetString::new(octets)?)
            }
            HostOrIp::Name(_) => general_name(name)?,
        };
        Ok::<_, der::Error>(GeneralSubtree {
            base,
            minimum: 0,
            maximum: None,
        })
    };
    Ok(NameConstraints {
        permitted_subtrees: Some(names.iter().map(subtree).collect::<Result<_, _>>()?),
        excluded_subtrees: None,
    })
}

fn general_name(name: &HostOrIp) -> Result<GeneralName, der::Error> {
    Ok(match name {
        HostOrIp::Name(name) => GeneralName::DnsName(Ia5String::new(name)?),
        HostOrIp::Ip(ip) => GeneralName::from(*ip),
    })
}

/// A distinguished name: C, ST, L, O, OU, CN, one attribute each relative name, as Go writes them. C is a
/// `PrintableString` (RFC 5280 appendix A), the others are UTF-8.
pub fn name(subject: &Subject) -> Result<Name, der::Error> {
    let extras = &subject.extras;
    let mut sequence = RdnSequence::default();
    let mut push = |oid: &str, value: Any| {
        let attribute = AttributeTypeAndValue {
            oid: ObjectIdentifier::new_unwrap(oid),
            value,
        };
        let mut set = SetOfVec::new();
        set.insert(attribute)?;
        sequence.push(RelativeDistinguishedName::try_from(set.into_vec())?);
        Ok::<_, der::Error>(())
    };
    let text = |value: &str| Any::encode_from(&Utf8StringRef::new(value)?);
    if let Some(country) = &extras.country {
        push("2.5.4.6", Any::encode_from(&PrintableStringRef::new(country)?)?)?;
    }
    for (oid, value) in [("2.5.4.8", &extras.state), ("2.5.4.7", &extras.locality)] {
        if let Some(value) = value {
            push(oid, text(value)?)?;
        }
    }
    for organization in &subject.organizations {
        push("2.5.4.10", text(organization)?)?;
    }
    if let Some(unit) = &extras.organizational_unit {
        push("2.5.4.11", text(unit)?)?;
    }
    push("2.5.4.3", text(&subject.common_name)?)?;
    Ok(Name::hazmat_from_rdn_sequence(sequence))
}

fn time(at: Timestamp) -> Result<Time, der::Error> {
    let since_epoch = std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    Ok(Time::from(der::DateTime::from_unix_duration(since_epoch)?))
}

/// SHA-1 over the key's bits (RFC 5280 section 4.2.1.2, method 1): an identifier, not a protection.
#[must_use]
pub fn key_id(public: &PublicKey) -> Vec<u8> {
    let bits = SubjectPublicKeyInfoRef::try_from(public.spki.as_slice()).map_or_else(
        |_| public.spki.clone(),
        |info| info.subject_public_key.raw_bytes().to_vec(),
    );
    digest(&SHA1_FOR_LEGACY_USE_ONLY, &bits).as_ref().to_vec()
}

/// How a key of that kind signs (RFC 5758, RFC 4055, RFC 8410).
fn signature_algorithm(kind: KeyKind) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match kind {
        KeyKind::P256 => ("1.2.840.10045.4.3.2", None),
        KeyKind::P384 => ("1.2.840.10045.4.3.3", None),
        KeyKind::P521 => ("1.2.840.10045.4.3.4", None),
        KeyKind::Rsa(_) => ("1.2.840.113549.1.1.11", Some(Any::from(Null))),
        KeyKind::Ed25519 => ("1.3.101.112", None),
    };
    AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap(oid),
        parameters,
    }
}

/// A key in the form that the builder takes.
struct Signer<'a>(&'a PrivateKey);

#[derive(Clone)]
struct VerifyingKey(Vec<u8>);

struct DerSignature(Vec<u8>);

impl signature::Keypair for Signer<'_> {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.public().spki.clone())
    }
}

impl x509_cert::spki::EncodePublicKey for VerifyingKey {
    fn to_public_key_der(&self) -> x509_cert::spki::Result<der::Document> {
        Ok(der::Document::try_from(self.0.as_slice())?)
    }
}

impl x509_cert::spki::DynSignatureAlgorithmIdentifier for Signer<'_> {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<AlgorithmIdentifierOwned> {
        Ok(signature_algorithm(self.0.public().kind))
    }
}

impl signature::Signer<DerSignature> for Signer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<DerSignature, signature::Error> {
        self.0
            .sign(message)
            .map(DerSignature)
            .map_err(|_| signature::Error::new())
    }
}

impl x509_cert::spki::SignatureBitStringEncoding for DerSignature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}

/// Whether two PEM requests ask for the same thing with the same key: everything but their signatures is equal.
#[must_use]
pub fn requests_agree(a: &[u8], b: &[u8]) -> bool {
    let info = |text: &[u8]| {
        let blocks = crate::pem::blocks(text).ok()?;
        CertReq::from_der(&blocks.first()?.der).ok().map(|request| request.info)
    };
    matches!((info(a), info(b)), (Some(a), Some(b)) if a == b)
}
