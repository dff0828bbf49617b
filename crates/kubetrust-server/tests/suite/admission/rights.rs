//! `RbacEscalation`: nobody gives rights that they do not have.

use kubetrust_server::admission::RbacEscalation;
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, grant, update, user};
use crate::support::Engine;

on_both!(
    a_role_gives_no_more_than_its_maker_holds,
    a_role_that_gathers_others_takes_all_rights,
    a_binding_gives_no_more_than_its_maker_holds,
    what_a_binding_in_a_namespace_gives_is_held_there_only,
);

const GROUP: &str = "rbac.authorization.k8s.io";

fn rule(verbs: &str, resource: &str) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "verbs": verbs.split(',').collect::<Vec<_>>()})
}

fn role(rules: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": "r"}, "rules": rules})
}

fn cluster_role(rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}, "rules": rules})
}

fn binding(kind: &str, role: &str) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "b"},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "jane"}],
    })
}

fn cluster_binding(role: &str) -> Value {
    let mut binding = binding("ClusterRole", role);
    binding["metadata"] = json!({"name": "b"});
    binding
}

async fn world(engine: Engine) -> World {
    let mut objects = [
        grant("jane", "get,list", "", "pods", ""),
        grant("escalator", "escalate", GROUP, "roles,clusterroles", ""),
        grant("named", "escalate", GROUP, "roles", "r"),
        grant("binder", "bind", GROUP, "clusterroles", "secrets"),
        grant("admin", "*", "*", "*", ""),
    ]
    .concat();
    // Rights about URLs, which make all that there is.
    objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "urls"}, "rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]}));
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "urls"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "urls"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "admin"}],
    }));
    for (name, resource) in [("pods", "pods"), ("secrets", "secrets")] {
        let mut object = cluster_role(json!([rule("get", resource)]));
        object["metadata"]["name"] = name.into();
        objects.push(object.clone());
        object["kind"] = "Role".into();
        object["metadata"]["namespace"] = "ns".into();
        objects.push(object);
    }
    World::of(engine, &objects).await
}

async fn a_role_gives_no_more_than_its_maker_holds(engine: Engine) {
    let world = world(engine).await;
    let plugin = RbacEscalation::new(&world.authorizer);
    let (jane, escalator, named) = (user("jane", &["dev"]), user("escalator", &[]), user("named", &[]));
    let root = user("root", &["system:masters"]);
    let (few, more) = (
        || json!([rule("get", "pods")]),
        || json!([rule("get,delete", "pods"), rule("get", "secrets")]),
    );
    let missing = "is forbidden: user \"jane\" (groups=[\"dev\"]) is attempting to grant RBAC permissions not currently held:\n\
        {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}";
    let in_role = format!("roles.rbac.authorization.k8s.io \"r\" {missing}");
    let in_cluster_role = format!("clusterroles.rbac.authorization.k8s.io \"r\" {missing}");
    let of_named = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"named\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}";
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "roles", role(few())), ""),
        (create(&jane, "roles", role(json!([]))), ""),
        (create(&jane, "roles", role(json!(null))), ""),
        (create(&jane, "roles", role(more())), &in_role),
        (create(&escalator, "roles", role(more())), ""),
        (create(&root, "roles", role(more())), ""),
        (create(&jane, "clusterroles", cluster_role(few())), ""),
        (create(&jane, "clusterroles", cluster_role(more())), &in_cluster_role),
        (create(&escalator, "clusterroles", cluster_role(more())), ""),
        (update(&jane, "roles", role(json!([])), role(few())), ""),
        (update(&jane, "roles", role(few()), role(more())), &in_role),
        // Whoever changes what it is about gives all of it.
        (update(&jane, "clusterroles", cluster_role(more()), with_label(cluster_role(more()))), &in_cluster_role),
        (update(&jane, "clusterroles", cluster_role(more()), with_owner(cluster_role(more()))), ""),
        (update(&jane, "clusterroles", with_label(cluster_role(more())), cluster_role(more())), &in_cluster_role),
        // The right to escalate one role by its name does not reach to a role that is new.
        (update(&named, "roles", role(json!([])), role(more())), ""),
        (create(&named, "roles", role(few())), of_named),
        (delete(&jane, "roles", role(more())), ""),
        (create(&jane, "configmaps", role(more())), ""),
    ];
    decide(&plugin, cases).await;
}

fn with_label(mut object: Value) -> Value {
    object["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-admin": ""});
    object
}

fn with_owner(mut object: Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{"name": "o"}]);
    object["metadata"]["finalizers"] = json!(["x/y"]);
    object["metadata"]["resourceVersion"] = "7".into();
    object
}

