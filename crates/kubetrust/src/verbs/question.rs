//! What is asked about: a verb and a resource, named as kubectl lets people name it, or a path.

use kubetrust_api::resource::{GROUPS, Resource, Scope, TABLE, lookup};
use kubetrust_auth::authz::{Attributes, ResourceAttributes};

use crate::exit::Failure;
use crate::ui::Ui;

/// Where kubectl looks when it is not told a namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Verbs that some authorizer or handler knows (`kubectl auth can-i` has the same list).
const RESOURCE_VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "impersonate",
    "*",
    "approve",
    "sign",
    "escalate",
    "attest",
    "proxy",
];
/// The same for paths.
const PATH_VERBS: &[&str] = &["get", "put", "post", "head", "options", "delete", "patch", "*"];

/// A question as it is typed.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The verb.
    pub verb: &'a str,
    /// `pods`, `po`, `pods/log`, `deployments.apps`, or `/healthz`.
    pub what: &'a str,
    /// One object.
    pub name: Option<&'a str>,
    /// In which namespace; [`None`] for every one.
    pub namespace: Namespace<'a>,
}

/// Where a resource is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Namespace<'a> {
    /// Nobody said.
    Unsaid,
    /// There.
    Named(&'a str),
    /// In all of them at once.
    All,
}

impl<'a> Namespace<'a> {
    /// As the flags have it.
    pub fn of(named: Option<&'a str>, all: bool) -> Self {
        match (all, named) {
            (true, _) => Self::All,
            (false, Some(name)) => Self::Named(name),
            (false, None) => Self::Unsaid,
        }
    }

    /// Where a namespaced resource is looked for.
    pub fn name(self) -> &'a str {
        match self {
            Self::Unsaid => DEFAULT_NAMESPACE,
            Self::Named(name) => name,
            Self::All => "",
        }
    }
}

impl Question<'_> {
    /// What authorizers are asked. What looks like a slip is warned of, and asked all the same.
    pub fn attributes(self, ui: &Ui) -> Result<Attributes, Failure> {
        let is_path = self.what.starts_with('/');
        let known = if is_path { PATH_VERBS } else { RESOURCE_VERBS };
        if !known.contains(&self.verb) {
            ui.warn(&format!("{:?} is no verb that Kubernetes has", self.verb));
        }
        if is_path {
            if self.name.is_some() {
                return Err(Failure::Usage("a path has no object's name after it".into()));
            }
            return Ok(Attributes::NonResource {
                verb: self.verb.to_owned(),
                path: self.what.to_owned(),
            });
        }
        let (typed, subresource) = self.what.split_once('/').unwrap_or((self.what, ""));
        if typed.is_empty() {
            return Err(Failure::Usage(
                "name a resource, as pods or deployments.apps, or a path, as /healthz".into(),
            ));
        }
        let mut asked = ResourceAttributes {
            verb: self.verb.to_owned(),
            subresource: subresource.to_owned(),
            name: self.name.unwrap_or_default().to_owned(),
            namespace: self.namespace.name().to_owned(),
            ..ResourceAttributes::default()
        };
        if let Some(resource) = resolve(typed) {
            resource.group.clone_into(&mut asked.group);
            resource.version.clone_into(&mut asked.version);
            resource.plural.clone_into(&mut asked.resource);
            if resource.scope == Scope::Cluster {
                self.warn_of_namespace(resource, ui);
                asked.namespace.clear();
            }
        } else {
            let (resource, group) = typed.split_once('.').unwrap_or((typed, ""));
            resource.clone_into(&mut asked.resource);
            group.clone_into(&mut asked.group);
            if typed != "*" {
                ui.warn(&format!(
                    "Kubernetes v1.36 has no resource {typed:?}; the question is asked as it stands"
                ));
            }
        }
        Ok(Attributes::Resource(asked))
    }

    /// A namespace is a resource of the cluster and its own namespace as well.
    fn warn_of_namespace(self, resource: &Resource, ui: &Ui) {
        if resource.plural != "namespaces" && matches!(self.namespace, Namespace::Named(_)) {
            ui.warn(&format!("{} are in no namespace", resource.qualified()));
        }
    }
}

/// The resource that kubectl would take a word for (`RESTMapper` and `shortcutExpander` of client-go): `deployments`,
/// `deployment`, `deploy`, with a group or part of one after a dot, and with a version between them. The first in the
/// order of discovery.
pub fn resolve(typed: &str) -> Option<&'static Resource> {
    let typed = typed.to_ascii_lowercase();
    let (word, rest) = typed
        .split_once('.')
        .map_or((typed.as_str(), None), |(word, rest)| (word, Some(rest)));
    let Some(rest) = rest else { return named(word, |_| true) };
    if let Some((version, group)) = rest.split_once('.')
        && let Some(found) = named(word, |row| row.version == version && row.group == group)
    {
        return Some(found);
    }
    // `pods.v1.` is kubectl's way to name the core group.
    if let Some(version) = rest.strip_suffix('.')
        && let Some(found) = lookup("", version, word)
    {
        return Some(found);
    }
    let exact = GROUPS.iter().any(|group| group.name == rest);
    named(word, |row| {
        if exact {
            row.group == rest
        } else {
            row.group.starts_with(rest)
        }
    })
}

/// A plural name wins over a short name, and that over a singular one.
fn named(word: &str, wanted: impl Fn(&Resource) -> bool) -> Option<&'static Resource> {
    let find = |matches: &dyn Fn(&Resource) -> bool| TABLE.iter().find(|row| wanted(row) && matches(row));
    find(&|row| row.plural == word)
        .or_else(|| find(&|row| row.short_names.contains(&word)))
        .or_else(|| find(&|row| row.singular() == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_as_kubectl_lets_people_name_them() {
        for (typed, found) in [
            ("pods", "v1 pods"),
            ("pod", "v1 pods"),
            ("po", "v1 pods"),
            ("Pods", "v1 pods"),
            ("pods.v1.", "v1 pods"),
            ("deploy", "apps/v1 deployments"),
            ("deployments.apps", "apps/v1 deployments"),
            ("deployment.v1.apps", "apps/v1 deployments"),
            ("deploy.app", "apps/v1 deployments"),
            ("ev", "v1 events"),
            ("events.events.k8s.io", "events.k8s.io/v1 events"),
            ("hpa", "autoscaling/v2 horizontalpodautoscalers"),
            ("hpa.v1.autoscaling", "autoscaling/v1 horizontalpodautoscalers"),
            ("roles.rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1 roles"),
            ("clusterrole.rbac", "rbac.authorization.k8s.io/v1 clusterroles"),
            ("csr", "certificates.k8s.io/v1 certificatesigningrequests"),
            ("ns", "v1 namespaces"),
            ("deployments.batch", "-"),
            ("deployments.v2.apps", "-"),
            ("widgets", "-"),
            ("*", "-"),
            ("", "-"),
            (".", "-"),
        ] {
            let resource = resolve(typed);
            let shown = resource.map_or("-".to_owned(), |row| format!("{} {}", row.api_version(), row.plural));
            assert_eq!(shown, found, "{typed:?}");
        }
    }
}
