//! Who kubectl is taken for with each credential of the cluster, what that allows, and every refusal.

use std::fs;

use kubetrust_testkit::Output;
use serde_json::Value;

use crate::call::Says::{Has, Is};
use crate::call::{BOTH, Kubectl, NEW, OLD, Row, Says, Version};

/// The server by its URL, without any kubeconfig.
const BARE: &str = "--server={url} --certificate-authority={pki}/ca.crt";

/// A bootstrap token of our own: the one that the cluster is issued with is a static token too, which comes first.
const BOOTSTRAP: &str = "abcdef.0123456789abcdef";
const BOOTSTRAP_SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData:
  token-id: abcdef
  token-secret: 0123456789abcdef
  usage-bootstrap-authentication: 'true'
  auth-extra-groups: system:bootstrappers:workers
";

/// A credential: its name, the flags that show it, the user, and the groups beside system:authenticated.
type Credential = (&'static str, String, &'static str, &'static [&'static str]);

/// Every kubeconfig, and every kind of token.
fn credentials(kubectl: &Kubectl) -> Vec<Credential> {
    kubectl.write(Version::V1_20, "bootstrap.yaml", BOOTSTRAP_SECRET);
    kubectl
        .call(
            Version::V1_20,
            "--kubeconfig={auth}/admin.conf create -f {dir}/bootstrap.yaml",
        )
        .success();
    let csv = fs::read_to_string(kubectl.up.file("token.csv")).unwrap();
    let fixed = csv.split(',').next().unwrap().to_owned();
    kubectl.admin(Version::V1_20, "create serviceaccount robot").success();
    let account = kubectl
        .admin(Version::V1_37, "--namespace=old create token robot")
        .success()
        .stdout;
    let conf = |name: &str| format!("--kubeconfig={{auth}}/{name}.conf");
    let token = |token: &str| format!("{BARE} --token={}", token.trim());
    let pair = |name: &str| format!("{BARE} --client-certificate={{pki}}/{name}.crt --client-key={{pki}}/{name}.key");
    vec![
        ("admin.conf", conf("admin"), "kubernetes-admin", &["system:masters"]),
        (
            "controller-manager.conf",
            conf("controller-manager"),
            "system:kube-controller-manager",
            &[],
        ),
        ("scheduler.conf", conf("scheduler"), "system:kube-scheduler", &[]),
        ("kube-proxy.conf", conf("kube-proxy"), "system:kube-proxy", &[]),
        (
            "bootstrap.conf",
            conf("bootstrap"),
            "system:bootstrapper",
            &["system:bootstrappers"],
        ),
        (
            "apiserver-kubelet-client.crt",
            pair("apiserver-kubelet-client"),
            "kube-apiserver-kubelet-client",
            &[],
        ),
        (
            "a static token",
            token(&fixed),
            "system:bootstrapper",
            &["system:bootstrappers"],
        ),
        (
            "a bootstrap token",
            token(BOOTSTRAP),
            "system:bootstrap:abcdef",
            &["system:bootstrappers", "system:bootstrappers:workers"],
        ),
        (
            "a service account's token",
            token(&account),
            "system:serviceaccount:old:robot",
            &["system:serviceaccounts", "system:serviceaccounts:old"],
        ),
    ]
}

