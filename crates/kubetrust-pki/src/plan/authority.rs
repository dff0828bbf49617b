//! Plans `authority/`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::judge::{Measure, renewal_window};
use super::{Finding, Reason, Situation, Step};
use crate::catalog;
use crate::certificate::Certificate;
use crate::inventory::{AUTHORITY, AuthorityFiles, Obstacle, authority_stem};
use crate::profile::{Kind, Profile};
use crate::spec::{Authority, Cluster, Host, KubeletServing};

/// What is to be done in `authority/`.
#[derive(Debug, Default)]
pub struct AuthorityPlan {
    /// CAs to make.
    pub create: Vec<Authority>,
    /// CAs to copy from where the user brought them.
    pub take_up: Vec<Authority>,
    /// Kubelet CAs (S7) to make, sign anew or request, by host.
    pub kubelet_cas: BTreeMap<String, (KubeletCaAction, Vec<Reason>)>,
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
}

impl AuthorityPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps().is_empty()
    }

    /// Whether the CA that acts for `authority` is made or taken up by this plan.
    #[must_use]
    pub fn makes(&self, authority: Authority) -> bool {
        self.create.contains(&authority) || self.take_up.contains(&authority)
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
        for (action, cas, reason) in [
            ("create", &self.create, Reason::Missing),
            ("take up", &self.take_up, Reason::Brought),
        ] {
            for authority in cas {
                let stem = authority_stem(*authority);
                let files = [format!("{stem}.crt"), format!("{stem}.key")];
                steps.push(new(
                    action,
                    stem,
                    &files.each_ref().map(String::as_str),
                    vec![reason.clone()],
                ));
            }
        }
        for (host, (action, reasons)) in &self.kubelet_cas {
            let (action, extensions) = match action {
                KubeletCaAction::Sign => ("issue", ["crt", "key"]),
                KubeletCaAction::Request => ("request", ["csr", "key"]),
            };
            let files = extensions.map(|extension| format!("kubelet-ca/{host}.{extension}"));
            let mut signed = new(
                action,
                "kubelet-ca",
                &files.each_ref().map(String::as_str),
                reasons.clone(),
            );
            signed.host = Some(host.clone());
            steps.push(signed);
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
        match authorities
            .cas
            .get(authority)
            .and_then(|files| files.certificate.as_ref())
        {
            Some(certificate) => findings.extend(dates(cluster, *authority, certificate, now)),
            None if brought.contains_key(authority) => plan.take_up.push(*authority),
            None => plan.create.push(*authority),
        }
    }
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

/// The signer of kubelet CAs, and whether it can sign here.
pub(super) fn signer(situation: Situation<'_>, authority: Authority) -> Option<&AuthorityFiles> {
    let acting = catalog::acting(situation.cluster, authority);
    situation
        .authorities
        .cas
        .get(&acting)
        .filter(|files| files.certificate.is_some())
        .or_else(|| situation.brought.get(&acting))
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
    let parent = signer(situation, Authority::Kubernetes);
    let name = host.name.to_string();
    let found = authorities.kubelet_cas.get(&name);
    let certificate = found.and_then(|files| files.certificate.clone());
    let new_key = found.is_none_or(|files| files.key.is_none());
    let measure = Measure {
        profile: &profile,
        issuer: parent.and_then(|files| files.certificate.as_ref()),
        chain: &[],
        key: None,
        renew_before: cluster.renew_before,
        now,
    };
    let mut reasons = match (&certificate, found.and_then(|files| files.key.as_ref())) {
        (Some(certificate), Some(key)) if certificate.public_key == *key.public() => {
            measure.judge(std::slice::from_ref(certificate))
        }
        (Some(_), Some(_)) => vec![Reason::KeyMismatch],
        _ => vec![Reason::Missing],
    };
    if reasons.is_empty() {
        return;
    }
    let offline = parent.is_some_and(|files| files.key.is_none());
    let action = if offline {
        KubeletCaAction::Request
    } else {
        KubeletCaAction::Sign
    };
    if action == KubeletCaAction::Request {
        // What an offline CA signed for us is judged like everything else; what it signed wrongly is said, and kept.
        let rejected = certificate.is_some() && !reasons.contains(&Reason::Missing);
        findings.push(super::host::waiting(
            "kubelet-ca",
            Some(&name),
            &format!("{AUTHORITY}/kubelet-ca/{name}"),
            if rejected { &reasons } else { &[] },
        ));
        if !new_key && found.is_some_and(|files| files.request.is_some()) {
            return;
        }
        reasons.retain(|reason| *reason != Reason::AuthorityIsNew);
        if reasons.is_empty() {
            reasons.push(Reason::Missing);
        }
    }
    plan.kubelet_cas.insert(name, (action, reasons));
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
    } else if renewal_window(cluster.renew_before, certificate) >= end.duration_since(now) {
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

/// Checks a CA that the user brings: it is one, now, its key fits, and it may sign what this cluster needs of it.
/// Every obstacle names a field of the spec.
#[must_use]
pub fn validate_brought(
    cluster: &Cluster,
    authority: Authority,
    files: &AuthorityFiles,
    now: Timestamp,
) -> Vec<Obstacle> {
    let field = |name: &str| format!("authorities.bring.{}.{name}", brought_name(authority));
    let Some(certificate) = &files.certificate else {
        return Vec::new();
    };
    let mut obstacles = Vec::new();
    let mut refuse = |name: &str, what: String| obstacles.push(Obstacle::new(field(name), what));
    if !certificate.may_sign() {
        refuse(
            "certificate",
            format!(
                "{} is no CA: its basic constraints or key usage forbid signing",
                certificate.subject
            ),
        );
    }
    if certificate.not_after <= now {
        refuse("certificate", format!("the CA expired on {}", certificate.not_after));
    } else if certificate.not_before > now {
        refuse(
            "certificate",
            format!("the CA is not valid before {}", certificate.not_before),
        );
    }
    if let Some(key) = &files.key
        && *key.public() != certificate.public_key
    {
        refuse("key", "the key is not the certificate's".to_owned());
    }
    let Profile {
        kind: Kind::Authority { path_len, .. },
        ..
    } = catalog::authority_profile(cluster, authority)
    else {
        return obstacles;
    };
    if let Some(Some(limit)) = certificate.authority
        && limit < path_len
    {
        refuse(
            "certificate",
            format!(
                "its path length {limit} forbids the kubelet CAs below it; bring a CA with a path length of at least \
                 {path_len}, or set kubelets.serving to cluster-ca"
            ),
        );
    }
    let mut below = certificate;
    for above in &files.chain {
        if !below.is_signed_by(above) {
            refuse(
                "chain",
                format!(
                    "{} did not sign {}; order the chain from the intermediate up",
                    above.subject, below.subject
                ),
            );
        }
        if !above.may_sign() {
            refuse("chain", format!("{} is no CA", above.subject));
        }
        if above.not_after <= now {
            refuse("chain", format!("{} expired on {}", above.subject, above.not_after));
        }
        below = above;
    }
    obstacles
}

/// The field of `authorities.bring` for an authority.
pub(crate) const fn brought_name(authority: Authority) -> &'static str {
    match authority {
        Authority::Etcd => "etcd",
        Authority::Kubernetes => "kubernetes",
        Authority::FrontProxy => "frontProxy",
        Authority::Single => "single",
    }
}
