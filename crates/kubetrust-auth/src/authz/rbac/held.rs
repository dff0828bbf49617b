//! What one user holds: all that is bound to the name and to each of the groups, put together once. A request is then a
//! look-up of who asks and one of what for, whatever the number of bindings and groups.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use quick_cache::sync::Cache;

use super::Policy;
use super::grants::{Grant, Grants};
use super::rule::{ALL, Asked, Rule};
use crate::user::User;

/// How many users are remembered. One takes some kilobytes; one that is forgotten is put together again.
pub const MAX_USERS: usize = 1_024;
/// In how many namespaces of each. All are forgotten when there are more.
pub const MAX_NAMESPACES: usize = 1_024;

/// How many pairs of a resource and a name one rule may have to be sorted by name; one with more is tried each time.
const MAX_NAMED: usize = 10_000;

/// What was put together from one policy. A copy, which is about to become another policy, starts with nothing.
#[derive(Debug, Default)]
pub(super) struct Memo(OnceLock<Cache<u64, Arc<Held>>>);

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The rules of one user.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
    groups: Vec<String>,
    /// What is bound to the name and to each group that has anything, in this order.
    grants: Vec<Arc<Grants>>,
    cluster: Rights,
    /// Whether there is anything that holds in some namespace only.
    has_namespaces: bool,
    namespaces: RwLock<HashMap<String, Arc<Rights>>>,
}

/// Rules, by what they are about.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// By resource: `pods`, `pods/log`.
    resources: HashMap<Box<str>, About>,
    /// Those with `*` or `*/subresource`.
    any_resource: About,
    urls: Vec<Arc<Right>>,
    /// What upstream says of the roles that are bound and missing.
    errors: Vec<String>,
}

/// The rules about one resource.
#[derive(Debug, Default)]
struct About {
    any_name: Vec<Arc<Right>>,
    /// Those about single objects, by their names.
    names: HashMap<Box<str>, Vec<Arc<Right>>>,
}

/// A rule, and by what it is granted.
#[derive(Debug)]
pub(super) struct Right {
    rule: Arc<Rule>,
    pub(super) grant: Grant,
}

impl Policy {
    /// What a user holds.
    pub(super) fn held(&self, user: &User) -> Arc<Held> {
        let memo = self.memo.0.get_or_init(|| Cache::new(MAX_USERS));
        let key = self.users.hash(&(&user.name, &user.groups));
        if let Some(held) = memo
            .get(&key)
            .filter(|held| held.name == user.name && held.groups == user.groups)
        {
            return held;
        }
        let held = Arc::new(self.put_together(user));
        memo.insert(key, Arc::clone(&held));
        held
    }

    fn put_together(&self, user: &User) -> Held {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        let grants: Vec<Arc<Grants>> = self
            .users
            .get(&user.name)
            .into_iter()
            .chain(groups)
            .map(Arc::clone)
            .collect();
        Held {
            name: user.name.clone(),
            groups: user.groups.clone(),
            cluster: self.rights(grants.iter().flat_map(|each| each.cluster().values())),
            has_namespaces: grants.iter().any(|each| each.has_namespaces()),
            namespaces: RwLock::default(),
            grants,
        }
    }

    /// Sorts the rules of the roles by resource. A role that is bound a thousand times counts once, and so does a rule that
    /// says what another has said already: they would change no decision.
    fn rights<'a>(&self, grants: impl Iterator<Item = &'a Grant>) -> Rights {
        let mut rights = Rights::default();
        let (mut read, mut said) = (HashSet::new(), HashSet::new());
        for grant in grants {
            let role = &grant.binding.role;
            if !read.insert((&role.kind, &role.name)) {
                continue;
            }
            match self.rules_of(role, &grant.binding.namespace) {
                Err(error) => rights.errors.push(error),
                Ok(found) => {
                    for rule in found.iter().filter(|rule| said.insert(Arc::clone(rule))) {
                        rights.add(&Arc::new(Right {
                            rule: Arc::clone(rule),
                            grant: grant.clone(),
                        }));
                    }
                }
            }
        }
        rights
    }
}

impl Held {
    /// What holds everywhere, as far as it is a question of rights.
    pub(super) fn cluster(&self) -> &Rights {
        &self.cluster
    }

    /// What holds in one namespace only; nothing if there is nothing.
    pub(super) fn namespace(&self, policy: &Policy, namespace: &str) -> Option<Arc<Rights>> {
        if namespace.is_empty() || !self.has_namespaces {
            return None;
        }
        if let Some(rights) = self.namespaces.read().get(namespace) {
            return Some(Arc::clone(rights));
        }
        let grants = self.grants.iter().filter_map(|each| each.namespace(namespace));
        let rights = Arc::new(policy.rights(grants.flat_map(|scope| scope.values())));
        let mut known = self.namespaces.write();
        if known.len() >= MAX_NAMESPACES {
            known.clear();
        }
        known.insert(namespace.to_owned(), Arc::clone(&rights));
        Some(rights)
    }

    /// What is bound to the name and to each group.
    pub(super) fn grants(&self) -> &[Arc<Grants>] {
        &self.grants
    }
}

impl Rights {
    /// The first right that allows it.
    pub(super) fn find(&self, asked: &Asked) -> Option<&Right> {
        match asked {
            Asked::Url { .. } => self.urls.iter().find(|right| right.rule.allows(asked)).map(Arc::as_ref),
            Asked::Resource { resource, name, .. } => {
                let about = self
                    .resources
                    .get(&**resource)
                    .and_then(|about| about.find(asked, name));
                about.or_else(|| self.any_resource.find(asked, name))
            }
        }
    }

    /// What upstream says of the roles that are bound and missing.
    pub(super) fn errors(&self) -> &[String] {
        &self.errors
    }

    fn add(&mut self, right: &Arc<Right>) {
        if !right.rule.non_resource_urls.is_empty() {
            self.urls.push(Arc::clone(right));
        }
        let Rule {
            resources,
            resource_names,
            ..
        } = &*right.rule;
        let by_name = resources.len().saturating_mul(resource_names.len()) <= MAX_NAMED;
        if resources.iter().any(|each| each == ALL || each.starts_with("*/")) {
            self.any_resource.add(right, by_name);
        }
        for resource in resources.iter().filter(|each| *each != ALL) {
            self.resources
                .entry(resource.as_str().into())
                .or_default()
                .add(right, by_name);
        }
    }
}

impl About {
    fn find(&self, asked: &Asked, name: &str) -> Option<&Right> {
        let named = self.names.get(name).into_iter().flatten();
        self.any_name
            .iter()
            .chain(named)
            .find(|right| right.rule.allows(asked))
            .map(Arc::as_ref)
    }

    fn add(&mut self, right: &Arc<Right>, by_name: bool) {
        if right.rule.resource_names.is_empty() || !by_name {
            self.any_name.push(Arc::clone(right));
            return;
        }
        for name in &right.rule.resource_names {
            self.names
                .entry(name.as_str().into())
                .or_default()
                .push(Arc::clone(right));
        }
    }
}
