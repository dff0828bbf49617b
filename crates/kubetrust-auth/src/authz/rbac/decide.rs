//! The decision, and the list of what somebody may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::grants::{Grants, Scope};
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
    /// Allows, or has no opinion: RBAC never denies.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        let asked = Asked::from(attributes);
        let grants = self.grants(user);
        for scope in scopes(&grants, attributes.namespace()) {
            if let Some(grant) = scope.find(self, &asked) {
                let reason = format!("RBAC: allowed by {}", grant.binding.describe(&grant.subject));
                return Decision::Allow(reason.into());
            }
        }
        let errors: Vec<&String> = scopes(&grants, attributes.namespace())
            .flat_map(|scope| scope.errors(self))
            .collect();
        match aggregated(&errors) {
            text if text.is_empty() => Decision::NoOpinion("".into()),
            text => Decision::NoOpinion(format!("RBAC: {text}").into()),
        }
    }

    /// Every rule that applies to a user in a namespace; in none, those of the cluster alone.
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
        let grants = self.grants(user);
        let found: BTreeMap<(bool, &str), &Arc<Binding>> = scopes(&grants, namespace)
            .flat_map(Scope::bindings)
            .map(|binding| ((!binding.namespace.is_empty(), binding.name.as_str()), binding))
            .collect();
        found.into_values().map(Arc::clone).collect()
    }

    /// What is bound to the user and to each of the groups.
    fn grants(&self, user: &User) -> Vec<&Grants> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users
            .get(&user.name)
            .into_iter()
            .chain(groups)
            .map(Arc::as_ref)
            .collect()
    }
}

/// First what holds everywhere, then what holds in the namespace, as upstream asks.
fn scopes<'a>(grants: &'a [&'a Grants], namespace: &'a str) -> impl Iterator<Item = &'a Scope> {
    let cluster = grants.iter().map(|each| each.cluster());
    let inside = grants
        .iter()
        .filter(move |_| !namespace.is_empty())
        .filter_map(move |each| each.namespace(namespace));
    cluster.chain(inside)
}
