//! The roles and bindings of a new cluster are those of upstream.

use std::collections::BTreeSet;

use kubetrust_auth::authz::default_policy::{CONTROLLER_PREFIX, defaults, moved};
use kubetrust_auth::authz::rbac::Kind;

use serde_json::{Value, json};

use crate::naive;

/// Made from upstream's own golden files, not from ours.
pub const GOLDEN: &str = include_str!("default_policy.txt");

#[test]
fn every_default_object_is_upstreams() {
    let ours: Vec<String> = defaults().iter().map(|default| naive::text(&default.object)).collect();
    let golden: Vec<&str> = GOLDEN.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(ours.join("\n"), golden.join("\n"));
}

#[test]
fn a_default_object_says_what_it_is() {
    let mut seen = BTreeSet::new();
    for default in defaults() {
        let object = &default.object;
        assert_eq!(object["apiVersion"], "rbac.authorization.k8s.io/v1");
        assert_eq!(object["kind"], default.kind.name());
        assert_eq!(object["metadata"]["name"], default.name.as_str());
        assert_eq!(
            object["metadata"]["namespace"].as_str().unwrap_or(""),
            default.namespace
        );
        assert!(
            seen.insert((default.kind, default.namespace, default.name.clone())),
            "twice: {}",
            default.name
        );
        if default.kind == Kind::ClusterRoleBinding && default.name.starts_with(CONTROLLER_PREFIX) {
            assert_eq!(object["subjects"][0]["namespace"], "kube-system");
        }
    }
    let golden = GOLDEN
        .lines()
        .filter(|line| line.starts_with(char::is_alphabetic))
        .count();
    assert_eq!(seen.len(), golden);
}

#[test]
fn what_people_changed_before_upstream_moved_it_is_moved_too() {
    let meta = |name: &str| json!({ "name": name, "uid": "1", "resourceVersion": "7", "labels": { "team": "a" } });
    let rules = json!([{ "verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"] }]);
    let edit = json!({ "metadata": meta("edit"), "rules": rules });
    let subjects = json!([{ "kind": "Group", "name": "staff" }]);
    let discovery = json!({ "metadata": meta("system:discovery"), "subjects": subjects });
    let given = |stored: &[(Kind, &str, &Value)]| {
        let find = |kind, name: &str| {
            stored
                .iter()
                .find(|each| each.0 == kind && each.1 == name)
                .map(|each| each.2.clone())
        };
        moved(find)
    };
    let created = given(&[
        (Kind::ClusterRole, "edit", &edit),
        (Kind::ClusterRoleBinding, "system:discovery", &discovery),
    ]);
    let [(Kind::ClusterRole, role), (Kind::ClusterRoleBinding, binding)] = &created[..] else {
        panic!("{created:?}")
    };
    let marks = |name: &str| json!({ "name": name, "labels": { "team": "a" }, "annotations": null });
    assert_eq!(role["metadata"], marks("system:aggregate-to-edit"));
    assert_eq!(role["rules"], rules);
    assert_eq!(binding["metadata"], marks("system:public-info-viewer"));
    assert_eq!(
        (&binding["subjects"], &binding["roleRef"]["name"]),
        (&subjects, &json!("system:public-info-viewer"))
    );

    // Nothing for a new cluster, for one that has the new objects, or whose role gathers already.
    assert_eq!(given(&[]), []);
    let gathers = json!({ "metadata": meta("edit"), "aggregationRule": { "clusterRoleSelectors": [] } });
    for stored in [
        &[
            (Kind::ClusterRole, "edit", &edit),
            (Kind::ClusterRole, "system:aggregate-to-edit", &edit),
        ][..],
        &[(Kind::ClusterRole, "edit", &gathers)],
        &[
            (Kind::ClusterRoleBinding, "system:discovery", &discovery),
            (Kind::ClusterRoleBinding, "system:public-info-viewer", &discovery),
        ],
    ] {
        assert_eq!(given(stored), []);
    }
}
