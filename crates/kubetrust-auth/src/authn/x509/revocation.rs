//! What was revoked: CRLs (RFC 5280 section 5, `--client-crl-file`) and lists of serial numbers. Kubernetes has
//! neither.
//!
//! webpki checks paths against CRLs too, but takes one CRL for a CA's name. During a change of CAs two CAs bear one
//! name, and the one's CRL would fail the other's certificates. So webpki parses the CRLs and verifies their
//! signatures, and here each CRL counts for the certificates whose issuer's key signed it.
//!
//! A CRL past its next update still revokes what it lists; whoever runs the server is warned
//! ([`RevocationList::next_update`]), and not locked out.

use std::collections::HashMap;
use std::str::FromStr;

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag};
use jiff::Timestamp;
use kubetrust_pki::certificate::hex;
use kubetrust_pki::pem;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use webpki::{Cert, CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity, VerifiedPath, spki_for_anchor};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::{Pool, Untrusted, timestamp};
use crate::authn::file::{FileError, FileWarning, pem_lines};

/// How many CRLs there may be.
const LISTS_LIMIT: usize = 256;
/// How many serials a list of serials may have.
const SERIALS_LIMIT: usize = 1_000_000;
/// A serial has 20 octets at most (RFC 5280 section 4.1.2.2); some issuers wrote one more.
const SERIAL_OCTETS: usize = 21;

/// All that was revoked.
#[derive(Default)]
pub struct Revocations {
    lists: Vec<Signed>,
    serials: RevokedSerials,
}

struct Signed {
    list: RevocationList,
    // SubjectPublicKeyInfo of the pools' CAs that signed it.
    signers: Vec<SubjectPublicKeyInfoDer<'static>>,
}

impl Revocations {
    /// Holds each CRL to the CAs that it can concern: one that bears the name of a CA of a pool must be signed by a
    /// CA of that name. One of another name can only concern intermediates that clients send; its signature is
    /// verified when one does, and there is a warning, since it may be the wrong file.
    pub fn new(
        lists: Vec<RevocationList>,
        serials: RevokedSerials,
        pools: &[&Pool],
    ) -> Result<(Self, Vec<FileWarning>), FileError> {
        let mut warnings = Vec::new();
        let mut signed = Vec::new();
        for list in lists {
            if signed.len() == LISTS_LIMIT {
                return Err(FileError::whole(
                    &list.file,
                    format!("there are more than {LISTS_LIMIT} CRLs"),
                ));
            }
            let namesakes: Vec<_> = pools
                .iter()
                .flat_map(|pool| pool.anchors())
                .filter(|anchor| anchor.subject.as_ref() == list.parsed.issuer())
                .map(spki_for_anchor)
                .collect();
            let known = !namesakes.is_empty();
            let signers: Vec<_> = namesakes.into_iter().filter(|key| list.is_signed_by(key)).collect();
            if known && signers.is_empty() {
                let fault = format!(
                    "the CRL bears the name of the CA {} and was not signed by its key; get it from that CA again",
                    list.issuer
                );
                return Err(FileError::at(&list.file, list.line, 0, fault));
            }
            if !known {
                let fault = format!(
                    "the CRL is by {}, which is no CA of ours: it counts for intermediate CAs of that name only",
                    list.issuer
                );
                warnings.push(FileWarning(FileError::at(&list.file, list.line, 0, fault)));
            }
            signed.push(Signed { list, signers });
        }
        let revocations = Self { lists: signed, serials };
        Ok((revocations, warnings))
    }

    /// The CRLs.
    pub fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.lists.iter().map(|signed| &signed.list)
    }

    /// Whether a certificate of a path was revoked.
    pub(super) fn judge(&self, path: &VerifiedPath<'_>) -> Result<(), Untrusted> {
        if self.lists.is_empty() && self.serials.is_empty() {
            return Ok(());
        }
        let mut intermediates = path.intermediate_certificates().peekable();
        let mut subject: &Cert<'_> = path.end_entity();
        loop {
            let issuer = intermediates.next();
            self.check(subject, || {
                issuer.map_or_else(|| spki_for_anchor(path.anchor()), Cert::subject_public_key_info)
            })?;
            match issuer {
                Some(issuer) => subject = issuer,
                None => return Ok(()),
            }
        }
    }

    fn check(
        &self,
        subject: &Cert<'_>,
        issuer_key: impl Fn() -> SubjectPublicKeyInfoDer<'static>,
    ) -> Result<(), Untrusted> {
        let serial = subject.serial();
        let revoked = |by: &str| Untrusted::Revoked {
            serial: hex(trimmed(serial)),
            by: by.to_owned(),
        };
        if let Some(file) = self.serials.revoke(serial, subject.issuer()) {
            return Err(revoked(file));
        }
        for Signed { list, signers } in &self.lists {
            if list.parsed.issuer() != subject.issuer() || !list.lists(serial)? {
                continue;
            }
            let key = issuer_key();
            if signers.contains(&key) || list.is_signed_by(&key) {
                return Err(revoked(&list.file));
            }
        }
        Ok(())
    }
}

