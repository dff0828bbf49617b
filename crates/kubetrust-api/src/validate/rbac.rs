//! Roles and bindings (`pkg/apis/rbac/validation`).

use serde_json::{Value, json};

use super::{
    field::{self, Path},
    meta, names, read,
};
use crate::{select::label, status::Cause};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A role.
pub fn role(object: &Value, faults: &mut Vec<Cause>) {
    rules(object, true, faults);
}

/// A cluster role.
pub fn cluster_role(object: &Value, faults: &mut Vec<Cause>) {
    rules(object, false, faults);
    let Some(aggregation) = read::get(object, "/aggregationRule") else {
        return;
    };
    let at = Path::new("aggregationRule.clusterRoleSelectors");
    let selectors = read::list(aggregation, "/clusterRoleSelectors");
    if selectors.is_empty() {
        faults.push(field::required(
            &at,
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let at = at.index(index);
        meta::label_selector(Some(selector), &at, faults);
        if label::Selector::from_object(Some(selector)).is_err() {
            faults.push(field::invalid(&at, Value::Null, "invalid label selector."));
        }
    }
}

fn rules(object: &Value, namespaced: bool, faults: &mut Vec<Cause>) {
    for (index, rule) in read::list(object, "/rules").iter().enumerate() {
        let at = Path::new("rules");
        policy_rule(rule, namespaced, &at.index(index), faults);
    }
}

/// One rule of a role.
pub fn policy_rule(rule: &Value, namespaced: bool, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let empty = |name: &str| read::list(rule, &format!("/{name}")).is_empty();
    if empty("verbs") {
        faults.push(field::required(
            &at.child("verbs"),
            "verbs must contain at least one value",
        ));
    }
    let urls = read::list(rule, "/nonResourceURLs");
    if !urls.is_empty() {
        let at = at.child("nonResourceURLs");
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            faults.push(field::invalid(&at, Value::from(urls), why));
        }
        if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            faults.push(field::invalid(&at, Value::from(urls), why));
        }
        return;
    }
    if empty("apiGroups") {
        faults.push(field::required(
            &at.child("apiGroups"),
            "resource rules must supply at least one api group",
        ));
    }
    if empty("resources") {
        faults.push(field::required(
            &at.child("resources"),
            "resource rules must supply at least one resource",
        ));
    }
}

/// A role binding.
pub fn role_binding(object: &Value, faults: &mut Vec<Cause>) {
    binding(object, true, &["Role", "ClusterRole"], faults);
}

/// A cluster role binding.
pub fn cluster_role_binding(object: &Value, faults: &mut Vec<Cause>) {
    binding(object, false, &["ClusterRole"], faults);
}

fn binding(object: &Value, namespaced: bool, kinds: &[&str], faults: &mut Vec<Cause>) {
    let at = Path::new("roleRef");
    let (group, kind, name) = (
        read::text(object, "/roleRef/apiGroup"),
        read::text(object, "/roleRef/kind"),
        read::text(object, "/roleRef/name"),
    );
    if group != GROUP {
        faults.push(field::not_supported(&at.child("apiGroup"), group, &[GROUP]));
    }
    if !kinds.contains(&kind) {
        faults.push(field::not_supported(&at.child("kind"), kind, kinds));
    }
    if name.is_empty() {
        faults.push(field::required(&at.child("name"), ""));
    } else {
        faults.extend(
            names::path_segment(name)
                .iter()
                .map(|why| field::invalid(&at.child("name"), name, why)),
        );
    }
    let at = Path::new("subjects");
    for (index, subject) in read::list(object, "/subjects").iter().enumerate() {
        self::subject(subject, namespaced, &at.index(index), faults);
    }
}

fn subject(subject: &Value, namespaced: bool, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let (group, name) = (read::text(subject, "/apiGroup"), read::text(subject, "/name"));
    if name.is_empty() {
        faults.push(field::required(&at.child("name"), ""));
    }
    match read::text(subject, "/kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                let at = at.child("name");
                faults.extend(
                    names::dns1123_subdomain(name)
                        .iter()
                        .map(|why| field::invalid(&at, name, why)),
                );
            }
            if !group.is_empty() {
                faults.push(field::not_supported(&at.child("apiGroup"), group, &[""]));
            }
            if !namespaced && read::text(subject, "/namespace").is_empty() {
                faults.push(field::required(&at.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                faults.push(field::not_supported(&at.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => {
            faults.push(field::not_supported(
                &at.child("kind"),
                other,
                &["ServiceAccount", "User", "Group"],
            ));
        }
    }
}

/// A binding's role never changes.
pub fn binding_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let role = |object: &Value| {
        ["apiGroup", "kind", "name"].map(|name| read::text(object, &format!("/roleRef/{name}")).to_owned())
    };
    let [group, kind, name] = role(new);
    if role(old) != [group.as_str(), kind.as_str(), name.as_str()] {
        // Upstream prints the internal type, whose fields have Go's names.
        let shown = json!({"APIGroup": group, "Kind": kind, "Name": name});
        faults.push(field::invalid(&Path::new("roleRef"), shown, "cannot change roleRef"));
    }
}
