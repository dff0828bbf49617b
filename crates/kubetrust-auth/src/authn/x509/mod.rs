//! Client certificates (S3): a chain to a pool of CAs, good for client authentication, and the user in its subject.
//!
//! rustls-webpki verifies the chain. What it takes on trust of an anchor, Go's verifier does not, so it is checked
//! here: the anchor's validity, path length and usages. And it refuses what Go lets pass: a CA's own certificate as
//! a client's, and certificates of version 1 (RFC 5280 section 4.1.2.1; they can have no usages).

mod memo;
mod pool;
mod requested;
mod revocation;
mod subject;

use std::cell::Cell;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use der::Decode;
use jiff::Timestamp;
use kubetrust_pki::certificate::hex;
use quick_cache::sync::Cache;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};
use x509_cert::certificate::{CertificateInner, Raw};

pub(super) use memo::{Memo, recall};
pub use pool::Pool;
pub use requested::{RequestFault, Requested};
pub use revocation::{RevocationList, Revocations, RevokedSerials};
pub use subject::SubjectFault;

use super::verdict::with_authenticated_group;
use crate::user::{CREDENTIAL_ID, User};
use subject::Subject;

/// How many certificates a client may send: six CAs below the anchor are the most that a path is built of.
const CHAIN_LIMIT: usize = 16;

/// How many good chains are remembered: one more costs one verification.
const KNOWN: usize = 4 * 1024;

/// A chain that was found good, and whom it names.
#[derive(Debug)]
pub struct Verified {
    /// The common name; empty if there is none.
    pub common_name: String,
    /// The user that the subject names; none without a common name.
    pub user: Option<Arc<User>>,
    /// From when the whole chain is valid.
    pub not_before: Timestamp,
    /// Until when the whole chain is valid.
    pub not_after: Timestamp,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Not the DER of a certificate, or with parts that nobody may ignore.
    #[error("the certificate can't be read: {0}")]
    Malformed(String),
    /// Of X.509 version 1 or 2.
    #[error("the certificate is not of version 3; issue it again with extensions (usage: client auth)")]
    OldVersion,
    /// Longer than any chain of use.
    #[error("the client sent {0} certificates, more than {CHAIN_LIMIT}")]
    TooLong(usize),
    /// A CA's certificate in a client's place.
    #[error("the certificate is a CA's, not a client's")]
    Authority,
    /// It, or a certificate of its chain, is not valid any more.
    #[error("the certificate, or one of its chain, expired at {0}")]
    Expired(Timestamp),
    /// It, or a certificate of its chain, is not valid yet.
    #[error("the certificate, or one of its chain, is valid from {0} only")]
    NotYetValid(Timestamp),
    /// For servers only, say.
    #[error("the certificate, or one of its chain, is not good for client authentication")]
    Usage,
    /// No path to a CA of the pool.
    #[error("it was signed by no known CA; an intermediate certificate that the client did not send may be missing")]
    UnknownAuthority,
    /// A signature under a known CA's name, not made by its key.
    #[error("its signature, or one of its chain, is not by the CA it names")]
    Signature,
    /// A certificate of the path was revoked.
    #[error("the certificate with serial {serial}, or the CA it names, was revoked by {by}")]
    Revoked {
        /// Of the certificate that was revoked, in hexadecimal.
        serial: String,
        /// What says so: a CRL's file or the list of serials.
        by: String,
    },
    /// A constraint of a CA forbids it.
    #[error("a constraint of its CA forbids it: {0}")]
    Constraint(String),
    /// The subject is no name that could be a user's.
    #[error("the certificate's subject: {0}")]
    Subject(#[from] SubjectFault),
}

/// Verifies chains against one pool of CAs.
pub struct Verifier {
    pool: Pool,
    revocations: Arc<Revocations>,
    /// By the SHA-256 of what the client sent. Other CAs or revocations are another verifier, which knows nothing yet.
    known: Cache<[u8; 32], Arc<Verified>>,
}

impl Verifier {
    /// Takes the CAs, and what was revoked.
    #[must_use]
    pub fn new(pool: Pool, revocations: Arc<Revocations>) -> Self {
        Self {
            pool,
            revocations,
            known: Cache::new(KNOWN),
        }
    }

