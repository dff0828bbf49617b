//! A cluster's directory: read, planned and applied as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::apply::{self, ApplyError, Progress};
use crate::brought;
use crate::catalog::{self, What};
use crate::inventory::{self, AUTHORITY, Authorities, AuthorityFiles, HOSTS, Obstacle};
use crate::manifests;
use crate::plan::{self, AuthorityPlan, Plan, Reason, Situation};
use crate::spec::{self, Authority, Cluster, KubeletServing, Parsed, SpecErrors};
use crate::write::{Directory, Disk, Mode, Published};

/// The spec's file in a directory.
pub const SPEC_FILE: &str = "cluster.yaml";

/// Why a directory can't be planned.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no `cluster.yaml`.
    #[error("{} is no cluster's directory: it has no {SPEC_FILE}", .0.display())]
    NoSpec(PathBuf),
    /// The spec can't be read.
    #[error("{}: {error}", path.display())]
    UnreadableSpec {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        error: std::io::Error,
    },
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// A CA that the spec brings can't be taken up. Every path is a field of the spec.
    #[error("{}", list(.0))]
    Brought(Vec<Obstacle>),
    /// Files in the directory that can be neither used nor replaced.
    #[error("{}", list(.0))]
    Obstacles(Vec<Obstacle>),
}

fn list(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A directory as read: the spec, the authorities, and what the plan made of them.
#[derive(Debug)]
pub struct Loaded {
    /// The spec.
    pub cluster: Cluster,
    /// What is allowed in the spec, yet hardly meant.
    pub warnings: Vec<spec::Diagnostic>,
    /// `authority/`.
    pub authorities: Authorities,
    brought: BTreeMap<Authority, AuthorityFiles>,
    now: Timestamp,
}

/// Reads `cluster.yaml` of a directory.
pub fn read_spec(root: &Path) -> Result<Parsed, LoadError> {
    let path = root.join(SPEC_FILE);
    match inventory::read_given(&path, spec::MAX_BYTES) {
        Ok(text) => Ok(spec::parse(
            &path.display().to_string(),
            &String::from_utf8_lossy(&text),
        )?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LoadError::NoSpec(root.to_owned())),
        Err(error) => Err(LoadError::UnreadableSpec { path, error }),
    }
}

impl Loaded {
    /// Reads a directory's spec and authorities. `now` is the time for which everything is judged.
    pub fn read(root: &Path, now: Timestamp) -> Result<Self, LoadError> {
        let Parsed { cluster, warnings } = read_spec(root)?;
        Self::with_spec(root, root, cluster, warnings, now)
    }

    /// As [`Loaded::read`], for a spec that is not in the directory (yet). `spec_folder` is where its relative paths
    /// begin.
    pub fn with_spec(
        root: &Path,
        spec_folder: &Path,
        cluster: Cluster,
        warnings: Vec<spec::Diagnostic>,
        now: Timestamp,
    ) -> Result<Self, LoadError> {
        let authorities = inventory::authorities(root, &cluster).map_err(LoadError::Obstacles)?;
        let brought = brought::read(spec_folder, &cluster, &authorities, now).map_err(LoadError::Brought)?;
        let too_shallow = path_lengths(root, &cluster, &authorities);
        if !too_shallow.is_empty() {
            return Err(LoadError::Obstacles(too_shallow));
        }
        if let Some(shared) = shared_key(&authorities, &brought) {
            return Err(LoadError::Brought(vec![shared]));
        }
        Ok(Self {
            cluster,
            warnings,
            authorities,
            brought,
            now,
        })
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            cluster: &self.cluster,
            authorities: &self.authorities,
            brought: &self.brought,
            now: self.now,
        }
    }

    /// Plans the whole directory.
    pub fn plan(&self, root: &Path) -> Result<Plan, LoadError> {
        let situation = self.situation();
        let (authority, mut findings) = plan::authority(situation);
        let paths = inventory::host_paths();
        let planned: Vec<Result<_, Vec<Obstacle>>> = self
            .cluster
            .hosts
            .par_iter()
            .map(|host| {
                let found = inventory::host(root, host.name.as_str(), &paths)?;
                Ok(plan::host(situation, &authority, host, found))
            })
            .collect();
        let mut obstacles = Vec::new();
        let mut hosts = Vec::new();
        for result in planned {
            match result {
                Ok((host, found)) => {
                    hosts.extend(host);
                    findings.extend(found);
                }
                Err(in_the_way) => obstacles.extend(in_the_way),
            }
        }
        obstacles.extend(self.lost_authorities(root, &authority));
        let mut removed_hosts = Vec::new();
        match inventory::host_folders(root) {
            Ok(folders) => removed_hosts.extend(folders.into_iter().filter(|name| self.cluster.host(name).is_none())),
            Err(obstacle) => obstacles.push(obstacle),
        }
        let manifests = match self.manifests(root, authority.bootstrap_token.is_some()) {
            Ok(manifests) => manifests,
            Err(obstacle) => {
                obstacles.push(obstacle);
                Vec::new()
            }
        };
        if obstacles.is_empty() {
            Ok(Plan {
                authority,
                manifests,
                hosts,
                removed_hosts,
                findings,
            })
        } else {
            Err(LoadError::Obstacles(obstacles))
        }
    }

    /// Authorities that hosts hold and `authority/` has lost: making them anew would replace them.
    fn lost_authorities(&self, root: &Path, plan: &AuthorityPlan) -> Vec<Obstacle> {
        let lost = catalog::ROWS.iter().filter_map(|row| {
            let files = match &row.what {
                What::Authority { authority, .. } => {
                    let acting = catalog::acting(&self.cluster, *authority);
                    plan.create
                        .contains(&acting)
                        .then(|| format!("{}.crt and .key", inventory::authority_stem(acting)))
                }
                What::ServiceAccountKey => plan.service_account.is_some().then(|| "sa.key and sa.pub".to_owned()),
                _ => None,
            }?;
            let held = self.cluster.hosts.iter().find_map(|host| {
                let folder = root.join(HOSTS).join(host.name.as_str());
                let paths = row.files.document.iter().chain(row.files.kubeadm);
                paths.map(|file| folder.join(file.path)).find(|path| path.exists())
            })?;
            Some(Obstacle::new(
                root.join(AUTHORITY),
                format!(
                    "it has lost {files}, which {} still holds; put them back from there, from backup/ or from your \
                     own backup (apply makes no new ones: everything that they signed would fall)",
                    held.display()
                ),
            ))
        });
        lost.collect()
    }

    fn manifests(&self, root: &Path, new_token: bool) -> Result<Vec<(&'static str, Reason)>, Obstacle> {
        let mut write = Vec::new();
        let rbac = manifests::rbac(&self.cluster);
        let token = self.authorities.bootstrap_token.as_ref();
        let token = token.map(|token| Zeroizing::new(token.to_secret().as_bytes().to_vec()));
        let wanted = [
            (
                manifests::RBAC,
                Some(Zeroizing::new(rbac.into_bytes())),
                false,
                Mode::Public,
            ),
            (manifests::BOOTSTRAP_TOKEN, token, new_token, Mode::Private),
        ];
        for (name, content, changes, mode) in wanted {
            let reason = match inventory::manifest(root, name)? {
                None => Reason::Missing,
                Some(_) if changes => Reason::Follows("the bootstrap token"),
                Some(found) if content.as_ref() != Some(&found.content) => Reason::ContentDiffers,
                Some(found) if found.mode != mode.file() => Reason::Mode {
                    is: found.mode,
                    must_be: mode.file(),
                },
                Some(_) => continue,
            };
            write.push((name, reason));
        }
        Ok(write)
    }

    /// Carries out a plan that was made from this reading, under the directory's lock.
    pub fn apply<D: Disk>(
        self,
        directory: &Directory<D>,
        plan: Plan,
        progress: &dyn Progress,
    ) -> Result<Published, ApplyError> {
        apply::apply(
            directory,
            &self.cluster,
            self.authorities,
            self.brought,
            plan,
            self.now,
            progress,
        )
    }
}

