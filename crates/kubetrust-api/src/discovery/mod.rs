//! What clients are told of the groups, versions and resources that there are: `/api`, `/apis` and below, and the
//! same aggregated into one document (`apidiscovery.k8s.io`).
//!
//! The built-in ones come from [`resource`]; a [`Group`] that others serve is passed in.

mod kube_version;

use std::cmp::Reverse;

use serde_json::{Value, json};

pub use kube_version::by_maturity;

use crate::resource::{self, GROUPS, Resource, Scope, Subresource};

/// A group that is served besides the built-in ones, or more versions of one of those.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// `groupPriorityMinimum`: the higher, the earlier; equal ones by name.
    pub priority: u32,
    /// Its versions, in any order.
    pub versions: Vec<Version>,
}

/// A version of a [`Group`].
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// `versionPriority`: the higher, the earlier; equal ones by maturity, as [`by_maturity`] has it.
    pub priority: u32,
    /// Its resources, as `APIResourceDiscovery` of `apidiscovery.k8s.io/v2`.
    pub resources: Vec<Value>,
    /// Whether who serves it answers: if not, the resources are those that it had.
    pub current: bool,
}

/// The form of the aggregated document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `apidiscovery.k8s.io/v2`, since v1.30.
    V2,
    /// `apidiscovery.k8s.io/v2beta1`, for clients of v1.26 to v1.29.
    V2Beta1,
}

/// The kind of the aggregated document.
pub const AGGREGATED_KIND: &str = "APIGroupDiscoveryList";
/// The group of the aggregated document.
pub const AGGREGATED_GROUP: &str = "apidiscovery.k8s.io";

impl Form {
    /// The version, as `Accept` spells it.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }

    /// The form of this version.
    #[must_use]
    pub fn of(version: &str) -> Option<Self> {
        [Self::V2, Self::V2Beta1]
            .into_iter()
            .find(|form| form.version() == version)
    }

    /// The media type of the answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

/// `/api`: the versions of the core group, and the address that clients reach this server at.
#[must_use]
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`: all groups but the core group.
#[must_use]
pub fn groups(others: &[Group]) -> Value {
    let groups: Vec<Value> = named(others).iter().map(api_group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`: the versions of a group.
#[must_use]
pub fn group(name: &str, others: &[Group]) -> Option<Value> {
    let found = named(others).into_iter().find(|group| group.name == name)?;
    let mut value = json!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, api_group(&found)) {
        fields.extend(more);
    }
    Some(value)
}

/// `/api/v1` or `/apis/GROUP/VERSION`: the built-in resources of a group version.
#[must_use]
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let rows: Vec<&Resource> = resource::of_group_version(group, version).collect();
    if rows.is_empty() {
        return None;
    }
    let resources: Vec<Value> = rows
        .into_iter()
        .flat_map(|row| {
            let parts = row
                .subresources
                .iter()
                .map(|subresource| api_subresource(row, subresource));
            std::iter::once(api_resource(row)).chain(parts)
        })
        .collect();
    let group_version = resource::api_version(group, version);
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}))
}

/// `/api`, aggregated: the core group.
#[must_use]
pub fn aggregated_core(form: Form) -> Value {
    let core: Vec<Group> = builtin().into_iter().filter(|group| group.name.is_empty()).collect();
    aggregated(form, &core)
}

/// `/apis`, aggregated: all groups but the core group.
#[must_use]
pub fn aggregated_groups(form: Form, others: &[Group]) -> Value {
    aggregated(form, &named(others))
}

/// All groups but the core group, in order: the built-in ones with what others add.
fn named(others: &[Group]) -> Vec<Group> {
    let mut groups: Vec<Group> = builtin().into_iter().filter(|group| !group.name.is_empty()).collect();
    for other in others {
        match groups.iter_mut().find(|group| group.name == other.name) {
            None => groups.push(other.clone()),
            Some(group) => {
                group.priority = group.priority.max(other.priority);
                for version in &other.versions {
                    if group.versions.iter().all(|known| known.name != version.name) {
                        group.versions.push(version.clone());
                    }
                }
            }
        }
    }
    groups.retain(|group| !group.versions.is_empty());
    for group in &mut groups {
        group.versions.sort_by(|one, other| {
            other
                .priority
                .cmp(&one.priority)
                .then_with(|| by_maturity(&one.name, &other.name))
        });
    }
    groups.sort_by(|one, other| (Reverse(one.priority), &one.name).cmp(&(Reverse(other.priority), &other.name)));
    groups
}

