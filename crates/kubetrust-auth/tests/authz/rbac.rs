//! What rules match, in whose name, and what the reason says.

use kubetrust_auth::authz::Decision;
use kubetrust_auth::authz::rbac::{Kind, Policy, Rbac, Rule};

use crate::naive::Model;
use crate::words::{asked, user};

const POLICY: &str = "
ClusterRole reader
  get list | core | pods
ClusterRole everything
  * | * | *
  * |  |  |  | *
ClusterRole scaler
  update | * | */scale
ClusterRole logs
  get | core | pods/log
ClusterRole one
  get update | core | configmaps | settings flags
ClusterRole apps
  * | apps | *
ClusterRole health
  get |  |  |  | /healthz /healthz/* /livez** /exact
ClusterRole mixed
  get | core | pods | | /mixed
ClusterRole none
Role team/editor
  get update | core | secrets
Role team/reader
  get | core | services
ClusterRoleBinding all of ClusterRole everything
  Group admins
ClusterRoleBinding a of ClusterRole reader
  User alice
  Group readers
ClusterRoleBinding b of ClusterRole reader
  ServiceAccount ci/robot
  ServiceAccount nowhere
ClusterRoleBinding c of ClusterRole scaler
  Group scalers
ClusterRoleBinding d of ClusterRole logs
  Group loggers
ClusterRoleBinding e of ClusterRole one
  Group ones
ClusterRoleBinding f of ClusterRole apps
  Group apps
ClusterRoleBinding g of ClusterRole health
  Group probes
ClusterRoleBinding h of ClusterRole missing
  Group lost
ClusterRoleBinding i of ClusterRole gone
  Group lost
ClusterRoleBinding j of Role editor
  Group wrong
ClusterRoleBinding k of Other editor
  Group odd
ClusterRoleBinding l of ClusterRole mixed
  Group mixed
ClusterRoleBinding m of ClusterRole none
  Group nobody
ClusterRoleBinding n of ClusterRole everything
  Machine alice
RoleBinding team/p of Role editor
  User bob
  ServiceAccount local
RoleBinding team/q of ClusterRole reader
  Group testers
RoleBinding team/r of Role missing
  Group lost
RoleBinding other/s of Role editor
  User bob
RoleBinding team/t of ClusterRole health
  User bob
";

/// Who asks, what for, and after `+` the binding that allows it, after `-` what is said of roles that are missing.
const CASES: &[(&str, &str, &str)] = &[
    ("alice", "get pods", "+a"),
    ("alice", "get pods @team", "+a"),
    ("carol+readers", "list pods", "+a"),
    ("alice", "watch pods", "-"),
    ("alice", "get pods.apps", "-"),
    ("alice", "get services", "-"),
    ("alice", "get pods/log", "-"),
    ("Alice", "get pods", "-"),
    ("readers", "get pods", "-"),
    ("x+alice", "get pods", "-"),
    ("", "get pods", "-"),
    ("alice", "get /pods", "-"),
    ("x+admins", "anything things.example.com/sub @team y", "+all"),
    ("x+admins", "post /any/path", "+all"),
    ("system:serviceaccount:ci:robot", "get pods", "+b"),
    ("system:serviceaccount:ci:robot2", "get pods", "-"),
    ("system:serviceaccount::nowhere", "get pods", "-"),
    ("nowhere", "get pods", "-"),
    ("x+scalers", "update deployments.apps/scale @team web", "+c"),
    ("x+scalers", "update scale", "-"),
    ("x+scalers", "update deployments.apps/status", "-"),
    ("x+loggers", "get pods/log @team web", "+d"),
    ("x+loggers", "get pods @team web", "-"),
    ("x+ones", "get configmaps @team settings", "+e"),
    ("x+ones", "update configmaps @team flags", "+e"),
    ("x+ones", "get configmaps @team other", "-"),
    ("x+ones", "get configmaps @team", "-"),
    ("x+apps", "delete deployments.apps", "+f"),
    ("x+apps", "delete deployments.extensions", "-"),
    ("x+probes", "get /healthz", "+g"),
    ("x+probes", "get /healthz/etcd/deep", "+g"),
    ("x+probes", "get /healthz/", "+g"),
    ("x+probes", "get /livezoo", "+g"),
    ("x+probes", "get /healthzoo", "-"),
    ("x+probes", "get /exact/", "-"),
    ("x+probes", "post /healthz", "-"),
    ("x+lost", "get pods", "-[clusterrole missing, clusterrole gone]"),
    (
        "x+lost",
        "get pods @team",
        "-[clusterrole missing, clusterrole gone, role missing]",
    ),
    ("alice+lost", "get pods", "+a"),
    ("x+wrong", "get secrets @team", "-role editor"),
    ("x+odd", "get secrets", "-kind Other"),
    ("x+mixed", "get pods", "+l"),
    ("x+mixed", "get /mixed", "+l"),
    ("x+nobody", "get pods", "-"),
    ("bob", "update secrets @team s", "+p/team"),
    ("bob", "update secrets @other s", "-role editor"),
    ("bob", "update secrets", "-"),
    ("bob", "get services @team", "-"),
    ("bob", "get /healthz", "-"),
    ("system:serviceaccount:team:local", "get secrets @team", "+p/team"),
    ("system:serviceaccount:other:local", "get secrets @team", "-"),
    ("x+testers", "get pods @team", "+q/team"),
    ("x+testers", "get pods @other", "-"),
    ("x+testers", "get pods", "-"),
    ("x+testers+readers", "get pods @team", "+a"),
];

#[test]
fn every_way_to_match_and_not_to() {
    let model = Model::parse(POLICY);
    let policy = model.policy();
    for (who, what, wanted) in CASES {
        let decided = policy.authorize(&user(who), &asked(what));
        assert_eq!(short(&decided), *wanted, "{who}: {what}");
        assert_eq!(
            decided.is_allowed(),
            model.allows(&user(who), &asked(what)),
            "{who}: {what}"
        );
    }
}

/// The decision without the words that are the same in each.
fn short(decision: &Decision) -> String {
    let reason = decision.reason();
    if decision.is_allowed() {
        return format!("+{}", reason.split('"').nth(1).unwrap());
    }
    let missing = reason
        .replace(".rbac.authorization.k8s.io", "")
        .replace(" not found", "")
        .replace('"', "");
    format!(
        "-{}",
        missing
            .replace("RBAC: ", "")
            .replace("unsupported role reference kind:", "kind")
    )
}

#[test]
fn reasons_are_upstreams() {
    let policy = Model::parse(POLICY).policy();
    let robot = "system:serviceaccount:ci:robot";
    for (who, what, reason) in [
        (
            "alice",
            "get pods",
            r#"RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "reader" to User "alice""#,
        ),
        (
            "x+readers",
            "get pods",
            r#"RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "reader" to Group "readers""#,
        ),
        (
            robot,
            "get pods",
            r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to ServiceAccount "robot/ci""#,
        ),
        (
            "bob",
            "get secrets @team",
            r#"RBAC: allowed by RoleBinding "p/team" of Role "editor" to User "bob""#,
        ),
        (
            "x+wrong",
            "get pods",
            r#"RBAC: role.rbac.authorization.k8s.io "editor" not found"#,
        ),
        ("x+odd", "get pods", r#"RBAC: unsupported role reference kind: "Other""#),
    ] {
        assert_eq!(policy.authorize(&user(who), &asked(what)).reason(), reason);
    }
}

#[test]
fn rules_are_listed_once_for_each_binding_that_applies() {
    let policy = Model::parse(POLICY).policy();
    let list = |who: &str, namespace: &str| -> (Vec<String>, String) {
        let rules = policy.rules_for(&user(who), namespace);
        assert!(!rules.incomplete);
        (rules.rules.iter().map(Rule::compact).collect(), rules.evaluation_error)
    };
    let reader = r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#;
    // Once, although it applies twice.
    assert_eq!(list("alice+readers", ""), (vec![reader.into()], String::new()));
    let scaler = r#"{APIGroups:["*"], Resources:["*/scale"], Verbs:["update"]}"#;
    // The cluster's by name, then the namespace's.
    assert_eq!(
        list("alice+testers+scalers", "team").0,
        [reader, scaler, reader].map(str::to_owned)
    );
    let (rules, error) = list("x+lost+readers", "");
    assert_eq!(rules, [reader]);
    assert_eq!(
        error,
        r#"[clusterrole.rbac.authorization.k8s.io "gone" not found, clusterrole.rbac.authorization.k8s.io "missing" not found]"#
    );
    let all = policy.rules_for(&user("x+mixed"), "");
    assert_eq!((all.of_resources().count(), all.of_urls().count()), (1, 1));
}

