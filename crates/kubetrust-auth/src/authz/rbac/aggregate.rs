//! Cluster roles that gather the rules of others (`pkg/controller/clusterroleaggregation`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::objects::{Kind, PolicyError};
use super::rule::{Rule, null_is_empty};

/// `aggregationRule` of a cluster role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AggregationRule {
    /// The roles that any of these selects.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub cluster_role_selectors: Vec<LabelSelector>,
}

/// `meta/v1 LabelSelector`: all of it holds; an empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// `meta/v1 LabelSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For the first two.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub values: Vec<String>,
}

/// What aggregation reads of a cluster role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregated {
    name: String,
    labels: BTreeMap<String, String>,
    rules: Vec<Rule>,
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
    #[serde(default)]
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Aggregated {
    /// Reads a cluster role.
    pub fn read(cluster_role: &Value) -> Result<Self, PolicyError> {
        let view = View::deserialize(cluster_role).map_err(|source| PolicyError {
            kind: Kind::ClusterRole,
            source,
        })?;
        Ok(Self {
            name: view.metadata.name,
            labels: view.metadata.labels.unwrap_or_default(),
            rules: view.rules,
            aggregation_rule: view.aggregation_rule,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The cluster roles whose `rules` are to be written, and with what, seen from the state of all of them. One that
/// gathers from another that gathers needs as many rounds as there are steps between: write, read again, until nothing
/// is left. A role whose selector is malformed is left as it is.
#[must_use]
pub fn aggregate(cluster_roles: &[Aggregated]) -> Vec<(String, Vec<Rule>)> {
    let mut by_name: Vec<&Aggregated> = cluster_roles.iter().collect();
    by_name.sort_by(|one, other| one.name.cmp(&other.name));
    by_name
        .iter()
        .filter_map(|role| {
            let gathered = gather(role, &by_name)?;
            (gathered != role.rules).then(|| (role.name.clone(), gathered))
        })
        .collect()
}

fn gather(role: &Aggregated, by_name: &[&Aggregated]) -> Option<Vec<Rule>> {
    let mut gathered: Vec<Rule> = Vec::new();
    for selector in &role.aggregation_rule.as_ref()?.cluster_role_selectors {
        for other in by_name {
            if other.name == role.name || !selector.matches(&other.labels)? {
                continue;
            }
            for rule in &other.rules {
                if !gathered.contains(rule) {
                    gathered.push(rule.clone());
                }
            }
        }
    }
    Some(gathered)
}

impl LabelSelector {
    /// Whether labels are selected; [`None`] if the selector is malformed.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> Option<bool> {
        let mut all = self
            .match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        for expression in &self.match_expressions {
            let value = labels.get(&expression.key);
            let among = || value.is_some_and(|value| expression.values.contains(value));
            all &= match (expression.operator.as_str(), expression.values.is_empty()) {
                ("In", false) => among(),
                ("NotIn", false) => !among(),
                ("Exists", true) => value.is_some(),
                ("DoesNotExist", true) => value.is_none(),
                _ => return None,
            };
        }
        Some(all)
    }
}
