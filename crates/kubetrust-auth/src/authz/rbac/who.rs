//! The question turned round: who may do this (`plugin/pkg/auth/authorizer/rbac/subject_locator.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Policy;
use super::objects::{Binding, Subject};
use super::rule::Asked;
use crate::authz::attributes::Attributes;

/// One who may, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The user, group or service account. A service account's namespace is always set.
    pub subject: Subject,
    /// The binding that says so.
    pub binding: Arc<Binding>,
}

impl Policy {
    /// Every subject of every binding whose role allows it, in the order of the bindings' names, those of the cluster
    /// first; and what upstream says of roles that are bound and missing.
    #[must_use]
    pub fn subjects_allowed(&self, attributes: &Attributes) -> (Vec<Allowed>, Vec<String>) {
        let asked = Asked::from(attributes);
        let namespace = attributes.namespace();
        let bindings: BTreeMap<(&str, &str), &Arc<Binding>> = self
            .bindings
            .values()
            .filter(|binding| binding.namespace.is_empty() || binding.namespace == namespace)
            .map(|binding| ((binding.namespace.as_str(), binding.name.as_str()), binding))
            .collect();
        let (mut allowed, mut errors) = (Vec::new(), Vec::new());
        for binding in bindings.into_values() {
            match self.rules_of(&binding.role, &binding.namespace) {
                Ok(rules) if rules.iter().any(|rule| rule.allows(&asked)) => allowed.extend(holders(binding)),
                Ok(_) => {}
                Err(error) if errors.contains(&error) => {}
                Err(error) => errors.push(error),
            }
        }
        (allowed, errors)
    }
}

/// Who a binding is for, without what can be nobody.
fn holders(binding: &Arc<Binding>) -> impl Iterator<Item = Allowed> {
    binding
        .subjects
        .iter()
        .filter(|subject| subject.principal(&binding.namespace).is_some())
        .map(|subject| {
            let mut subject = subject.clone();
            if subject.kind == "ServiceAccount" && subject.namespace.is_empty() {
                subject.namespace.clone_from(&binding.namespace);
            }
            Allowed {
                subject,
                binding: Arc::clone(binding),
            }
        })
}
