//! Plans `authority/`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::judge::{Measure, renewal_window};
use super::{Finding, Reason, Situation, Step};
use crate::catalog;
use crate::certificate::Certificate;
use crate::inventory::{AUTHORITY, AuthorityFiles, KubeletCaFiles, authority_stem};
use crate::issue;
use crate::spec::{Authority, Cluster, Host, KubeletServing};
use crate::write::Mode;

/// What is to be done in `authority/`.
#[derive(Debug, Default)]
pub struct AuthorityPlan {
    /// CAs to make.
    pub create: Vec<Authority>,
    /// CAs to copy from where the user brought them, with the extensions of their files.
    pub take_up: BTreeMap<Authority, Vec<&'static str>>,
    /// Kubelet CAs (S7) to make, sign anew or request, by host.
    pub kubelet_cas: BTreeMap<String, (KubeletCaAction, Vec<Reason>)>,
    /// Hosts whose kubelet CA gets a key.
    pub kubelet_ca_keys: BTreeSet<String>,
    /// Hosts whose kubelet CA can't be used until another certificate arrives.
    pub unfit_kubelet_cas: BTreeSet<String>,
    /// Files, or the folder itself as `.`, that others can read and must not.
    pub exposed: BTreeMap<String, Reason>,
    /// The service-account key pair to make.
    pub service_account: Option<Reason>,
    /// `sa.pub` to write although the key stays.
    pub service_account_public: Option<Reason>,
    /// The bootstrap token to make.
    pub bootstrap_token: Option<Reason>,
    /// `token.csv` to write although the token stays.
    pub static_tokens: Option<Reason>,
}

/// What to do about a kubelet CA. A key that is there is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeletCaAction {
    /// Sign it, the cluster CA's key being at hand.
    Sign,
    /// Write a request, the cluster CA's key being offline.
    Request,
    /// Take up the signed certificate that has arrived.
    TakeUp {
        /// It lies in its place already, and only the request is to go.
        in_place: bool,
    },
}

impl AuthorityPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps().is_empty()
    }

    /// What requests leave behind whose answers are taken up.
    pub(crate) fn answered_requests(&self) -> impl Iterator<Item = String> {
        let answered = self
            .kubelet_cas
            .iter()
            .filter(|(_, (action, _))| matches!(action, KubeletCaAction::TakeUp { .. }));
        answered.flat_map(|(host, _)| ["csr", "csr.crt"].map(|extension| format!("kubelet-ca/{host}.{extension}")))
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let new = |action, credential: &str, files: &[&str], reasons: Vec<Reason>| Step {
            action,
            credential: credential.to_owned(),
            host: None,
            files: files.iter().map(|file| format!("{AUTHORITY}/{file}")).collect(),
            reasons,
        };
        let mut steps = Vec::new();
        let made = self
            .create
            .iter()
            .map(|authority| (authority, ["crt", "key"].as_slice()));
        let made = made.map(|(authority, files)| ("create", Reason::Missing, authority, files));
        let taken = self.take_up.iter();
        let taken = taken.map(|(authority, files)| ("take up", Reason::Brought, authority, files.as_slice()));
        for (action, reason, authority, extensions) in made.chain(taken) {
            let stem = authority_stem(*authority);
            let files: Vec<_> = extensions
                .iter()
                .map(|extension| format!("{stem}.{extension}"))
                .collect();
            let files: Vec<_> = files.iter().map(String::as_str).collect();
            steps.push(new(action, stem, &files, vec![reason]));
        }
        for (host, (action, reasons)) in &self.kubelet_cas {
            let (action, extension) = match action {
                KubeletCaAction::Sign => ("issue", "crt"),
                KubeletCaAction::Request => ("request", "csr"),
                KubeletCaAction::TakeUp { .. } => ("take up", "crt"),
            };
            let key = self.kubelet_ca_keys.contains(host).then_some("key");
            let files = std::iter::once(extension).chain(key);
            let files: Vec<_> = files
                .map(|extension| format!("kubelet-ca/{host}.{extension}"))
                .collect();
            let files: Vec<_> = files.iter().map(String::as_str).collect();
            let mut signed = new(action, "kubelet-ca", &files, reasons.clone());
            signed.host = Some(host.clone());
            steps.push(signed);
        }
        for (name, reason) in &self.exposed {
            steps.push(new("write", "authority", &[name], vec![reason.clone()]));
        }
        let single = [
            (
                "create",
                "service-account",
                ["sa.key", "sa.pub"].as_slice(),
                &self.service_account,
            ),
            (
                "write",
                "service-account",
                ["sa.pub"].as_slice(),
                &self.service_account_public,
            ),
            (
                "create",
                "bootstrap",
                ["bootstrap-token.yaml", "token.csv"].as_slice(),
                &self.bootstrap_token,
            ),
            ("write", "bootstrap", ["token.csv"].as_slice(), &self.static_tokens),
        ];
        steps.extend(
            single
                .into_iter()
                .filter_map(|(action, name, files, reason)| Some(new(action, name, files, vec![reason.clone()?]))),
        );
        steps
    }
}

