//! `kubetrust can-i` and `kubetrust whoami`: from a certificate to user and groups to what they may do; offline, and
//! as a running server answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use kubetrust_testkit::loopback::Loopback;
use kubetrust_testkit::{Process, run};
use serde_json::{Value, json};
use support::{Cluster, kubetrust};

fn cluster(network: &Loopback) -> Cluster {
    Cluster::init(&format!(
        "clusterName: horse\nkubelets: {{client: issued}}\nkubeconfigs: {{components: embedded}}\nhosts:\n\
         - {{name: m1, addresses: [{}], roles: [control-plane, worker]}}\n",
        network.host(1)
    ))
}

/// A certificate's file of m1, what is asked, and the answer.
#[rustfmt::skip]
const CERTIFICATES: &[(&str, &str, bool)] = &[
    ("kubernetes/auth/admin.conf", "delete nodes", true),
    ("kubernetes/auth/scheduler.conf", "create pods/binding", true),
    ("kubernetes/auth/scheduler.conf", "get secrets", false),
    ("kubernetes/auth/controller-manager.conf", "list secrets -A", true),
    ("kubernetes/auth/controller-manager.conf", "delete pods", false),
    ("kubernetes/auth/kube-proxy.conf", "watch endpointslices", true),
    ("kubernetes/auth/kube-proxy.conf", "get /metrics", false),
    ("kubernetes/auth/kubelet.conf", "get nodes m1", true),
    ("kubernetes/auth/kubelet.conf", "get nodes m2", false),
    ("kubelet/pki/kubelet-client.crt", "create csr", true),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "get nodes/log m1", true),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "get pods/log p", false),
];

#[test]
fn a_certificate_may_what_its_user_and_groups_may() {
    let network = Loopback::reserve();
    let cluster = cluster(&network);
    for (file, asked, allowed) in CERTIFICATES {
        let mut command = kubetrust(["can-i"]);
        command
            .args(asked.split(' '))
            .arg("--as-certificate")
            .arg(cluster.host_file("m1", file));
        let output = run(command.arg("-f").arg(cluster.root().join("manifests")));
        let (code, word) = if *allowed { (0, "yes") } else { (1, "no") };
        assert_eq!(output.code(), Some(code), "{file}: {asked}: {output}");
        assert!(output.stdout.starts_with(word), "{file}: {asked}: {output}");
    }
}

/// Arguments, the code, and what is on standard output or standard error.
#[rustfmt::skip]
const NAMES: &[(&[&str], i32, &str)] = &[
    (&["get", "pods", "--as", "jane"], 1, "no"),
    (&["get", "pods", "--as", "jane", "--as-group", "system:masters"], 0, "yes"),
    (&["create", "selfsubjectreviews", "--as", "jane"], 0, "yes: RBAC: allowed by ClusterRoleBinding \"system:basic-user\""),
    (&["create", "selfsubjectreviews", "--as", "system:anonymous"], 1, "no"),
    (&["get", "/healthz", "--as", "system:anonymous"], 0, "yes: RBAC: allowed by ClusterRoleBinding \"system:public-info-viewer\""),
    (&["get", "/healthz", "--as", "system:anonymous", "--no-defaults"], 1, "no"),
    (&["get", "/.well-known/openid-configuration", "--as", "system:serviceaccount:a:b"], 0, "system:service-account-issuer-discovery"),
    (&["list", "pods", "--as", "system:node:n1", "--as-group", "system:nodes"], 1, "no: can only list/watch pods with spec.nodeName field selector"),
    (&["--list", "--as", "jane"], 0, "selfsubjectreviews.authentication.k8s.io"),
    (&["--list", "--as", "jane"], 0, "[/healthz /livez /readyz /version /version/]"),
    (&["get", "pods"], 2, "--as-certificate"),
    (&["get", "pods", "--as", "a", "--as-certificate", "b"], 2, "cannot be used with"),
    (&["get", "pods", "--as-certificate", "/nowhere"], 2, "/nowhere: No such file"),
    (&["get", "pods", "--as-group", "g"], 2, "--as"),
    (&["--list", "get", "--as", "jane"], 2, "cannot be used with"),
];

