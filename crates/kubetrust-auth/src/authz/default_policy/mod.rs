//! The roles and bindings that a new cluster of Kubernetes v1.36 has, as tables
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, with the feature gates as they are by default).
//!
//! At start each is brought into what is stored by [`super::rbac::reconcile`].

mod bindings;
mod cluster_roles;
mod controllers;
mod namespaced;

use serde_json::{Map, Value, json};

use super::rbac::{GROUP, Kind, Rule};
use bindings::{CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS};
use cluster_roles::CLUSTER_ROLES;
use controllers::CONTROLLER_ROLES;
use namespaced::ROLES;

/// Prefix of the roles of controllers.
pub const CONTROLLER_PREFIX: &str = "system:controller:";
/// Where the service accounts of controllers are.
pub const CONTROLLER_NAMESPACE: &str = "kube-system";
/// Annotation that keeps a default object up to date, or, if it is `"false"`, as it is.
pub const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Label of the default objects, with its value.
pub const BOOTSTRAPPING: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");
/// Prefix of the label by which one cluster role joins another.
pub const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// Cluster roles that had their own rules before aggregation (v1.9), and the roles that have those now.
const AGGREGATED: [(&str, &str); 3] = [
    ("admin", "system:aggregate-to-admin"),
    ("edit", "system:aggregate-to-edit"),
    ("view", "system:aggregate-to-view"),
];

/// A cluster role binding, and the one that was split off it (v1.14).
const SPLIT: [(&str, &str); 1] = [("system:discovery", "system:public-info-viewer")];

/// An object that a new cluster has.
#[derive(Clone, Debug, PartialEq)]
pub struct Default {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, or empty.
    pub namespace: &'static str,
    /// Its name.
    pub name: String,
    /// As it is created.
    pub object: Value,
}

/// Every default object, in the order in which they are reconciled.
pub fn defaults() -> Vec<Default> {
    let cluster_roles = CLUSTER_ROLES.iter().chain(CONTROLLER_ROLES).map(DefaultRole::object);
    let cluster_bindings = CLUSTER_ROLE_BINDINGS.iter().map(DefaultBinding::object);
    let controllers = CONTROLLER_ROLES.iter().map(controller_binding);
    let roles = ROLES.iter().map(DefaultRole::object);
    let bindings = ROLE_BINDINGS.iter().map(DefaultBinding::object);
    cluster_roles
        .chain(cluster_bindings)
        .chain(controllers)
        .chain(roles)
        .chain(bindings)
        .collect()
}

/// What a cluster from before has to be given before its objects are reconciled, so that what its people had added to a
/// default object, or taken from it, is not lost where upstream has moved that on: objects to create. `stored` gives a
/// cluster role or cluster role binding by name.
pub fn moved(stored: impl Fn(Kind, &str) -> Option<Value>) -> Vec<(Kind, Value)> {
    let mut create = Vec::new();
    for (old, new) in AGGREGATED {
        let Some(old) = stored(Kind::ClusterRole, old).filter(|_| stored(Kind::ClusterRole, new).is_none()) else {
            continue;
        };
        if old.get("aggregationRule").is_none_or(Value::is_null) {
            let mut role = skeleton(Kind::ClusterRole, "", new);
            role["rules"] = old.get("rules").cloned().unwrap_or_default();
            create.push((Kind::ClusterRole, with_marks_of(&old, role)));
        }
    }
    for (old, new) in SPLIT {
        let kind = Kind::ClusterRoleBinding;
        let Some(old) = stored(kind, old).filter(|_| stored(kind, new).is_none()) else {
            continue;
        };
        if let Some(mut binding) = CLUSTER_ROLE_BINDINGS
            .iter()
            .find(|each| each.name == new)
            .map(|each| each.object().object)
        {
            binding["subjects"] = old.get("subjects").cloned().unwrap_or_default();
            create.push((kind, with_marks_of(&old, binding)));
        }
    }
    create
}

/// With the labels and annotations of another object, and no others.
fn with_marks_of(old: &Value, mut object: Value) -> Value {
    for field in ["labels", "annotations"] {
        object["metadata"][field] = old.pointer(&format!("/metadata/{field}")).cloned().unwrap_or_default();
    }
    object
}

/// What every kubelet may: the rules of the cluster role `system:node`, which the node authorizer subdivides.
#[must_use]
pub fn node_rules() -> Vec<Rule> {
    let role = CLUSTER_ROLES.iter().find(|role| role.name == "system:node");
    role.map(|role| role.rules.iter().map(DefaultRule::rule).collect())
        .unwrap_or_default()
}

/// Words with spaces between them.
type Words = &'static str;

/// Stands for the core group, whose name is empty.
const CORE: &str = "core";

#[derive(Debug)]
struct DefaultRole {
    namespace: &'static str,
    name: &'static str,
    /// The aggregated role that its rules become part of.
    joins: &'static str,
    /// For an aggregated role: the roles that join this one are gathered.
    gathers: &'static str,
    rules: &'static [DefaultRule],
}

#[derive(Debug)]
struct DefaultRule {
    verbs: Words,
    groups: Words,
    resources: Words,
    names: Words,
    urls: Words,
}