fn builtin() -> Vec<Group> {
    GROUPS
        .iter()
        .map(|group| Group {
            name: group.name.to_owned(),
            priority: group.priority,
            versions: group
                .versions
                .iter()
                .map(|(version, priority)| Version {
                    name: (*version).to_owned(),
                    priority: *priority,
                    resources: resource::of_group_version(group.name, version)
                        .map(resource_discovery)
                        .collect(),
                    current: true,
                })
                .collect(),
        })
        .collect()
}

fn api_group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": resource::api_version(&group.name, &version.name), "version": version.name}))
        .collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions.first()})
}

fn api_resource(row: &Resource) -> Value {
    let mut value = json!({
        "name": row.plural,
        "singularName": row.singular(),
        "namespaced": row.scope == Scope::Namespaced,
        "kind": row.kind,
        "verbs": row.verbs,
    });
    add_names(&mut value, row);
    value
}

fn api_subresource(row: &Resource, subresource: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", row.plural, subresource.name),
        "singularName": "",
        "namespaced": row.scope == Scope::Namespaced,
    });
    if let Some((group, version)) = subresource.kind_group_version {
        value["group"] = group.into();
        value["version"] = version.into();
    }
    value["kind"] = subresource.kind.into();
    value["verbs"] = subresource.verbs.into();
    value
}

fn add_names(value: &mut Value, row: &Resource) {
    for (field, names) in [("shortNames", row.short_names), ("categories", row.categories)] {
        if !names.is_empty() {
            value[field] = names.into();
        }
    }
}

fn aggregated(form: Form, groups: &[Group]) -> Value {
    let items: Vec<Value> = groups.iter().map(group_discovery).collect();
    let api_version = resource::api_version(AGGREGATED_GROUP, form.version());
    json!({"kind": AGGREGATED_KIND, "apiVersion": api_version, "metadata": {}, "items": items})
}

