//! Plans one host's folder.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Measure;
use super::{AuthorityPlan, Finding, Reason, Situation, Step, shown};
use crate::catalog::{self, HostFile, Part, Row, What};
use crate::certificate::Certificate;
use crate::inventory::{HostFiles, PendingPaths, pending_paths, stem};
use crate::key::{KeyKind, PrivateKey};
use crate::kubeconfig::{Credential, KeySource, Kubeconfig, Source};
use crate::profile::Profile;
use crate::render::{self, Leaf, Renderer};
use crate::spec::{Authority, Cluster, Host};

/// What is to be done in one host's folder.
#[derive(Debug)]
pub struct HostPlan {
    /// The host.
    pub host: String,
    /// Its leaves that change, by row.
    pub leaves: BTreeMap<&'static str, (LeafAction, Vec<Reason>)>,
    /// The files to write, in the catalog's order.
    pub write: Vec<(HostFile, Vec<Reason>)>,
    /// The files to remove, with the reason.
    pub remove: Vec<(String, Reason)>,
    /// What the folder holds now.
    pub found: HostFiles,
}

/// What to do about a leaf.
#[derive(Debug, Clone)]
pub enum LeafAction {
    /// Make a key and sign a certificate for it.
    Issue(Profile),
    /// Make a key and a request for it, the CA's key being offline.
    Request(Profile, PendingPaths),
    /// Take up the signed certificate that has arrived, with the key that waits for it.
    TakeUp(PendingPaths, SignedAt),
}

/// Where the signed certificate was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAt(pub String);

impl HostPlan {
    /// The key that waits for an answer to an earlier request, if the spec still asks for its kind.
    pub(crate) fn waiting_key(&self, cluster: &Cluster, pending: &PendingPaths) -> Option<PrivateKey> {
        let key = PrivateKey::from_pem(self.found.content(&pending.key)?).ok()?;
        (key.public().kind == KeyKind::of(cluster.key_algorithm)).then_some(key)
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (row, (action, reasons)) in &self.leaves {
            let (action, files) = match action {
                LeafAction::Issue(_) => ("issue", self.files_of(row)),
                LeafAction::TakeUp(..) => ("take up", self.files_of(row)),
                LeafAction::Request(_, pending) => (
                    "request",
                    [&pending.request, &pending.key].map(|path| self.shown(path)).to_vec(),
                ),
            };
            steps.push(self.step(action, row, files, reasons.clone()));
        }
        for (file, reasons) in self.write.iter().filter(|(file, _)| !self.changes(file.row)) {
            match steps.last_mut() {
                Some(last) if last.action == "write" && last.credential == file.row && last.reasons == *reasons => {
                    last.files.push(shown(&self.host, file));
                }
                _ => steps.push(self.step("write", file.row, vec![shown(&self.host, file)], reasons.clone())),
            }
        }
        for (path, reason) in &self.remove {
            // What a request leaves behind goes with the certificate that ends it.
            if *reason != Reason::Signed {
                steps.push(self.step("remove", "file", vec![self.shown(path)], vec![reason.clone()]));
            }
        }
        let order = |name: &str| {
            catalog::ROWS
                .iter()
                .position(|row| row.name == name)
                .unwrap_or(usize::MAX)
        };
        steps.sort_by_key(|step| order(&step.credential));
        steps
    }

    /// Whether the row's certificate changes here.
    fn changes(&self, row: &str) -> bool {
        self.leaves
            .get(row)
            .is_some_and(|(action, _)| !matches!(action, LeafAction::Request(..)))
    }

    fn files_of(&self, row: &str) -> Vec<String> {
        self.write
            .iter()
            .filter(|(file, _)| file.row == row)
            .map(|(file, _)| shown(&self.host, file))
            .collect()
    }

    fn shown(&self, path: &str) -> String {
        format!("{}/{}/{path}", crate::inventory::HOSTS, self.host)
    }

    fn step(&self, action: &'static str, credential: &str, files: Vec<String>, reasons: Vec<Reason>) -> Step {
        Step {
            action,
            credential: credential.to_owned(),
            host: Some(self.host.clone()),
            files,
            reasons,
        }
    }
}

