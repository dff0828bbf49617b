//! kubectl reads what kubetrust writes: kubeconfigs (S13), and the manifests for the API server (S3, S12).

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubetrust_testkit::{peers, run};
use serde_json::Value;
use support::{Cluster, folder};

const CLUSTER: &str = "\
clusterName: horse
controlPlaneEndpoint: api.example.org:8443
hosts:
- {name: m1, addresses: [\"2001:db8::11\"], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.21]}
";

const ENDPOINT: &str = "https://api.example.org:8443";
/// The API server of the same host.
const LOCAL: &str = "https://[2001:db8::11]:6443";

/// How a kubeconfig proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Data,
    File,
    Token,
}

use By::{Data, File, Token};

/// A kubeconfig: its host, its file, its user, its server, how it knows the server, and how the server knows it.
type Row = (&'static str, &'static str, &'static str, &'static str, By, By);

#[rustfmt::skip]
const TABLE: &[(&str, &[Row])] = &[
    ("layout: document", &[
        ("m1", "kubernetes/auth/admin.conf", "kubernetes-admin", ENDPOINT, Data, Data),
        ("m1", "kubernetes/auth/controller-manager.conf", "system:kube-controller-manager", LOCAL, File, Data),
        ("m1", "kubernetes/auth/scheduler.conf", "system:kube-scheduler", LOCAL, File, Data),
        ("w1", "kubernetes/auth/bootstrap.conf", "system:bootstrapper", ENDPOINT, File, Token),
        ("w1", "kubernetes/auth/kube-proxy.conf", "system:kube-proxy", ENDPOINT, File, Data),
    ]),
    ("kubelets: {client: issued}\nkubeconfigs: {components: files, admin: files}", &[
        ("m1", "kubernetes/auth/admin.conf", "kubernetes-admin", ENDPOINT, File, File),
        ("m1", "kubernetes/auth/controller-manager.conf", "system:kube-controller-manager", LOCAL, File, File),
        ("m1", "kubernetes/auth/scheduler.conf", "system:kube-scheduler", LOCAL, File, File),
        ("w1", "kubernetes/auth/kubelet.conf", "default-auth", ENDPOINT, File, File),
        ("w1", "kubernetes/auth/kube-proxy.conf", "system:kube-proxy", ENDPOINT, File, File),
    ]),
    ("kubelets: {client: issued}\nkubeconfigs: {components: embedded, admin: layout}", &[
        ("m1", "kubernetes/auth/admin.conf", "kubernetes-admin", ENDPOINT, File, Data),
        ("m1", "kubernetes/auth/controller-manager.conf", "system:kube-controller-manager", LOCAL, Data, Data),
        ("m1", "kubernetes/auth/scheduler.conf", "system:kube-scheduler", LOCAL, Data, Data),
        ("w1", "kubernetes/auth/kubelet.conf", "default-auth", ENDPOINT, Data, Data),
        ("w1", "kubernetes/auth/kube-proxy.conf", "system:kube-proxy", ENDPOINT, Data, Data),
    ]),
    ("kubeconfigs: {components: embedded}", &[
        ("m1", "kubernetes/auth/admin.conf", "kubernetes-admin", ENDPOINT, Data, Data),
        ("m1", "kubernetes/auth/controller-manager.conf", "system:kube-controller-manager", LOCAL, Data, Data),
        ("m1", "kubernetes/auth/scheduler.conf", "system:kube-scheduler", LOCAL, Data, Data),
        ("w1", "kubernetes/auth/bootstrap.conf", "system:bootstrapper", ENDPOINT, Data, Token),
        ("w1", "kubernetes/auth/kube-proxy.conf", "system:kube-proxy", ENDPOINT, Data, Data),
    ]),
    // kubeadm takes embedded kubeconfigs for its own, and leaves the kubelet's to the kubelet.
    ("layout: kubeadm", &[
        ("m1", "kubernetes/admin.conf", "kubernetes-admin", ENDPOINT, Data, Data),
        ("m1", "kubernetes/controller-manager.conf", "system:kube-controller-manager", LOCAL, Data, Data),
        ("m1", "kubernetes/kubelet.conf", "default-auth", ENDPOINT, File, File),
        ("m1", "kubernetes/scheduler.conf", "system:kube-scheduler", LOCAL, Data, Data),
        ("m1", "kubernetes/super-admin.conf", "kubernetes-super-admin", ENDPOINT, Data, Data),
        ("w1", "kubernetes/bootstrap-kubelet.conf", "system:bootstrapper", ENDPOINT, File, Token),
    ]),
    ("layout: kubeadm\nkubelets: {client: issued}\nkubeconfigs: {components: files}", &[
        ("m1", "kubernetes/admin.conf", "kubernetes-admin", ENDPOINT, Data, Data),
        ("m1", "kubernetes/controller-manager.conf", "system:kube-controller-manager", LOCAL, File, File),
        ("m1", "kubernetes/kubelet.conf", "default-auth", ENDPOINT, File, File),
        ("m1", "kubernetes/scheduler.conf", "system:kube-scheduler", LOCAL, File, File),
        ("m1", "kubernetes/super-admin.conf", "kubernetes-super-admin", ENDPOINT, Data, Data),
        ("w1", "kubernetes/kubelet.conf", "default-auth", ENDPOINT, File, File),
    ]),
];

#[test]
fn kubectl_reads_every_kubeconfig_and_its_user_is_whom_the_certificate_names() {
    for (choice, rows) in TABLE {
        let cluster = Cluster::init(&format!("{CLUSTER}{choice}\n"));
        for (host, path, user, server, by_ca, by_user) in *rows {
            let file = cluster.host_file(host, path);
            let shown = kubectl(&["config", "view", "-o", "json"], &file);
            let [name, context] = ["horse".to_owned(), format!("{user}@horse")];
            assert_eq!(shown["clusters"][0]["name"], name, "{choice}: {path}");
            assert_eq!(shown["clusters"][0]["cluster"]["server"], *server, "{choice}: {path}");
            assert_eq!(shown["users"][0]["name"], *user, "{choice}: {path}");
            let current = run(peers::kubectl()
                .args(["config", "current-context", "--kubeconfig"])
                .arg(&file))
            .success();
            assert_eq!(current.stdout.trim(), context, "{choice}: {path}");

            let raw = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"], &file);
            let inside = Inside {
                cluster: &cluster,
                host,
                file: &file,
                raw: &raw,
            };
            let ca = inside.material("/clusters/0/cluster", "certificate-authority", *by_ca);
            let own = fs::read_to_string(cluster.host_file(host, "kubernetes/pki/ca.crt")).unwrap();
            assert_eq!(fs::read_to_string(&ca).unwrap(), own, "{choice}: {path}");
            if *by_user == Token {
                inside.has_no_certificate();
            } else {
                let certificate = inside.material("/users/0/user", "client-certificate", *by_user);
                let key = inside.material("/users/0/user", "client-key", *by_user);
                let name = if *user == "default-auth" {
                    format!("system:node:{host}")
                } else {
                    (*user).to_owned()
                };
                proves(&name, &ca, &certificate, &key);
            }
        }
        // And there is no further one.
        let hosts = cluster.root().join("hosts");
        let found: BTreeSet<String> = folder::files(&hosts)
            .into_iter()
            .filter(|file| file.contains(".conf"))
            .collect();
        assert_eq!(
            found,
            rows.iter().map(|(host, path, ..)| format!("{host}/{path}")).collect(),
            "{choice}"
        );
    }
}

/// A kubeconfig as kubectl has read it.
struct Inside<'a> {
    cluster: &'a Cluster,
    host: &'a str,
    file: &'a Path,
    raw: &'a Value,
}