/// One CRL.
pub struct RevocationList {
    file: String,
    line: usize,
    issuer: String,
    next_update: Timestamp,
    parsed: CertRevocationList<'static>,
    signed: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl RevocationList {
    /// Reads the CRLs of a file: PEM blocks `X509 CRL`, or the DER of one. `name` is how messages call it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<Self>, FileError> {
        if bytes.first() == Some(&0x30) {
            return Self::from_der(name, 0, bytes).map(|list| vec![list]);
        }
        let blocks = pem::blocks(bytes).map_err(|error| FileError::whole(name, error.to_string()))?;
        let lists = blocks
            .iter()
            .zip(pem_lines(bytes))
            .filter(|(block, _)| block.label == "X509 CRL")
            .map(|(block, line)| Self::from_der(name, line, &block.der))
            .collect::<Result<Vec<_>, _>>()?;
        if lists.is_empty() {
            let fault = "there is no CRL in it (expected a PEM block X509 CRL, or DER); make one: openssl ca -gencrl";
            return Err(FileError::whole(name, fault));
        }
        Ok(lists)
    }

    fn from_der(name: &str, line: usize, bytes: &[u8]) -> Result<Self, FileError> {
        let fault = |fault: String| FileError::at(name, line, 0, fault);
        let parsed: CertRevocationList<'static> = OwnedCertRevocationList::from_der(bytes)
            .map_err(|error| fault(unreadable(&error)))?
            .into();
        if parsed.issuing_distribution_point().is_some() {
            return Err(fault(
                "the CRL covers a part of its CA's certificates; get the CA's complete CRL".into(),
            ));
        }
        let envelope = Envelope::read(bytes).map_err(|error| fault(format!("the CRL is damaged: {error}")))?;
        Ok(Self {
            file: name.to_owned(),
            line,
            issuer: envelope.issuer.to_string(),
            next_update: timestamp(&envelope.next_update),
            parsed,
            signed: envelope.signed.to_vec(),
            algorithm: envelope.algorithm.to_vec(),
            signature: envelope.signature.to_vec(),
        })
    }

    /// The CA's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The file it is from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// When its CA promised the next one. What is listed stays revoked after that.
    #[must_use]
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    fn lists(&self, serial: &[u8]) -> Result<bool, Untrusted> {
        match self.parsed.find_serial(serial) {
            Ok(found) => Ok(found.is_some()),
            Err(error) => Err(Untrusted::Constraint(format!("{}: {error}", self.file))),
        }
    }

    fn is_signed_by(&self, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        // Whether the CA's usages include signing CRLs is not asked: kubeadm's don't, and no one else has its key.
        let Ok(entity) = RawPublicKeyEntity::try_from(key) else {
            return false;
        };
        webpki::ALL_VERIFICATION_ALGS
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm)
            .any(|algorithm| {
                entity
                    .verify_signature(*algorithm, &self.signed, &self.signature)
                    .is_ok()
            })
    }
}

/// The parts of a CRL that webpki keeps to itself.
struct Envelope<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    issuer: Name,
    next_update: Time,
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, der::Error> {
        let outer = AnyRef::from_der(bytes)?;
        let mut reader = SliceReader::new(outer.value())?;
        let signed = reader.tlv_bytes()?;
        let algorithm = AnyRef::decode(&mut reader)?.value();
        let signature = BitStringRef::decode(&mut reader)?.raw_bytes();
        reader.finish()?;

        let inner = AnyRef::from_der(signed)?;
        let mut reader = SliceReader::new(inner.value())?;
        if Tag::peek(&reader)? == Tag::Integer {
            reader.tlv_bytes()?;
        }
        reader.tlv_bytes()?;
        let issuer = Name::decode(&mut reader)?;
        let _this_update = Time::decode(&mut reader)?;
        let next_update = Time::decode(&mut reader)?;
        Ok(Self {
            signed,
            algorithm,
            signature,
            issuer,
            next_update,
        })
    }
}

fn unreadable(error: &webpki::Error) -> String {
    use webpki::Error;
    let way_out = match error {
        Error::UnsupportedCrlVersion => "; make it of version 2 (openssl: set crl_extensions and crlnumber)",
        Error::UnsupportedDeltaCrl
        | Error::UnsupportedIndirectCrl
        | Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedRevocationReasonsPartitioning => "; get the CA's complete CRL",
        _ => "",
    };
    format!("the CRL can't be used: {error:?}{way_out}")
}