#[test]
fn who_can_names_everybody_and_the_binding() {
    let policy = Model::parse(POLICY).policy();
    let who = |what: &str| -> Vec<String> {
        let (allowed, _) = policy.subjects_allowed(&asked(what));
        allowed
            .iter()
            .map(|each| each.binding.describe(&each.subject))
            .collect()
    };
    assert_eq!(
        who("get secrets @team s"),
        [
            r#"ClusterRoleBinding "all" of ClusterRole "everything" to Group "admins""#,
            r#"RoleBinding "p/team" of Role "editor" to User "bob""#,
            r#"RoleBinding "p/team" of Role "editor" to ServiceAccount "local/team""#,
        ]
    );
    assert_eq!(
        who("get secrets s"),
        [r#"ClusterRoleBinding "all" of ClusterRole "everything" to Group "admins""#]
    );
    let (_, errors) = policy.subjects_allowed(&asked("get secrets @team"));
    assert_eq!(
        errors,
        [
            r#"clusterrole.rbac.authorization.k8s.io "missing" not found"#,
            r#"clusterrole.rbac.authorization.k8s.io "gone" not found"#,
            r#"role.rbac.authorization.k8s.io "editor" not found"#,
            r#"unsupported role reference kind: "Other""#,
            r#"role.rbac.authorization.k8s.io "missing" not found"#,
        ]
    );
}

#[test]
fn a_change_is_in_force_at_once_and_leaves_readers_of_the_old_policy_alone() {
    let rbac = Rbac::default();
    let may = |policy: &Policy| policy.authorize(&user("alice"), &asked("get pods")).is_allowed();
    let objects =
        Model::parse("ClusterRole r\n  get | core | pods\nClusterRoleBinding b of ClusterRole r\n  User alice");
    let [(_, role), (_, binding)] = &objects.objects()[..] else {
        panic!()
    };

    rbac.update(|policy| policy.put(Kind::ClusterRoleBinding, binding))
        .unwrap();
    assert!(!may(&rbac.policy()));
    rbac.update(|policy| policy.put(Kind::ClusterRole, role)).unwrap();
    let before = rbac.policy();
    assert!(may(&before));
    rbac.update(|policy| policy.delete(Kind::ClusterRole, "", "r"));
    assert!(!may(&rbac.policy()));
    assert!(may(&before));
    rbac.update(|policy| policy.put(Kind::ClusterRole, role)).unwrap();
    rbac.update(|policy| policy.delete(Kind::ClusterRoleBinding, "", "b"));
    assert!(!may(&rbac.policy()));
    assert_eq!((rbac.policy().roles(), rbac.policy().bindings()), (1, 0));
}

#[test]
fn lists_that_are_null_are_empty_and_nonsense_is_an_error() {
    let mut policy = Policy::default();
    let role = serde_json::json!({ "metadata": { "name": "r" }, "rules": [{ "verbs": null, "apiGroups": null }] });
    policy.put(Kind::ClusterRole, &role).unwrap();
    let binding = serde_json::json!({ "metadata": { "name": "b" }, "roleRef": { "kind": "ClusterRole", "name": "r" }, "subjects": null });
    policy.put(Kind::ClusterRoleBinding, &binding).unwrap();
    let nonsense = serde_json::json!({ "metadata": { "name": "r" }, "rules": "all" });
    let error = policy.put(Kind::ClusterRole, &nonsense).unwrap_err();
    assert!(error.to_string().starts_with("ClusterRole cannot be read: "), "{error}");
    assert_eq!(
        policy.authorize(&user("x"), &asked("get pods")),
        Decision::NoOpinion("".into())
    );
}
