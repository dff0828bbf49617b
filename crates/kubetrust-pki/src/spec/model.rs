//! A valid cluster. Every value here has passed the parser's checks: a name is a DNS name, two hosts never share
//! an address, a leaf never lives longer than its CA. Nothing else in the crate validates a spec again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::SignedDuration;

use super::choice::choices;

/// The cluster that a `cluster.yaml` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name: a DNS label. Names the kubeconfigs' cluster and etcd's cluster token.
    pub name: String,
    /// The DNS domain of services (`--cluster-domain` of the kubelet).
    pub dns_domain: DnsName,
    /// `--service-cluster-ip-range`: one subnet, or an IPv4 and an IPv6 one (dual stack).
    pub service_subnets: Vec<IpNet>,
    /// Where clients outside a control-plane host reach the API server.
    pub endpoint: Endpoint,
    /// `--secure-port` of the API servers, which differs from the endpoint's behind a load balancer.
    pub api_server_port: u16,
    /// Names and addresses that every API server's certificate carries besides those it needs by itself.
    pub extra_sans: Vec<HostOrIp>,
    /// Every host, in the spec's order. At least one is a control-plane host.
    pub hosts: Vec<Host>,
    /// Which file tree the hosts' folders follow.
    pub layout: Layout,
    /// Which authorities sign.
    pub authorities: Authorities,
    /// Which CA keys control-plane hosts receive.
    pub ca_keys: CaKeyPlacement,
    /// What kubelets receive.
    pub kubelets: Kubelets,
    /// Whether kubeconfigs name files or embed them.
    pub kubeconfigs: Kubeconfigs,
    /// The algorithm of every new key.
    pub key_algorithm: KeyAlgorithm,
    /// How long each class of credential lives.
    pub validity: Validity,
    /// How long before its end a credential is renewed. `None`: when a third of its lifetime is left.
    pub renew_before: Option<SignedDuration>,
    /// How far `notBefore` lies in the past, for clocks that run behind.
    pub backdate: SignedDuration,
    /// Attributes added to every subject. Never CN or O, which are identities (S3).
    pub subject: SubjectExtras,
    /// Where the files lie on the hosts.
    pub paths: InstallPaths,
}

impl Cluster {
    /// The hosts that hold `role`, in the spec's order.
    pub fn hosts_with(&self, role: Role) -> impl Iterator<Item = &Host> + Clone {
        self.hosts.iter().filter(move |host| host.roles.contains(&role))
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name.as_str() == name)
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its node name: a DNS-1123 subdomain, and the name of its folder.
    pub name: DnsName,
    /// Its addresses; the first is the one that others call. Never empty.
    pub addresses: Vec<IpAddr>,
    /// Further DNS names by which it is reached.
    pub names: Vec<DnsName>,
    /// What runs there. Never empty, no duplicates, sorted.
    pub roles: Vec<Role>,
}

impl Host {
    /// Whether the host holds `role`.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The address that other hosts call.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }
}

choices! {
    /// What a host runs.
    pub enum Role {
        /// API server, controller-manager and scheduler.
        ControlPlane = "control-plane",
        /// An etcd member. Where no host has this role, every control-plane host gets it.
        Etcd = "etcd",
        /// Kubelet and kube-proxy.
        Worker = "worker",
    }
}

/// A lower-case DNS name (RFC 1123 subdomain, at most 253 octets).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// Takes `name` if it is an RFC 1123 subdomain: labels of `[a-z0-9-]`, 1 to 63 octets, not starting or ending
    /// with `-`, 253 octets in all. Upper case is refused, as Kubernetes refuses it in node names.
    pub fn new(name: &str) -> Result<Self, InvalidDnsName> {
        let label_is_valid = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= 253 && name.split('.').all(label_is_valid) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidDnsName)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a lower-case RFC 1123 subdomain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a lower-case DNS name (letters, digits, '-' and '.', each label 1 to 63 long)")]
pub struct InvalidDnsName;

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name or an address in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostOrIp {
    /// A DNS name. In `extraSANs` its first label may be `*`.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl HostOrIp {
    /// The HTTPS URL at `port`, an IPv6 address in brackets (RFC 3986 section 3.2.2).
    #[must_use]
    pub fn url(&self, port: u16) -> String {
        match self {
            Self::Ip(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
            other => format!("https://{other}:{port}"),
        }
    }
}

impl fmt::Display for HostOrIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The control-plane endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host part of the URL.
    pub host: HostOrIp,
    /// The port.
    pub port: u16,
}

choices! {
    /// A file tree.
    pub enum Layout {
        /// `kubernetes`, `etcd` and `kubelet` folders, a component's files together.
        Document = "document",
        /// `/etc/kubernetes` of a kubeadm host.
        Kubeadm = "kubeadm",
    }
}

/// The authorities of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// One CA each, or one for everything (S11).
    pub mode: AuthorityMode,
    /// CAs that the user brings instead of having them made. The keys fit the mode: `Single` alone under
    /// [`AuthorityMode::Single`], never under [`AuthorityMode::Separate`].
    pub brought: BTreeMap<Authority, BroughtCa>,
}

