//! The roles and bindings of a new cluster are those of upstream.

use std::collections::BTreeSet;

use kubetrust_auth::authz::default_policy::{CONTROLLER_PREFIX, defaults};
use kubetrust_auth::authz::rbac::Kind;

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