async fn a_role_that_gathers_others_takes_all_rights(engine: Engine) {
    let world = world(engine).await;
    let plugin = RbacEscalation::new(&world.authorizer);
    let (jane, admin, escalator) = (user("jane", &[]), user("admin", &[]), user("escalator", &[]));
    let plain = || cluster_role(json!([]));
    let gathering = |selectors: Value| {
        let mut role = plain();
        role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
        role
    };
    let some = || gathering(json!([{"matchLabels": {"a": "b"}}]));
    let why = r#"clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#;
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "clusterroles", some()), why),
        (create(&jane, "clusterroles", gathering(json!([]))), ""),
        (create(&admin, "clusterroles", some()), ""),
        (create(&escalator, "clusterroles", some()), ""),
        (update(&jane, "clusterroles", plain(), some()), why),
        (update(&jane, "clusterroles", some(), plain()), why),
        (update(&jane, "clusterroles", some(), with_owner(some())), ""),
        (update(&admin, "clusterroles", some(), plain()), ""),
    ];
    decide(&plugin, cases).await;
}

async fn a_binding_gives_no_more_than_its_maker_holds(engine: Engine) {
    let world = world(engine).await;
    let plugin = RbacEscalation::new(&world.authorizer);
    let (jane, binder, root) = (
        user("jane", &[]),
        user("binder", &[]),
        user("root", &["system:masters"]),
    );
    let held = |who: &str, kind: &str, verbs: &str| {
        format!(
            "{kind}.rbac.authorization.k8s.io \"b\" is forbidden: user \"{who}\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{verbs}"
        )
    };
    let secrets = r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#;
    let pods = r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#;
    let owner = |binding: Value| with_owner(binding);
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "clusterrolebindings", cluster_binding("pods")), ""),
        (create(&jane, "clusterrolebindings", cluster_binding("secrets")), &held("jane", "clusterrolebindings", secrets)),
        (create(&binder, "clusterrolebindings", cluster_binding("secrets")), ""),
        (create(&binder, "clusterrolebindings", cluster_binding("pods")), &held("binder", "clusterrolebindings", pods)),
        (create(&root, "clusterrolebindings", cluster_binding("secrets")), ""),
        (create(&jane, "clusterrolebindings", cluster_binding("none")), r#"clusterroles.rbac.authorization.k8s.io "none" not found"#),
        (create(&root, "clusterrolebindings", cluster_binding("none")), ""),
        (create(&jane, "rolebindings", binding("ClusterRole", "pods")), ""),
        (create(&jane, "rolebindings", binding("ClusterRole", "secrets")), &held("jane", "rolebindings", secrets)),
        (create(&binder, "rolebindings", binding("ClusterRole", "secrets")), ""),
        (create(&jane, "rolebindings", binding("Role", "pods")), ""),
        (create(&jane, "rolebindings", binding("Role", "secrets")), &held("jane", "rolebindings", secrets)),
        (create(&binder, "rolebindings", binding("Role", "secrets")), &held("binder", "rolebindings", secrets)),
        (create(&jane, "rolebindings", binding("Role", "none")), r#"roles.rbac.authorization.k8s.io "none" not found"#),
        (create(&jane, "rolebindings", binding("Other", "pods")), r#"Internal error occurred: unsupported role reference kind: "Other""#),
        (update(&jane, "rolebindings", binding("Role", "pods"), with_label(binding("Role", "pods"))), ""),
        (update(&jane, "rolebindings", binding("Role", "secrets"), with_label(binding("Role", "secrets"))),
            &held("jane", "rolebindings", secrets)),
        (update(&jane, "rolebindings", binding("Role", "secrets"), owner(binding("Role", "secrets"))), ""),
        (delete(&jane, "rolebindings", binding("Role", "secrets")), ""),
    ];
    decide(&plugin, cases).await;
}

async fn what_a_binding_in_a_namespace_gives_is_held_there_only(engine: Engine) {
    let mut objects = grant("base", "get", "", "pods", "").to_vec();
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"namespace": "ns", "name": "local"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "base:get:pods:"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "local"}],
    }));
    let world = World::of(engine, &objects).await;
    let plugin = RbacEscalation::new(&world.authorizer);
    let local = user("local", &[]);
    let refused = "user \"local\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}";
    let rules = || json!([rule("get", "pods")]);
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&local, "roles", role(rules())), ""),
        (create(&local, "roles", role(rules())).at("other", "r"),
            &format!("roles.rbac.authorization.k8s.io \"r\" is forbidden: {refused}")),
        (create(&local, "clusterroles", cluster_role(rules())),
            &format!("clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: {refused}")),
    ];
    decide(&plugin, cases).await;
}