pub(super) fn plan(
    situation: Situation<'_>,
    authority: &AuthorityPlan,
    host: &Host,
    found: HostFiles,
) -> (Option<HostPlan>, Vec<Finding>) {
    let files = catalog::host_files(situation.cluster, host);
    let mut planner = Planner {
        situation,
        authority,
        host,
        found: &found,
        findings: Vec::new(),
        leftovers: BTreeSet::new(),
    };
    let mut leaves = BTreeMap::new();
    let mut current = BTreeMap::new();
    let mut settled = BTreeSet::new();
    for row in catalog::ROWS
        .iter()
        .filter(|row| files.iter().any(|file| file.row == row.name))
    {
        let Some(profile) = catalog::leaf_profile(situation.cluster, host, row) else {
            continue;
        };
        let replaced = match planner.leaf(row, &files, &profile) {
            Verdict::Keep(leaf) => {
                current.insert(row.name, leaf);
                settled.insert(row.name);
                continue;
            }
            Verdict::Act(action, reasons) => {
                if matches!(action, LeafAction::Issue(_)) {
                    settled.insert(row.name);
                }
                let replaced = !matches!(action, LeafAction::Request(..));
                leaves.insert(row.name, (action, reasons));
                replaced
            }
            Verdict::Wait => false,
        };
        // An old pair stays in force until the new certificate arrives.
        if !replaced && let Some(leaf) = planner.in_force(row, &files) {
            current.insert(row.name, leaf);
        }
    }
    let write = planner.writes(&files, &leaves, &current);
    let mut remove = planner.removals(&files, &settled);
    let Planner {
        findings, leftovers, ..
    } = planner;
    remove.extend(leftovers.into_iter().map(|path| (path, Reason::Signed)));
    let plan = HostPlan {
        host: host.name.to_string(),
        leaves,
        write,
        remove,
        found,
    };
    let nothing = plan.leaves.is_empty() && plan.write.is_empty() && plan.remove.is_empty();
    ((!nothing).then_some(plan), findings)
}

#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Verdict {
    Keep(Leaf),
    Act(LeafAction, Vec<Reason>),
    /// A request is pending; nothing can be done here.
    Wait,
}

struct Planner<'a> {
    situation: Situation<'a>,
    authority: &'a AuthorityPlan,
    host: &'a Host,
    found: &'a HostFiles,
    findings: Vec<Finding>,
    /// What a request that has been answered leaves behind.
    leftovers: BTreeSet<String>,
}

/// The CA that must sign a leaf.
struct LeafSigner<'a> {
    certificate: Option<&'a Certificate>,
    has_key: bool,
    chain: Vec<&'a Certificate>,
}

impl<'a> Planner<'a> {
    fn leaf(&mut self, row: &'static Row, files: &[HostFile], profile: &Profile) -> Verdict {
        let Some(signer) = self.signer(row) else {
            self.findings.push(Finding {
                code: "WaitsForKubeletCa",
                credential: row.name.to_owned(),
                host: Some(self.host.name.to_string()),
                message: "its kubelet CA is not signed yet".to_owned(),
                hint: "sign the kubelet CA's request, then run apply again".to_owned(),
                unfinished: true,
            });
            return Verdict::Wait;
        };
        let cluster = self.situation.cluster;
        let measure = Measure {
            profile,
            issuer: signer.certificate,
            chain: &signer.chain,
            key: Some(KeyKind::of(cluster.key_algorithm)),
            cluster,
            now: self.situation.now,
        };
        let material = self.material(row, files);
        let reasons = match &material {
            Ok((certificates, key)) => match certificates.first() {
                Some(first) if first.public_key != *key.public() => vec![Reason::KeyMismatch],
                _ => measure.judge(certificates),
            },
            Err(reason) => vec![reason.clone()],
        };
        match material {
            Ok((certificates, key)) if reasons.is_empty() => Verdict::Keep(Leaf { certificates, key }),
            // Only the clock can mend this one; a new certificate would carry the same fault.
            Ok((certificates, key))
                if reasons
                    .iter()
                    .all(|reason| matches!(reason, Reason::NotYetValid { .. })) =>
            {
                self.findings.push(Finding {
                    code: "NotYetValid",
                    credential: row.name.to_owned(),
                    host: Some(self.host.name.to_string()),
                    message: reasons.iter().map(ToString::to_string).collect(),
                    hint: "compare this machine's clock with the one that signed it".to_owned(),
                    unfinished: false,
                });
                Verdict::Keep(Leaf { certificates, key })
            }
            // It could only sign what has expired too. Its end is a finding of its own.
            _ if signer.certificate.is_some_and(|ca| ca.not_after <= self.situation.now) => Verdict::Wait,
            _ if signer.has_key => Verdict::Act(LeafAction::Issue(profile.clone()), reasons),
            _ => self.offline(row, files, &measure, reasons),
        }
    }