choices! {
    /// How many CAs there are.
    pub enum AuthorityMode {
        /// Three CAs: etcd, kubernetes and front-proxy.
        Separate = "separate",
        /// One CA signs everything.
        Single = "single",
    }
}

choices! {
    /// A certificate authority of the cluster's own (kubelet CAs, one a host, are credentials under the cluster CA).
    pub enum Authority {
        /// Signs what etcd's traffic needs.
        Etcd = "etcd",
        /// Signs the API server's serving certificate and every client of it.
        Kubernetes = "kubernetes",
        /// Signs the aggregator's client certificate.
        FrontProxy = "frontProxy",
        /// Signs everything, in mode `single`.
        Single = "single",
    }
}

/// Where a brought CA lies. Relative paths are relative to the spec's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtCa {
    /// The CA certificate, first in its PEM file.
    pub certificate: PathBuf,
    /// Its key; without it, the CA is kept offline and certificates are requested by CSR.
    pub key: Option<PathBuf>,
    /// The certificates above an intermediate, up to its root.
    pub chain: Option<PathBuf>,
}

choices! {
    /// Which CA keys control-plane hosts receive.
    pub enum CaKeyPlacement {
        /// All of them, as with kubeadm.
        All = "all",
        /// Only the one with which the controller-manager signs certificate requests.
        Signing = "signing",
        /// They stay in `authority/`.
        None = "none",
    }
}

/// What kubelets receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kubelets {
    /// Who signs their serving certificates.
    pub serving: KubeletServing,
    /// How they come by their client certificate.
    pub client: KubeletClient,
}

choices! {
    /// Who signs a kubelet's serving certificate.
    pub enum KubeletServing {
        /// Nobody: the kubelet makes its own, or requests one.
        None = "none",
        /// The cluster CA.
        ClusterCa = "cluster-ca",
        /// A second-level CA of that host, under the cluster CA. Its key stays in `authority/`.
        KubeletCa = "kubelet-ca",
    }
}

choices! {
    /// How a kubelet comes by its client certificate.
    pub enum KubeletClient {
        /// The kubelet requests it, with a bootstrap kubeconfig.
        Bootstrap = "bootstrap",
        /// Issued here, with a `kubelet.conf`.
        Issued = "issued",
    }
}

/// Whether kubeconfigs name files or embed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kubeconfigs {
    /// The components' kubeconfigs.
    pub components: Credentials,
    /// The admins' kubeconfigs: `Embedded` by default, since they travel.
    pub admin: Credentials,
}

choices! {
    /// Where a kubeconfig keeps its credentials. Files reload, embedded data never does.
    pub enum Credentials {
        /// Files for everything for which the layout has one, the rest embedded.
        Layout = "layout",
        /// Files for everything, beside the kubeconfig's CA, even where the layout knows none.
        Files = "files",
        /// Everything embedded.
        Embedded = "embedded",
    }
}

choices! {
    /// A key algorithm.
    pub enum KeyAlgorithm {
        /// ECDSA over P-256.
        EcdsaP256 = "ecdsa-p256",
        /// ECDSA over P-384.
        EcdsaP384 = "ecdsa-p384",
        /// RSA, 2048 bits.
        Rsa2048 = "rsa-2048",
        /// RSA, 3072 bits.
        Rsa3072 = "rsa-3072",
        /// RSA, 4096 bits.
        Rsa4096 = "rsa-4096",
        /// Ed25519. Service-account tokens can't be signed with it, so their key is P-256 instead.
        Ed25519 = "ed25519",
    }
}

/// Lifetimes, each positive. A leaf's never exceeds its CA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The CAs.
    pub ca: SignedDuration,
    /// The kubelet CAs (S7). At most `ca` where there are any.
    pub kubelet_ca: SignedDuration,
    /// Certificates with the server usage, etcd's peers included.
    pub server: SignedDuration,
    /// Certificates with the client usage alone.
    pub client: SignedDuration,
    /// Bootstrap tokens.
    pub bootstrap_token: SignedDuration,
}

/// Subject attributes besides CN and O.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectExtras {
    /// C: two letters (ISO 3166).
    pub country: Option<String>,
    /// ST.
    pub state: Option<String>,
    /// L.
    pub locality: Option<String>,
    /// OU.
    pub organizational_unit: Option<String>,
}

/// Where the files lie on the hosts. Absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallPaths {
    /// What `hosts/HOST/kubernetes` becomes.
    pub kubernetes: PathBuf,
    /// What `hosts/HOST/etcd` becomes (document layout only).
    pub etcd: PathBuf,
    /// What `hosts/HOST/kubelet` becomes.
    pub kubelet: PathBuf,
    /// etcd's `--data-dir`.
    pub etcd_data: PathBuf,
}

impl InstallPaths {
    /// Where a file of a host's folder lies on the host.
    #[must_use]
    pub fn of(&self, file: &Path) -> PathBuf {
        let (root, rest) = [
            ("etcd", &self.etcd),
            ("kubelet", &self.kubelet),
            ("kubernetes", &self.kubernetes),
        ]
        .into_iter()
        .find_map(|(folder, root)| Some((root, file.strip_prefix(folder).ok()?)))
        .unwrap_or((&self.kubernetes, file));
        root.join(rest)
    }
}
