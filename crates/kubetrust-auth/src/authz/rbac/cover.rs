//! Nobody grants what they do not hold: whether some rules cover others
//! (`component-helpers/auth/rbac/validation/policy_comparator.go`, `pkg/registry/rbac/validation/rule.go`).

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{GROUP, RoleRef};
use super::rule::{ALL, Rule, url_matches};
use super::{Policy, Rules};
use crate::authz::attributes::{Attributes, ResourceAttributes};
use crate::authz::quote::{quote, quote_list};
use crate::user::User;

/// How many single permissions the rules of one role may break down into. A role of a megabyte, which the API takes,
/// could otherwise keep a thread busy for minutes; the largest default role has some six hundred.
pub const MAX_PERMISSIONS: usize = 1_000_000;

/// The rules that somebody who grants is found not to hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Escalation {
    /// These are missing; the text is upstream's.
    #[error("{0}")]
    NotHeld(String),
    /// Not checked, and so not allowed.
    #[error(
        "the rules break down into more than {MAX_PERMISSIONS} single permissions, which is more than is compared; use wildcards, or several roles"
    )]
    TooMany,
}

/// What a rule comes down to: one verb on one resource or URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Single<'a> {
    Resource {
        group: &'a str,
        resource: &'a str,
        name: Option<&'a str>,
        verb: &'a str,
    },
    Url {
        url: &'a str,
        verb: &'a str,
    },
}

/// The single permissions among `servant` that `owner` does not cover, in the order of `servant`. [`None`] if there are
/// more than [`MAX_PERMISSIONS`] to compare.
#[must_use]
pub fn covers(owner: &[Rule], servant: &[Rule]) -> Option<Vec<Rule>> {
    uncovered(owner, servant).map(|missing| missing.into_iter().map(Single::rule).collect())
}

/// Whether somebody who holds `owner` may hand out `granted`.
pub fn confirm_no_escalation(user: &User, owner: &Rules, granted: &[Rule]) -> Result<(), Escalation> {
    let missing = uncovered(&owner.rules, granted).ok_or(Escalation::TooMany)?;
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compacted(&missing).iter().map(Rule::compact).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut text = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        quote_list(&user.groups),
        lines.join("\n")
    );
    if !owner.evaluation_error.is_empty() {
        text.push_str("; resolution errors: [");
        text.push_str(&owner.evaluation_error);
        text.push(']');
    }
    Err(Escalation::NotHeld(text))
}

/// All that there is: who sets an aggregation rule must hold it, since that rule can gather anything.
#[must_use]
pub fn full_authority() -> Vec<Rule> {
    let all = || vec![ALL.to_owned()];
    vec![
        Rule {
            api_groups: all(),
            resources: all(),
            verbs: all(),
            ..Rule::default()
        },
        Rule {
            non_resource_urls: all(),
            verbs: all(),
            ..Rule::default()
        },
    ]
}

/// What to ask an authorizer for before [`confirm_no_escalation`]: whoever may `escalate` the role needs to hold nothing.
#[must_use]
pub fn escalate(plural: &str, namespace: &str, name: &str) -> Attributes {
    special("escalate", plural, namespace, name)
}

/// The same for a binding: whoever may `bind` the role needs to hold nothing. [`None`] for a role of unknown kind.
#[must_use]
pub fn bind(role: &RoleRef, binding_namespace: &str) -> Option<Attributes> {
    let plural = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        _ => return None,
    };
    Some(special("bind", plural, binding_namespace, &role.name))
}

fn special(verb: &str, plural: &str, namespace: &str, name: &str) -> Attributes {
    Attributes::Resource(ResourceAttributes {
        verb: verb.into(),
        group: GROUP.into(),
        version: ALL.into(),
        resource: plural.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    })
}

