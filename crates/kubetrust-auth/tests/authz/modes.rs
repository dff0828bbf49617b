//! The union of authorizers.

use kubetrust_auth::authz::node::Nodes;
use kubetrust_auth::authz::{Authorizer, Decision, Mode, WATCHED};
use serde_json::json;

use crate::naive::Model;
use crate::node::{kubelet, pod};
use crate::words::{asked, user};

const NODE_RBAC: [Mode; 2] = [Mode::Node, Mode::Rbac];

fn authorizer(modes: &[Mode]) -> Authorizer {
    let authorizer = Authorizer::new(modes.iter().copied());
    let policy = "ClusterRole r\n  get | core | namespaces\nClusterRoleBinding b of ClusterRole r\n  Group system:nodes\nClusterRoleBinding c of ClusterRole missing\n  Group system:nodes";
    for (kind, object) in Model::parse(policy).objects() {
        assert!(
            authorizer
                .put("rbac.authorization.k8s.io", kind.plural(), &object)
                .unwrap()
        );
    }
    assert!(authorizer.put("", "pods", &pod("web", "n")).unwrap());
    authorizer
}

#[test]
fn the_first_to_decide_decides() {
    use Decision::{Allow, NoOpinion};
    let missing = r#"RBAC: clusterrole.rbac.authorization.k8s.io "missing" not found"#;
    let unrelated = "no relationship found between node 'n' and this object";
    for (modes, who, what, decision) in [
        (&NODE_RBAC[..], kubelet("n"), "get secrets @ns volume", Allow("".into())),
        (
            &NODE_RBAC,
            kubelet("n"),
            "get namespaces ns",
            Allow(r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "system:nodes""#.into()),
        ),
        // Reasons of all that were asked, a line each.
        (
            &NODE_RBAC,
            kubelet("n"),
            "get secrets @ns no",
            NoOpinion(format!("{unrelated}\n{missing}").into()),
        ),
        (
            &[Mode::Rbac],
            kubelet("n"),
            "get secrets @ns volume",
            NoOpinion(missing.into()),
        ),
        (
            &[Mode::Node],
            kubelet("n"),
            "get secrets @ns no",
            NoOpinion(unrelated.into()),
        ),
        (&NODE_RBAC, user("x"), "get pods", NoOpinion("".into())),
        (&[Mode::AlwaysAllow], user("x"), "get pods", Allow("".into())),
        (
            &[Mode::AlwaysDeny],
            user("x"),
            "get pods",
            NoOpinion("Everything is forbidden.".into()),
        ),
        (
            &[Mode::AlwaysDeny, Mode::AlwaysAllow],
            user("x"),
            "get pods",
            Allow("".into()),
        ),
        // Members of system:masters are asked nothing.
        (
            &[Mode::AlwaysDeny],
            user("x+system:masters"),
            "get pods",
            Allow("".into()),
        ),
        (&[], user("x+system:masters"), "delete /everything", Allow("".into())),
        (&[], user("system:masters"), "get pods", NoOpinion("".into())),
    ] {
        assert_eq!(
            authorizer(modes).authorize(&who, &asked(what)),
            decision,
            "{modes:?} {} {what}",
            who.name
        );
    }
}

#[test]
fn lists_are_put_together_and_say_if_they_are_not_all() {
    let rules = authorizer(&NODE_RBAC).rules_for(&kubelet("n"), "");
    assert_eq!(rules.rules.len(), 1);
    assert!(rules.incomplete);
    assert_eq!(
        rules.evaluation_error,
        r#"[node authorizer does not support user rule resolution, clusterrole.rbac.authorization.k8s.io "missing" not found]"#
    );
    let rules = authorizer(&[Mode::AlwaysAllow, Mode::AlwaysDeny]).rules_for(&user("x"), "");
    assert_eq!(
        (rules.of_resources().count(), rules.of_urls().count(), rules.incomplete),
        (1, 1, false)
    );
}

#[test]
fn who_can_asks_every_mode() {
    let who = authorizer(&NODE_RBAC).who_can(&asked("get namespaces ns"));
    assert!(who.masters && !who.everybody);
    assert_eq!(who.nodes, Nodes::None);
    assert_eq!(
        who.bound[0].binding.describe(&who.bound[0].subject),
        r#"ClusterRoleBinding "b" of ClusterRole "r" to Group "system:nodes""#
    );
    assert_eq!(who.errors.len(), 1);
    let who = authorizer(&NODE_RBAC).who_can(&asked("get secrets @ns volume"));
    assert_eq!(who.nodes, Nodes::Some(vec!["n".into()]));
    assert!(authorizer(&[Mode::AlwaysAllow]).who_can(&asked("get pods")).everybody);
}

#[test]
fn the_feed_takes_what_is_watched_and_nothing_else() {
    let authorizer = authorizer(&NODE_RBAC);
    for (group, plural) in WATCHED {
        let object =
            json!({ "metadata": { "name": "x", "namespace": "ns" }, "roleRef": { "kind": "Role", "name": "r" } });
        assert!(authorizer.put(group, plural, &object).unwrap(), "{plural}");
        assert!(authorizer.delete(group, plural, "ns", "x"), "{plural}");
    }
    assert!(!authorizer.put("example.com", "roles", &json!({})).unwrap());
    assert!(!authorizer.delete("", "secrets", "ns", "x"));
    assert!(authorizer.delete("", "pods", "ns", "web"));
    assert!(
        !authorizer
            .authorize(&kubelet("n"), &asked("get secrets @ns volume"))
            .is_allowed()
    );
    assert!(authorizer.put("", "pods", &json!({})).is_err());
    assert!(
        authorizer
            .put("rbac.authorization.k8s.io", "roles", &json!([]))
            .is_err()
    );
}

#[test]
fn modes_are_named_as_the_flag_names_them() {
    assert_eq!("RBAC".parse(), Ok(Mode::Rbac));
    assert_eq!("Node".parse(), Ok(Mode::Node));
    assert_eq!(
        "rbac".parse::<Mode>().unwrap_err().to_string(),
        "--authorization-mode: \"rbac\" is no mode that this server has; write Node, RBAC, AlwaysAllow, AlwaysDeny"
    );
}