#[derive(Debug)]
struct DefaultBinding {
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    subjects: &'static [DefaultSubject],
}

#[derive(Clone, Copy, Debug)]
enum DefaultSubject {
    User(&'static str),
    Group(&'static str),
    /// In [`CONTROLLER_NAMESPACE`].
    ServiceAccount(&'static str),
}

const NONE: DefaultRole = DefaultRole {
    namespace: "",
    name: "",
    joins: "",
    gathers: "",
    rules: &[],
};

const READ: Words = "get list watch";
const WRITE: Words = "create delete deletecollection patch update";
const READ_WRITE: Words = "create delete deletecollection get list patch update watch";
const READ_UPDATE: Words = "get list patch update watch";

/// Whoever does something may tell of it.
const EVENTS: DefaultRule = rule("create patch update", "core events.k8s.io", "events");

const fn rule(verbs: Words, groups: Words, resources: Words) -> DefaultRule {
    named(verbs, groups, resources, "")
}

const fn named(verbs: Words, groups: Words, resources: Words, names: Words) -> DefaultRule {
    DefaultRule {
        verbs,
        groups,
        resources,
        names,
        urls: "",
    }
}

const fn urls(verbs: Words, urls: Words) -> DefaultRule {
    DefaultRule {
        verbs,
        groups: "",
        resources: "",
        names: "",
        urls,
    }
}

const fn cluster(role: &'static str, subjects: &'static [DefaultSubject]) -> DefaultBinding {
    inside("", role, subjects)
}

const fn inside(namespace: &'static str, role: &'static str, subjects: &'static [DefaultSubject]) -> DefaultBinding {
    DefaultBinding {
        namespace,
        name: role,
        role,
        subjects,
    }
}

impl DefaultRole {
    fn object(&self) -> Default {
        let kind = if self.namespace.is_empty() {
            Kind::ClusterRole
        } else {
            Kind::Role
        };
        let mut object = skeleton(kind, self.namespace, self.name);
        if !self.joins.is_empty() {
            object["metadata"]["labels"][format!("{AGGREGATE_TO}{}", self.joins)] = "true".into();
        }
        if self.gathers.is_empty() {
            object["rules"] = self.rules.iter().map(|rule| json!(rule.rule())).collect();
        } else {
            let label = format!("{AGGREGATE_TO}{}", self.gathers);
            object["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] });
            object["rules"] = Value::Null;
        }
        Default {
            kind,
            namespace: self.namespace,
            name: self.name.into(),
            object,
        }
    }
}

impl DefaultRule {
    fn rule(&self) -> Rule {
        let words = |words: Words| words.split_whitespace().map(str::to_owned).collect();
        let groups = self
            .groups
            .split_whitespace()
            .map(|group| if group == CORE { "" } else { group });
        Rule {
            api_groups: groups.map(str::to_owned).collect(),
            resources: words(self.resources),
            verbs: words(self.verbs),
            resource_names: words(self.names),
            non_resource_urls: words(self.urls),
        }
    }
}

fn controller_binding(role: &DefaultRole) -> Default {
    let account = role.name.strip_prefix(CONTROLLER_PREFIX).unwrap_or(role.name);
    bound(
        "",
        role.name,
        role.name,
        json!([subject(DefaultSubject::ServiceAccount(account))]),
    )
}

impl DefaultBinding {
    fn object(&self) -> Default {
        bound(
            self.namespace,
            self.name,
            self.role,
            self.subjects.iter().map(|each| subject(*each)).collect(),
        )
    }
}

fn bound(namespace: &'static str, name: &str, role: &str, subjects: Value) -> Default {
    let (kind, of) = match namespace {
        "" => (Kind::ClusterRoleBinding, Kind::ClusterRole),
        _ => (Kind::RoleBinding, Kind::Role),
    };
    let mut object = skeleton(kind, namespace, name);
    object["roleRef"] = json!({ "apiGroup": GROUP, "kind": of.name(), "name": role });
    if subjects.as_array().is_some_and(|list| !list.is_empty()) {
        object["subjects"] = subjects;
    }
    Default {
        kind,
        namespace,
        name: name.into(),
        object,
    }
}

fn subject(subject: DefaultSubject) -> Value {
    match subject {
        DefaultSubject::User(name) => json!({ "kind": "User", "apiGroup": GROUP, "name": name }),
        DefaultSubject::Group(name) => json!({ "kind": "Group", "apiGroup": GROUP, "name": name }),
        DefaultSubject::ServiceAccount(name) => {
            json!({ "kind": "ServiceAccount", "name": name, "namespace": CONTROLLER_NAMESPACE })
        }
    }
}

fn skeleton(kind: Kind, namespace: &str, name: &str) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    if !namespace.is_empty() {
        metadata.insert("namespace".into(), namespace.into());
    }
    metadata.insert("labels".into(), json!({ BOOTSTRAPPING.0: BOOTSTRAPPING.1 }));
    metadata.insert("annotations".into(), json!({ AUTO_UPDATE: "true" }));
    json!({ "apiVersion": format!("{GROUP}/v1"), "kind": kind.name(), "metadata": metadata })
}
