//! With which flags the components use a host's files (S15).

use std::net::IpAddr;
use std::path::Path;

use crate::catalog::{self, Component, FRONT_PROXY_NAME, Part};
use crate::spec::{AuthorityMode, Cluster, Host, HostOrIp, KubeletServing, Layout, Role};

const ETCD_CLIENT_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;

/// One flag, without its dashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Flag {
    /// As a command line has it.
    #[must_use]
    pub fn to_argument(&self) -> String {
        format!("--{}={}", self.name, self.value)
    }

    /// As etcd's environment has it: `ETCD_CERT_FILE`.
    #[must_use]
    pub fn to_etcd_variable(&self) -> String {
        format!("ETCD_{}={}", self.name.replace('-', "_").to_uppercase(), self.value)
    }
}

/// The flags with which `component` runs on `host`. `in_place` is the host's folder where the files are to be used
/// where they lie, without installing them; `signs` tells whether the cluster CA's key is on this host.
///
/// Flags that a choice of the operator decides (resources, feature gates, logging) are left to the operator.
#[must_use]
pub fn flags(cluster: &Cluster, host: &Host, component: Component, in_place: Option<&Path>, signs: bool) -> Vec<Flag> {
    let mut flags = Flags {
        cluster,
        host,
        in_place,
        list: Vec::new(),
    };
    match component {
        Component::Etcd => flags.etcd(),
        Component::ApiServer => flags.api_server(),
        Component::ControllerManager => flags.controller_manager(signs),
        Component::Scheduler => {
            flags.files(Component::Scheduler, |_| true);
            flags.add("requestheader-allowed-names", FRONT_PROXY_NAME);
        }
        Component::Kubelet => flags.kubelet(),
        Component::KubeProxy => {
            flags.files(Component::KubeProxy, |_| true);
            flags.add("hostname-override", host.name.to_string());
        }
    }
    flags.list
}

struct Flags<'a> {
    cluster: &'a Cluster,
    host: &'a Host,
    in_place: Option<&'a Path>,
    list: Vec<Flag>,
}