pub(super) fn plan(situation: Situation<'_>) -> (AuthorityPlan, Vec<Finding>) {
    let Situation {
        cluster,
        authorities,
        brought,
        now,
    } = situation;
    let mut plan = AuthorityPlan::default();
    let mut findings = Vec::new();
    for authority in catalog::authorities(cluster.authorities.mode) {
        let own = authorities
            .cas
            .get(authority)
            .and_then(|files| files.certificate.as_ref());
        match (own, brought.get(authority)) {
            (Some(certificate), _) => findings.extend(dates(cluster, *authority, certificate, now)),
            (None, Some(files)) => {
                let key = files.key.is_some().then_some("key");
                let chain = (!files.chain.is_empty()).then_some("chain.crt");
                let extensions = std::iter::once("crt").chain(key).chain(chain).collect();
                plan.take_up.insert(*authority, extensions);
            }
            (None, None) => plan.create.push(*authority),
        }
    }
    let mode = |is, must_be| Reason::Mode { is, must_be };
    let files = authorities.exposed.iter();
    let files = files.map(|(name, file)| (name.clone(), mode(file.mode, Mode::Private.file())));
    let folder = authorities.exposed_folder;
    let folder = folder.map(|is| (".".to_owned(), mode(is, Mode::Private.folder())));
    plan.exposed = files.chain(folder).collect();
    if cluster.kubelets.serving == KubeletServing::KubeletCa {
        for host in &cluster.hosts {
            if catalog::Holder::KubeletWithServing.includes(cluster, host) {
                kubelet_ca(situation, host, &mut plan, &mut findings);
            }
        }
    }
    match &authorities.service_account_key {
        None => plan.service_account = Some(Reason::Missing),
        Some(key) if authorities.service_account_public_keys.first() != Some(key.public()) => {
            plan.service_account_public = Some(if authorities.service_account_public_keys.is_empty() {
                Reason::Missing
            } else {
                Reason::ContentDiffers
            });
        }
        Some(_) => {}
    }
    match &authorities.bootstrap_token {
        None => plan.bootstrap_token = Some(Reason::Missing),
        Some(token) if token.expires() <= now => {
            plan.bootstrap_token = Some(Reason::Expired { at: token.expires() });
        }
        Some(token) => {
            let line = token.to_static_line();
            let in_place = authorities
                .static_tokens
                .as_ref()
                .map(|text| text.lines().any(|found| found == line.trim_end()));
            plan.static_tokens = match in_place {
                Some(true) => None,
                Some(false) => Some(Reason::ContentDiffers),
                None => Some(Reason::Missing),
            };
        }
    }
    (plan, findings)
}

/// The certificates that a client which trusts only `authority`'s root needs besides the leaf: nothing for a root,
/// the intermediate and what stands between it and its root otherwise.
pub(crate) fn chain(files: &AuthorityFiles) -> Vec<&Certificate> {
    files
        .certificate
        .iter()
        .chain(&files.chain)
        .filter(|certificate| !certificate.is_self_issued())
        .collect()
}

