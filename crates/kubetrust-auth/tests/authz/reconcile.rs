//! What is missing is added; what others have added, or do not want touched, stays.

use kubetrust_auth::authz::default_policy::defaults;
use kubetrust_auth::authz::rbac::Kind;
use kubetrust_auth::authz::rbac::reconcile::{Step, reconcile};
use serde_json::{Map, Value, json};

/// Verbs on `things`, labels, annotations: `get list; l=1; a=2`.
fn role(text: &str) -> Value {
    let mut parts = text.split(';').map(str::trim);
    let rules: Vec<Value> = parts
        .next()
        .unwrap()
        .split_whitespace()
        .map(|verb| json!({ "apiGroups": [""], "resources": ["things"], "verbs": [verb] }))
        .collect();
    let mut metadata = Map::from_iter([("name".to_owned(), json!("r"))]);
    for field in ["labels", "annotations"] {
        let pairs = parts.next().unwrap_or_default().split_whitespace();
        let map: Map<String, Value> = pairs
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        if !map.is_empty() {
            metadata.insert(field.into(), map.into());
        }
    }
    json!({ "metadata": metadata, "rules": rules })
}

/// Stored, wanted, written.
const ROLES: &[(&str, &str, Option<&str>)] = &[
    ("", "", None),
    ("get", "get", None),
    ("get list", "get", None),
    ("list", "get", Some("list get")),
    ("", "get list", Some("get list")),
    ("get; l=1", "get; l=1", None),
    ("get; m=2", "get; l=1", Some("get; m=2 l=1")),
    ("get; l=2", "get; l=1", None),
    ("list; l=2", "get; l=1", Some("list get; l=2")),
    ("get;; a=1", "get;; a=1 b=2", Some("get;; a=1 b=2")),
    (
        "list;; rbac.authorization.kubernetes.io/autoupdate=false",
        "get; l=1",
        None,
    ),
    (
        "list;; rbac.authorization.kubernetes.io/autoupdate=true",
        "get",
        Some("list get;; rbac.authorization.kubernetes.io/autoupdate=true"),
    ),
    (
        "list;; rbac.authorization.kubernetes.io/autoupdate=False",
        "get",
        Some("list get;; rbac.authorization.kubernetes.io/autoupdate=False"),
    ),
];

#[test]
fn roles_gain_what_is_missing() {
    for (stored, wanted, written) in ROLES {
        let step = reconcile(Kind::ClusterRole, Some(&role(stored)), &role(wanted)).unwrap();
        assert_eq!(
            step,
            written.map(|text| Step::Update(role(text))),
            "{stored} | {wanted}"
        );
    }
    assert_eq!(
        reconcile(Kind::ClusterRole, None, &role("get")).unwrap(),
        Some(Step::Create(role("get")))
    );
}

#[test]
fn only_single_permissions_that_are_missing_are_added() {
    let rule = |verbs: Value| json!({ "apiGroups": [""], "resources": ["things"], "verbs": verbs });
    let with = |rules: Value| json!({ "metadata": { "name": "r" }, "rules": rules });
    let stored = with(json!([rule(json!(["get", "list"]))]));
    let wanted = with(json!([rule(json!(["get", "watch"]))]));
    let Some(Step::Update(written)) = reconcile(Kind::Role, Some(&stored), &wanted).unwrap() else {
        panic!()
    };
    assert_eq!(
        written,
        with(json!([rule(json!(["get", "list"])), rule(json!(["watch"]))]))
    );
    // A stored role without rules, in either spelling.
    for stored in [with(Value::Null), json!({ "metadata": { "name": "r" } })] {
        let Some(Step::Update(written)) = reconcile(Kind::Role, Some(&stored), &wanted).unwrap() else {
            panic!()
        };
        assert_eq!(written["rules"], json!([rule(json!(["get"])), rule(json!(["watch"]))]));
    }
}