fn group_discovery(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let freshness = if version.current { "Current" } else { "Stale" };
            json!({"version": version.name, "resources": version.resources, "freshness": freshness})
        })
        .collect();
    let metadata = if group.name.is_empty() {
        json!({})
    } else {
        json!({"name": group.name})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn resource_discovery(row: &Resource) -> Value {
    let mut value = json!({
        "resource": row.plural,
        "responseKind": {"group": "", "version": "", "kind": row.kind},
        "scope": match row.scope {
            Scope::Namespaced => "Namespaced",
            Scope::Cluster => "Cluster",
        },
        "singularResource": row.singular(),
        "verbs": row.verbs,
    });
    add_names(&mut value, row);
    if !row.subresources.is_empty() {
        value["subresources"] = row.subresources.iter().map(subresource_discovery).collect();
    }
    value
}

fn subresource_discovery(subresource: &Subresource) -> Value {
    let (group, version) = subresource.kind_group_version.unwrap_or_default();
    json!({
        "subresource": subresource.name,
        "responseKind": {"group": group, "version": version, "kind": subresource.kind},
        "verbs": subresource.verbs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str, priority: u32, versions: &[(&str, u32)]) -> Group {
        let versions = versions.iter().map(|(name, priority)| Version {
            name: (*name).into(),
            priority: *priority,
            resources: vec![json!({"resource": "things"})],
            current: *priority != 7,
        });
        Group {
            name: name.into(),
            priority,
            versions: versions.collect(),
        }
    }

    #[test]
    fn groups_stand_in_the_order_of_their_priorities() {
        let list = groups(&[
            other("z.example", 17_800, &[("v1", 1)]),
            other("a.example", 100, &[("v1", 1)]),
        ]);
        let names: Vec<&str> = list["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names.get(..4).unwrap(),
            ["apiregistration.k8s.io", "apps", "z.example", "events.k8s.io"]
        );
        assert_eq!(names.last(), Some(&"a.example"));
        assert_eq!(names.len(), GROUPS.len() + 1);
    }

    #[test]
    fn a_group_prefers_its_first_version() {
        assert_eq!(
            group("autoscaling", &[]).unwrap(),
            json!({
                "kind": "APIGroup", "apiVersion": "v1", "name": "autoscaling",
                "versions": [
                    {"groupVersion": "autoscaling/v2", "version": "v2"},
                    {"groupVersion": "autoscaling/v1", "version": "v1"},
                ],
                "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
            })
        );
        let more = other("autoscaling", 1, &[("v1", 90), ("v3alpha1", 15), ("v3", 15)]);
        let merged = group("autoscaling", &[more]).unwrap();
        let names: Vec<&Value> = merged["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|version| &version["version"])
            .collect();
        assert_eq!(names, ["v2", "v3", "v1", "v3alpha1"]);
        for unknown in ["", "v1", "no.such.group"] {
            assert_eq!(group(unknown, &[]), None, "{unknown}");
        }
        assert_eq!(group("empty.example", &[other("empty.example", 1, &[])]), None);
    }

    #[test]
    fn resources_are_listed_as_upstream_lists_them() {
        let find = |group: &str, name: &str| {
            let list = resources(group, "v1").unwrap();
            list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .find(|resource| resource["name"] == name)
                .cloned()
                .unwrap()
        };
        let all = json!([
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch"
        ]);
        for (group, name, want) in [
            (
                "",
                "pods",
                json!({
                    "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": all,
                    "shortNames": ["po"], "categories": ["all"],
                }),
            ),
            (
                "",
                "pods/eviction",
                json!({
                    "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
                    "kind": "Eviction", "verbs": ["create"],
                }),
            ),
            (
                "",
                "pods/exec",
                json!({
                    "name": "pods/exec", "singularName": "", "namespaced": true, "kind": "PodExecOptions", "verbs": ["create", "get"],
                }),
            ),
            (
                "",
                "namespaces",
                json!({
                    "name": "namespaces", "singularName": "namespace", "namespaced": false, "kind": "Namespace",
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"], "shortNames": ["ns"],
                }),
            ),
            (
                "",
                "componentstatuses",
                json!({
                    "name": "componentstatuses", "singularName": "componentstatus", "namespaced": false,
                    "kind": "ComponentStatus", "verbs": ["get", "list"], "shortNames": ["cs"],
                }),
            ),
            (
                "authentication.k8s.io",
                "tokenreviews",
                json!({
                    "name": "tokenreviews", "singularName": "tokenreview", "namespaced": false, "kind": "TokenReview",
                    "verbs": ["create"],
                }),
            ),
            (
                "certificates.k8s.io",
                "certificatesigningrequests/approval",
                json!({
                    "name": "certificatesigningrequests/approval", "singularName": "", "namespaced": false,
                    "kind": "CertificateSigningRequest", "verbs": ["get", "patch", "update"],
                }),
            ),
        ] {
            assert_eq!(find(group, name), want);
        }
        assert_eq!(resources("apps", "v1").unwrap()["groupVersion"], "apps/v1");
        assert_eq!(resources("apps", "v1beta1"), None);
    }

    #[test]
    fn the_aggregated_document_has_every_resource_once() {
        for form in [Form::V2, Form::V2Beta1] {
            assert_eq!(Form::of(form.version()), Some(form));
            let core = aggregated_core(form);
            let named = aggregated_groups(form, &[other("x.example", 5, &[("v1", 7), ("v2", 6)])]);
            assert_eq!(core["apiVersion"], format!("apidiscovery.k8s.io/{}", form.version()));
            let count: usize = [&core, &named]
                .iter()
                .flat_map(|list| list["items"].as_array().unwrap())
                .flat_map(|group| group["versions"].as_array().unwrap())
                .map(|version| version["resources"].as_array().unwrap().len())
                .sum();
            assert_eq!(count, resource::TABLE.len() + 2);
            let stale = named["items"].as_array().unwrap().last().unwrap();
            assert_eq!(stale["versions"][0]["freshness"], "Stale");
            assert_eq!(stale["versions"][1]["freshness"], "Current");
        }
        let core = aggregated_core(Form::V2);
        let accounts = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let account = accounts
            .iter()
            .find(|resource| resource["resource"] == "serviceaccounts")
            .unwrap();
        assert_eq!(
            account["subresources"][0],
            json!({
                "subresource": "token", "verbs": ["create"],
                "responseKind": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
            })
        );
    }
}