fn kubelet_ca(situation: Situation<'_>, host: &Host, plan: &mut AuthorityPlan, findings: &mut Vec<Finding>) {
    let Situation {
        cluster,
        authorities,
        now,
        ..
    } = situation;
    let profile = catalog::kubelet_ca_profile(cluster, host);
    let parent = situation.acting(Authority::Kubernetes);
    let issuer = parent.and_then(|files| files.certificate.as_ref());
    if issuer.is_some_and(|parent| parent.not_after <= now) {
        return;
    }
    let name = host.name.to_string();
    let nothing = KubeletCaFiles::default();
    let found = authorities.kubelet_cas.get(&name).unwrap_or(&nothing);
    let measure = Measure {
        profile: &profile,
        issuer,
        chain: &[],
        key: None,
        cluster,
        now,
    };
    let judge = |certificate: &Certificate| match &found.key {
        None => vec![Reason::Missing],
        Some(key) if certificate.public_key != *key.public() => vec![Reason::KeyMismatch],
        Some(_) => measure.judge(std::slice::from_ref(certificate)),
    };
    let reasons = found.certificate.as_ref().map_or(vec![Reason::Missing], judge);
    if parent.is_none_or(|files| files.key.is_some()) {
        if !reasons.is_empty() {
            plan.kubelet_ca_keys.extend(found.key.is_none().then(|| name.clone()));
            plan.kubelet_cas.insert(name, (KubeletCaAction::Sign, reasons));
        }
        return;
    }
    let pending = found.request.is_some() || found.signed.is_some();
    let mut take_up = |in_place| {
        let action = (KubeletCaAction::TakeUp { in_place }, vec![Reason::Signed]);
        plan.kubelet_cas.insert(name.clone(), action);
    };
    if reasons.is_empty() {
        if pending {
            take_up(true);
        }
        return;
    }
    let answer = found.signed.as_ref().map(|_| match found.signed_certificate() {
        Some(certificate) => judge(&certificate),
        None => vec![Reason::Unreadable(format!("{name}.csr.crt is no certificate"))],
    });
    if answer.as_ref().is_some_and(Vec::is_empty) {
        take_up(false);
        return;
    }
    // One that is only getting old is used until its successor arrives.
    let ageing = reasons.iter().all(|reason| matches!(reason, Reason::Expires { .. }));
    if !ageing {
        plan.unfit_kubelet_cas.insert(name.clone());
    }
    // What lies in its place may be an answer too, unless it is the old one that has come to its end.
    let rejected = answer.unwrap_or_else(|| {
        let old = |reason: &Reason| {
            matches!(
                reason,
                Reason::Missing | Reason::Expires { .. } | Reason::Expired { .. }
            )
        };
        if reasons.iter().all(old) {
            Vec::new()
        } else {
            reasons.clone()
        }
    });
    let place = format!("{AUTHORITY}/kubelet-ca/{name}");
    findings.push(super::host::waiting("kubelet-ca", Some(&name), &place, &rejected));
    let wanted = found.key.as_ref().and_then(|key| issue::request(&profile, key).ok());
    let asks_the_same = found
        .request
        .as_ref()
        .zip(wanted)
        .is_some_and(|(found, wanted)| issue::requests_agree(found.as_bytes(), wanted.as_bytes()));
    if !asks_the_same {
        plan.kubelet_ca_keys.extend(found.key.is_none().then(|| name.clone()));
        plan.kubelet_cas.insert(name, (KubeletCaAction::Request, reasons));
    }
}

/// A CA is never replaced by `apply`, so its end is a finding.
fn dates(cluster: &Cluster, authority: Authority, certificate: &Certificate, now: Timestamp) -> Option<Finding> {
    let end = certificate.not_after;
    let (code, message, unfinished) = if end <= now {
        (
            "AuthorityExpired",
            format!("the CA expired on {end}: nothing that it signed is valid"),
            true,
        )
    } else if renewal_window(cluster, certificate) >= end.duration_since(now) {
        (
            "AuthorityExpires",
            format!("the CA expires on {end}, within the renewal window"),
            false,
        )
    } else if certificate.not_before > now {
        (
            "AuthorityNotYetValid",
            format!(
                "the CA is not valid before {}: is a clock wrong?",
                certificate.not_before
            ),
            true,
        )
    } else {
        return None;
    };
    Some(Finding {
        code,
        credential: authority_stem(authority).to_owned(),
        host: None,
        message,
        hint: "a CA is replaced in stages, trusted everywhere before it signs; apply never does that by itself"
            .to_owned(),
        unfinished,
    })
}
