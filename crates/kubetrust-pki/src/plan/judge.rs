//! Holds one certificate against what it must be.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use x509_cert::ext::pkix::KeyUsages;

use super::reason::Reason;
use crate::certificate::{CLIENT_AUTH, Certificate, SERVER_AUTH};
use crate::issue;
use crate::key::KeyKind;
use crate::profile::{Kind, Profile, Usages};
use crate::spec::Cluster;

/// What a certificate is held against.
pub(super) struct Measure<'a> {
    /// What it must say.
    pub(super) profile: &'a Profile,
    /// Who must have signed it; `None` while that CA is yet to be made.
    pub(super) issuer: Option<&'a Certificate>,
    /// The certificates that must follow it in its file.
    pub(super) chain: &'a [&'a Certificate],
    /// The algorithm of its key; `None`: any will do (a CA keeps the key it has).
    pub(super) key: Option<KeyKind>,
    /// The spec, for its renewal window and back-dating.
    pub(super) cluster: &'a Cluster,
    /// The time.
    pub(super) now: Timestamp,
}

impl Measure<'_> {
    /// Everything that is wrong with `certificates`: a leaf or CA first, its chain after it.
    pub(super) fn judge(&self, certificates: &[Certificate]) -> Vec<Reason> {
        let Some((certificate, chain)) = certificates.split_first() else {
            return vec![Reason::Missing];
        };
        let Some(issuer) = self.issuer else {
            return vec![Reason::AuthorityIsNew];
        };
        if !certificate.is_signed_by(issuer) {
            return vec![Reason::SignedByAnother {
                issuer: certificate.issuer.to_string(),
            }];
        }
        let mut reasons = Vec::new();
        self.names(certificate, &mut reasons);
        self.usages(certificate, &mut reasons);
        if let Some(must_be) = self.key
            && certificate.public_key.kind != must_be
        {
            reasons.push(Reason::KeyAlgorithm {
                is: certificate.public_key.kind,
                must_be,
            });
        }
        if !chain
            .iter()
            .map(|link| &link.der)
            .eq(self.chain.iter().map(|link| &link.der))
        {
            reasons.push(Reason::ChainDiffers);
        }
        self.dates(certificate, issuer, &mut reasons);
        reasons
    }

    fn names(&self, certificate: &Certificate, reasons: &mut Vec<Reason>) {
        if let Ok(must_be) = issue::name(&self.profile.subject)
            // By text, so that a name written in other string types by an offline CA's tool still counts.
            && certificate.subject.to_string() != must_be.to_string()
        {
            reasons.push(Reason::SubjectDiffers {
                is: certificate.subject.to_string(),
                must_be: must_be.to_string(),
            });
        }
        let missing: BTreeSet<_> = self.profile.sans.difference(&certificate.sans).cloned().collect();
        let unneeded: Vec<_> = certificate
            .sans
            .difference(&self.profile.sans)
            .map(ToString::to_string)
            .chain(certificate.other_sans.iter().cloned())
            .collect();
        if !missing.is_empty() || !unneeded.is_empty() {
            reasons.push(Reason::SansDiffer { missing, unneeded });
        }
    }

    fn usages(&self, certificate: &Certificate, reasons: &mut Vec<Reason>) {
        let extended: Option<BTreeSet<_>> = certificate
            .extended_usages
            .as_ref()
            .map(|usages| usages.iter().copied().collect());
        let has = |usage| certificate.usages.is_none_or(|usages| usages.0.contains(usage));
        let (fits, must_be) = match &self.profile.kind {
            Kind::Leaf(usages) => {
                let (extended_must_be, must_be) = match usages {
                    Usages::Server => (vec![SERVER_AUTH], "a server's alone"),
                    Usages::Client => (vec![CLIENT_AUTH], "a client's alone"),
                    Usages::ServerAndClient => (vec![SERVER_AUTH, CLIENT_AUTH], "a server's and a client's"),
                };
                let signs = certificate.authority.is_some()
                    || certificate
                        .usages
                        .is_some_and(|usages| usages.0.contains(KeyUsages::KeyCertSign));
                let fits = extended == Some(extended_must_be.into_iter().collect())
                    && has(KeyUsages::DigitalSignature)
                    && !signs;
                (fits, must_be)
            }
            Kind::Authority {
                path_len,
                confined_to: None,
            } => {
                let deep_enough = certificate
                    .authority
                    .is_some_and(|limit| limit.is_none_or(|limit| limit >= *path_len));
                (deep_enough && certificate.may_sign(), "a CA's")
            }
            Kind::Authority {
                path_len,
                confined_to: Some(names),
            } => {
                let fits = certificate.authority == Some(Some(*path_len))
                    && certificate.may_sign()
                    && extended == Some(BTreeSet::from([SERVER_AUTH]))
                    && issue::constraints(names).ok() == certificate.name_constraints;
                (fits, "a CA's for the servers of this host alone")
            }
        };
        if !fits {
            reasons.push(Reason::UsagesDiffer { must_be });
        }
    }

    fn dates(&self, certificate: &Certificate, issuer: &Certificate, reasons: &mut Vec<Reason>) {
        let end = certificate.not_after;
        // Whatever the back-dating was when it was signed, a day is its limit.
        let limit = self.profile.lifetime + SignedDuration::from_hours(24);
        if end > issuer.not_after {
            reasons.push(Reason::OutlivesAuthority);
        } else if end.duration_since(certificate.not_before) > limit {
            reasons.push(Reason::LivesTooLong {
                at_most: self.profile.lifetime,
            });
        }
        if certificate.not_before > self.now {
            reasons.push(Reason::NotYetValid {
                from: certificate.not_before,
            });
        } else if end <= self.now {
            reasons.push(Reason::Expired { at: end });
        } else if end < issuer.not_after && renewal_window(self.cluster, certificate) >= end.duration_since(self.now) {
            // One that ends with its CA can't be had with a later end: the CA's end is a finding of its own.
            reasons.push(Reason::Expires { at: end });
        }
    }
}

/// How long before its end a certificate is renewed.
pub(super) fn renewal_window(cluster: &Cluster, certificate: &Certificate) -> SignedDuration {
    // Back-dating is no life: with a short one, a third of both would begin before the certificate does.
    let lived = certificate.not_after.duration_since(certificate.not_before) - cluster.backdate;
    cluster.renew_before.unwrap_or(lived.max(SignedDuration::ZERO) / 3)
}
