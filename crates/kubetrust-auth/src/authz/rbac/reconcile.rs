//! Brings what is wanted into what is stored, at start and for `kubectl auth reconcile`: what is missing is added, and
//! what others have added stays (`component-helpers/auth/rbac/reconciliation`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::aggregate::{AggregationRule, LabelSelector};
use super::cover::covers;
use super::objects::{Kind, PolicyError, RoleRef, Subject};
use super::rule::{Rule, null_is_empty};

/// Annotation that, if it is `"false"`, keeps everybody's hands off.
use crate::authz::default_policy::AUTO_UPDATE;

/// What is to be done. The objects are ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is none yet.
    Create(Value),
    /// Write this over it.
    Update(Value),
    /// Delete it, if it still has the UID that was seen, and create this: a binding cannot change its role.
    Recreate(Value),
}

/// What is stored or wanted, as far as it is compared.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
    #[serde(default)]
    aggregation_rule: Option<AggregationRule>,
    #[serde(default, deserialize_with = "null_is_empty")]
    subjects: Vec<Subject>,
    #[serde(default)]
    role_ref: RoleRef,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The step that makes the stored object have at least what is wanted; nothing if it has, or if it does not want to be
/// touched.
pub fn reconcile(kind: Kind, existing: Option<&Value>, wanted: &Value) -> Result<Option<Step>, PolicyError> {
    let read = |object| View::deserialize(object).map_err(|source| PolicyError { kind, source });
    let Some(existing) = existing else {
        return Ok(Some(Step::Create(wanted.clone())));
    };
    let (has, wants) = (read(existing)?, read(wanted)?);
    if has
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(AUTO_UPDATE))
        .is_some_and(|value| value == "false")
    {
        return Ok(None);
    }
    let bound = matches!(kind, Kind::ClusterRoleBinding | Kind::RoleBinding);
    if bound && has.role_ref != wants.role_ref {
        return Ok(Some(Step::Recreate(wanted.clone())));
    }
    let mut next = existing.clone();
    let mut changed = join(&mut next, "annotations", wants.metadata.annotations.as_ref());
    changed |= join(&mut next, "labels", wants.metadata.labels.as_ref());
    if bound {
        changed |= append(&mut next, "subjects", &missing_subjects(&has.subjects, &wants.subjects));
    } else {
        // More than can be compared: add all that is wanted, since to repeat a rule does no harm.
        let missing = covers(&has.rules, &wants.rules).unwrap_or_else(|| wants.rules.clone());
        changed |= append(&mut next, "rules", &missing);
        changed |= aggregation(&mut next, has.aggregation_rule, wants.aggregation_rule);
    }
    Ok(changed.then_some(Step::Update(next)))
}

/// Adds labels or annotations; what is there already wins.
fn join(object: &mut Value, field: &str, wanted: Option<&BTreeMap<String, String>>) -> bool {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return false;
    };
    let mut changed = false;
    for (key, value) in wanted.into_iter().flatten() {
        let all = metadata.entry(field).or_insert_with(|| json!({}));
        if all.is_null() {
            *all = Value::Object(Map::new());
        }
        if let Some(all) = all.as_object_mut().filter(|all| !all.contains_key(key)) {
            all.insert(key.clone(), value.clone().into());
            changed = true;
        }
    }
    changed
}

fn append<T: Serialize>(object: &mut Value, field: &str, missing: &[T]) -> bool {
    let Some(object) = object.as_object_mut().filter(|_| !missing.is_empty()) else {
        return false;
    };
    let list = object.entry(field).or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        list.extend(missing.iter().map(|each| json!(each)));
    }
    true
}

fn missing_subjects(has: &[Subject], wants: &[Subject]) -> Vec<Subject> {
    let mut missing: Vec<Subject> = Vec::new();
    for subject in wants {
        if !has.contains(subject) && !missing.contains(subject) {
            missing.push(subject.clone());
        }
    }
    missing
}

/// A role that is not to gather stops gathering; one that is gathers at least what is wanted.
fn aggregation(next: &mut Value, has: Option<AggregationRule>, wants: Option<AggregationRule>) -> bool {
    let Some(next) = next.as_object_mut() else { return false };
    match (has, wants) {
        (None, None) => false,
        (Some(_), None) => next.remove("aggregationRule").is_some(),
        (has, Some(wants)) => {
            let mut selectors: Vec<LabelSelector> = has.unwrap_or_default().cluster_role_selectors;
            let missing: Vec<LabelSelector> = wants
                .cluster_role_selectors
                .into_iter()
                .filter(|each| !selectors.contains(each))
                .collect();
            if missing.is_empty() {
                return false;
            }
            selectors.extend(missing);
            next.insert("aggregationRule".into(), json!({ "clusterRoleSelectors": selectors }));
            true
        }
    }
}