    /// The CA's key is not here: request, wait, or take up what was signed.
    fn offline(
        &mut self,
        row: &'static Row,
        files: &[HostFile],
        measure: &Measure<'_>,
        reasons: Vec<Reason>,
    ) -> Verdict {
        let profile = measure.profile;
        let Some(place) = files.iter().find(|file| file.row == row.name) else {
            return Verdict::Wait;
        };
        let pending = pending_paths(stem(&place.path.to_string()));
        let key = self
            .found
            .content(&pending.key)
            .and_then(|text| PrivateKey::from_pem(text).ok());
        let shown = format!(
            "{}/{}/{}",
            crate::inventory::HOSTS,
            self.host.name,
            stem(&place.path.to_string())
        );
        let waits = |rejected: &[Reason]| waiting(row.name, Some(self.host.name.as_str()), &shown, rejected);
        let Some(key) = key else {
            self.findings.push(waits(&[]));
            return Verdict::Act(LeafAction::Request(profile.clone(), pending), reasons);
        };
        let at_its_place = files.iter().any(|file| file.path.to_string() == pending.signed[1]);
        let old_pair = at_its_place && self.in_force(row, files).is_some();
        let mut rejected = Vec::new();
        for path in &pending.signed {
            let Some(certificates) = self
                .found
                .content(path)
                .and_then(|text| Certificate::all_from_pem(text).ok())
            else {
                if self.found.content(path).is_some() {
                    rejected.push(Reason::Unreadable(format!("{path} is no certificate")));
                }
                continue;
            };
            // The old certificate at its place, not an answer to this request.
            if certificates
                .first()
                .is_some_and(|first| first.public_key != *key.public())
            {
                if *path == pending.signed[0] || !old_pair {
                    rejected.push(Reason::KeyMismatch);
                }
                continue;
            }
            // The chain is ours to add.
            let mut faults = measure.judge(&certificates[..1]);
            faults.retain(|fault| *fault != Reason::ChainDiffers);
            if faults.is_empty() {
                self.leftovers
                    .extend([pending.request.clone(), pending.key.clone(), pending.signed[0].clone()]);
                if !at_its_place {
                    self.leftovers.insert(pending.signed[1].clone());
                }
                let signed = SignedAt(path.clone());
                return Verdict::Act(LeafAction::TakeUp(pending.clone(), signed), vec![Reason::Signed]);
            }
            rejected.extend(faults);
        }
        let wanted = crate::issue::request(profile, &key).ok();
        let asks_the_same = self
            .found
            .content(&pending.request)
            .zip(wanted)
            .is_some_and(|(found, wanted)| crate::issue::requests_agree(found, wanted.as_bytes()));
        if !asks_the_same {
            self.findings.push(waits(&[]));
            return Verdict::Act(LeafAction::Request(profile.clone(), pending), reasons);
        }
        self.findings.push(waits(&rejected));
        Verdict::Wait
    }