impl Flags<'_> {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.list.push(Flag {
            name: name.to_owned(),
            value: value.into(),
        });
    }

    fn path(&self, file: &Path) -> String {
        let path = self
            .in_place
            .map_or_else(|| self.cluster.paths.of(file), |folder| folder.join(file));
        path.display().to_string()
    }

    /// The flags that the catalog gives a component's files, in its order.
    fn files(&mut self, component: Component, wanted: impl Fn(&str) -> bool) {
        for row in catalog::ROWS {
            for file in row.files.of(self.cluster.layout) {
                if !file.holder.includes(self.cluster, self.host) {
                    continue;
                }
                for reader in file.readers.iter().filter(|reader| reader.component == component) {
                    if wanted(reader.flag) {
                        let path = self.path(Path::new(file.path));
                        self.add(reader.flag, path);
                    }
                }
            }
        }
    }

    fn etcd(&mut self) {
        let (cluster, host) = (self.cluster, self.host);
        let member_url = |host: &Host, port| HostOrIp::Ip(host.address()).url(port);
        let mut client_urls = vec![member_url(host, ETCD_CLIENT_PORT)];
        // For health checks on the host itself. Where the member's own address is a loopback one, others share it.
        if !host.address().is_loopback() {
            client_urls.push(HostOrIp::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)).url(ETCD_CLIENT_PORT));
        }
        let members: Vec<_> = cluster
            .hosts_with(Role::Etcd)
            .map(|member| format!("{}={}", member.name, member_url(member, ETCD_PEER_PORT)))
            .collect();
        self.add("name", host.name.to_string());
        self.add("data-dir", cluster.paths.etcd_data.display().to_string());
        self.add("listen-client-urls", client_urls.join(","));
        self.add("advertise-client-urls", member_url(host, ETCD_CLIENT_PORT));
        self.add("listen-peer-urls", member_url(host, ETCD_PEER_PORT));
        self.add("initial-advertise-peer-urls", member_url(host, ETCD_PEER_PORT));
        self.add("initial-cluster", members.join(","));
        self.add("initial-cluster-state", "new");
        self.add("initial-cluster-token", cluster.name.clone());
        self.files(Component::Etcd, |_| true);
        self.add("client-cert-auth", "true");
        self.add("peer-client-cert-auth", "true");
        let confined = cluster.authorities.mode == AuthorityMode::Single;
        if confined {
            // Under one CA every certificate of the cluster would open etcd: only these names do.
            self.add(
                "client-cert-allowed-hostname",
                catalog::confined_name(cluster, "client.etcd"),
            );
            self.add(
                "peer-cert-allowed-hostname",
                catalog::confined_name(cluster, "peer.etcd"),
            );
        }
        if confined || cluster.layout == Layout::Document {
            // The gateway calls its own member with the server certificate, which is no client's here. Nothing in
            // Kubernetes uses it.
            self.add("enable-grpc-gateway", "false");
        }
    }

    fn api_server(&mut self) {
        let (cluster, host) = (self.cluster, self.host);
        let etcd: Vec<_> = cluster
            .hosts_with(Role::Etcd)
            .map(|member| HostOrIp::Ip(member.address()).url(ETCD_CLIENT_PORT))
            .collect();
        // "service IP family must match public address family" is what the API server ends with otherwise.
        let is_ipv4 = cluster
            .service_subnets
            .first()
            .is_none_or(|subnet| subnet.addr().is_ipv4());
        let advertised = host.addresses.iter().find(|address| address.is_ipv4() == is_ipv4);
        // It refuses a loopback address as well, and chooses one by itself where it is told none.
        if let Some(address) = advertised.filter(|address| !address.is_loopback()) {
            self.add("advertise-address", address.to_string());
        }
        self.add("secure-port", cluster.api_server_port.to_string());
        self.add("service-cluster-ip-range", self.service_subnets());
        self.add("etcd-servers", etcd.join(","));
        // Kubelets that sign for themselves can't be verified.
        let verifies_kubelets = cluster.kubelets.serving != KubeletServing::None;
        self.files(Component::ApiServer, |flag| {
            flag != "kubelet-certificate-authority" || verifies_kubelets
        });
        self.add("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname");
        self.add("requestheader-allowed-names", FRONT_PROXY_NAME);
        self.add("requestheader-username-headers", "X-Remote-User");
        self.add("requestheader-group-headers", "X-Remote-Group");
        self.add("requestheader-extra-headers-prefix", "X-Remote-Extra-");
        self.add(
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{}", cluster.dns_domain),
        );
        self.add("enable-bootstrap-token-auth", "true");
        self.add("authorization-mode", "Node,RBAC");
        self.add("enable-admission-plugins", "NodeRestriction");
    }

    fn controller_manager(&mut self, signs: bool) {
        self.files(Component::ControllerManager, |flag| {
            signs || !flag.starts_with("cluster-signing-")
        });
        // Without it, any certificate of the front proxy's CA may pose as it: under `single`, any at all.
        self.add("requestheader-allowed-names", FRONT_PROXY_NAME);
        self.add("cluster-name", self.cluster.name.clone());
        self.add("use-service-account-credentials", "true");
        self.add("controllers", "*,bootstrapsigner,tokencleaner");
    }

    fn kubelet(&mut self) {
        let files = catalog::host_files(self.cluster, self.host);
        let of = |wanted: fn(&Part) -> bool, row: &str| {
            files
                .iter()
                .find(|file| file.row == row && wanted(&file.part))
                .map(|file| file.path.clone())
        };
        if let Some(bootstrap) = of(|part| matches!(part, Part::TokenKubeconfig(_)), "bootstrap") {
            let path = self.path(bootstrap.as_path());
            self.add("bootstrap-kubeconfig", path);
        }
        // With a bootstrap token the kubelet writes this file itself.
        let kubeconfig = match self.cluster.layout {
            Layout::Document => "kubernetes/auth/kubelet.conf",
            Layout::Kubeadm => "kubernetes/kubelet.conf",
        };
        let path = self.path(Path::new(kubeconfig));
        self.add("kubeconfig", path);
        let cert_dir = self.path(Path::new("kubelet/pki"));
        self.add("cert-dir", cert_dir);
        self.files(Component::Kubelet, |_| true);
        self.add("anonymous-auth", "false");
        // Without a configuration file it would serve pods and metrics to anybody on 10255.
        self.add("read-only-port", "0");
        self.add("authentication-token-webhook", "true");
        self.add("authorization-mode", "Webhook");
        self.add("rotate-certificates", "true");
        self.add("cluster-domain", self.cluster.dns_domain.to_string());
        self.add("hostname-override", self.host.name.to_string());
        if !self.host.address().is_loopback() {
            self.add("node-ip", self.host.address().to_string());
        }
    }

    fn service_subnets(&self) -> String {
        self.cluster
            .service_subnets
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }
}