    /// The CAs.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// As [`Self::verify`], without the signatures where the same chain was found good before and still is in its time:
    /// a client that connects anew pays for its own signature alone.
    pub fn recall(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Arc<Verified>, Untrusted> {
        let Some(fingerprint) = fingerprint(chain) else {
            return self.verify(chain, now).map(Arc::new);
        };
        if let Some(known) = self.known.get(&fingerprint)
            && (known.not_before..=known.not_after).contains(&now)
        {
            return Ok(known);
        }
        let verified = Arc::new(self.verify(chain, now)?);
        self.known.insert(fingerprint, Arc::clone(&verified));
        Ok(verified)
    }

    /// Verifies a chain, the client's certificate first, as it is at `now`.
    pub fn verify(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Verified, Untrusted> {
        let [leaf, intermediates @ ..] = chain else {
            return Err(Untrusted::UnknownAuthority);
        };
        if chain.len() > CHAIN_LIMIT {
            return Err(Untrusted::TooLong(chain.len()));
        }
        let client = EndEntityCert::try_from(leaf).map_err(untrusted)?;
        let time = u64::try_from(now.as_second()).map_err(|_| Untrusted::NotYetValid(Timestamp::UNIX_EPOCH))?;
        // webpki goes on to the next path when this says no, and then tells only that there is no path.
        let objection = Cell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            self.pool
                .judge(path, now)
                .and_then(|()| self.revocations.judge(path))
                .map_err(|reason| {
                    objection.set(Some(reason));
                    webpki::Error::UnknownIssuer
                })
        };
        let path = client
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                self.pool.anchors(),
                intermediates,
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(time)),
                ForClients,
                None,
                Some(&judge),
            )
            .map_err(|error| objection.take().unwrap_or_else(|| untrusted(error)))?;
        self.describe(leaf, &path)
    }

    fn describe(&self, leaf: &CertificateDer<'_>, path: &VerifiedPath<'_>) -> Result<Verified, Untrusted> {
        let (mut not_before, mut not_after) = self.pool.validity(path.anchor());
        for der in std::iter::once(leaf.clone()).chain(path.intermediate_certificates().map(webpki::Cert::der)) {
            let (from, until) = validity(&der)?;
            not_before = not_before.max(from);
            not_after = not_after.min(until);
        }
        let subject = Subject::read(path.end_entity().subject())?;
        let user = (!subject.common_name.is_empty()).then(|| {
            let fingerprint = format!("X509SHA256={}", hex(digest(&SHA256, leaf).as_ref()));
            with_authenticated_group(User {
                name: subject.common_name.clone(),
                uid: subject.uid,
                groups: subject.organizations,
                extra: [(CREDENTIAL_ID.to_owned(), vec![fingerprint])].into(),
            })
        });
        Ok(Verified {
            common_name: subject.common_name,
            user,
            not_before,
            not_after,
        })
    }
}

/// What no other chain has: each certificate under its length, so that none runs into the next.
fn fingerprint(chain: &[CertificateDer<'_>]) -> Option<[u8; 32]> {
    let mut hash = Context::new(&SHA256);
    for certificate in chain {
        hash.update(&(certificate.len() as u64).to_le_bytes());
        hash.update(certificate);
    }
    hash.finish().as_ref().try_into().ok()
}

/// Client authentication, or any usage, or no such extension: Go's rule, in which webpki's own lacks the second.
struct ForClients;

impl ExtendedKeyUsageValidator for ForClients {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        const ANY: &[usize] = &[2, 5, 29, 37, 0];
        const CLIENT_AUTH: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
        let mut present = Vec::new();
        for usage in usages {
            let usage = usage?.to_decoded_oid();
            if usage == CLIENT_AUTH || usage == ANY {
                return Ok(());
            }
            present.push(usage);
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = webpki::KeyUsage::client_auth();
        Err(webpki::Error::RequiredEkuNotFoundContext(
            webpki::RequiredEkuNotFoundContext { required, present },
        ))
    }
}

/// Validity of a certificate.
fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), Untrusted> {
    let certificate =
        CertificateInner::<Raw>::from_der(der).map_err(|error| Untrusted::Malformed(error.to_string()))?;
    let validity = certificate.tbs_certificate().validity();
    Ok((timestamp(&validity.not_before), timestamp(&validity.not_after)))
}

/// A time of X.509 in ours. Both end in the year 9999; what lies beyond is its end.
fn timestamp(time: &x509_cert::time::Time) -> Timestamp {
    i64::try_from(time.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

fn untrusted(error: webpki::Error) -> Untrusted {
    use webpki::Error;
    let at = |time: UnixTime| {
        i64::try_from(time.as_secs())
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or(Timestamp::MAX)
    };
    match error {
        Error::CaUsedAsEndEntity => Untrusted::Authority,
        Error::CertExpired { not_after, .. } => Untrusted::Expired(at(not_after)),
        Error::CertNotValidYet { not_before, .. } => Untrusted::NotYetValid(at(not_before)),
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Untrusted::Usage,
        Error::UnknownIssuer => Untrusted::UnknownAuthority,
        Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Untrusted::Signature,
        Error::UnsupportedCertVersion => Untrusted::OldVersion,
        Error::NameConstraintViolation
        | Error::PathLenConstraintViolated
        | Error::EndEntityUsedAsCa
        | Error::MaximumPathDepthExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::CertDistrusted => Untrusted::Constraint(error.to_string()),
        other => Untrusted::Malformed(other.to_string()),
    }
}