    /// `None` while the kubelet CA has no certificate and its parent is offline.
    fn signer(&self, row: &Row) -> Option<LeafSigner<'a>> {
        let Some(authority) = catalog::signing_authority(self.situation.cluster, row.name) else {
            return self.kubelet_signer();
        };
        let files = self.situation.acting(authority);
        Some(LeafSigner {
            certificate: files.and_then(|files| files.certificate.as_ref()),
            has_key: files.is_none_or(|files| files.key.is_some()),
            chain: files.map(super::authority::chain).unwrap_or_default(),
        })
    }

    fn kubelet_signer(&self) -> Option<LeafSigner<'a>> {
        let name = self.host.name.as_str();
        let above = self.situation.acting(Authority::Kubernetes);
        match self.authority.kubelet_cas.get(name) {
            Some((super::KubeletCaAction::Sign | super::KubeletCaAction::TakeUp { in_place: false }, _)) => {
                return Some(LeafSigner {
                    certificate: None,
                    has_key: true,
                    chain: Vec::new(),
                });
            }
            // A certificate that the plan for authority/ has rejected signs nothing.
            _ if self.authority.unfit_kubelet_cas.contains(name) => return None,
            _ => {}
        }
        let files = self.situation.authorities.kubelet_cas.get(name)?;
        let certificate = files.certificate.as_ref()?;
        let mut chain = vec![certificate];
        chain.extend(above.map(super::authority::chain).unwrap_or_default());
        Some(LeafSigner {
            certificate: Some(certificate),
            has_key: files.key.is_some(),
            chain,
        })
    }

    /// The row's certificate and key, if they are a pair.
    fn in_force(&self, row: &Row, files: &[HostFile]) -> Option<Leaf> {
        let (certificates, key) = self.material(row, files).ok()?;
        let is_pair = certificates.first()?.public_key == *key.public();
        is_pair.then_some(Leaf { certificates, key })
    }

    /// The row's certificate and key as they lie on this host.
    fn material(&self, row: &Row, files: &[HostFile]) -> Result<(Vec<Certificate>, PrivateKey), Reason> {
        material(self.found, row.name, files)
    }

    /// The files whose content or mode is not what it must be.
    fn writes(
        &self,
        files: &[HostFile],
        leaves: &BTreeMap<&'static str, (LeafAction, Vec<Reason>)>,
        current: &BTreeMap<&'static str, Leaf>,
    ) -> Vec<(HostFile, Vec<Reason>)> {
        let renderer = Renderer {
            situation: self.situation,
            host: self.host,
        };
        let mut writes = Vec::new();
        for file in files {
            let made = match leaves.get(file.row) {
                Some((LeafAction::Issue(_) | LeafAction::TakeUp(..), reasons)) => Some(reasons),
                Some((LeafAction::Request(..), _)) | None => None,
            };
            if let Some(reasons) = made
                && !renderer.names_its_pair(file)
            {
                writes.push((file.clone(), reasons.clone()));
                continue;
            }
            let of_leaf = catalog::row(file.row).is_some_and(|row| matches!(row.what, What::Leaf { .. }));
            if of_leaf && made.is_none() && !current.contains_key(file.row) {
                // A request is pending, and there is nothing yet to write.
                continue;
            }
            if file.part == Part::Serial {
                // Its value moves on whenever OpenSSL signs with it, so any serial number will do, and it is
                // brought up to date whenever this host gets a certificate.
                let valid = self.found.content(&file.path).is_some_and(crate::inventory::is_serial);
                let signs = leaves.iter().any(|(row, (action, _))| {
                    matches!(action, LeafAction::Issue(_)) && self.is_signed_with(row, file.row)
                });
                if self.authority_key_is_here(file) && (!valid || signs) {
                    let reason = if valid {
                        Reason::Follows("the last serial number")
                    } else {
                        Reason::Missing
                    };
                    writes.push((file.clone(), vec![reason]));
                }
                continue;
            }
            match renderer.render(file, current.get(file.row), self.authority) {
                // Nothing to hold: the CA's key is offline.
                render::Content::None => {}
                render::Content::Pending(what) => {
                    writes.push((file.clone(), vec![self.reason(file, Reason::Follows(what))]));
                }
                render::Content::Bytes(bytes) => {
                    if let Some(reason) = self.difference(file, &bytes) {
                        writes.push((file.clone(), vec![reason]));
                    }
                }
            }
        }
        writes
    }

    /// Whether the CA of the row `ca` signs the leaf of `row`.
    fn is_signed_with(&self, row: &str, ca: &str) -> bool {
        let cluster = self.situation.cluster;
        let Some(What::Authority { authority, .. }) = catalog::row(ca).map(|row| &row.what) else {
            return false;
        };
        catalog::signing_authority(cluster, row) == Some(catalog::acting(cluster, *authority))
    }

    fn authority_key_is_here(&self, file: &HostFile) -> bool {
        let Some(What::Authority { authority, .. }) = catalog::row(file.row).map(|row| &row.what) else {
            return false;
        };
        self.authority
            .create
            .contains(&catalog::acting(self.situation.cluster, *authority))
            || self
                .situation
                .acting(*authority)
                .is_some_and(|files| files.key.is_some())
    }

    fn difference(&self, file: &HostFile, must_be: &[u8]) -> Option<Reason> {
        let found = self.found.files.get(file.path.as_path().to_str()?);
        match found {
            None => Some(Reason::Missing),
            Some(found) if found.content.as_slice() != must_be => Some(Reason::ContentDiffers),
            Some(found) if found.mode != file.part.mode().file() => Some(Reason::Mode {
                is: found.mode,
                must_be: file.part.mode().file(),
            }),
            Some(_) => None,
        }
    }

    fn reason(&self, file: &HostFile, otherwise: Reason) -> Reason {
        if self.found.content(&file.path).is_some() {
            otherwise
        } else {
            Reason::Missing
        }
    }

    /// Catalog files that lie here and must not, by this host's roles, and requests that nothing waits for: those of
    /// `settled` rows, and of files that this host no longer has.
    fn removals(&self, files: &[HostFile], settled: &BTreeSet<&'static str>) -> Vec<(String, Reason)> {
        let held: BTreeSet<String> = files.iter().map(|file| file.path.to_string()).collect();
        let waiting: BTreeSet<String> = files
            .iter()
            .filter(|file| !settled.contains(file.row))
            .flat_map(|file| {
                let PendingPaths { request, key, signed } = pending_paths(stem(&file.path.to_string()));
                // The signed certificate of a kubeconfig's request lies where a named pair would.
                [request, key].into_iter().chain(signed)
            })
            .collect();
        let known = catalog::known_paths();
        let is_request = |path: &str| [".csr", ".csr.key", ".csr.crt"].iter().any(|end| path.ends_with(end));
        let found = self.found.files.keys();
        found
            .filter(|path| known.contains(*path) || is_request(path))
            .filter(|path| !held.contains(*path) && !waiting.contains(*path))
            .map(|path| (path.clone(), Reason::NotHeld))
            .collect()
    }
}

