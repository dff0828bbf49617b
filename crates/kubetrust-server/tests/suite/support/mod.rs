//! A server in this process with a cluster's real credentials, and a client that speaks to it as anyone.

#[macro_use]
pub mod engine;

pub mod client;
pub mod etcd;
pub mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kubetrust_auth::authz::Mode;
use kubetrust_pki::cluster::{Loaded, SPEC_FILE};
use kubetrust_pki::write::{Directory, RealDisk};
use kubetrust_server::options::{Options, Pair, RequestHeader, ServiceAccounts, StoreOptions};
use kubetrust_server::registry::services::{PortRange, Ranges};
use kubetrust_server::start::{Running, start};
use kubetrust_testkit::loopback::Loopback;
use tempfile::TempDir;

use etcd::Etcd;

pub use client::{Client, Credential, Reply};
pub use engine::Engine;
pub use watch::Events;

/// A cluster's directory with issued credentials, for a host with an address of its own.
pub struct Cluster {
    pub folder: TempDir,
    pub loopback: Loopback,
    pub options: Options,
    /// The etcd that is its alone, if it has one.
    pub etcd: Option<Etcd>,
}

impl Cluster {
    /// Issues everything for one control-plane host, whose server keeps its objects in this engine.
    pub fn issue(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback = Loopback::reserve();
        let address = loopback.host(1);
        let spec = format!(
            "apiVersion: kubetrust.dev/v1alpha1\nkind: Cluster\nkeyAlgorithm: ecdsa-p256\nhosts:\n  \
             - {{name: m1, addresses: [{address}], roles: [control-plane, etcd, worker]}}\n"
        );
        std::fs::write(folder.path().join(SPEC_FILE), spec).unwrap();
        let directory = Directory::open(folder.path(), RealDisk).unwrap();
        let loaded = Loaded::read(folder.path(), Timestamp::now()).unwrap();
        let plan = loaded.plan(folder.path()).unwrap();
        loaded.apply(&directory, plan, &()).unwrap();
        let (store, prefix) = engine.place(folder.path());
        let options = Options {
            store,
            prefix,
            ..options(folder.path(), address.into())
        };
        Self {
            folder,
            loopback,
            options,
            etcd: None,
        }
    }

    /// The same with a store that no other test uses: for what all would notice, a compaction or a fault.
    pub fn alone(engine: Engine) -> Self {
        let mut cluster = Self::issue(Engine::Embedded);
        if matches!(engine, Engine::Etcd) {
            let etcd = Etcd::start(&cluster);
            cluster.options.store = StoreOptions::Etcd(etcd.options());
            cluster.etcd = Some(etcd);
        }
        cluster
    }

    /// A file of the host, below `kubernetes/`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("hosts/m1/kubernetes").join(name)
    }

    /// A file of `authority/`.
    pub fn authority(&self, name: &str) -> PathBuf {
        self.folder.path().join("authority").join(name)
    }

    /// The certificate and key of a pair below `kubernetes/pki/`.
    pub fn pair(&self, name: &str) -> Credential {
        Credential::pair(
            &self.file(&format!("pki/{name}.crt")),
            &self.file(&format!("pki/{name}.key")),
        )
    }

    /// The credential of a kubeconfig below `kubernetes/auth/`.
    pub fn kubeconfig(&self, name: &str) -> Credential {
        Credential::kubeconfig(&self.file(&format!("auth/{name}.conf")))
    }

    pub async fn start(&self) -> Running {
        start(self.options.clone()).await.unwrap()
    }

    pub fn client(&self, address: SocketAddr, credential: Credential) -> Client {
        Client::new(address, &self.file("pki/ca.crt"), credential)
    }
}

fn options(root: &Path, address: std::net::IpAddr) -> Options {
    let pki = root.join("hosts/m1/kubernetes/pki");
    let list = |name: &str| vec![name.to_owned()];
    Options {
        bind_address: address,
        secure_port: 6443,
        advertise: None,
        serving: Pair {
            certificate: pki.join("apiserver.crt"),
            key: pki.join("apiserver.key"),
        },
        sni: Vec::new(),
        client_ca_file: Some(pki.join("ca.crt")),
        client_crl_file: None,
        client_revoked_serials_file: None,
        request_header: Some(RequestHeader {
            client_ca_file: pki.join("front-proxy-ca.crt"),
            allowed_names: list("front-proxy-client"),
            username_headers: list("X-Remote-User"),
            uid_headers: list("X-Remote-Uid"),
            group_headers: list("X-Remote-Group"),
            extra_headers_prefix: list("X-Remote-Extra-"),
        }),
        token_auth_file: Some(root.join("hosts/m1/kubernetes/token.csv")),
        basic_auth_file: None,
        bootstrap_tokens: true,
        anonymous: true,
        anonymous_paths: Vec::new(),
        service_accounts: ServiceAccounts {
            issuers: list("https://kubernetes.default.svc.cluster.local"),
            key_files: vec![pki.join("sa.pub")],
            signing_key_file: Some(pki.join("sa.key")),
            ..ServiceAccounts::default()
        },
        authorization_modes: vec![Mode::Node, Mode::Rbac],
        enable_admission_plugins: list("NodeRestriction"),
        disable_admission_plugins: Vec::new(),
        audit_policy_file: None,
        audit_log: None,
        max_requests_in_flight: 400,
        max_mutating_requests_in_flight: 200,
        compaction_interval: None,
        store: StoreOptions::Embedded(root.join("store")),
        encryption_provider_config: None,
        prefix: "/registry".into(),
        services: Ranges::new(vec!["10.96.0.0/24".parse().unwrap()], PortRange::default()).unwrap(),
        root_ca: std::fs::read_to_string(pki.join("ca.crt")).ok(),
    }
}
