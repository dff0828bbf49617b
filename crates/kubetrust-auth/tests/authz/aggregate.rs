//! Cluster roles that gather the rules of others.

use kubetrust_auth::authz::default_policy::defaults;
use kubetrust_auth::authz::rbac::Kind;
use kubetrust_auth::authz::rbac::aggregate::{Aggregated, aggregate};
use serde_json::{Value, json};

fn role(name: &str, labels: &Value, rules: &[&str], selectors: Option<Value>) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .map(|each| json!({ "verbs": [each], "apiGroups": [""], "resources": ["pods"] }))
        .collect();
    let mut role = json!({ "metadata": { "name": name, "labels": labels }, "rules": rules });
    if let Some(selectors) = selectors {
        role["aggregationRule"] = json!({ "clusterRoleSelectors": selectors });
    }
    role
}

/// Verbs that each changed role gets.
fn changes(roles: &[Value]) -> Vec<(String, Vec<String>)> {
    let read: Vec<Aggregated> = roles.iter().map(|role| Aggregated::read(role).unwrap()).collect();
    let changed = aggregate(&read).into_iter();
    changed
        .map(|(name, rules)| (name, rules.into_iter().flat_map(|rule| rule.verbs).collect()))
        .collect()
}

#[test]
fn every_kind_of_selector() {
    let others = [
        role("b", &json!({ "tier": "two", "x": "" }), &["update", "get"], None),
        role("a", &json!({ "tier": "one" }), &["get", "list"], None),
        role("c", &Value::Null, &["delete"], None),
    ];
    let expression = |operator: &str, values: Value| json!([{ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] }]);
    let one = json!({ "matchLabels": { "tier": "one" } });
    for (selectors, verbs) in [
        (json!([one.clone()]), Some(vec!["get", "list"])),
        (
            json!([{ "matchLabels": { "x": "" } }, one.clone()]),
            Some(vec!["update", "get", "list"]),
        ),
        (
            json!([one, { "matchLabels": { "x": "" } }]),
            Some(vec!["get", "list", "update"]),
        ),
        // An empty selector selects all but the role itself; equal rules count once.
        (json!([{}]), Some(vec!["get", "list", "update", "delete"])),
        (
            expression("In", json!(["one", "two"])),
            Some(vec!["get", "list", "update"]),
        ),
        (
            expression("NotIn", json!(["one"])),
            Some(vec!["update", "get", "delete"]),
        ),
        (expression("Exists", Value::Null), Some(vec!["get", "list", "update"])),
        (expression("DoesNotExist", json!([])), Some(vec!["delete"])),
        (json!([]), Some(vec![])),
        (expression("In", json!([])), None),
        (expression("Exists", json!(["one"])), None),
        (expression("Like", json!(["one"])), None),
    ] {
        let mut roles = others.to_vec();
        roles.push(role(
            "all",
            &json!({ "tier": "one" }),
            &["old"],
            Some(selectors.clone()),
        ));
        let wanted: Vec<(String, Vec<String>)> = verbs
            .iter()
            .map(|verbs| ("all".into(), verbs.iter().map(|verb| (*verb).into()).collect()))
            .collect();
        assert_eq!(changes(&roles), wanted, "{selectors}");
    }
}

#[test]
fn what_is_gathered_already_is_not_written_again() {
    let roles = [
        role("a", &json!({ "join": "1" }), &["get"], None),
        role(
            "all",
            &Value::Null,
            &["get"],
            Some(json!([{ "matchLabels": { "join": "1" } }])),
        ),
    ];
    assert_eq!(changes(&roles), []);
}

#[test]
fn the_default_roles_settle_in_two_rounds() {
    let mut roles: Vec<Value> = defaults()
        .into_iter()
        .filter(|each| each.kind == Kind::ClusterRole)
        .map(|each| each.object)
        .collect();
    let mut rounds = 0;
    loop {
        let read: Vec<Aggregated> = roles.iter().map(|role| Aggregated::read(role).unwrap()).collect();
        let changed = aggregate(&read);
        if changed.is_empty() {
            break;
        }
        for (name, rules) in changed {
            let role = roles
                .iter_mut()
                .find(|role| role["metadata"]["name"] == name.as_str())
                .unwrap();
            role["rules"] = json!(rules);
        }
        rounds += 1;
        assert!(rounds < 10, "never settles");
    }
    assert_eq!(rounds, 3);
    let count = |name: &str| {
        let role = roles.iter().find(|role| role["metadata"]["name"] == name).unwrap();
        role["rules"].as_array().unwrap().len()
    };
    let (view, edit, admin) = (
        count("system:aggregate-to-view"),
        count("system:aggregate-to-edit"),
        count("system:aggregate-to-admin"),
    );
    assert_eq!(
        (count("view"), count("edit"), count("admin")),
        (view, edit + view, admin + edit + view)
    );
}