/// The certificate (with its chain) and key of a row, wherever the layout keeps them.
pub(crate) fn material(
    found: &HostFiles,
    row: &str,
    files: &[HostFile],
) -> Result<(Vec<Certificate>, PrivateKey), Reason> {
    let unreadable = |error: &dyn std::fmt::Display| Reason::Unreadable(error.to_string());
    let of = |part: fn(&Part) -> bool| files.iter().find(|file| file.row == row && part(&file.part));
    let content = |file: &HostFile| found.content(&file.path).ok_or(Reason::Missing);
    if let (Some(certificate), Some(key)) = (of(|part| *part == Part::Certificate), of(|part| *part == Part::Key)) {
        let certificates = Certificate::all_from_pem(content(certificate)?).map_err(|error| unreadable(&error))?;
        let key = PrivateKey::from_pem(content(key)?).map_err(|error| unreadable(&error))?;
        return Ok((certificates, key));
    }
    let file = of(|part| matches!(part, Part::Kubeconfig(_))).ok_or(Reason::Missing)?;
    let text = std::str::from_utf8(content(file)?).map_err(|error| unreadable(&error))?;
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| unreadable(&error))?;
    match kubeconfig.credential {
        Credential::Certificate {
            certificate: Source::Data(certificate),
            key: KeySource::Data(key),
        } => Ok((
            Certificate::all_from_pem(certificate.as_bytes()).map_err(|error| unreadable(&error))?,
            PrivateKey::from_pem(key.as_bytes()).map_err(|error| unreadable(&error))?,
        )),
        _ => Err(Reason::Missing),
    }
}

/// A request waits for its signature, or what came back is not what was asked for.
pub(super) fn waiting(credential: &str, host: Option<&str>, place: &str, rejected: &[Reason]) -> Finding {
    let (code, message, hint) = if rejected.is_empty() {
        (
            "WaitsForSignature",
            format!("{place}.csr waits for the CA"),
            format!("have it signed, put the certificate at {place}.csr.crt, and run apply again"),
        )
    } else {
        let faults = rejected.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        (
            "SignedCertificateRefused",
            format!("the certificate signed for {place}.csr is not what it must be: {faults}"),
            format!("have {place}.csr signed again, with the names and usages that it asks for"),
        )
    };
    Finding {
        code,
        credential: credential.to_owned(),
        host: host.map(str::to_owned),
        message,
        hint,
        unfinished: true,
    }
}