#[test]
fn a_name_may_what_it_and_its_groups_may() {
    for (arguments, code, said) in NAMES {
        let output = run(kubetrust(["can-i"]).args(*arguments));
        assert_eq!(output.code(), Some(*code), "{output}");
        let text = if *code == 2 { &output.stderr } else { &output.stdout };
        assert!(text.contains(said), "no {said:?} in {output}");
    }
}

#[test]
fn a_certificate_names_its_user_and_is_judged_by_its_cluster() {
    let network = Loopback::reserve();
    let (cluster, other) = (cluster(&network), cluster(&network));
    let root = cluster.root();
    for (file, name, groups) in [
        (
            "kubernetes/auth/admin.conf",
            "kubernetes-admin",
            "system:masters, system:authenticated",
        ),
        (
            "kubernetes/auth/kubelet.conf",
            "system:node:m1",
            "system:nodes, system:authenticated",
        ),
        (
            "kubernetes/pki/apiserver-kubelet-client.crt",
            "kube-apiserver-kubelet-client",
            "system:authenticated",
        ),
    ] {
        let mut command = kubetrust(["whoami", "--certificate"]);
        let output = run(command.arg(cluster.host_file("m1", file)).arg("-d").arg(&root)).success();
        assert!(
            output.stdout.contains(name) && output.stdout.contains(groups),
            "{output}"
        );
        assert!(output.stdout.contains("X509SHA256="), "{output}");
    }
    for (cluster, file, why) in [
        (
            &cluster,
            "kubernetes/pki/apiserver.crt",
            "not good for client authentication",
        ),
        (
            &cluster,
            "kubernetes/pki/front-proxy-client.crt",
            "signed by no known CA",
        ),
        (&cluster, "kubernetes/pki/ca.crt", "a CA's, not a client's"),
        (&other, "kubernetes/auth/admin.conf", "refuses it"),
    ] {
        let mut command = kubetrust(["whoami", "--certificate"]);
        let output = run(command.arg(cluster.host_file("m1", file)).arg("-d").arg(&root));
        assert_eq!(output.code(), Some(1), "{file}: {output}");
        assert!(output.stderr.contains(why), "{file}: {output}");
    }
    let output = run(&mut kubetrust(["whoami"]));
    assert_eq!(output.code(), Some(2), "{output}");
}

/// How long a server may take to start on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_server_answers_what_manifests_say() {
    let network = Loopback::reserve();
    let cluster = cluster(&network);
    let _server = Process::spawn(kubetrust(["up", "-d"]).arg(cluster.root()));
    let conf = |name: &str| cluster.host_file("m1", &format!("kubernetes/auth/{name}.conf"));
    let begun = Instant::now();
    let first = loop {
        let output = run(kubetrust(["whoami", "--kubeconfig"]).arg(conf("admin")));
        if output.succeeded() || begun.elapsed() > PATIENCE {
            break output.success();
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert!(
        first.stdout.contains("kubernetes-admin") && first.stdout.contains("system:masters"),
        "{first}"
    );

    // Whoever is asked: the server, or the same roles and bindings in manifests.
    for (file, asked, allowed) in CERTIFICATES {
        let mut command = kubetrust(["can-i"]);
        command
            .args(asked.split(' '))
            .arg("--as-certificate")
            .arg(cluster.host_file("m1", file));
        let output = run(command.arg("--kubeconfig").arg(conf("admin")));
        assert_eq!(output.code(), Some(i32::from(!allowed)), "{file}: {asked}: {output}");
    }
    for asked in ["get nodes m1", "list secrets -A", "get /metrics", "create pods/exec"] {
        let who = |source: &str, path: &std::path::Path| {
            let mut command = kubetrust(["who-can", "-o", "json"]);
            let output = run(command.args(asked.split(' ')).arg(source).arg(path)).success();
            serde_json::from_str::<Value>(&output.stdout).unwrap()
        };
        let offline = who("-f", &cluster.root().join("manifests"));
        assert_eq!(who("--kubeconfig", &conf("admin")), offline, "{asked}");
    }

    // What a server refuses is said in its words.
    let output = run(kubetrust(["can-i", "get", "pods", "--as", "jane", "--kubeconfig"]).arg(conf("kube-proxy")));
    let words =
        "the server answers 403: subjectaccessreviews.authorization.k8s.io is forbidden: User \"system:kube-proxy\"";
    assert!(output.code() == Some(1) && output.stderr.contains(words), "{output}");
    let other = self::cluster(&network);
    let pki = |cluster: &Cluster, name: &str| {
        cluster
            .host_file("m1", &format!("kubernetes/pki/{name}"))
            .display()
            .to_string()
    };
    let mixed = cluster.beside().join("mixed.conf");
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: \"https://{}:6443\", certificate-authority: {}}}}}]\n\
         users: [{{name: u, user: {{client-certificate: {}, client-key: {}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         current-context: x\n",
        network.host(1),
        pki(&cluster, "ca.crt"),
        pki(&other, "apiserver-kubelet-client.crt"),
        pki(&other, "apiserver-kubelet-client.key"),
    );
    fs::write(&mixed, text).unwrap();
    let output = run(kubetrust(["whoami", "--kubeconfig"]).arg(&mixed));
    assert!(
        output.code() == Some(1)
            && output.stderr.contains("the server answers 401: Unauthorized")
            && output.stderr.contains("add --explained-by ADMIN.conf"),
        "{output}"
    );
    a_server_explains(&cluster, &other, &mixed);
}