/// Serial numbers, each of one CA or of all.
#[derive(Default)]
pub struct RevokedSerials {
    file: String,
    // Serial without leading zeros → issuers' names; `None` is any.
    issuers: HashMap<Vec<u8>, Vec<Option<String>>>,
}

impl RevokedSerials {
    /// Reads a file with a line a serial, in hexadecimal, with or without colons, and after a space, if it is of one
    /// CA, that CA's name as RFC 4514 writes it: `4f:2a CN=kubernetes-ca`. Empty lines and those with `#` are not
    /// read. `name` is how messages call it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let text =
            std::str::from_utf8(text).map_err(|_| FileError::whole(name, "the file is not UTF-8; save it as UTF-8"))?;
        let mut serials = Self {
            file: name.to_owned(),
            issuers: HashMap::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |fault: String| FileError::at(name, index + 1, 0, fault);
            let (serial, issuer) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let serial = unhex(serial).ok_or_else(|| {
                fault(format!(
                    "{serial:?} is no serial number; write it in hexadecimal, as openssl x509 -serial prints it"
                ))
            })?;
            let issuer = match issuer.trim() {
                "" => None,
                issuer => Some(
                    Name::from_str(issuer)
                        .map_err(|_| fault(format!("{issuer:?} is no name of a CA; write CN=name,O=organization")))?
                        .to_string(),
                ),
            };
            if serials.issuers.len() == SERIALS_LIMIT {
                return Err(fault(format!("there are more than {SERIALS_LIMIT} serials")));
            }
            serials.issuers.entry(serial).or_default().push(issuer);
        }
        Ok(serials)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.issuers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// The file that revokes a certificate, if it does.
    fn revoke(&self, serial: &[u8], issuer: &[u8]) -> Option<&str> {
        let issuers = self.issuers.get(trimmed(serial))?;
        // A name that can't be read could be any: then the serial alone decides.
        let name = AnyRef::new(Tag::Sequence, issuer)
            .and_then(|name| name.to_der())
            .and_then(|name| Name::from_der(&name))
            .map(|name| name.to_string());
        let concerns = |each: &Option<String>| match (each, &name) {
            (Some(each), Ok(name)) => each == name,
            _ => true,
        };
        issuers.iter().any(concerns).then_some(self.file.as_str())
    }
}

/// A serial's magnitude: DER puts a zero octet before one that would look negative.
fn trimmed(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|octet| **octet == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| *character != ':')
        .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() > SERIAL_OCTETS * 2 {
        return None;
    }
    let padded = if digits.len() % 2 == 1 {
        [&[0][..], &digits].concat()
    } else {
        digits
    };
    let octets: Vec<u8> = padded
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| high << 4 | low)
        .collect();
    Some(trimmed(&octets).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_however_they_are_written() {
        for (text, octets) in [
            ("4f", vec![0x4f]),
            ("004F", vec![0x4f]),
            ("4:F", vec![0x4f]),
            ("0x1ff", vec![1, 0xff]),
            ("DE:AD:be:ef", vec![0xde, 0xad, 0xbe, 0xef]),
            ("00", vec![]),
        ] {
            assert_eq!(unhex(text), Some(octets), "{text}");
        }
        for text in ["", "xyz", ":", "-1", "4g", &"f".repeat(44)] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }

    #[test]
    fn a_serial_concerns_its_ca_alone_or_all() {
        let serials = RevokedSerials::parse("r", b"# gone\n\n01 CN=ca\n2\n").unwrap();
        let content = |name: &str| {
            let der = Name::from_str(name).unwrap().to_der().unwrap();
            AnyRef::from_der(&der).unwrap().value().to_vec()
        };
        for (serial, issuer, revoked) in [
            (1, "CN=ca", true),
            (1, "CN=other", false),
            (1, "CN=ca,O=x", false),
            (2, "CN=other", true),
            (3, "CN=ca", false),
        ] {
            assert_eq!(
                serials.revoke(&[serial], &content(issuer)).is_some(),
                revoked,
                "{serial} {issuer}"
            );
        }
        assert!(serials.revoke(&[0, 1], &content("CN=ca")).is_some());
        assert!(serials.revoke(&[1], b"\xff").is_some());
    }

    #[test]
    fn a_line_that_is_no_serial_is_told_with_its_place() {
        for (text, start) in [
            (&b"01\nserial=02\n"[..], "r:2: \"serial=02\" is no serial number"),
            (b"01 not a name\n", "r:1: \"not a name\" is no name of a CA"),
            (b"\xff", "r: the file is not UTF-8"),
        ] {
            let error = RevokedSerials::parse("r", text).err().unwrap().to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
