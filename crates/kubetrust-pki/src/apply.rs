//! Carries out a plan: makes keys, signs, renders, and publishes the changed folders.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::catalog::{self, HostFile, What};
use crate::certificate::Certificate;
use crate::inventory::{
    AUTHORITY, Authorities, AuthorityFiles, HOSTS, KubeletCaFiles, MANIFESTS, Obstacle, authority_stem,
};
use crate::issue::{self, IssueError, Issuer, Serial};
use crate::key::{KeyError, PrivateKey};
use crate::manifests;
use crate::plan::{AuthorityPlan, HostPlan, KubeletCaAction, LeafAction, Plan, Situation, authority_chain, material};
use crate::profile::Profile;
use crate::render::{self, Content, Leaf, Renderer};
use crate::spec::{Authority, Cluster, Host, KeyAlgorithm};
use crate::token::{self, BootstrapToken};
use crate::write::{Directory, Disk, FolderChange, Mode, NewFile, Published, RelPath, Transaction, WriteError};

/// Hears how far a long run has come. Called from several threads.
pub trait Progress: Sync {
    /// A phase of `total` units begins.
    fn begin(&self, phase: &'static str, total: usize);
    /// One unit is done.
    fn advance(&self);
}

/// Hears nothing.
impl Progress for () {
    fn begin(&self, _phase: &'static str, _total: usize) {}
    fn advance(&self) {}
}

/// Why a plan could not be carried out. Nothing is published unless the message says so.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate could not be made.
    #[error("{what}: {error}")]
    Issue {
        /// Which.
        what: String,
        /// Why.
        error: IssueError,
    },
    /// The directory changed between plan and apply.
    #[error("{0}")]
    Changed(Obstacle),
    /// The disk.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Carries out `plan` on the directory whose lock the caller holds. `now` is the time that the plan was made for.
pub fn apply<D: Disk>(
    directory: &Directory<D>,
    cluster: &Cluster,
    authorities: Authorities,
    brought: BTreeMap<Authority, AuthorityFiles>,
    plan: Plan,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Published, ApplyError> {
    let keys = Keys::generate(cluster, &plan, progress)?;
    let transaction = directory.begin(&stamp(now))?;
    let mut workshop = Workshop {
        cluster,
        now,
        authorities,
        last: LastSerials::draw(cluster, &plan)?,
    };
    let authority_files = workshop.authority(&plan.authority, keys.authorities, brought)?;
    if !authority_files.is_empty() || !plan.authority.exposed.is_empty() {
        let answered = plan.authority.answered_requests();
        let answered = answered.map(RelPath::new).collect::<Result<_, _>>()?;
        transaction.stage(folder(AUTHORITY, Mode::Private, 0, authority_files, answered)?)?;
    }
    let manifests = plan
        .manifests
        .iter()
        .map(|(name, _)| workshop.manifest(name))
        .collect::<Result<Vec<_>, _>>()?;
    if !manifests.is_empty() {
        transaction.stage(folder(MANIFESTS, Mode::Public, 1, manifests, Vec::new())?)?;
    }
    progress.begin("hosts", plan.hosts.len());
    plan.hosts
        .into_par_iter()
        .zip(keys.leaves)
        .try_for_each(|(plan, keys)| {
            let staged = workshop.host(&transaction, &plan, keys);
            progress.advance();
            staged
        })?;
    for host in plan.removed_hosts {
        transaction.stage_removal(RelPath::new(format!("{HOSTS}/{host}"))?, 2)?;
    }
    Ok(transaction.commit()?)
}

/// The stamp of a run's backups: UTC, to the second.
#[must_use]
pub fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn folder(
    name: &str,
    mode: Mode,
    rank: u8,
    write: Vec<NewFile>,
    remove: Vec<RelPath>,
) -> Result<FolderChange, WriteError> {
    Ok(FolderChange {
        folder: RelPath::new(name)?,
        mode,
        rank,
        write,
        remove,
    })
}

fn new_file(path: &str, content: impl AsRef<[u8]>, mode: Mode) -> Result<NewFile, WriteError> {
    Ok(NewFile {
        path: RelPath::new(path)?,
        content: Zeroizing::new(content.as_ref().to_vec()),
        mode,
    })
}

// Keys

/// Every key that a plan needs, made in one go: key generation is the long pole, and one flat list keeps every core
/// busy until the last key.
struct Keys {
    authorities: AuthorityKeys,
    /// By row, a map for each host of the plan.
    leaves: Vec<BTreeMap<&'static str, PrivateKey>>,
}

#[derive(Default)]
struct AuthorityKeys {
    cas: BTreeMap<Authority, PrivateKey>,
    kubelet_cas: BTreeMap<String, PrivateKey>,
    service_account: Option<PrivateKey>,
}

/// What a key is for.
enum Slot {
    Authority(Authority),
    KubeletCa(String),
    ServiceAccount,
    Leaf(usize, &'static str),
}

impl Keys {
    fn generate(cluster: &Cluster, plan: &Plan, progress: &dyn Progress) -> Result<Self, KeyError> {
        let mut slots: Vec<Slot> = plan.authority.create.iter().copied().map(Slot::Authority).collect();
        if plan.authority.service_account.is_some() {
            slots.push(Slot::ServiceAccount);
        }
        slots.extend(plan.authority.kubelet_ca_keys.iter().cloned().map(Slot::KubeletCa));
        for (index, host) in plan.hosts.iter().enumerate() {
            let made = host.leaves.iter().filter(|(_, (action, _))| match action {
                LeafAction::Issue(_) => true,
                LeafAction::Request(_, pending) => host.waiting_key(cluster, pending).is_none(),
                LeafAction::TakeUp(..) => false,
            });
            slots.extend(made.map(|(row, _)| Slot::Leaf(index, row)));
        }
        progress.begin("keys", slots.len());
        let keys: Vec<(Slot, PrivateKey)> = slots
            .into_par_iter()
            .with_max_len(1)
            .map(|slot| {
                let algorithm = match (&slot, cluster.key_algorithm) {
                    // Kubernetes signs tokens with RSA and ECDSA alone.
                    (Slot::ServiceAccount, KeyAlgorithm::Ed25519) => KeyAlgorithm::EcdsaP256,
                    (_, algorithm) => algorithm,
                };
                let key = PrivateKey::generate(algorithm)?;
                progress.advance();
                Ok::<_, KeyError>((slot, key))
            })
            .collect::<Result<_, _>>()?;
        let mut sorted = Self {
            authorities: AuthorityKeys::default(),
            leaves: std::iter::repeat_with(BTreeMap::new).take(plan.hosts.len()).collect(),
        };
        for (slot, key) in keys {
            match slot {
                Slot::Authority(authority) => drop(sorted.authorities.cas.insert(authority, key)),
                Slot::KubeletCa(host) => drop(sorted.authorities.kubelet_cas.insert(host, key)),
                Slot::ServiceAccount => sorted.authorities.service_account = Some(key),
                Slot::Leaf(index, row) => drop(sorted.leaves[index].insert(row, key)),
            }
        }
        Ok(sorted)
    }
}

// Serial numbers

/// The last serial number that each CA signs in this run. It is drawn before anything is signed, so that every
/// host's `ca.srl` can be written while other hosts' certificates are still being made.
struct LastSerials {
    serials: BTreeMap<Authority, Serial>,
    /// Which certificate gets it: the last one in the plan's order.
    of: BTreeMap<(String, &'static str), Authority>,
    signs: BTreeSet<Authority>,
}

impl LastSerials {
    fn draw(cluster: &Cluster, plan: &Plan) -> Result<Self, KeyError> {
        let mut last: BTreeMap<Authority, (String, &'static str)> = BTreeMap::new();
        let mut signs: BTreeSet<Authority> = plan.authority.create.iter().copied().collect();
        if plan
            .authority
            .kubelet_cas
            .values()
            .any(|(action, _)| *action == KubeletCaAction::Sign)
        {
            signs.insert(catalog::acting(cluster, Authority::Kubernetes));
        }
        for host in &plan.hosts {
            for (row, (action, _)) in &host.leaves {
                if let (LeafAction::Issue(_), Some(authority)) = (action, catalog::signing_authority(cluster, row)) {
                    last.insert(authority, (host.host.clone(), row));
                    signs.insert(authority);
                }
            }
        }
        let mut serials = BTreeMap::new();
        for authority in catalog::authorities(cluster.authorities.mode) {
            serials.insert(*authority, Serial::random()?);
        }
        Ok(Self {
            serials,
            of: last.into_iter().map(|(authority, place)| (place, authority)).collect(),
            signs,
        })
    }

    /// The serial number of a leaf.
    fn leaf(&self, host: &str, row: &'static str) -> Result<Serial, KeyError> {
        match self.of.get(&(host.to_owned(), row)) {
            Some(authority) => Ok(self.serials[authority]),
            None => Serial::random(),
        }
    }
}

// Certificates and files

/// What every host's files are made from.
struct Workshop<'a> {
    cluster: &'a Cluster,
    now: Timestamp,
    authorities: Authorities,
    last: LastSerials,
}

impl Workshop<'_> {
    /// Makes what the plan for `authority/` says, keeps it for the hosts, and returns the files to write.
    fn authority(
        &mut self,
        plan: &AuthorityPlan,
        mut keys: AuthorityKeys,
        mut brought: BTreeMap<Authority, AuthorityFiles>,
    ) -> Result<Vec<NewFile>, ApplyError> {
        let Self { cluster, now, .. } = *self;
        let mut files = Vec::new();
        for authority in &plan.create {
            let Some(key) = keys.cas.remove(authority) else {
                continue;
            };
            let profile = catalog::authority_profile(cluster, *authority);
            let serial = if self.last.of.values().any(|of| of == authority) {
                Serial::random()?
            } else {
                self.last.serials[authority]
            };
            let certificate = issue::self_sign(&profile, &key, serial, now, cluster.backdate)
                .map_err(|error| issue_error(authority_stem(*authority), None, error))?;
            let made = AuthorityFiles {
                certificate: Some(certificate),
                key: Some(key),
                ..AuthorityFiles::default()
            };
            self.take(*authority, made, &mut files)?;
        }
        for authority in plan.take_up.keys() {
            if let Some(taken) = brought.remove(authority) {
                self.take(*authority, taken, &mut files)?;
            }
        }
        for (authority, found) in &mut self.authorities.cas {
            if found.key.is_some() && (found.serial.is_none() || self.last.signs.contains(authority)) {
                let serial = self.last.serials[authority].to_hex();
                files.push(new_file(
                    &format!("{}.srl", authority_stem(*authority)),
                    format!("{serial}\n"),
                    Mode::Public,
                )?);
                found.serial = Some(serial);
            }
        }
        for (host, (action, _)) in &plan.kubelet_cas {
            self.kubelet_ca(host, *action, keys.kubelet_cas.remove(host), &mut files)?;
        }
        if let Some(key) = keys.service_account {
            files.push(new_file("sa.key", key.to_pem()?.as_bytes(), Mode::Private)?);
            self.authorities.service_account_key = Some(key);
        }
        if (plan.service_account.is_some() || plan.service_account_public.is_some())
            && let Some(key) = &self.authorities.service_account_key
        {
            let public = render::public_keys(key, &self.authorities.service_account_public_keys);
            files.push(new_file("sa.pub", public, Mode::Public)?);
        }
        if plan.bootstrap_token.is_some() {
            let token = BootstrapToken::generate(now, cluster.validity.bootstrap_token)?;
            files.push(new_file(
                "bootstrap-token.yaml",
                token.to_secret().as_bytes(),
                Mode::Private,
            )?);
            self.authorities.bootstrap_token = Some(token);
        }
        if (plan.bootstrap_token.is_some() || plan.static_tokens.is_some())
            && let Some(bootstrap) = &self.authorities.bootstrap_token
        {
            let current = self.authorities.static_tokens.as_ref().map_or("", |text| text.as_str());
            let tokens = token::static_tokens(current, bootstrap);
            files.push(new_file("token.csv", tokens.as_bytes(), Mode::Private)?);
            self.authorities.static_tokens = Some(tokens);
        }
        for (name, file) in std::mem::take(&mut self.authorities.exposed) {
            if !files
                .iter()
                .any(|written| written.path.as_path().as_os_str() == name.as_str())
            {
                files.push(new_file(&name, file.content.as_slice(), Mode::Private)?);
            }
        }
        Ok(files)
    }

    fn take(&mut self, authority: Authority, made: AuthorityFiles, files: &mut Vec<NewFile>) -> Result<(), ApplyError> {
        let stem = authority_stem(authority);
        if let Some(certificate) = &made.certificate {
            files.push(new_file(&format!("{stem}.crt"), certificate.to_pem(), Mode::Public)?);
        }
        if let Some(key) = &made.key {
            files.push(new_file(
                &format!("{stem}.key"),
                key.to_pem()?.as_bytes(),
                Mode::Private,
            )?);
        }
        if !made.chain.is_empty() {
            let chain: String = made.chain.iter().map(Certificate::to_pem).collect();
            files.push(new_file(&format!("{stem}.chain.crt"), chain, Mode::Public)?);
        }
        self.authorities.cas.insert(authority, made);
        Ok(())
    }

    fn kubelet_ca(
        &mut self,
        name: &str,
        action: KubeletCaAction,
        new_key: Option<PrivateKey>,
        files: &mut Vec<NewFile>,
    ) -> Result<(), ApplyError> {
        let Some(host) = self.cluster.host(name) else {
            return Ok(());
        };
        let profile = catalog::kubelet_ca_profile(self.cluster, host);
        let stem = format!("kubelet-ca/{name}");
        let error = |error| issue_error("kubelet-ca", Some(name), error);
        let mut found = self.authorities.kubelet_cas.remove(name).unwrap_or_default();
        if let Some(key) = new_key {
            files.push(new_file(
                &format!("{stem}.key"),
                key.to_pem()?.as_bytes(),
                Mode::Private,
            )?);
            found.key = Some(key);
        }
        let Some(key) = &found.key else { return Ok(()) };
        match action {
            KubeletCaAction::Sign => {
                let parent = self.issuer(Authority::Kubernetes).map_err(error)?;
                let certificate = parent
                    .sign(
                        &profile,
                        key.public(),
                        Serial::random()?,
                        self.now,
                        self.cluster.backdate,
                    )
                    .map_err(error)?;
                files.push(new_file(&format!("{stem}.crt"), certificate.to_pem(), Mode::Public)?);
                found.certificate = Some(certificate);
            }
            KubeletCaAction::Request => {
                let request = issue::request(&profile, key).map_err(error)?;
                files.push(new_file(&format!("{stem}.csr"), &request, Mode::Public)?);
                found.request = Some(request);
            }
            KubeletCaAction::TakeUp { in_place } => {
                if !in_place {
                    found.certificate = found.signed_certificate();
                }
                if let Some(certificate) = &found.certificate {
                    files.push(new_file(&format!("{stem}.crt"), certificate.to_pem(), Mode::Public)?);
                }
            }
        }
        self.authorities.kubelet_cas.insert(name.to_owned(), found);
        Ok(())
    }

    fn manifest(&self, name: &str) -> Result<NewFile, ApplyError> {
        let file = match (name, &self.authorities.bootstrap_token) {
            (manifests::BOOTSTRAP_TOKEN, Some(token)) => new_file(name, token.to_secret().as_bytes(), Mode::Private)?,
            _ => new_file(name, manifests::rbac(self.cluster), Mode::Public)?,
        };
        Ok(file)
    }

    /// Makes a host's certificates, renders its files and stages its folder.
    fn host<D: Disk>(
        &self,
        transaction: &Transaction<'_, D>,
        plan: &HostPlan,
        mut keys: BTreeMap<&'static str, PrivateKey>,
    ) -> Result<(), ApplyError> {
        let Some(host) = self.cluster.host(&plan.host) else {
            return Ok(());
        };
        let files = catalog::host_files(self.cluster, host);
        let mut leaves = BTreeMap::new();
        let mut write = Vec::new();
        for (row, (action, _)) in &plan.leaves {
            match action {
                LeafAction::Issue(profile) => {
                    let Some(key) = keys.remove(row) else { continue };
                    leaves.insert(*row, self.leaf(host, row, profile, key)?);
                }
                LeafAction::TakeUp(pending, signed) => {
                    let changed = |what: &str| {
                        ApplyError::Changed(Obstacle::new(
                            format!("{HOSTS}/{}/{what}", plan.host),
                            "changed since it was looked at; run apply again",
                        ))
                    };
                    let certificate = plan
                        .found
                        .content(&signed.0)
                        .and_then(|text| Certificate::all_from_pem(text).ok());
                    let key = plan
                        .found
                        .content(&pending.key)
                        .and_then(|text| PrivateKey::from_pem(text).ok());
                    let mut certificates = certificate.ok_or_else(|| changed(&signed.0))?;
                    certificates.truncate(1);
                    certificates.extend(self.chain(row, host));
                    leaves.insert(
                        *row,
                        Leaf {
                            certificates,
                            key: key.ok_or_else(|| changed(&pending.key))?,
                        },
                    );
                }
                LeafAction::Request(profile, pending) => {
                    // An answer to an earlier request may be on its way: the key that waits for it is kept.
                    let waiting = plan.waiting_key(self.cluster, pending);
                    let Some(key) = waiting.or_else(|| keys.remove(row)) else {
                        continue;
                    };
                    let request =
                        issue::request(profile, &key).map_err(|error| issue_error(row, Some(&plan.host), error))?;
                    write.push(new_file(&pending.request, request, Mode::Public)?);
                    write.push(new_file(&pending.key, key.to_pem()?.as_bytes(), Mode::Private)?);
                }
            }
        }
        let nothing_new = AuthorityPlan::default();
        let brought = BTreeMap::new();
        let situation = Situation {
            cluster: self.cluster,
            authorities: &self.authorities,
            brought: &brought,
            now: self.now,
        };
        let renderer = Renderer { situation, host };
        for (file, _) in &plan.write {
            if !leaves.contains_key(file.row)
                && let Some(leaf) = Self::current(plan, file, &files)
            {
                leaves.insert(file.row, leaf);
            }
            if let Content::Bytes(content) = renderer.render(file, leaves.get(file.row), &nothing_new) {
                write.push(NewFile {
                    path: file.path.clone(),
                    content,
                    mode: file.part.mode(),
                });
            }
        }
        let remove = plan
            .remove
            .iter()
            .map(|(path, _)| RelPath::new(path))
            .collect::<Result<_, _>>()?;
        transaction.stage(folder(
            &format!("{HOSTS}/{}", plan.host),
            Mode::Public,
            2,
            write,
            remove,
        )?)?;
        Ok(())
    }

    /// The certificate that stays, for a file that changes around it.
    fn current(plan: &HostPlan, file: &HostFile, files: &[HostFile]) -> Option<Leaf> {
        matches!(catalog::row(file.row)?.what, What::Leaf { .. })
            .then(|| material(&plan.found, file.row, files).ok())
            .flatten()
            .map(|(certificates, key)| Leaf { certificates, key })
    }

    fn leaf(&self, host: &Host, row: &'static str, profile: &Profile, key: PrivateKey) -> Result<Leaf, ApplyError> {
        let error = |error| issue_error(row, Some(host.name.as_str()), error);
        let serial = self.last.leaf(host.name.as_str(), row)?;
        let issuer = match catalog::signing_authority(self.cluster, row) {
            Some(authority) => self.issuer(authority),
            None => match self.authorities.kubelet_cas.get(host.name.as_str()) {
                Some(KubeletCaFiles {
                    certificate: Some(certificate),
                    key: Some(key),
                    ..
                }) => Issuer::new(certificate, key),
                _ => Err(missing_issuer("kubelet-ca")),
            },
        };
        let certificate = issuer
            .and_then(|issuer| issuer.sign(profile, key.public(), serial, self.now, self.cluster.backdate))
            .map_err(error)?;
        let mut certificates = vec![certificate];
        certificates.extend(self.chain(row, host));
        Ok(Leaf { certificates, key })
    }

    fn issuer(&self, authority: Authority) -> Result<Issuer<'_>, IssueError> {
        let acting = catalog::acting(self.cluster, authority);
        match self.authorities.cas.get(&acting) {
            Some(AuthorityFiles {
                certificate: Some(certificate),
                key: Some(key),
                ..
            }) => Issuer::new(certificate, key),
            _ => Err(missing_issuer(authority_stem(acting))),
        }
    }

    /// The certificates that follow a row's leaf in its file.
    fn chain(&self, row: &str, host: &Host) -> Vec<Certificate> {
        let above = |authority: Authority| {
            let files = self.authorities.cas.get(&catalog::acting(self.cluster, authority));
            files.map(authority_chain).unwrap_or_default().into_iter().cloned()
        };
        match catalog::signing_authority(self.cluster, row) {
            Some(authority) => above(authority).collect(),
            None => self
                .authorities
                .kubelet_cas
                .get(host.name.as_str())
                .and_then(|files| files.certificate.clone())
                .into_iter()
                .chain(above(Authority::Kubernetes))
                .collect(),
        }
    }
}

fn issue_error(credential: &str, host: Option<&str>, error: IssueError) -> ApplyError {
    let what = host.map_or_else(|| credential.to_owned(), |host| format!("{credential} of {host}"));
    ApplyError::Issue { what, error }
}

fn missing_issuer(name: &str) -> IssueError {
    IssueError::Forbidden {
        issuer: name.to_owned(),
        reason: "its key is not here",
    }
}
