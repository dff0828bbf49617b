//! Pure: spec, catalog, what is on disk and the time give the steps to take, each with its reasons.
//!
//! A plan never overwrites an authority's key, and never drops a file that is not in the catalog. What it can't
//! solve it states as a [`Finding`] (something to be done by people) or an [`Obstacle`] (nothing can be done before).

mod authority;
mod host;
mod judge;
mod reason;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use authority::{AuthorityPlan, KubeletCaAction};
pub use host::{HostPlan, LeafAction};
pub use reason::Reason;

use crate::catalog::{self, HostFile};
use crate::inventory::{Authorities, AuthorityFiles, HostFiles};
use crate::spec::{Authority, Cluster};
pub(crate) use authority::chain as authority_chain;
pub(crate) use host::material;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// In `authority/`.
    pub authority: AuthorityPlan,
    /// In `manifests/`: the files to write.
    pub manifests: Vec<(&'static str, Reason)>,
    /// In the hosts' folders, in the spec's order; hosts with nothing to do are left out.
    pub hosts: Vec<HostPlan>,
    /// Folders of hosts that the spec no longer has.
    pub removed_hosts: Vec<String>,
    /// What remains to be done by people.
    pub findings: Vec<Finding>,
}

/// Something that `apply` can't do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable word for scripts.
    pub code: &'static str,
    /// Which credential.
    pub credential: String,
    /// On which host, if it is a host's.
    pub host: Option<String>,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Whether the cluster is not what the spec says until that is done, so that `apply` exits with 1.
    pub unfinished: bool,
}

/// A step as people and scripts read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `create`, `take up`, `issue`, `request`, `write`, `remove`.
    pub action: &'static str,
    /// Which credential.
    pub credential: String,
    /// On which host, if it is a host's.
    pub host: Option<String>,
    /// The files, relative to the directory.
    pub files: Vec<String>,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authority.is_empty() && self.manifests.is_empty() && self.hosts.is_empty() && self.removed_hosts.is_empty()
    }

    /// Whether the cluster is what the spec says once the steps are done.
    #[must_use]
    pub fn finishes(&self) -> bool {
        self.findings.iter().all(|finding| !finding.unfinished)
    }

    /// The steps, in the order in which they are taken.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.authority.steps();
        steps.extend(self.manifests.iter().map(|(name, reason)| Step {
            action: "write",
            credential: "manifests".to_owned(),
            host: None,
            files: vec![format!("{}/{name}", crate::inventory::MANIFESTS)],
            reasons: vec![reason.clone()],
        }));
        steps.extend(self.hosts.iter().flat_map(HostPlan::steps));
        steps.extend(self.removed_hosts.iter().map(|host| Step {
            action: "remove",
            credential: "host".to_owned(),
            host: Some(host.clone()),
            files: vec![format!("{}/{host}", crate::inventory::HOSTS)],
            reasons: vec![Reason::HostRemoved],
        }));
        steps
    }
}

/// The spec, the authorities and the time: what every part of a plan is made from.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The spec.
    pub cluster: &'a Cluster,
    /// `authority/` as it is.
    pub authorities: &'a Authorities,
    /// CAs that the spec brings, read and validated.
    pub brought: &'a BTreeMap<Authority, AuthorityFiles>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    /// The CA that acts for `authority`: as it lies in `authority/`, or as the spec brings it. `None`: it is yet to be
    /// made.
    pub(crate) fn acting(&self, authority: Authority) -> Option<&'a AuthorityFiles> {
        let acting = catalog::acting(self.cluster, authority);
        self.authorities
            .cas
            .get(&acting)
            .filter(|files| files.certificate.is_some())
            .or_else(|| self.brought.get(&acting))
    }
}

/// Plans `authority/`.
#[must_use]
pub fn authority(situation: Situation<'_>) -> (AuthorityPlan, Vec<Finding>) {
    authority::plan(situation)
}

/// Plans one host's folder. `None`: there is nothing to do.
#[must_use]
pub fn host(
    situation: Situation<'_>,
    authority: &AuthorityPlan,
    host: &crate::spec::Host,
    found: HostFiles,
) -> (Option<HostPlan>, Vec<Finding>) {
    host::plan(situation, authority, host, found)
}

/// A file's path as it is shown: relative to the directory.
fn shown(host: &str, file: &HostFile) -> String {
    format!("{}/{host}/{}", crate::inventory::HOSTS, file.path)
}