#[test]
fn every_credential_of_the_cluster_is_who_it_is_to_be() {
    let kubectl = Kubectl::start();
    for (name, flags, user, groups) in credentials(&kubectl) {
        let me = kubectl
            .call(Version::V1_37, &format!("{flags} auth whoami -o json"))
            .success();
        let me: Value = serde_json::from_str(&me.stdout).unwrap();
        let me = &me["status"]["userInfo"];
        let mut wanted: Vec<&str> = groups.iter().copied().chain(["system:authenticated"]).collect();
        let mut found: Vec<&str> = me["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!((me["username"].as_str(), found), (Some(user), wanted), "{name}");

        // Before there was whoami, a refusal told. The masters are refused nothing.
        if groups.contains(&"system:masters") {
            let output = kubectl
                .call(Version::V1_20, &format!("{flags} get limitranges -A"))
                .success();
            assert_eq!(output.stderr, "No resources found\n", "{name}");
            continue;
        }
        for version in BOTH {
            let output = kubectl.call(
                *version,
                &format!("{flags} delete limitranges/any --namespace=kube-public"),
            );
            let says = format!(
                "Error from server (Forbidden): limitranges \"any\" is forbidden: User \"{user}\" cannot delete resource"
            );
            assert!(
                output.code() == Some(1) && output.stderr.contains(&says),
                "{name}: {output}"
            );
        }
    }
}

#[rustfmt::skip]
const WHOAMI: &[Row] = &[
    (NEW, "auth whoami", 0, Has(&["ATTRIBUTE VALUE\nUsername kubernetes-admin\nGroups [system:masters system:authenticated]\nExtra: authentication.kubernetes.io/credential-id [X509SHA256="])),
    (NEW, "auth whoami --as=jane --as-group=dev --as-group=ops", 0, Is("ATTRIBUTE VALUE\nUsername jane\nGroups [dev ops system:authenticated]")),
    (NEW, "auth whoami --as=jane --as-uid=7", 0, Is("ATTRIBUTE VALUE\nUsername jane\nUID 7\nGroups [system:authenticated]")),
    (NEW, "auth whoami --as=system:serviceaccount:kube-system:default", 0, Has(&["Username system:serviceaccount:kube-system:default\nGroups [system:serviceaccounts system:serviceaccounts:kube-system system:authenticated]"])),
    (NEW, "auth whoami --as=system:anonymous", 1, Is("error: the selfsubjectreviews API is not enabled in the cluster or you do not have permission to call it")),
    (OLD, "auth whoami", 1, Has(&["error: unknown command \"whoami\""])),
];

#[rustfmt::skip]
const CAN_I: &[Row] = &[
    (BOTH, "create role reader --verb=get,list --resource=pods,configmaps", 0, Has(&["reader created"])),
    (BOTH, "create rolebinding reads --role=reader --user=jane --group=dev", 0, Has(&["reads created"])),
    (BOTH, "create clusterrole {ns}-nodes --verb=get --resource=nodes", 0, Has(&["{ns}-nodes created"])),
    (BOTH, "create clusterrolebinding {ns}-nodes --clusterrole={ns}-nodes --group=dev", 0, Has(&["{ns}-nodes created"])),
    (BOTH, "auth can-i create pods", 0, Is("yes")),
    (BOTH, "auth can-i '*' '*' --all-namespaces", 0, Is("yes")),
    (BOTH, "auth can-i get /metrics", 0, Is("yes")),
    (BOTH, "auth can-i get pods --as=jane", 0, Is("yes")),
    (BOTH, "auth can-i list configmaps --as=joe --as-group=dev", 0, Is("yes")),
    (BOTH, "auth can-i delete pods --as=jane", 1, Is("no")),
    (BOTH, "auth can-i get pods --subresource=log --as=jane", 1, Is("no")),
    (BOTH, "auth can-i get pods --as=jane --namespace=default", 1, Is("no")),
    (BOTH, "auth can-i get pods --as=jane --all-namespaces", 1, Is("no")),
    (BOTH, "auth can-i get nodes --as=joe --as-group=dev", 0, Has(&["yes", "Warning: resource 'nodes' is not namespace scoped"])),
    (BOTH, "auth can-i get /healthz --as=jane", 0, Is("yes")),
    (BOTH, "auth can-i get /metrics --as=jane", 1, Is("no")),
    (BOTH, "auth can-i delete pods --as=jane -q", 1, Says::Nothing),
    (BOTH, "auth can-i --list --as=jane", 0, Has(&["Resources Non-Resource URLs Resource Names Verbs\n", "selfsubjectaccessreviews.authorization.k8s.io [] [] [create]\n", "configmaps [] [] [get list]\npods [] [] [get list]\n", "[/healthz] [] [get]\n", "[/version] [] [get]"])),
    (BOTH, "auth can-i --list", 0, Has(&["*.* [] [] [*]\n[*] [] [*]\n"])),
    (BOTH, "get pods --as=jane", 0, Is("No resources found in {ns} namespace.")),
    (BOTH, "get pods --as=jane --namespace=default", 1, Is("Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"")),
    (BOTH, "get nodes --as=jane", 1, Is("Error from server (Forbidden): nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope")),
    (BOTH, "get node any --as=joe --as-group=dev", 1, Is("Error from server (NotFound): nodes \"any\" not found")),
    (BOTH, "get --raw /metrics --as=jane", 1, Has(&["Error from server (Forbidden):"])),
    (BOTH, "create role wide --verb=* --resource=secrets --as=jane", 1, Has(&["User \"jane\" cannot create resource \"roles\" in API group \"rbac.authorization.k8s.io\" in the namespace \"{ns}\""])),
    (BOTH, "create rolebinding makes --clusterrole=admin --user=ann", 0, Has(&["makes created"])),
    // Ann may make roles, but none that holds what she does not.
    (BOTH, "create role wide --verb=* --resource=pods --as=ann", 1, Has(&["roles.rbac.authorization.k8s.io \"wide\" is forbidden: user \"ann\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"])),
    (BOTH, "create role narrow --verb=get --resource=pods --as=ann", 0, Has(&["narrow created"])),
];

#[test]
fn reviews_and_requests_agree_on_what_one_may() {
    let kubectl = Kubectl::start();
    kubectl.play(WHOAMI);
    kubectl.play(CAN_I);
}

/// Flags in the place of the admin's kubeconfig, the words, and the answer.
type Refused = (&'static [Version], &'static str, &'static str, Says);

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    (BOTH, "--token=wrong", "get ns", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--token=wrong", "get --raw /api/v1/namespaces", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--token=abcdef.0000000000000000", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--token=a.b.c", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--client-certificate={pki}/front-proxy-client.crt --client-key={pki}/front-proxy-client.key", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--client-certificate={pki}/apiserver-etcd-client.crt --client-key={pki}/apiserver-etcd-client.key", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--client-certificate={pki}/apiserver.crt --client-key={pki}/apiserver.key", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--client-certificate={auth}/../../../../../stranger.crt --client-key={auth}/../../../../../stranger.key", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
    (BOTH, "--token=abcdef.0000000000000000 --as=jane", "get --raw /api", Is("error: You must be logged in to the server (Unauthorized)")),
];

#[test]
fn whoever_shows_a_bad_credential_is_refused() {
    let kubectl = Kubectl::start();
    let [certificate, key] = ["stranger.crt", "stranger.key"].map(|name| kubectl.up.beside().join(name));
    let mut openssl = kubetrust_testkit::peers::openssl();
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/O=system:masters/CN=kubernetes-admin",
    ]);
    kubetrust_testkit::run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate)).success();
    for (versions, flags, words, says) in REFUSED {
        for version in *versions {
            let output = kubectl.call(*version, &format!("{BARE} {flags} {words}"));
            kubectl.judge(*version, &output, 1, *says);
        }
    }
}

