//! What is bound to one user or group.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::Policy;
use super::objects::{Binding, Subject};
use super::rule::{ALL, Asked, Rule};

/// The bindings of one user or group.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    cluster: Arc<Scope>,
    namespaces: HashMap<String, Arc<Scope>>,
}

/// Those that hold in one namespace, or, of cluster role bindings, everywhere.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// By name, each with the subject that is this user or group.
    bindings: BTreeMap<String, (Arc<Binding>, Subject)>,
    /// Made when it is first asked for. Whoever changes a role or binding makes a new scope without it.
    derived: OnceLock<Derived>,
}

impl Clone for Scope {
    fn clone(&self) -> Self {
        Self {
            bindings: self.bindings.clone(),
            derived: OnceLock::new(),
        }
    }
}

/// The rules of a scope, by what they are about.
#[derive(Debug, Default)]
struct Derived {
    /// By resource: `pods`, `pods/log`.
    resources: HashMap<Box<str>, Vec<Grant>>,
    /// Those with `*` or `*/subresource`.
    any_resource: Vec<Grant>,
    urls: Vec<Grant>,
    /// Roles that are bound and missing.
    errors: Vec<String>,
}

/// A rule, and through what it was granted.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) rule: Arc<Rule>,
    pub(super) binding: Arc<Binding>,
    pub(super) subject: Subject,
}

impl Grants {
    pub(super) fn put(&mut self, binding: &Arc<Binding>, subject: &Subject) {
        let scope = match binding.namespace.as_str() {
            "" => &mut self.cluster,
            namespace => self.namespaces.entry(namespace.to_owned()).or_default(),
        };
        let scope = fresh(scope);
        // The first of the binding's subjects that applies is the one that reasons name.
        scope
            .bindings
            .entry(binding.name.clone())
            .or_insert_with(|| (Arc::clone(binding), subject.clone()));
    }

    pub(super) fn delete(&mut self, namespace: &str, name: &str) {
        if namespace.is_empty() {
            fresh(&mut self.cluster).bindings.remove(name);
        } else if let Some(scope) = self.namespaces.get_mut(namespace) {
            fresh(scope).bindings.remove(name);
            if scope.bindings.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    pub(super) fn forget_derived(&mut self, namespace: &str) {
        if namespace.is_empty() {
            fresh(&mut self.cluster);
        } else if let Some(scope) = self.namespaces.get_mut(namespace) {
            fresh(scope);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cluster.bindings.is_empty() && self.namespaces.is_empty()
    }

    /// What holds everywhere.
    pub(super) fn cluster(&self) -> &Scope {
        &self.cluster
    }

    /// What holds in this namespace only.
    pub(super) fn namespace(&self, namespace: &str) -> Option<&Scope> {
        self.namespaces.get(namespace).map(Arc::as_ref)
    }
}

/// The scope, without what was derived from it before.
fn fresh(scope: &mut Arc<Scope>) -> &mut Scope {
    let scope = Arc::make_mut(scope);
    scope.derived = OnceLock::new();
    scope
}

impl Scope {
    pub(super) fn bindings(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.values().map(|(binding, _)| binding)
    }

    /// The first grant that allows it.
    pub(super) fn find(&self, policy: &Policy, asked: &Asked) -> Option<&Grant> {
        if self.bindings.is_empty() {
            return None;
        }
        let derived = self.derived(policy);
        let allows = |grant: &&Grant| grant.rule.allows(asked);
        match asked {
            Asked::Url { .. } => derived.urls.iter().find(allows),
            Asked::Resource { resource, .. } => derived
                .resources
                .get(&**resource)
                .and_then(|grants| grants.iter().find(allows))
                .or_else(|| derived.any_resource.iter().find(allows)),
        }
    }

    /// What upstream says of the roles that are bound and missing.
    pub(super) fn errors(&self, policy: &Policy) -> &[String] {
        if self.bindings.is_empty() {
            &[]
        } else {
            &self.derived(policy).errors
        }
    }

    fn derived(&self, policy: &Policy) -> &Derived {
        self.derived.get_or_init(|| derive(policy, self.bindings.values()))
    }
}

/// Sorts rules by resource. One that says what another has said already would change no decision and is left out: a role
/// that is bound a thousand times counts once.
fn derive<'a>(policy: &Policy, bindings: impl Iterator<Item = &'a (Arc<Binding>, Subject)>) -> Derived {
    let mut derived = Derived::default();
    let mut seen: HashSet<Arc<Rule>> = HashSet::new();
    for (binding, subject) in bindings {
        match policy.rules_of(&binding.role, &binding.namespace) {
            Err(error) => derived.errors.push(error),
            Ok(rules) => {
                for rule in rules.iter().filter(|rule| seen.insert(Arc::clone(rule))) {
                    let grant = Grant {
                        rule: Arc::clone(rule),
                        binding: Arc::clone(binding),
                        subject: subject.clone(),
                    };
                    derived.add(&grant);
                }
            }
        }
    }
    derived
}

impl Derived {
    fn add(&mut self, grant: &Grant) {
        if !grant.rule.non_resource_urls.is_empty() {
            self.urls.push(grant.clone());
        }
        let resources = &grant.rule.resources;
        if resources.iter().any(|each| each == ALL || each.starts_with("*/")) {
            self.any_resource.push(grant.clone());
        }
        for resource in resources.iter().filter(|each| *each != ALL) {
            self.resources
                .entry(resource.as_str().into())
                .or_default()
                .push(grant.clone());
        }
    }
}