/// How the server came to know who somebody is, and why it refuses somebody else.
fn a_server_explains(cluster: &Cluster, other: &Cluster, refused: &std::path::Path) {
    let conf = |name: &str| cluster.host_file("m1", &format!("kubernetes/auth/{name}.conf"));
    let admin = conf("admin").display().to_string();
    let refused = refused.display().to_string();
    let stranger = other
        .host_file("m1", "kubernetes/pki/apiserver-kubelet-client.crt")
        .display()
        .to_string();
    let server = cluster
        .host_file("m1", "kubernetes/pki/apiserver.crt")
        .display()
        .to_string();
    let listed = fs::read_to_string(cluster.host_file("m1", "kubernetes/token.csv")).unwrap();
    let token = cluster.beside().join("token.conf");
    let text = fs::read_to_string(&refused).unwrap();
    let (head, _) = text.split_once("users:").unwrap();
    let listed = listed.split(',').next().unwrap();
    fs::write(
        &token,
        format!("{head}users: [{{name: u, user: {{token: {listed}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"),
    )
    .unwrap();
    let token = token.display().to_string();
    let unknown = "signed by no known CA";
    // Arguments, exit code, what is answered, what is said beside it.
    #[rustfmt::skip]
    let cases: [(&[&str], i32, &[&str], &str); 6] = [
        (&["--kubeconfig", &admin], 0,
            &["kubernetes-admin", "SCHEME", "x509", "authenticated", "CN=kubernetes-admin,O=system:masters", "By --client-ca-file", "trusted until"], ""),
        (&["--kubeconfig", &token], 0,
            &["system:bootstrapper", "no client certificate was presented", "token-file"], ""),
        (&["--kubeconfig", &refused, "--explained-by", &admin], 1, &["x509", "refused", unknown, "By --client-ca-file"], unknown),
        (&["--certificate", &stranger, "--explained-by", &admin], 1, &["x509", "refused", unknown], unknown),
        (&["--certificate", &server, "--explained-by", &admin], 1, &["x509", "refused"], "not good for client authentication"),
        (&["--kubeconfig", &refused, "--explained-by", &conf("scheduler").display().to_string()], 1, &[],
            "the server answers 403: forbidden: User \"system:kube-scheduler\" cannot post path \"/debug/authentication\""),
    ];
    for (arguments, code, answered, said) in cases {
        let output = run(kubetrust(["whoami"]).args(arguments));
        assert_eq!(output.code(), Some(code), "{arguments:?}: {output}");
        for text in answered {
            assert!(output.stdout.contains(text), "{arguments:?}: no {text:?}: {output}");
        }
        assert!(output.stderr.contains(said), "{arguments:?}: {output}");
    }
    for (arguments, code, known) in [
        (
            ["--kubeconfig", &admin, "--explained-by", &admin],
            0,
            json!("kubernetes-admin"),
        ),
        (["--kubeconfig", &refused, "--explained-by", &admin], 1, Value::Null),
    ] {
        let output = run(kubetrust(["whoami", "-o", "json"]).args(arguments));
        assert_eq!(output.code(), Some(code), "{output}");
        let said: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(said["username"], known, "{output}");
        assert_eq!(said["explanation"]["authenticated"], !known.is_null(), "{output}");
    }
}
