//! All plugins, in the order of kube-apiserver (`pkg/kubeapiserver/options/plugins.go`), and which of them run.

use std::sync::Arc;

use kubetrust_auth::authz::Authorizer;

use super::certificates::{CertificateApproval, CertificateSigning, CertificateSubjectRestriction};
use super::default_toleration_seconds::DefaultTolerationSeconds;
use super::namespace_lifecycle::NamespaceLifecycle;
use super::node_restriction::NodeRestriction;
use super::owner_references::OwnerReferencesPermissionEnforcement;
use super::priority::Priority;
use super::rbac_escalation::RbacEscalation;
use super::service_account::ServiceAccount;
use super::{Admission, Plugin};
use crate::registry::Registry;

type Make = fn(&Registry, &Arc<Authorizer>) -> Box<dyn Plugin>;

/// The plugins that the flags know, in the order that they run in. Each is on: two of them (`NodeRestriction`,
/// `OwnerReferencesPermissionEnforcement`) are not so upstream, where kubeadm and others turn them on.
const PLUGINS: [(&str, Make); 9] = [
    ("NamespaceLifecycle", |registry, _| {
        Box::new(NamespaceLifecycle::new(registry))
    }),
    ("ServiceAccount", |registry, _| Box::new(ServiceAccount::new(registry))),
    ("NodeRestriction", |registry, authorizer| {
        Box::new(NodeRestriction::new(registry, authorizer))
    }),
    ("Priority", |registry, _| Box::new(Priority::new(registry))),
    ("DefaultTolerationSeconds", |_, _| Box::new(DefaultTolerationSeconds)),
    ("OwnerReferencesPermissionEnforcement", |_, authorizer| {
        Box::new(OwnerReferencesPermissionEnforcement::new(authorizer))
    }),
    ("CertificateApproval", |_, authorizer| {
        Box::new(CertificateApproval::new(authorizer))
    }),
    ("CertificateSigning", |_, authorizer| {
        Box::new(CertificateSigning::new(authorizer))
    }),
    ("CertificateSubjectRestriction", |_, _| {
        Box::new(CertificateSubjectRestriction)
    }),
];

/// Lists of plugins that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginListError {
    /// A name that no plugin has.
    #[error("{flag}: {given:?} is no admission plugin that this server has; write some of {known}", known = PLUGINS.map(|row| row.0).join(", "))]
    Unknown {
        /// Which flag names it.
        flag: &'static str,
        /// The name.
        given: String,
    },
    /// A plugin in both lists.
    #[error("--enable-admission-plugins and --disable-admission-plugins both name {0}; leave it in one of them")]
    Overlapping(String),
}

/// The plugins that run: all, without those that `disable` names (`--disable-admission-plugins`). `enable`
/// (`--enable-admission-plugins`) can name what is on anyway.
pub fn default_plugins(
    registry: &Registry,
    authorizer: &Arc<Authorizer>,
    enable: &[String],
    disable: &[String],
) -> Result<Admission, PluginListError> {
    check_names("--enable-admission-plugins", enable)?;
    check_names("--disable-admission-plugins", disable)?;
    if let Some(name) = enable.iter().find(|name| disable.contains(name)) {
        return Err(PluginListError::Overlapping(name.clone()));
    }
    let on = PLUGINS
        .iter()
        .filter(|(name, _)| !disable.iter().any(|off| off == name));
    let mut plugins: Vec<Box<dyn Plugin>> = on.map(|(_, make)| make(registry, authorizer)).collect();
    plugins.push(Box::new(RbacEscalation::new(authorizer)));
    Ok(Admission::new(plugins))
}

fn check_names(flag: &'static str, names: &[String]) -> Result<(), PluginListError> {
    let unknown = names
        .iter()
        .find(|given| !PLUGINS.iter().any(|(name, _)| name == given));
    unknown.map_or(Ok(()), |given| {
        Err(PluginListError::Unknown {
            flag,
            given: given.clone(),
        })
    })
}