impl Inside<'_> {
    /// The file that a field names, or one with what the field embeds. The other form is not there.
    #[track_caller]
    fn material(&self, place: &str, field: &str, by: By) -> PathBuf {
        let object = self.raw.pointer(place).unwrap();
        let (named, data) = (&object[field], &object[format!("{field}-data")]);
        if by == Data {
            assert!(named.is_null(), "{}: {named}", self.file.display());
            let file = self.cluster.beside().join(field);
            fs::write(&file, STANDARD.decode(data.as_str().unwrap()).unwrap()).unwrap();
            return file;
        }
        assert!(data.is_null(), "{}: {data}", self.file.display());
        let named = named.as_str().unwrap();
        match named.strip_prefix("/var/lib/kubelet/") {
            Some(path) => self.cluster.host_file(self.host, &format!("kubelet/{path}")),
            // Relative to the kubeconfig, so that it holds wherever the folder lies.
            None if Path::new(named).is_relative() => self.file.parent().unwrap().join(named),
            None => panic!("{}: {named} is not in the kubeconfig's tree", self.file.display()),
        }
    }

    #[track_caller]
    fn has_no_certificate(&self) {
        let user = self.raw["users"][0]["user"].as_object().unwrap();
        assert_eq!(user.keys().collect::<Vec<_>>(), ["token"]);
    }
}

/// The pair is one, the CA signed it, and it says who the user is.
#[track_caller]
fn proves(name: &str, ca: &Path, certificate: &Path, key: &Path) {
    let openssl = |arguments: &[&str], file: &Path| run(peers::openssl().args(arguments).arg(file)).success().stdout;
    openssl(
        &["verify", "-purpose", "sslclient", "-CAfile", ca.to_str().unwrap()],
        certificate,
    );
    let certified = openssl(&["x509", "-noout", "-pubkey", "-in"], certificate);
    assert_eq!(openssl(&["pkey", "-pubout", "-in"], key), certified);
    let subject = openssl(
        &["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in"],
        certificate,
    );
    assert!(subject.trim().split(['=', ',']).any(|part| part == name), "{subject}");
}