#[test]
fn a_server_of_another_ca_is_not_believed() {
    let kubectl = Kubectl::start();
    for version in BOTH {
        let output = kubectl.call(
            *version,
            "--server={url} --certificate-authority={pki}/front-proxy-ca.crt --token=any get --raw /healthz",
        );
        assert_eq!(output.code(), Some(1), "{output}");
        assert!(
            output.stderr.contains("x509: certificate signed by unknown authority"),
            "{output}"
        );
    }
}

#[rustfmt::skip]
const IMPERSONATION: &[(&[Version], &str, &str, i32, Says)] = &[
    (BOTH, "scheduler", "get pods --as=jane", 1, Has(&["Error from server (Forbidden): users \"jane\" is forbidden: User \"system:kube-scheduler\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"])),
    (BOTH, "scheduler", "get pods --as=jane --as-group=system:masters", 1, Has(&["Error from server (Forbidden):", "is forbidden: User \"system:kube-scheduler\" cannot impersonate resource"])),
    (BOTH, "admin", "get ns --as=jane --as-group=system:masters -o name", 0, Is("namespace/default\nnamespace/kube-node-lease\nnamespace/kube-public\nnamespace/kube-system\nnamespace/new\nnamespace/old")),
    (BOTH, "kube-proxy", "get secrets --namespace=kube-system", 1, Is("Error from server (Forbidden): secrets is forbidden: User \"system:kube-proxy\" cannot list resource \"secrets\" in API group \"\" in the namespace \"kube-system\"")),
    (BOTH, "controller-manager", "get secrets --namespace=kube-public", 0, Is("No resources found in kube-public namespace.")),
];

