use std::fmt::Write as _;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::audit::level::{STAGES, Stage};

fn parse(text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{text}").as_bytes())
}

fn policy(text: &str) -> Policy {
    parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn request(line: &str) -> RequestInfo {
    let (method, uri) = line.split_once(' ').unwrap();
    RequestInfo::of(&method.parse::<Method>().unwrap(), &uri.parse().unwrap()).unwrap()
}

fn tim() -> User {
    User {
        name: "tim@k8s.io".into(),
        groups: vec!["humans".into(), "developers".into()],
        ..User::default()
    }
}

/// The rules of upstream's `checker_test.go`, by their names there.
const RULES: [(&str, &str); 16] = [
    ("default", "level: Metadata"),
    ("create", "level: Request, verbs: [create]"),
    ("tims", "level: Metadata, users: [tim@k8s.io]"),
    ("humans", "level: Metadata, userGroups: [humans]"),
    (
        "serviceAccounts",
        "level: Request, userGroups: ['system:serviceaccounts']",
    ),
    (
        "getPods",
        "level: RequestResponse, verbs: [get], resources: [{resources: [pods]}]",
    ),
    (
        "getPodLogs",
        "level: Request, verbs: [get], resources: [{resources: [pods/log]}]",
    ),
    (
        "getAny",
        "level: Request, verbs: [get], resources: [{resources: ['*']}]",
    ),
    (
        "getAnyLog",
        "level: Request, verbs: [get], resources: [{resources: ['*/log']}]",
    ),
    (
        "getPodsAll",
        "level: Request, verbs: [get], resources: [{resources: ['pods/*']}]",
    ),
    (
        "getClusterRoles",
        "level: RequestResponse, verbs: [get], namespaces: [''], \
         resources: [{group: rbac.authorization.k8s.io, resources: [clusterroles]}]",
    ),
    (
        "updateStatus",
        "level: RequestResponse, verbs: [update], resources: [{group: '*', resources: ['*/status']}]",
    ),
    (
        "getLogs",
        "level: RequestResponse, verbs: [get], nonResourceURLs: ['/logs*']",
    ),
    (
        "getMetrics",
        "level: Request, verbs: [get], nonResourceURLs: [/metrics]",
    ),
    (
        "clusterRoleEdit",
        "level: Request, \
         resources: [{group: rbac.authorization.k8s.io, resources: [clusterroles], resourceNames: [edit]}]",
    ),
    ("kubeSystem", "level: Request, namespaces: [kube-system]"),
];

fn rules(names: &str) -> String {
    let rule = |name: &str| {
        RULES
            .iter()
            .find(|(each, _)| *each == name)
            .map(|(_, rule)| format!("- {{{rule}}}\n"))
            .unwrap()
    };
    format!("rules:\n{}", names.split(' ').map(rule).collect::<String>())
}

const NAMESPACED: &str = "GET /api/v1/namespaces/default/pods/busybox";
const CLUSTER: &str = "GET /apis/rbac.authorization.k8s.io/v1beta1/clusterroles/edit";
const NON_RESOURCE: &str = "GET /logs/kubelet.log";
const SUBRESOURCE: &str = "GET /api/v1/namespaces/default/pods/busybox/log";
const UPDATE: &str = "PUT /apis/rbac.authorization.k8s.io/v1beta1/clusterroles/somerole/status";

#[test]
fn the_first_rule_that_matches_gives_the_level_as_upstream_has_it() {
    use Level::{Metadata, None, Request, RequestResponse};
    for (line, names, level) in [
        (NAMESPACED, "default", Metadata),
        (NAMESPACED, "create", None),
        (NAMESPACED, "tims", Metadata),
        (NAMESPACED, "humans", Metadata),
        (NAMESPACED, "serviceAccounts", None),
        (NAMESPACED, "getPods", RequestResponse),
        (NAMESPACED, "getClusterRoles", None),
        (NAMESPACED, "getLogs", None),
        (NAMESPACED, "getMetrics", None),
        (NAMESPACED, "getMetrics serviceAccounts default", Metadata),
        (NAMESPACED, "getMetrics getPods default", RequestResponse),
        (NAMESPACED, "getPodLogs getPods", RequestResponse),
        (NAMESPACED, "kubeSystem", None),
        (CLUSTER, "default", Metadata),
        (CLUSTER, "create", None),
        (CLUSTER, "tims", Metadata),
        (CLUSTER, "humans", Metadata),
        (CLUSTER, "serviceAccounts", None),
        (CLUSTER, "getPods", None),
        (CLUSTER, "getClusterRoles", RequestResponse),
        (CLUSTER, "clusterRoleEdit getClusterRoles", Request),
        (CLUSTER, "getLogs", None),
        (CLUSTER, "getMetrics", None),
        (CLUSTER, "getMetrics serviceAccounts default", Metadata),
        (CLUSTER, "getMetrics getClusterRoles default", RequestResponse),
        (CLUSTER, "getPodLogs getPods", None),
        (NON_RESOURCE, "default", Metadata),
        (NON_RESOURCE, "create", None),
        (NON_RESOURCE, "tims", Metadata),
        (NON_RESOURCE, "humans", Metadata),
        (NON_RESOURCE, "serviceAccounts", None),
        (NON_RESOURCE, "getPods", None),
        (NON_RESOURCE, "getClusterRoles", None),
        (NON_RESOURCE, "getLogs", RequestResponse),
        (NON_RESOURCE, "getMetrics", None),
        (NON_RESOURCE, "getMetrics serviceAccounts default", Metadata),
        (NON_RESOURCE, "getLogs getClusterRoles default", RequestResponse),
        (NON_RESOURCE, "getPodLogs getPods", None),
        (NON_RESOURCE, "kubeSystem", None),
        (SUBRESOURCE, "getPodLogs getPods", Request),
        (SUBRESOURCE, "getPods", None),
        (SUBRESOURCE, "getAny", Request),
        (SUBRESOURCE, "getAnyLog", Request),
        (SUBRESOURCE, "getPodsAll", Request),
        (NAMESPACED, "getPodsAll", Request),
        (NAMESPACED, "getAnyLog", None),
        (UPDATE, "updateStatus", RequestResponse),
        (UPDATE, "clusterRoleEdit", None),
        ("GET /api/v1/namespaces/kube-system/pods", "kubeSystem", Request),
        // A namespace's own requests are in it, as upstream has it.
        ("GET /api/v1/namespaces/kube-system", "kubeSystem", Request),
        ("GET /metrics", "getMetrics", Request),
        ("GET /metrics/", "getMetrics", None),
        ("GET /logs", "getLogs", RequestResponse),
        ("POST /logs", "getLogs", None),
    ] {
        assert_eq!(
            policy(&rules(names)).level_of(Some(&tim()), &request(line)).level,
            level,
            "{line}: {names}"
        );
    }
}

#[test]
fn who_failed_to_authenticate_is_of_no_user_and_no_group() {
    for (names, level) in [
        ("tims", Level::None),
        ("tims default", Level::Metadata),
        ("humans", Level::None),
        ("humans default", Level::Metadata),
    ] {
        assert_eq!(
            policy(&rules(names)).level_of(None, &request(NAMESPACED)).level,
            level,
            "{names}"
        );
    }
    assert_eq!(
        Policy::default().level_of(None, &request(NAMESPACED)),
        RequestConfig::default()
    );
}

#[test]
fn stages_and_managed_fields_are_omitted_by_rule_and_by_policy() {
    for (of_policy, of_rule, omitted) in [
        ("[]", "[]", &[][..]),
        ("[]", "[RequestReceived]", &[Stage::RequestReceived]),
        ("[RequestReceived]", "[RequestReceived]", &[Stage::RequestReceived]),
        ("[RequestReceived]", "[]", &[Stage::RequestReceived]),
        (
            "[Panic, RequestReceived]",
            "[ResponseStarted]",
            &[Stage::RequestReceived, Stage::ResponseStarted, Stage::Panic],
        ),
        ("[]", "[ResponseComplete, ResponseComplete]", &[Stage::ResponseComplete]),
    ] {
        let policy = policy(&format!(
            "omitStages: {of_policy}\nrules:\n- {{level: Request, omitStages: {of_rule}}}\n"
        ));
        let config = policy.level_of(Some(&tim()), &request(NAMESPACED));
        for (name, stage) in STAGES {
            assert_eq!(
                config.omit_stages.contains(stage),
                omitted.contains(&stage),
                "{of_policy} {of_rule}: {name}"
            );
        }
    }
    for (of_policy, of_rule, omitted) in [
        ("false", "null", false),
        ("true", "null", true),
        ("true", "false", false),
        ("false", "true", true),
        ("null", "null", false),
    ] {
        let text =
            format!("omitManagedFields: {of_policy}\nrules: [{{level: Request, omitManagedFields: {of_rule}}}]\n");
        let config = policy(&text).level_of(Some(&tim()), &request(NAMESPACED));
        assert_eq!(config.omit_managed_fields, omitted, "{text}");
    }
}

#[test]
fn a_policy_is_read_as_json_too_and_with_anchors() {
    let json =
        r#"{"kind":"Policy","apiVersion":"audit.k8s.io/v1","metadata":{"name":"x"},"rules":[{"level":"Metadata"}]}"#;
    assert_eq!(Policy::parse(json.as_bytes()).unwrap().len(), 1);
    let text = "rules:\n- level: None\n  users: &who [a, b]\n- level: Metadata\n  users: *who\n";
    assert_eq!(policy(text).rules[1].users, ["a", "b"]);
}

/// The examples of upstream's documentation and of `validation_test.go`.
#[test]
fn what_upstream_takes_is_taken() {
    for rules in [
        "- level: Metadata",
        "- {level: None, users: ['system:kube-proxy'], verbs: [watch], resources: [{group: '', resources: [endpoints, services]}]}",
        "- {level: None, userGroups: ['system:authenticated'], nonResourceURLs: ['/api*', /version]}",
        "- {level: Request, resources: [{group: '', resources: [configmaps]}], namespaces: [kube-system]}",
        "- {level: Request, resources: [{group: ''}, {group: extensions}]}",
        "- {level: RequestResponse, verbs: [get], resources: [{group: rbac.authorization.k8s.io, resources: [roles, rolebindings]}], namespaces: [kube-system]}",
        "- {level: Metadata, userGroups: [developers], nonResourceURLs: ['/logs*', '/healthz*', /metrics, '*']}",
        "- {level: Metadata, omitStages: [RequestReceived]}",
    ] {
        policy(&format!("rules:\n{rules}\n"));
    }
}

#[test]
fn every_fault_is_told_with_its_place_and_the_way_out() {
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    let mut told = String::new();
    for text in [
        String::new(),
        "# nothing\n".into(),
        "[]".into(),
        "just text".into(),
        "a: [".into(),
        "a: b\n---\nc: d\n".into(),
        "apiVersion: audit.k8s.io/v1beta1\nkind: Policies\nrules: [{level: Metadata}]\n".into(),
        "rules: [{level: Metadata}]\n".into(),
        head.into(),
        format!("{head}rules: []\n"),
        format!("{head}rules: {{}}\n"),
        format!("{head}rules:\n- {{}}\n- level:\n- Metadata\n- level: metadata\n- level: 1\n"),
        format!("{head}rule: []\nrules:\n- level: Metadata\n  namespace: default\n  resources:\n  - groups: apps\n"),
        format!("{head}rules:\n- level: Metadata\n  level: None\n  users: [1, true, null, [], {{}}]\n"),
        format!("{head}rules:\n- level: Metadata\n  namespaces: [default]\n  nonResourceURLs: [/logs*]\n"),
        format!(
            "{head}rules:\n- level: Metadata\n  resources: [{{resources: [secrets]}}]\n  nonResourceURLs: [/logs*]\n"
        ),
        format!("{head}rules:\n- level: Metadata\n  nonResourceURLs: [logs, '', '/logs/*/*', '/logs/*.log', '**']\n"),
        format!(
            "{head}rules:\n- level: Metadata\n  resources: [{{group: rbac.authorization.k8s.io/v1beta1}}, {{group: Apps}}]\n"
        ),
        format!("{head}rules:\n- level: Metadata\n  resources: [{{resourceNames: [leader]}}]\n"),
        format!("{head}omitStages: [foo]\nomitManagedFields: 'yes'\nrules:\n- level: Metadata\n  omitStages: Panic\n"),
        format!("{head}rules: [&a {{level: Metadata}}, {{<<: *a}}]\n"),
        format!("{head}rules: {}1{}\n", "[".repeat(40), "]".repeat(40)),
    ] {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        write!(
            told,
            "{}\n=> {}\n\n",
            text.trim_end(),
            error.to_string().replace('\n', "\n   ")
        )
        .unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn size_rules_entries_and_faults_are_bounded() {
    let text = |faults: &PolicyError| faults.to_string();
    assert!(Policy::parse(&vec![b'#'; MAX_BYTES + 1]).is_err_and(|error| text(&error).contains("larger than")));
    assert!(Policy::parse(b"\xff").is_err_and(|error| text(&error).contains("no UTF-8 at byte 0")));
    assert_eq!(
        policy(&format!("rules:\n{}", "- level: Metadata\n".repeat(MAX_RULES))).len(),
        MAX_RULES
    );
    let many = parse(&format!("rules:\n{}", "- level: Metadata\n".repeat(MAX_RULES + 1))).unwrap_err();
    assert!(text(&many).contains("rules: has 1025 entries"), "{many}");
    let users = format!("rules: [{{level: Metadata, users: [{}]}}]", "a, ".repeat(MAX_ITEMS + 1));
    assert!(parse(&users).is_err_and(|error| text(&error).contains("rules[0].users: has 1025 entries")));
    let faults = parse(&format!("rules:\n{}", "- level: x\n".repeat(MAX_RULES))).unwrap_err();
    assert_eq!(faults.faults.len(), MAX_FAULTS);
    let long = parse(&format!("{}: 1\n", "a".repeat(100_000))).unwrap_err();
    assert!(text(&long).len() < 10_000);
    // A few lines of aliases that stand for a hundred million values.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            format!("*a{}, ", level - 1).repeat(10)
        )
        .unwrap();
    }
    assert!(parse(&bomb).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Policy::parse(&bytes);
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[ \\n\\-:{}\\[\\],&*a'\"|>!%@#?~0-9]{0,120}") {
        let _ = Policy::parse(text.as_bytes());
        let _ = parse(&text);
        let _ = parse(&format!("rules:\n- {text}"));
    }

    #[test]
    fn no_change_of_a_good_policy_makes_it_panic(at in 0usize..600, cut in 0usize..20, put in "[ \\n\\-:{}\\[\\],&*a'\"é\u{0}]{0,8}") {
        let good = format!("{}{}", "apiVersion: audit.k8s.io/v1\nkind: Policy\n", rules("getClusterRoles updateStatus getLogs clusterRoleEdit"));
        let at = at.min(good.len());
        let until = (at + cut).min(good.len());
        let changed = format!("{}{put}{}", good.get(..at).unwrap_or_default(), good.get(until..).unwrap_or_default());
        if let Ok(policy) = Policy::parse(changed.as_bytes()) {
            let _ = policy.level_of(Some(&tim()), &request(UPDATE));
        }
    }
}