#[test]
fn the_bootstrap_token_is_the_same_wherever_it_stands() {
    for (layout, path) in [
        ("document", "kubernetes/auth/bootstrap.conf"),
        ("kubeadm", "kubernetes/bootstrap-kubelet.conf"),
    ] {
        let cluster = Cluster::init(&format!("{CLUSTER}layout: {layout}\n"));
        let secret = &manifest(&cluster, "bootstrap-token.yaml")[0];
        let data = &secret["stringData"];
        let (id, value) = (
            data["token-id"].as_str().unwrap(),
            data["token-secret"].as_str().unwrap(),
        );
        assert_eq!((id.len(), value.len()), (6, 16));
        let conf = kubectl(
            &["config", "view", "--raw", "-o", "json"],
            &cluster.host_file("w1", path),
        );
        assert_eq!(conf["users"][0]["user"]["token"], format!("{id}.{value}"));
        // kubeadm's API servers know the Secret alone.
        let line = format!("{id}.{value},system:bootstrapper,{id},\"system:bootstrappers\"\n");
        assert_eq!(
            fs::read_to_string(cluster.root().join("authority/token.csv")).unwrap(),
            line
        );
        if layout == "document" {
            assert_eq!(
                fs::read_to_string(cluster.host_file("m1", "kubernetes/token.csv")).unwrap(),
                line
            );
        }

        assert_eq!(secret["kind"], "Secret");
        assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
        assert_eq!(secret["metadata"]["namespace"], "kube-system");
        assert_eq!(secret["metadata"]["name"], format!("bootstrap-token-{id}"));
        assert_eq!(data["usage-bootstrap-authentication"], "true");
        assert_eq!(data["usage-bootstrap-signing"], "true");
    }
}

/// Role, kind and name of the subject.
#[rustfmt::skip]
const BINDINGS: &[(&str, &str, &str)] = &[
    ("cluster-admin", "Group", "system:masters"),
    ("system:kube-controller-manager", "User", "system:kube-controller-manager"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"),
    ("system:node-proxier", "User", "system:kube-proxy"),
    ("system:node-bootstrapper", "User", "system:bootstrapper"),
    ("system:node-bootstrapper", "Group", "system:bootstrappers"),
    ("system:certificates.k8s.io:certificatesigningrequests:nodeclient", "Group", "system:bootstrappers"),
    ("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "Group", "system:nodes"),
    ("system:kubelet-api-admin", "User", "kube-apiserver-kubelet-client"),
];

#[test]
fn the_manifest_binds_every_identity_to_its_role() {
    for layout in ["document", "kubeadm"] {
        let cluster = Cluster::init(&format!("{CLUSTER}layout: {layout}\n"));
        let found: BTreeSet<(String, String, String)> = manifest(&cluster, "rbac.yaml")
            .iter()
            .map(|binding| {
                let text = |pointer: &str| binding.pointer(pointer).unwrap().as_str().unwrap().to_owned();
                assert_eq!(text("/apiVersion"), "rbac.authorization.k8s.io/v1");
                assert_eq!(text("/kind"), "ClusterRoleBinding");
                assert_eq!(text("/roleRef/kind"), "ClusterRole");
                assert_eq!(text("/roleRef/apiGroup"), "rbac.authorization.k8s.io");
                assert_eq!(text("/subjects/0/apiGroup"), "rbac.authorization.k8s.io");
                assert_eq!(binding["subjects"].as_array().unwrap().len(), 1);
                (
                    text("/roleRef/name"),
                    text("/subjects/0/kind"),
                    text("/subjects/0/name"),
                )
            })
            .collect();
        let kubeadm = (layout == "kubeadm").then_some(&("cluster-admin", "Group", "kubeadm:cluster-admins"));
        let must_be = BINDINGS.iter().chain(kubeadm);
        let must_be = must_be.map(|(role, kind, name)| ((*role).to_owned(), (*kind).to_owned(), (*name).to_owned()));
        assert_eq!(found, must_be.collect(), "{layout}");
    }
}

#[track_caller]
fn kubectl(arguments: &[&str], kubeconfig: &Path) -> Value {
    let output = run(peers::kubectl().args(arguments).arg("--kubeconfig").arg(kubeconfig)).success();
    serde_json::from_str(&output.stdout).unwrap()
}

/// A manifest's objects as kubectl reads them: `--local` has it decode them by its own types, and ask no server.
#[track_caller]
fn manifest(cluster: &Cluster, name: &str) -> Vec<Value> {
    let file = cluster.root().join("manifests").join(name);
    let mut kubectl = peers::kubectl();
    kubectl
        .args(["annotate", "--local", "read=yes", "-o", "json", "-f"])
        .arg(file);
    let output = run(&mut kubectl).success().stdout;
    let objects = serde_json::Deserializer::from_str(&output).into_iter::<Value>();
    objects.collect::<Result<_, _>>().unwrap()
}
