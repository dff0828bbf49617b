//! The decision, and the list of what somebody may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::Right;
use super::objects::Binding;
use super::rule::{Asked, Rule};
use super::{Policy, Rbac};
use crate::authz::attributes::Attributes;
use crate::authz::{Decision, aggregated};
use crate::user::User;

/// What somebody may do in one namespace, as `SelfSubjectRulesReview` answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every rule of every binding that applies, in the order of the bindings. Those about resources and those about
    /// URLs tell themselves apart by which of the fields are set.
    pub rules: Vec<Rule>,
    /// An authorizer allows more than it can list.
    pub incomplete: bool,
    /// What stood in the way of listing all; empty if nothing did.
    pub evaluation_error: String,
}

impl Rbac {
    /// Allows, or has no opinion: RBAC never denies.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        self.read(|policy| policy.authorize(user, attributes))
    }
}

impl Policy {
    /// Allows, or has no opinion: RBAC never denies. What holds everywhere is asked first, as upstream does.
    #[must_use]
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        let asked = Asked::from(attributes);
        let held = self.held(user);
        if let Some(right) = held.cluster().find(&asked) {
            return allowed(right);
        }
        let inside = held.namespace(self, attributes.namespace());
        if let Some(right) = inside.as_ref().and_then(|rights| rights.find(&asked)) {
            return allowed(right);
        }
        let inside = inside.iter().flat_map(|rights| rights.errors());
        let errors: Vec<&String> = held.cluster().errors().iter().chain(inside).collect();
        match aggregated(&errors) {
            text if text.is_empty() => Decision::NoOpinion("".into()),
            text => Decision::NoOpinion(format!("RBAC: {text}").into()),
        }
    }

    /// Every rule that applies to a user in a namespace; in none, those of the cluster alone.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        let mut errors = BTreeSet::new();
        for binding in self.bindings_for(user, namespace) {
            match self.rules_of(&binding.role, &binding.namespace) {
                Ok(found) => rules.rules.extend(found.iter().map(|rule| Rule::clone(rule))),
                Err(error) => {
                    errors.insert(error);
                }
            }
        }
        rules.evaluation_error = aggregated(&errors.iter().collect::<Vec<_>>());
        rules
    }

    /// The bindings that apply, each once: those of the cluster first, by name.
    fn bindings_for(&self, user: &User, namespace: &str) -> Vec<Arc<Binding>> {
        let held = self.held(user);
        let cluster = held.grants().iter().map(|each| each.cluster());
        let inside = held.grants().iter().filter_map(|each| each.namespace(namespace));
        let found: BTreeMap<(bool, &str), &Arc<Binding>> = cluster
            .chain(inside)
            .flat_map(|scope| scope.values())
            .map(|grant| {
                (
                    (!grant.binding.namespace.is_empty(), grant.binding.name.as_str()),
                    &grant.binding,
                )
            })
            .collect();
        found.into_values().map(Arc::clone).collect()
    }
}

fn allowed(right: &Right) -> Decision {
    Decision::Allow(format!("RBAC: allowed by {}", right.grant.describe()).into())
}
