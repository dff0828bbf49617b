//! What a certificate must say, whoever signs it.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::spec::{HostOrIp, SubjectExtras};

/// What a certificate must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Who it names.
    pub subject: Subject,
    /// Its subject alternative names; empty where the row needs none.
    pub sans: BTreeSet<HostOrIp>,
    /// Leaf or CA.
    pub kind: Kind,
    /// How long it lives, unless its issuer ends sooner.
    pub lifetime: SignedDuration,
}

/// Leaf or CA, with what only the one or the other has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A leaf: extended key usages, never empty.
    Leaf(Usages),
    /// A CA.
    Authority {
        /// How many CAs may stand below it (RFC 5280 section 4.2.1.9).
        path_len: u8,
        /// `Some` confines it to server certificates for these names (S7's kubelet CAs): an extended key usage and
        /// name constraints (RFC 5280 section 4.2.1.10).
        confined_to: Option<BTreeSet<HostOrIp>>,
    },
}

/// The extended key usages of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usages {
    /// `serverAuth`.
    Server,
    /// `clientAuth`.
    Client,
    /// Both, as etcd's peers need (S1).
    ServerAndClient,
}

impl Usages {
    /// Whether a server may present it.
    #[must_use]
    pub const fn server(self) -> bool {
        matches!(self, Self::Server | Self::ServerAndClient)
    }

    /// Whether a client may present it.
    #[must_use]
    pub const fn client(self) -> bool {
        matches!(self, Self::Client | Self::ServerAndClient)
    }

    /// The usages by the names that Kubernetes uses in `spec.usages`.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["server auth"],
            Self::Client => &["client auth"],
            Self::ServerAndClient => &["server auth", "client auth"],
        }
    }
}

/// A distinguished name as clusters use it: O before CN, as Go's `pkix.Name` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// CN: the user name of a client.
    pub common_name: String,
    /// O: the groups of a client.
    pub organizations: Vec<String>,
    /// C, ST, L and OU.
    pub extras: SubjectExtras,
}