/// Two authorities with one key are one authority: what should be kept apart by them would be open to both's clients.
fn shared_key(authorities: &Authorities, brought: &BTreeMap<Authority, AuthorityFiles>) -> Option<Obstacle> {
    let own = authorities.cas.iter().filter(|(_, files)| files.certificate.is_some());
    let all: Vec<_> = own
        .chain(brought)
        .filter_map(|(authority, files)| Some((*authority, &files.certificate.as_ref()?.public_key)))
        .collect();
    all.iter().enumerate().find_map(|(index, (authority, key))| {
        let (other, _) = all[..index].iter().find(|(_, other)| other == key)?;
        Some(Obstacle::new(
            brought::spec_field(*authority, "certificate"),
            format!(
                "this CA has the same key as {other}'s, so every client of the one would be a client of the other; \
                 bring a CA of its own, or set authorities.mode to single, which confines them by name"
            ),
        ))
    })
}

/// CAs in `authority/` whose path length forbids what the spec now asks of them.
fn path_lengths(root: &Path, cluster: &Cluster, authorities: &Authorities) -> Vec<Obstacle> {
    let needs_one = cluster.kubelets.serving == KubeletServing::KubeletCa;
    let acting = catalog::acting(cluster, Authority::Kubernetes);
    let certificate = authorities
        .cas
        .get(&acting)
        .and_then(|files| files.certificate.as_ref());
    match certificate.and_then(|certificate| certificate.authority) {
        Some(Some(0)) if needs_one => vec![Obstacle::new(
            root.join(AUTHORITY)
                .join(format!("{}.crt", inventory::authority_stem(acting))),
            "its path length 0 forbids the kubelet CAs that kubelets.serving: kubelet-ca needs; \
             set kubelets.serving to cluster-ca",
        )],
        _ => Vec::new(),
    }
}