#[test]
fn only_who_may_impersonate_does() {
    let kubectl = Kubectl::start();
    for (versions, who, words, exit, says) in IMPERSONATION {
        for version in *versions {
            let output = kubectl.call(*version, &format!("--kubeconfig={{auth}}/{who}.conf {words}"));
            kubectl.judge(*version, &output, *exit, *says);
        }
    }
}

/// The life of a token, and what it is good for.
#[test]
fn tokens_are_made_by_name_and_end_with_their_account() {
    let kubectl = Kubectl::start();
    let new = Version::V1_37;
    kubectl.admin(new, "create serviceaccount robot").success();
    kubectl
        .admin(
            new,
            "create rolebinding views --clusterrole=view --serviceaccount={ns}:robot",
        )
        .success();
    let refused = kubectl.admin(new, "create token nobody").failure();
    assert_eq!(
        refused.stderr.trim(),
        "error: failed to create token: serviceaccounts \"nobody\" not found"
    );
    let short = kubectl.admin(new, "create token robot --duration=1m").failure();
    assert!(
        short.stderr.contains("may not specify a duration less than 10 minutes"),
        "{short}"
    );
    let elsewhere = token(
        &kubectl
            .admin(new, "create token robot --audience=https://elsewhere.example.org")
            .success(),
    );
    let good = token(&kubectl.admin(new, "create token robot --duration=10m").success());
    for version in BOTH {
        let get = |token: &str| {
            kubectl.call(
                *version,
                &format!("{BARE} --token={token} get --raw /api/v1/namespaces/new/configmaps"),
            )
        };
        get(&good).success();
        assert_eq!(
            get(&elsewhere).failure().stderr.trim(),
            "error: You must be logged in to the server (Unauthorized)"
        );
        let pods = kubectl
            .call(*version, &format!("{BARE} --token={good} --namespace=new get pods"))
            .success();
        assert_eq!(pods.stderr.trim(), "No resources found in new namespace.");
        let secrets = kubectl
            .call(*version, &format!("{BARE} --token={good} --namespace=new get secrets"))
            .failure();
        assert_eq!(
            secrets.stderr.trim(),
            "Error from server (Forbidden): secrets is forbidden: User \"system:serviceaccount:new:robot\" cannot list resource \"secrets\" in API group \"\" in the namespace \"new\""
        );
    }
    kubectl.admin(new, "delete serviceaccount robot").success();
    for version in BOTH {
        let late = kubectl
            .call(
                *version,
                &format!("{BARE} --token={good} get --raw /api/v1/namespaces/new/configmaps"),
            )
            .failure();
        assert_eq!(
            late.stderr.trim(),
            "error: You must be logged in to the server (Unauthorized)"
        );
    }
}

fn token(output: &Output) -> String {
    output.stdout.trim().to_owned()
}
