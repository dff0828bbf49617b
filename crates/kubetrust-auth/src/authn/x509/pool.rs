//! The CAs that a chain may end in.

use jiff::Timestamp;
use kubetrust_pki::certificate::{CLIENT_AUTH, Certificate};
use kubetrust_pki::pem;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::VerifiedPath;

use super::Untrusted;
use crate::authn::file::{FileError, pem_lines};

/// How many CAs a pool may have.
const AUTHORITIES_LIMIT: usize = 1024;
/// `anyExtendedKeyUsage` (RFC 5280 section 4.2.1.12).
const ANY_USAGE: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// CAs, each with what webpki does not look at in an anchor.
#[derive(Default)]
pub struct Pool {
    anchors: Vec<TrustAnchor<'static>>,
    // One for each anchor, in the same order.
    authorities: Vec<Authority>,
}

struct Authority {
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    path_length: Option<u8>,
    for_clients: bool,
}

impl Pool {
    /// Reads every certificate of a PEM file (`--client-ca-file`, `--requestheader-client-ca-file`); other blocks
    /// are passed over. `name` is how messages call it.
    pub fn from_pem(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let mut pool = Self::default();
        let blocks = pem::blocks(text).map_err(|error| FileError::whole(name, error.to_string()))?;
        for (block, line) in blocks.iter().zip(pem_lines(text)) {
            if block.label == "CERTIFICATE" {
                pool.add(&block.der)
                    .map_err(|fault| FileError::at(name, line, 0, fault))?;
            }
        }
        if pool.anchors.is_empty() {
            let fault = "there is no certificate in it; put the CA's certificate there (a PEM block CERTIFICATE)";
            return Err(FileError::whole(name, fault));
        }
        Ok(pool)
    }

    fn add(&mut self, der: &[u8]) -> Result<(), String> {
        if self.anchors.len() == AUTHORITIES_LIMIT {
            return Err(format!("there are more than {AUTHORITIES_LIMIT} CAs"));
        }
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !certificate.may_sign() {
            return Err(format!(
                "the certificate {} is not a CA's; put the certificate of the CA that signed it there",
                certificate.subject
            ));
        }
        let der = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| error.to_string())?;
        self.anchors.push(anchor.to_owned());
        self.authorities.push(Authority {
            subject: certificate.subject.to_string(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            path_length: certificate.authority.flatten(),
            for_clients: certificate
                .extended_usages
                .as_ref()
                .is_none_or(|usages| usages.iter().any(|usage| *usage == CLIENT_AUTH || *usage == ANY_USAGE)),
        });
        Ok(())
    }

    /// The anchors, for webpki.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The DER of the CAs' names (with their `SEQUENCE`), for the certificate request of the handshake.
    pub fn names(&self) -> impl Iterator<Item = Vec<u8>> {
        self.anchors
            .iter()
            .filter_map(|anchor| der::asn1::AnyRef::new(der::Tag::Sequence, &anchor.subject).ok())
            .filter_map(|name| der::Encode::to_der(&name).ok())
    }

    /// The subjects and ends of the CAs, for logs and metrics.
    pub fn expiries(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.authorities
            .iter()
            .map(|each| (each.subject.as_str(), each.not_after))
    }

    /// Holds the anchor of a path to what Go's verifier demands of a root.
    pub(super) fn judge(&self, path: &VerifiedPath<'_>, now: Timestamp) -> Result<(), Untrusted> {
        let authority = self.authority(path.anchor()).ok_or(Untrusted::UnknownAuthority)?;
        if now > authority.not_after {
            return Err(Untrusted::Expired(authority.not_after));
        }
        if now < authority.not_before {
            return Err(Untrusted::NotYetValid(authority.not_before));
        }
        if !authority.for_clients {
            return Err(Untrusted::Usage);
        }
        let below = path.intermediate_certificates().count();
        if authority.path_length.is_some_and(|length| below > usize::from(length)) {
            return Err(Untrusted::Constraint(format!(
                "{} may have {} CAs below it and has {below}",
                authority.subject,
                authority.path_length.unwrap_or_default()
            )));
        }
        Ok(())
    }

    /// From when and until when an anchor is valid.
    pub(super) fn validity(&self, anchor: &TrustAnchor<'_>) -> (Timestamp, Timestamp) {
        self.authority(anchor)
            .map_or((Timestamp::MAX, Timestamp::MIN), |authority| {
                (authority.not_before, authority.not_after)
            })
    }

    // By place, not by value: a CA that was renewed with its key is in the pool twice, with two validities.
    fn authority(&self, anchor: &TrustAnchor<'_>) -> Option<&Authority> {
        let place = self.anchors.iter().position(|each| std::ptr::addr_eq(each, anchor))?;
        self.authorities.get(place)
    }
}
