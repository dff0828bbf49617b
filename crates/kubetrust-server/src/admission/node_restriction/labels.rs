//! Which labels of its node a kubelet sets: not those that place workloads (`kubelet/pkg/apis/well_known_labels.go`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Labels that are the kubelet's.
const OWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Domains of labels that are the kubelet's.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Domains of Kubernetes' labels. Workloads can rely on those of `node-restriction.kubernetes.io`, which are among them,
/// because no kubelet sets them.
const RESERVED_DOMAINS: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// The labels that differ and must not, sorted.
pub(super) fn forbidden_changes<'a>(
    new: Option<&'a Map<String, Value>>,
    old: Option<&'a Map<String, Value>>,
) -> Vec<&'a str> {
    let keys: BTreeSet<&str> = new
        .into_iter()
        .chain(old)
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let value = |labels: Option<&'a Map<String, Value>>, key: &str| labels.and_then(|labels| labels.get(key));
    keys.into_iter()
        .filter(|key| value(new, key) != value(old, key) && is_forbidden(key))
        .collect()
}

fn is_forbidden(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &&str| {
        domain
            .strip_suffix(*parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let own = || OWN.contains(&key) || OWN_DOMAINS.iter().any(within);
    RESERVED_DOMAINS.iter().any(within) && !own()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kubelet_sets_its_own_labels_and_no_reserved_ones() {
        for (key, forbidden) in [
            ("foo", false),
            ("example.com/foo", false),
            ("kubernetes.io", false),
            ("mykubernetes.io/foo", false),
            ("kubernetes.io.example.com/foo", false),
            ("kubelet.kubernetes.io/foo", false),
            ("foo.kubelet.kubernetes.io/foo", false),
            ("node.kubernetes.io/foo", false),
            ("foo.node.kubernetes.io/foo", false),
            ("kubernetes.io/foo", true),
            ("k8s.io/foo", true),
            ("other.kubernetes.io/foo", true),
            ("other.k8s.io/foo", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("beta.kubernetes.io/foo", true),
            ("topology.kubernetes.io/rack", true),
            ("mynode.kubernetes.io/foo", true),
            ("node-restriction.kubernetes.io/foo", true),
            ("foo.node-restriction.kubernetes.io/foo", true),
            ("foo.node-restriction.kubernetes.io.example.com/foo", false),
        ] {
            assert_eq!(is_forbidden(key), forbidden, "{key}");
        }
        assert!(!OWN.iter().any(|key| is_forbidden(key)));
    }

    #[test]
    fn added_changed_and_removed_labels_count_and_kept_ones_do_not() {
        let labels = |value: Value| value.as_object().cloned().unwrap();
        let old = labels(json!({"k8s.io/kept": "1", "k8s.io/changed": "1", "k8s.io/removed": "1", "free": "1"}));
        let new = labels(json!({"k8s.io/kept": "1", "k8s.io/changed": "2", "k8s.io/added": "", "free": "2"}));
        let expected = ["k8s.io/added", "k8s.io/changed", "k8s.io/removed"];
        assert_eq!(forbidden_changes(Some(&new), Some(&old)), expected);
        assert_eq!(forbidden_changes(None, None), [""; 0]);
    }
}