impl Policy {
    /// Whether a user may hand out these rules in a namespace, holding what this policy gives.
    pub fn confirm_no_escalation(&self, user: &User, namespace: &str, granted: &[Rule]) -> Result<(), Escalation> {
        confirm_no_escalation(user, &self.rules_for(user, namespace), granted)
    }
}

fn uncovered<'a>(owner: &[Rule], servant: &'a [Rule]) -> Option<Vec<Single<'a>>> {
    let mut count = 0_usize;
    for rule in servant {
        count = count.checked_add(singles_in(rule)?)?;
    }
    (count <= MAX_PERMISSIONS).then(|| {
        servant
            .iter()
            .flat_map(break_down)
            .filter(|single| !owner.iter().any(|rule| rule_covers(rule, *single)))
            .collect()
    })
}

fn singles_in(rule: &Rule) -> Option<usize> {
    let resources = rule.api_groups.len().checked_mul(rule.resources.len())?;
    let named = resources.checked_mul(rule.resource_names.len().max(1))?;
    named
        .checked_add(rule.non_resource_urls.len())?
        .checked_mul(rule.verbs.len())
}

fn break_down(rule: &Rule) -> Vec<Single<'_>> {
    let names: Vec<Option<&str>> = match rule.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut singles = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                singles.extend(names.iter().map(|name| Single::Resource {
                    group,
                    resource,
                    name: *name,
                    verb,
                }));
            }
        }
    }
    for url in &rule.non_resource_urls {
        singles.extend(rule.verbs.iter().map(|verb| Single::Url { url, verb }));
    }
    singles
}

fn rule_covers(owner: &Rule, single: Single) -> bool {
    let has = |values: &[String], wanted: &str| values.iter().any(|each| each == ALL || each == wanted);
    match single {
        Single::Url { url, verb } => {
            has(&owner.verbs, verb)
                && owner.resource_names.is_empty()
                && owner.non_resource_urls.iter().any(|each| url_matches(each, url))
        }
        Single::Resource {
            group,
            resource,
            name,
            verb,
        } => {
            has(&owner.verbs, verb)
                && has(&owner.api_groups, group)
                && (has(&owner.resources, resource) || any_of_subresource(&owner.resources, resource))
                && match name {
                    None => owner.resource_names.is_empty(),
                    Some(name) => {
                        owner.resource_names.is_empty() || owner.resource_names.iter().any(|each| each == name)
                    }
                }
        }
    }
}

fn any_of_subresource(owned: &[String], resource: &str) -> bool {
    resource
        .split_once('/')
        .is_some_and(|(_, subresource)| owned.iter().any(|each| each.strip_prefix("*/") == Some(subresource)))
}

impl Single<'_> {
    fn rule(self) -> Rule {
        match self {
            Self::Url { url, verb } => Rule {
                non_resource_urls: vec![url.into()],
                verbs: vec![verb.into()],
                ..Rule::default()
            },
            Self::Resource {
                group,
                resource,
                name,
                verb,
            } => Rule {
                api_groups: vec![group.into()],
                resources: vec![resource.into()],
                verbs: vec![verb.into()],
                resource_names: name.map(str::to_owned).into_iter().collect(),
                ..Rule::default()
            },
        }
    }
}

/// Puts the verbs of one resource together again, in the order in which they were found.
fn compacted(singles: &[Single]) -> Vec<Rule> {
    let mut verbs: BTreeMap<(&str, &str, Option<&str>), Vec<String>> = BTreeMap::new();
    let mut rules = Vec::new();
    for single in singles {
        match single {
            Single::Url { .. } => rules.push(single.rule()),
            Single::Resource {
                group,
                resource,
                name,
                verb,
            } => {
                verbs
                    .entry((group, resource, *name))
                    .or_default()
                    .push((*verb).to_owned());
            }
        }
    }
    rules.extend(verbs.into_iter().map(|((group, resource, name), verbs)| {
        Rule {
            verbs,
            ..Single::Resource {
                group,
                resource,
                name,
                verb: "",
            }
            .rule()
        }
    }));
    rules
}
