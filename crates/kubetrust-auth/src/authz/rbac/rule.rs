//! One rule of a role, and what it allows (`pkg/apis/rbac/v1/evaluation_helpers.go`).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use crate::authz::attributes::Attributes;
use crate::authz::quote::quote_list;

/// Stands for every verb, API group, resource or URL.
pub const ALL: &str = "*";

/// `rbac.authorization.k8s.io/v1 PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// API groups; the core group is empty.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub api_groups: Vec<String>,
    /// Resources: `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub resources: Vec<String>,
    /// Verbs.
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    /// Names of single objects; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub resource_names: Vec<String>,
    /// Paths outside the API's resources: `/healthz`, `/healthz/*`, `*`.
    #[serde(
        rename = "nonResourceURLs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// Go writes an empty list as `null`.
pub(super) fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// What rules are held against: the parts of [`Attributes`] that RBAC looks at, put together once.
#[derive(Clone, Debug)]
pub(in crate::authz) enum Asked<'a> {
    /// Something of the API.
    Resource {
        verb: &'a str,
        group: &'a str,
        /// `pods` or `pods/log`.
        resource: Cow<'a, str>,
        subresource: &'a str,
        name: &'a str,
    },
    /// Anything else.
    Url { verb: &'a str, path: &'a str },
}

impl<'a> From<&'a Attributes> for Asked<'a> {
    fn from(attributes: &'a Attributes) -> Self {
        match attributes {
            Attributes::NonResource { verb, path } => Self::Url { verb, path },
            Attributes::Resource(asked) => Self::Resource {
                verb: &asked.verb,
                group: &asked.group,
                resource: match asked.subresource.as_str() {
                    "" => Cow::Borrowed(&asked.resource),
                    subresource => Cow::Owned(format!("{}/{subresource}", asked.resource)),
                },
                subresource: &asked.subresource,
                name: &asked.name,
            },
        }
    }
}

impl Rule {
    /// Whether the rule allows what is asked for.
    pub(in crate::authz) fn allows(&self, asked: &Asked) -> bool {
        match asked {
            Asked::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                ..
            } => {
                has_or_all(&self.verbs, verb)
                    && has_or_all(&self.api_groups, group)
                    && self
                        .resources
                        .iter()
                        .any(|each| resource_matches(each, resource, subresource))
                    && (self.resource_names.is_empty() || self.resource_names.iter().any(|each| each == name))
            }
            Asked::Url { verb, path } => {
                has_or_all(&self.verbs, verb) && self.non_resource_urls.iter().any(|each| url_matches(each, path))
            }
        }
    }

    /// As messages show a rule: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    #[must_use]
    pub fn compact(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}:{}", quote_list(values)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

fn has_or_all(values: &[String], wanted: &str) -> bool {
    values.iter().any(|each| each == ALL || each == wanted)
}

/// `resource` is `pods` or `pods/log`; the latter is matched by `*/log` too.
fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    rule == ALL
        || rule == resource
        || (!subresource.is_empty() && rule.strip_prefix("*/").is_some_and(|any| any == subresource))
}

/// A star at the end stands for everything that follows, a slash or not.
pub(super) fn url_matches(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}
