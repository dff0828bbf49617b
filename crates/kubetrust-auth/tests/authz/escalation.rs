//! Nobody grants what they do not hold.

use kubetrust_auth::authz::rbac::cover::{
    Escalation, MAX_PERMISSIONS, bind, confirm_no_escalation, covers, escalate, full_authority,
};
use kubetrust_auth::authz::rbac::{Rule, Rules};
use kubetrust_auth::authz::{Attributes, rbac::RoleRef};

use crate::naive::Model;
use crate::words::user;

/// Rules in the form of `default_policy.txt`, several with a semicolon between them.
fn rules(text: &str) -> Vec<Rule> {
    let lines: Vec<String> = text
        .split(';')
        .filter(|rule| !rule.trim().is_empty())
        .map(|rule| format!("  {rule}"))
        .collect();
    let model = Model::parse(&format!("ClusterRole r\n{}", lines.join("\n")));
    let make = |[verbs, api_groups, resources, resource_names, non_resource_urls]: crate::naive::Rule| Rule {
        api_groups,
        resources,
        verbs,
        resource_names,
        non_resource_urls,
    };
    model.roles[0].rules.iter().cloned().map(make).collect()
}

/// A single permission, in the form of the cases.
fn short(rule: &Rule) -> String {
    let group = rule
        .api_groups
        .iter()
        .map(|group| if group.is_empty() { "core" } else { group });
    let lists = [&rule.resources, &rule.resource_names, &rule.non_resource_urls];
    let words = lists.into_iter().map(|list| list.join(" "));
    let columns: Vec<String> = [rule.verbs.join(" "), group.collect()]
        .into_iter()
        .chain(words)
        .collect();
    columns.join("|").trim_end_matches('|').to_owned()
}

/// Held, granted, and what is missing.
#[rustfmt::skip] // a line a case
const CASES: &[(&str, &str, &str)] = &[
    ("get|core|pods", "get|core|pods", ""),
    ("", "get|core|pods", "get|core|pods"),
    ("get|core|pods", "", ""),
    ("get|core|pods", "get list|core|pods", "list|core|pods"),
    ("*|core|pods", "get list watch|core|pods", ""),
    ("get|core|pods", "*|core|pods", "*|core|pods"),
    ("get|*|pods", "get|core apps|pods", ""),
    ("get|apps|*", "get|core apps|pods", "get|core|pods"),
    ("get|core|*", "get|core|pods pods/log", ""),
    ("get|core|pods", "get|core|pods/log", "get|core|pods/log"),
    ("get|core|*/log", "get|core|pods/log", ""),
    ("get|core|*/log", "get|core|*/log", ""),
    ("get|core|pods/*", "get|core|pods/log", "get|core|pods/log"),
    ("get|core|*/log", "get|core|*", "get|core|*"),
    // Two rules may cover together what neither covers alone.
    ("get|core|pods;list|core|pods", "get list|core|pods", ""),
    ("get|core|pods|a", "get|core|pods", "get|core|pods"),
    ("get|core|pods", "get|core|pods|a b", ""),
    ("get|core|pods|a", "get|core|pods|a b", "get|core|pods|b"),
    ("get||||/healthz", "get||||/healthz", ""),
    ("get||||/healthz", "get||||/healthz/*", "get||||/healthz/*"),
    ("get||||/healthz/*", "get||||/healthz/* /healthz/etcd", ""),
    ("get||||/healthz*", "get||||/healthz /healthz/*", ""),
    ("get||||*", "get||||/a /b/* *", ""),
    ("get||||/*", "get||||*", "get||||*"),
    ("*|*|*", "get||||/healthz", "get||||/healthz"),
    ("*||||*", "get|core|pods", "get|core|pods"),
    // Order: group, resource, verb, name.
    ("", "get list|core apps|x y|n", "\
        get|core|x|n; list|core|x|n; get|core|y|n; list|core|y|n; \
        get|apps|x|n; list|apps|x|n; get|apps|y|n; list|apps|y|n"),
];

#[test]
fn every_way_to_cover_and_not_to() {
    for (held, granted, missing) in CASES {
        let found = covers(&rules(held), &rules(granted)).unwrap();
        let found: Vec<String> = found.iter().map(short).collect();
        assert_eq!(found.join("; "), *missing, "{held} covers {granted}");
    }
}

#[test]
fn the_message_is_upstreams() {
    let held = Rules {
        rules: rules("get|core|pods"),
        ..Rules::default()
    };
    let granted = rules("get list watch|core|pods;delete|apps|deployments;get|core|secrets|a;get||||/healthz");
    let error = confirm_no_escalation(&user("eve+dev+ops"), &held, &granted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "user \"eve\" (groups=[\"dev\" \"ops\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"a\"], Verbs:[\"get\"]}\n\
         {APIGroups:[\"apps\"], Resources:[\"deployments\"], Verbs:[\"delete\"]}\n\
         {NonResourceURLs:[\"/healthz\"], Verbs:[\"get\"]}"
    );
    let held = Rules {
        evaluation_error: "role \"x\" not found".into(),
        ..Rules::default()
    };
    let error = confirm_no_escalation(&user("eve"), &held, &rules("get|core|pods")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "user \"eve\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}; resolution errors: [role \"x\" not found]"
    );
    assert_eq!(confirm_no_escalation(&user("eve"), &held, &[]), Ok(()));
}

#[test]
fn only_who_holds_everything_covers_everything() {
    assert_eq!(covers(&full_authority(), &full_authority()), Some(vec![]));
    assert_eq!(
        covers(&full_authority(), &rules("get|core|pods;get||||/x")),
        Some(vec![])
    );
    assert_eq!(covers(&rules("*|*|*"), &full_authority()).unwrap().len(), 1);
}

#[test]
fn a_role_that_breaks_down_into_too_much_is_refused_quickly() {
    let many: Vec<String> = (0..2_000).map(|each| format!("w{each}")).collect();
    let rule = Rule {
        api_groups: many.clone(),
        resources: many.clone(),
        verbs: many.clone(),
        resource_names: many,
        non_resource_urls: vec![],
    };
    assert_eq!(covers(&[], std::slice::from_ref(&rule)), None);
    let error = confirm_no_escalation(&user("eve"), &Rules::default(), &[rule]).unwrap_err();
    assert_eq!(error, Escalation::TooMany);
    assert!(error.to_string().contains(&MAX_PERMISSIONS.to_string()));
}

#[test]
fn the_verbs_that_allow_granting_more_than_one_holds() {
    let text = |attributes: &Attributes| match attributes {
        Attributes::Resource(asked) => format!(
            "{} {}.{} {} @{} {}",
            asked.verb, asked.resource, asked.group, asked.version, asked.namespace, asked.name
        ),
        Attributes::NonResource { .. } => panic!(),
    };
    assert_eq!(
        text(&escalate("roles", "team", "r")),
        "escalate roles.rbac.authorization.k8s.io * @team r"
    );
    let role = |kind: &str| RoleRef {
        api_group: "rbac.authorization.k8s.io".into(),
        kind: kind.into(),
        name: "r".into(),
    };
    assert_eq!(
        text(&bind(&role("ClusterRole"), "").unwrap()),
        "bind clusterroles.rbac.authorization.k8s.io * @ r"
    );
    assert_eq!(
        text(&bind(&role("Role"), "team").unwrap()),
        "bind roles.rbac.authorization.k8s.io * @team r"
    );
    assert_eq!(bind(&role("Other"), "team"), None);
}
