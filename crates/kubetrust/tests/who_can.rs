//! `kubetrust who-can`: who may do something, from manifests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use kubetrust_testkit::run;
use serde_json::Value;
use support::kubetrust;
use tempfile::TempDir;

/// Roles and bindings, and a pod that reads a Secret on the node n1.
const MANIFESTS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: web, name: reader}
rules:
- {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
- {apiGroups: [apps], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: web, name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}
- {kind: ServiceAccount, name: ci}
---
apiVersion: v1
kind: List
items:
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: one-secret, labels: {gather: "yes"}}
  rules: [{apiGroups: [""], resources: [secrets], resourceNames: [tls], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: gathering}
  aggregationRule: {clusterRoleSelectors: [{matchLabels: {gather: "yes"}}]}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: gatherers}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: gathering}
  subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: ops}]
---
apiVersion: v1
kind: Pod
metadata: {namespace: web, name: p}
spec:
  nodeName: n1
  containers: [{name: c, image: i}]
  volumes: [{name: v, secret: {secretName: tls}}]
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: nobody-asks-for-it}
"#;

/// What is asked, and who may besides `system:masters`: subject, binding and role.
#[rustfmt::skip]
const CASES: &[(&str, &[&str])] = &[
    ("get pods -n web", &[
        "User jane by RoleBinding web/readers to Role reader",
        "ServiceAccount web/ci by RoleBinding web/readers to Role reader",
    ]),
    ("get po/log -n web", &[
        "User jane by RoleBinding web/readers to Role reader",
        "ServiceAccount web/ci by RoleBinding web/readers to Role reader",
    ]),
    // Without a namespace it is `default`.
    ("get pods", &[]),
    ("get pods -A", &[]),
    ("delete deploy.apps -n web", &[
        "User jane by RoleBinding web/readers to Role reader",
        "ServiceAccount web/ci by RoleBinding web/readers to Role reader",
    ]),
    ("get secrets tls -n web", &[
        "User system:node:n1 by (Node authorizer) to ",
        "Group ops by ClusterRoleBinding gatherers to ClusterRole gathering",
    ]),
    ("get secrets -n web", &[]),
    ("get secrets other -n web", &[]),
    ("create csr", &["Group system:nodes by (Node authorizer) to "]),
    ("get nodes n7", &["User system:node:n7 by (Node authorizer) to "]),
    ("get /healthz", &[]),
];

fn ask(arguments: &str, more: &[&str]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
    fs::write(folder.path().join("notes.txt"), "no: [manifest").unwrap();
    let mut command = kubetrust(["who-can", "-o", "json"]);
    command
        .args(arguments.split(' '))
        .args(more)
        .arg("-f")
        .arg(folder.path());
    let output = run(&mut command).success();
    let rows: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let shown = rows.iter().map(|row| {
        let text = |field: &str| row[field].as_str().unwrap();
        let place = if text("namespace").is_empty() {
            String::new()
        } else {
            format!("{}/", text("namespace"))
        };
        format!(
            "{} {place}{} by {} to {}",
            text("kind"),
            text("name"),
            text("binding"),
            text("role")
        )
    });
    shown.collect()
}

const MASTERS: &str = "Group system:masters by (always, whatever is bound) to ";

#[test]
fn everybody_is_named_with_the_binding_and_the_role() {
    for (arguments, who) in CASES {
        let found = ask(arguments, &["--no-defaults"]);
        let must_be: Vec<&str> = std::iter::once(MASTERS).chain(who.iter().copied()).collect();
        assert_eq!(found, must_be, "{arguments}");
    }
}

#[test]
fn the_default_policy_is_there_unless_it_is_left_out() {
    let found = ask("get /healthz", &[]);
    for who in [
        "Group system:unauthenticated by ClusterRoleBinding system:public-info-viewer to ClusterRole system:public-info-viewer",
        "Group system:monitoring by ClusterRoleBinding system:monitoring to ClusterRole system:monitoring",
    ] {
        assert!(found.contains(&who.to_owned()), "{found:#?}");
    }
    let found = ask("impersonate users", &[]);
    let admin = "Group system:masters by ClusterRoleBinding cluster-admin to ClusterRole cluster-admin";
    assert_eq!(found, [MASTERS, admin]);
}

#[test]
fn a_table_has_a_line_for_each() {
    let output = run(&mut kubetrust(["who-can", "list", "nodes"])).success();
    let mut lines = output.stdout.lines();
    let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["KIND", "NAMESPACE", "NAME", "BINDING", "ROLE"]);
    assert!(output.stdout.contains("system:kube-scheduler"), "{output}");
    assert!(
        lines.all(|line| line.split("  ").filter(|cell| !cell.is_empty()).count() == 5),
        "{output}"
    );
}

/// What is asked, with which code it ends, and what is said.
#[rustfmt::skip]
const SLIPS: &[(&[&str], i32, &str)] = &[
    (&["get", "widgets"], 0, "Kubernetes v1.36 has no resource \"widgets\""),
    (&["gte", "pods"], 0, "\"gte\" is no verb that Kubernetes has"),
    (&["get", "nodes", "-n", "web"], 0, "nodes are in no namespace"),
    (&["get", "/healthz", "x"], 2, "a path has no object's name"),
    (&["get", "/x", "-f", "/nowhere"], 2, "/nowhere: No such file"),
    (&["get"], 2, "RESOURCE|PATH"),
    (&["get", "pods", "-f", "x", "--kubeconfig", "y"], 2, "cannot be used with"),
    (&["get", "pods", "--kubeconfig", "/nowhere"], 2, "/nowhere: No such file"),
];

#[test]
fn slips_are_said() {
    for (arguments, code, said) in SLIPS {
        let output = run(kubetrust(["who-can"]).args(*arguments));
        assert_eq!(output.code(), Some(*code), "{output}");
        assert!(output.stderr.contains(said), "no {said:?} in {output}");
    }
}

#[test]
fn a_manifest_that_is_none_is_named() {
    let folder = TempDir::new().unwrap();
    for (text, said) in [
        ("a: [", "m.yaml: "),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {}\n",
            "has no metadata.name",
        ),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\nrules: 7\n",
            "m.yaml: x: ",
        ),
    ] {
        let file = folder.path().join("m.yaml");
        fs::write(&file, text).unwrap();
        let output = run(kubetrust(["who-can", "get", "pods", "-f"]).arg(&file));
        assert_eq!(output.code(), Some(2), "{output}");
        assert!(output.stderr.contains(said), "no {said:?} in {output}");
    }
}
