//! What is recorded of which request: `audit.k8s.io/v1` Policy (`k8s.io/apiserver/pkg/audit/policy`).
//!
//! ```text
//! file → yaml (a tree that knows its places) → read (fields, limits, all faults at once) → Policy → level_of(request)
//! ```

mod read;
mod yaml;

#[cfg(test)]
mod tests;

use kubetrust_auth::authz::attributes::{Attributes, ResourceAttributes};
use kubetrust_auth::user::User;

use super::level::{Level, Stages};
use crate::http::request_info::RequestInfo;

pub use read::{Fault, MAX_BYTES, MAX_FAULTS, MAX_ITEMS, MAX_RULES, PolicyError};

/// A policy that was read and found good. The default one has no rules and records nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Stages,
    omit_managed_fields: bool,
}

/// What the policy says about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestConfig {
    /// How much is recorded.
    pub level: Level,
    /// The stages of which there is no event.
    pub omit_stages: Stages,
    /// Whether objects are recorded without `metadata.managedFields`.
    pub omit_managed_fields: bool,
}

/// One rule: it matches a request that every field of it matches, and an empty field matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    non_resource_urls: Vec<String>,
    omit_stages: Stages,
    omit_managed_fields: Option<bool>,
}

/// Resources of a group; `*` is every group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Policy {
    /// What the first rule that matches says; [`Level::None`] where none does. There is no user where authentication
    /// failed: no rule that names users or groups matches such a request.
    #[must_use]
    pub fn level_of(&self, user: Option<&User>, request: &RequestInfo) -> RequestConfig {
        match self.rules.iter().find(|rule| rule.matches(user, &request.attributes)) {
            Some(rule) => RequestConfig {
                level: rule.level,
                omit_stages: rule.omit_stages.union(self.omit_stages),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => RequestConfig {
                level: Level::None,
                omit_stages: self.omit_stages,
                omit_managed_fields: self.omit_managed_fields,
            },
        }
    }

    /// How many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rule, and so records nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    fn matches(&self, user: Option<&User>, attributes: &Attributes) -> bool {
        (self.users.is_empty() || user.is_some_and(|user| self.users.contains(&user.name)))
            && (self.user_groups.is_empty()
                || user.is_some_and(|user| self.user_groups.iter().any(|each| user.in_group(each))))
            && (self.verbs.is_empty() || self.verbs.iter().any(|verb| verb == attributes.verb()))
            && self.matches_target(attributes)
    }

    fn matches_target(&self, attributes: &Attributes) -> bool {
        if self.namespaces.is_empty() && self.resources.is_empty() && self.non_resource_urls.is_empty() {
            return true;
        }
        match attributes {
            Attributes::Resource(resource) => self.non_resource_urls.is_empty() && self.matches_resource(resource),
            Attributes::NonResource { path, .. } => self.non_resource_urls.iter().any(|url| path_matches(url, path)),
        }
    }

    fn matches_resource(&self, asked: &ResourceAttributes) -> bool {
        // A resource without namespace has the empty one, which a rule can name.
        (self.namespaces.is_empty() || self.namespaces.contains(&asked.namespace))
            && (self.resources.is_empty() || self.resources.iter().any(|each| each.matches(asked)))
    }
}

impl GroupResources {
    fn matches(&self, asked: &ResourceAttributes) -> bool {
        if self.group != asked.group && self.group != "*" {
            return false;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&asked.name);
        self.resources.is_empty() || (named && self.resources.iter().any(|pattern| resource_matches(pattern, asked)))
    }
}

/// `pods`, `pods/log`, `pods/*` (which is the pods too), `*/log`, `*`.
fn resource_matches(pattern: &str, asked: &ResourceAttributes) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || (asked.subresource.is_empty() && pattern == asked.resource),
        Some((resource, "*")) if resource == asked.resource => true,
        Some((resource, subresource)) => {
            !asked.subresource.is_empty()
                && (resource == "*" || resource == asked.resource)
                && subresource == asked.subresource
        }
    }
}

/// `/metrics`, `/logs*`, `*`.
fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}
