//! Why something must be done.

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::key::KeyKind;
use crate::spec::HostOrIp;

/// Why a file or a credential must change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is not there.
    Missing,
    /// It can't be read.
    Unreadable(String),
    /// The key is not the certificate's.
    KeyMismatch,
    /// It names another subject.
    SubjectDiffers {
        /// What it names.
        is: String,
        /// What it must name.
        must_be: String,
    },
    /// Its names differ.
    SansDiffer {
        /// Those it lacks.
        missing: BTreeSet<HostOrIp>,
        /// Those it has and must not have.
        unneeded: Vec<String>,
    },
    /// Its usages differ.
    UsagesDiffer {
        /// What they must be.
        must_be: &'static str,
    },
    /// Its key is of another algorithm than the spec's.
    KeyAlgorithm {
        /// What it is.
        is: KeyKind,
        /// What it must be.
        must_be: KeyKind,
    },
    /// The CA that must sign it did not.
    SignedByAnother {
        /// Its issuer, by its own word.
        issuer: String,
    },
    /// The CA that must sign it is made by this same plan.
    AuthorityIsNew,
    /// The certificates that follow it in its file are not its chain.
    ChainDiffers,
    /// It is past its end.
    Expired {
        /// Its end.
        at: Timestamp,
    },
    /// Its end lies in the renewal window.
    Expires {
        /// Its end.
        at: Timestamp,
    },
    /// It starts in the future: its maker's clock, or this one, is wrong.
    NotYetValid {
        /// Its start.
        from: Timestamp,
    },
    /// It outlives the CA that signed it.
    OutlivesAuthority,
    /// It lives longer than the spec's `validity` allows its class.
    LivesTooLong {
        /// The spec's lifetime.
        at_most: SignedDuration,
    },
    /// Its content is not what the spec and the credentials in it make.
    ContentDiffers,
    /// Others can read it, or its owner can't.
    Mode {
        /// Its permission bits.
        is: u32,
        /// What they must be.
        must_be: u32,
    },
    /// What it contains is made anew by this same plan.
    Follows(&'static str),
    /// The host is not in the spec.
    HostRemoved,
    /// The host must not hold it, by its roles and the spec.
    NotHeld,
    /// The user brought it.
    Brought,
    /// The signed certificate has arrived.
    Signed,
}

impl Reason {
    /// A stable word for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Unreadable(_) => "Unreadable",
            Self::KeyMismatch => "KeyMismatch",
            Self::SubjectDiffers { .. } => "SubjectDiffers",
            Self::SansDiffer { .. } => "SansDiffer",
            Self::UsagesDiffer { .. } => "UsagesDiffer",
            Self::KeyAlgorithm { .. } => "KeyAlgorithm",
            Self::SignedByAnother { .. } => "SignedByAnother",
            Self::AuthorityIsNew => "AuthorityIsNew",
            Self::ChainDiffers => "ChainDiffers",
            Self::Expired { .. } => "Expired",
            Self::Expires { .. } => "Expires",
            Self::NotYetValid { .. } => "NotYetValid",
            Self::OutlivesAuthority => "OutlivesAuthority",
            Self::LivesTooLong { .. } => "LivesTooLong",
            Self::ContentDiffers => "ContentDiffers",
            Self::Mode { .. } => "Mode",
            Self::Follows(_) => "Follows",
            Self::HostRemoved => "HostRemoved",
            Self::NotHeld => "NotHeld",
            Self::Brought => "Brought",
            Self::Signed => "Signed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Unreadable(why) => write!(f, "unreadable: {why}"),
            Self::KeyMismatch => f.write_str("the key is not the certificate's"),
            Self::SubjectDiffers { is, must_be } => write!(f, "subject is {is}, must be {must_be}"),
            Self::SansDiffer { missing, unneeded } => {
                f.write_str("SANs differ:")?;
                if !missing.is_empty() {
                    write!(f, " lacks {}", list(missing.iter()))?;
                }
                if !unneeded.is_empty() {
                    let comma = if missing.is_empty() { "" } else { ";" };
                    write!(f, "{comma} must not have {}", list(unneeded.iter()))?;
                }
                Ok(())
            }
            Self::UsagesDiffer { must_be } => write!(f, "usages differ: must be {must_be}"),
            Self::KeyAlgorithm { is, must_be } => write!(f, "key algorithm is {is}, must be {must_be}"),
            Self::SignedByAnother { issuer } => write!(f, "signed by another CA ({issuer})"),
            Self::AuthorityIsNew => f.write_str("its CA is new"),
            Self::ChainDiffers => f.write_str("the chain after it differs"),
            Self::Expired { at } => write!(f, "expired on {}", day(*at)),
            Self::Expires { at } => write!(f, "expires on {}, within the renewal window", day(*at)),
            Self::NotYetValid { from } => write!(f, "not valid before {from}: is a clock wrong?"),
            Self::OutlivesAuthority => f.write_str("it outlives the CA that signed it"),
            Self::LivesTooLong { at_most } => write!(f, "it lives longer than the spec's validity of {at_most:#}"),
            Self::ContentDiffers => f.write_str("content differs from what the spec makes"),
            Self::Mode { is, must_be } => write!(f, "mode is {is:04o}, must be {must_be:04o}"),
            Self::Follows(what) => write!(f, "contains {what}, which changes"),
            Self::HostRemoved => f.write_str("host removed from the spec"),
            Self::NotHeld => f.write_str("this host must not hold it"),
            Self::Brought => f.write_str("brought by the spec"),
            Self::Signed => f.write_str("the signed certificate has arrived"),
        }
    }
}

fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// A date as people read it.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