#[test]
fn aggregation_rules_gain_selectors_and_go_where_none_is_wanted() {
    let with = |labels: Option<&[&str]>| {
        let mut role = role("get");
        if let Some(labels) = labels {
            let selectors: Vec<Value> = labels
                .iter()
                .map(|each| json!({ "matchLabels": { *each: "1" } }))
                .collect();
            role["aggregationRule"] = json!({ "clusterRoleSelectors": selectors });
        }
        role
    };
    for (stored, wanted, written) in [
        (Some(&["a"][..]), Some(&["a"][..]), None),
        (Some(&["a", "b"]), Some(&["a"]), None),
        (Some(&["b"]), Some(&["a"]), Some(Some(&["b", "a"][..]))),
        (None, Some(&["a"]), Some(Some(&["a"]))),
        (Some(&["a"]), None, Some(None)),
        (None, None, None),
    ] {
        let step = reconcile(Kind::ClusterRole, Some(&with(stored)), &with(wanted)).unwrap();
        assert_eq!(
            step,
            written.map(|labels| Step::Update(with(labels))),
            "{stored:?} {wanted:?}"
        );
    }
}

fn binding(role: &str, subjects: &str) -> Value {
    let subjects: Vec<Value> = subjects
        .split_whitespace()
        .map(|name| json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name }))
        .collect();
    json!({
        "metadata": { "name": "b" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": subjects,
    })
}

#[test]
fn bindings_gain_subjects_and_are_made_anew_for_another_role() {
    let kind = Kind::ClusterRoleBinding;
    for (stored, wanted, step) in [
        (("r", "a b"), ("r", "a"), None),
        (("r", "b"), ("r", "a a"), Some(Step::Update(binding("r", "b a")))),
        (("r", ""), ("r", "a"), Some(Step::Update(binding("r", "a")))),
        (("s", "b"), ("r", "a"), Some(Step::Recreate(binding("r", "a")))),
    ] {
        let found = reconcile(kind, Some(&binding(stored.0, stored.1)), &binding(wanted.0, wanted.1)).unwrap();
        assert_eq!(found, step, "{stored:?} {wanted:?}");
    }
    let mut kept = binding("s", "b");
    kept["metadata"]["annotations"] = json!({ "rbac.authorization.kubernetes.io/autoupdate": "false" });
    assert_eq!(reconcile(kind, Some(&kept), &binding("r", "a")).unwrap(), None);
}

#[test]
fn what_was_created_from_the_defaults_needs_nothing() {
    for default in defaults() {
        let mut stored = default.object.clone();
        stored["metadata"]["uid"] = "1".into();
        assert_eq!(
            reconcile(default.kind, Some(&stored), &default.object).unwrap(),
            None,
            "{}",
            default.name
        );
        let step = reconcile(default.kind, None, &default.object).unwrap();
        assert_eq!(step, Some(Step::Create(default.object)));
    }
}

#[test]
fn a_default_role_that_lost_a_rule_gets_it_back_and_keeps_its_own() {
    let scheduler = defaults()
        .into_iter()
        .find(|each| each.name == "system:kube-scheduler")
        .unwrap();
    let mut stored = scheduler.object.clone();
    let own = json!({ "verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"] });
    let rules = stored["rules"].as_array_mut().unwrap();
    let lost = rules.remove(0);
    rules.push(own.clone());
    let Some(Step::Update(written)) = reconcile(Kind::ClusterRole, Some(&stored), &scheduler.object).unwrap() else {
        panic!()
    };
    assert_eq!(lost["resources"], json!(["events"]));
    let rules = written["rules"].as_array().unwrap();
    assert!(rules.contains(&own));
    // Two groups by three verbs.
    assert_eq!(
        rules
            .iter()
            .filter(|rule| rule["resources"] == json!(["events"]))
            .count(),
        6
    );
    assert_eq!(
        reconcile(Kind::ClusterRole, Some(&written), &scheduler.object).unwrap(),
        None
    );
}
