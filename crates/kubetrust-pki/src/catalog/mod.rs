//! The catalog: every credential of a cluster (S1–S16, and kubeadm v1.36's), as one ordered table.
//!
//! Issuing, checking, renewing, bundling, the components' flags and the listing all read [`ROWS`]; nothing else
//! knows a file name. The rest of this module answers what the table means for one cluster and one host.

mod table;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::profile::{Kind, Profile, Subject, Usages};
use crate::spec::{
    Authority, AuthorityMode, CaKeyPlacement, Cluster, Credentials, Host, HostOrIp, KubeletClient, KubeletServing,
    Layout, Role,
};
use crate::write::{Mode, RelPath};

pub use table::ROWS;

/// CN of the front proxy's client certificate, and the one name that `--requestheader-allowed-names` takes (S9).
pub const FRONT_PROXY_NAME: &str = "front-proxy-client";
/// User of the bootstrap token (S3).
pub const BOOTSTRAP_USER: &str = "system:bootstrapper";
/// Group of bootstrap tokens.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers";

/// One credential.
#[derive(Debug)]
pub struct Row {
    /// Its name, as kubeadm names it where it has one.
    pub name: &'static str,
    /// What it is.
    pub what: What,
    /// The files that carry it.
    pub files: PerLayout<&'static [File]>,
}

/// What a credential is.
#[derive(Debug)]
pub enum What {
    /// A CA. Under `single` the rows of all authorities carry the one CA (S11).
    Authority {
        /// Which.
        authority: Authority,
        /// Its CN when it is made here.
        common_name: &'static str,
    },
    /// The kubelets' CAs (S7), one a host.
    KubeletAuthority,
    /// A certificate that is no CA.
    Leaf {
        /// Who signs it.
        signer: Signer,
        /// CN.
        common_name: PerLayout<CommonName>,
        /// O.
        organization: PerLayout<Option<&'static str>>,
        /// Where its names come from.
        sans: &'static [SanSource],
        /// Extended key usages.
        usages: PerLayout<Usages>,
    },
    /// The service accounts' key pair, signed by no CA (S10).
    ServiceAccountKey,
    /// The token with which new kubelets begin (S3, S12).
    BootstrapToken,
}

/// One value a layout.
#[derive(Debug, Clone, Copy)]
pub struct PerLayout<T> {
    /// In the document's tree.
    pub document: T,
    /// In kubeadm's.
    pub kubeadm: T,
}

impl<T: Copy> PerLayout<T> {
    /// The value in `layout`.
    pub const fn of(&self, layout: Layout) -> T {
        match layout {
            Layout::Document => self.document,
            Layout::Kubeadm => self.kubeadm,
        }
    }
}

/// Who signs a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// A CA of the cluster.
    Authority(Authority),
    /// Whoever signs kubelets' serving certificates in this cluster: the cluster CA, or the host's kubelet CA.
    Kubelet,
}

/// Where a CN comes from.
#[derive(Debug, Clone, Copy)]
pub enum CommonName {
    /// The same on every host.
    Fixed(&'static str),
    /// The host's name.
    HostName,
    /// `system:node:` and the host's name.
    Node,
}

/// Where subject alternative names come from.
#[derive(Debug, Clone, Copy)]
pub enum SanSource {
    /// The host's name and its further DNS names.
    HostNames,
    /// The host's addresses.
    HostAddresses,
    /// `localhost`, `127.0.0.1`, `::1`.
    Loopback,
    /// `kubernetes`, `kubernetes.default`, `kubernetes.default.svc` and that in the cluster's domain.
    KubernetesService,
    /// The first address of the first service subnet: the `kubernetes` service has one address, also in a cluster of
    /// two families.
    FirstServiceAddress,
    /// The control-plane endpoint.
    Endpoint,
    /// The spec's `extraSANs`.
    Extra,
    /// Only under `single`: a name that etcd's allowed-hostname flags ask for, so that no other certificate of the
    /// one CA opens etcd.
    Confined(&'static str),
}

/// One file of a credential.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path in the host's folder.
    pub path: &'static str,
    /// What it holds.
    pub part: Part,
    /// Which hosts hold it.
    pub holder: Holder,
    /// Who reads it by which flag.
    pub readers: &'static [Reader],
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate, with the chain above it where a client may not have it.
    Certificate,
    /// The private key, PKCS#8.
    Key,
    /// The last serial number, for `openssl x509 -CAserial`.
    Serial,
    /// Every key that verifies tokens, current one first.
    PublicKeys,
    /// A kubeconfig for the row's certificate.
    Kubeconfig(KubeconfigUser),
    /// A kubeconfig for the row's token.
    TokenKubeconfig(KubeconfigUser),
    /// `token.csv` (S12).
    StaticTokens,
}

impl Part {
    /// Whether it must be readable by its owner alone.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Certificate | Self::PublicKeys | Self::Serial => Mode::Public,
            Self::Key | Self::Kubeconfig(_) | Self::TokenKubeconfig(_) | Self::StaticTokens => Mode::Private,
        }
    }
}

/// The user of a kubeconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KubeconfigUser {
    /// Its name in the file.
    pub name: &'static str,
    /// Which API server it calls.
    pub server: Server,
    /// It is carried elsewhere (an admin's), so it embeds by default.
    pub travels: bool,
}

/// Which API server a kubeconfig names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The control-plane endpoint.
    Endpoint,
    /// The one on the same host, as kubeadm has it: its controller-manager and scheduler never meet an API server of
    /// another version.
    Local,
}

/// Which hosts hold a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// etcd members.
    Etcd,
    /// Control-plane hosts.
    ControlPlane,
    /// The first control-plane host.
    FirstControlPlane,
    /// Either of them.
    EtcdOrControlPlane,
    /// Control-plane hosts and workers.
    Kubernetes,
    /// Workers.
    Worker,
    /// Control-plane hosts that may hold this CA's key.
    CaKey(Authority),
    /// Kubelets that begin with the bootstrap token.
    KubeletWithBootstrap,
    /// Kubelets whose client certificate is issued here.
    KubeletWithClient,
    /// Kubelets whose serving certificate is issued here.
    KubeletWithServing,
}

impl Holder {
    /// Whether `host` is one.
    #[must_use]
    pub fn includes(self, cluster: &Cluster, host: &Host) -> bool {
        let control_plane = host.is(Role::ControlPlane);
        // kubeadm's control-plane hosts are nodes, and `kubeadm init` gives them their kubelet.conf.
        let kubeadm_node = control_plane && cluster.layout == Layout::Kubeadm;
        let kubelet = host.is(Role::Worker) || kubeadm_node;
        let issued = kubelet && (cluster.kubelets.client == KubeletClient::Issued || kubeadm_node);
        match self {
            Self::Etcd => host.is(Role::Etcd),
            Self::ControlPlane => control_plane,
            Self::FirstControlPlane => cluster
                .hosts_with(Role::ControlPlane)
                .next()
                .is_some_and(|first| first.name == host.name),
            Self::EtcdOrControlPlane => control_plane || host.is(Role::Etcd),
            Self::Kubernetes => control_plane || host.is(Role::Worker),
            Self::Worker => host.is(Role::Worker),
            Self::CaKey(authority) => {
                control_plane
                    && match cluster.ca_keys {
                        CaKeyPlacement::All => true,
                        // Under `single` the signing key is everything's key, wherever it lies.
                        CaKeyPlacement::Signing => authority == Authority::Kubernetes,
                        CaKeyPlacement::None => false,
                    }
            }
            Self::KubeletWithBootstrap => kubelet && !issued,
            Self::KubeletWithClient => issued,
            Self::KubeletWithServing => kubelet && cluster.kubelets.serving != KubeletServing::None,
        }
    }
}

/// A component's flag that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The component.
    pub component: Component,
    /// The flag, without its dashes.
    pub flag: &'static str,
}

/// A component of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
}

impl Component {
    /// All of them, in the order in which a cluster starts.
    pub const ALL: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::KubeProxy,
    ];

    /// The name of its binary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// Whether it runs on `host`.
    #[must_use]
    pub fn runs_on(self, cluster: &Cluster, host: &Host) -> bool {
        match self {
            Self::Etcd => Holder::Etcd,
            Self::ApiServer | Self::ControllerManager | Self::Scheduler => Holder::ControlPlane,
            Self::Kubelet => {
                return Holder::KubeletWithBootstrap.includes(cluster, host)
                    || Holder::KubeletWithClient.includes(cluster, host);
            }
            Self::KubeProxy => Holder::Worker,
        }
        .includes(cluster, host)
    }
}

/// A file that a host must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its row.
    pub row: &'static str,
    /// Its path in the host's folder.
    pub path: RelPath,
    /// What it holds.
    pub part: Part,
}

/// The authority that signs in the place of `authority` in this cluster.
#[must_use]
pub const fn acting(cluster: &Cluster, authority: Authority) -> Authority {
    match cluster.authorities.mode {
        AuthorityMode::Separate => authority,
        AuthorityMode::Single => Authority::Single,
    }
}

/// The authorities of this cluster, in order.
#[must_use]
pub const fn authorities(mode: AuthorityMode) -> &'static [Authority] {
    match mode {
        AuthorityMode::Separate => &[Authority::Etcd, Authority::Kubernetes, Authority::FrontProxy],
        AuthorityMode::Single => &[Authority::Single],
    }
}

/// The cluster's CA that signs a row's leaf; `None` where a kubelet CA does, and for rows that are no leaf.
#[must_use]
pub fn signing_authority(cluster: &Cluster, name: &str) -> Option<Authority> {
    let What::Leaf { signer, .. } = row(name)?.what else {
        return None;
    };
    match signer {
        Signer::Authority(authority) => Some(acting(cluster, authority)),
        Signer::Kubelet if cluster.kubelets.serving == KubeletServing::KubeletCa => None,
        Signer::Kubelet => Some(acting(cluster, Authority::Kubernetes)),
    }
}

/// The row of that name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// The file that `host` must hold, in the table's order.
#[must_use]
pub fn host_files(cluster: &Cluster, host: &Host) -> Vec<HostFile> {
    let mut files = Vec::new();
    for row in ROWS {
        let held = row
            .files
            .of(cluster.layout)
            .iter()
            .filter(|file| file.holder.includes(cluster, host));
        for file in held {
            let Ok(path) = RelPath::new(file.path) else { continue };
            if let Part::Kubeconfig(user) = file.part
                && let Some([certificate, key]) = named_pair(cluster, row, user)
            {
                files.push(HostFile {
                    row: row.name,
                    path: certificate,
                    part: Part::Certificate,
                });
                files.push(HostFile {
                    row: row.name,
                    path: key,
                    part: Part::Key,
                });
            }
            files.push(HostFile {
                row: row.name,
                path,
                part: file.part,
            });
        }
    }
    files
}

/// Every path that any cluster's catalog could place on a host, in either layout and any mode: what `apply` may
/// remove where a host no longer holds it. Files outside this list are the user's own.
#[must_use]
pub fn known_paths() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for row in ROWS {
        for file in row.files.document.iter().chain(row.files.kubeadm) {
            paths.insert(file.path.to_owned());
            if matches!(file.part, Part::Kubeconfig(_)) {
                paths.extend(named_paths(row));
            }
        }
    }
    paths
}

/// The pair that a kubeconfig names instead of embedding it, where the layout has no file of its own for it.
#[must_use]
pub fn named_pair(cluster: &Cluster, row: &Row, user: KubeconfigUser) -> Option<[RelPath; 2]> {
    let wanted = credentials(cluster, user) == Credentials::Files && !has_own_pair(row, cluster.layout);
    let [certificate, key] = named_paths(row);
    match (RelPath::new(certificate), RelPath::new(key)) {
        (Ok(certificate), Ok(key)) if wanted => Some([certificate, key]),
        _ => None,
    }
}

fn named_paths(row: &Row) -> [String; 2] {
    ["crt", "key"].map(|extension| format!("kubernetes/pki/{}.{extension}", row.name))
}

/// Whether the layout has files of its own for the row's certificate and key.
fn has_own_pair(row: &Row, layout: Layout) -> bool {
    row.files.of(layout).iter().any(|file| file.part == Part::Certificate)
}

/// What the spec says of this kubeconfig.
#[must_use]
pub const fn credentials(cluster: &Cluster, user: KubeconfigUser) -> Credentials {
    if user.travels {
        cluster.kubeconfigs.admin
    } else {
        cluster.kubeconfigs.components
    }
}

/// What a leaf must say on `host`. `None` for rows that are no leaf.
#[must_use]
pub fn leaf_profile(cluster: &Cluster, host: &Host, row: &Row) -> Option<Profile> {
    let What::Leaf {
        common_name,
        organization,
        sans,
        usages,
        ..
    } = &row.what
    else {
        return None;
    };
    let usages = usages.of(cluster.layout);
    Some(Profile {
        subject: Subject {
            common_name: match common_name.of(cluster.layout) {
                CommonName::Fixed(name) => name.to_owned(),
                CommonName::HostName => host.name.to_string(),
                CommonName::Node => node_user(host),
            },
            organizations: organization.of(cluster.layout).map(str::to_owned).into_iter().collect(),
            extras: cluster.subject.clone(),
        },
        sans: sans.iter().flat_map(|source| resolve(*source, cluster, host)).collect(),
        kind: Kind::Leaf(usages),
        lifetime: if usages.server() {
            cluster.validity.server
        } else {
            cluster.validity.client
        },
    })
}

/// What an authority that is made here says.
#[must_use]
pub fn authority_profile(cluster: &Cluster, authority: Authority) -> Profile {
    let common_name = match authority {
        Authority::Single => "kubernetes",
        _ => ROWS
            .iter()
            .find_map(|row| match row.what {
                What::Authority {
                    authority: of,
                    common_name,
                } if of == authority => Some(common_name),
                _ => None,
            })
            .unwrap_or("kubernetes"),
    };
    let signs_kubelet_cas = cluster.kubelets.serving == KubeletServing::KubeletCa
        && matches!(authority, Authority::Kubernetes | Authority::Single);
    Profile {
        subject: subject(cluster, common_name),
        // kubeadm's CAs carry their CN as a DNS name; nothing needs it, so the document's do not.
        sans: match cluster.layout {
            Layout::Kubeadm => BTreeSet::from([HostOrIp::Name(common_name.to_owned())]),
            Layout::Document => BTreeSet::new(),
        },
        kind: Kind::Authority {
            path_len: u8::from(signs_kubelet_cas),
            confined_to: None,
        },
        lifetime: cluster.validity.ca,
    }
}

/// What the kubelet CA of `host` says (S7): it can sign server certificates of that host's names and nothing else.
#[must_use]
pub fn kubelet_ca_profile(cluster: &Cluster, host: &Host) -> Profile {
    let names = [SanSource::HostNames, SanSource::HostAddresses];
    Profile {
        subject: subject(cluster, &format!("kubelet-ca:{}", host.name)),
        sans: BTreeSet::new(),
        kind: Kind::Authority {
            path_len: 0,
            confined_to: Some(
                names
                    .into_iter()
                    .flat_map(|source| resolve(source, cluster, host))
                    .collect(),
            ),
        },
        lifetime: cluster.validity.kubelet_ca,
    }
}

fn subject(cluster: &Cluster, common_name: &str) -> Subject {
    Subject {
        common_name: common_name.to_owned(),
        organizations: Vec::new(),
        extras: cluster.subject.clone(),
    }
}

/// The user name of a host's kubelet.
#[must_use]
pub fn node_user(host: &Host) -> String {
    format!("system:node:{}", host.name)
}

/// A name that etcd asks of its clients or peers under `single`.
#[must_use]
pub fn confined_name(cluster: &Cluster, role: &str) -> String {
    format!("{role}.{}.internal", cluster.name)
}

fn resolve(source: SanSource, cluster: &Cluster, host: &Host) -> Vec<HostOrIp> {
    let names = |names: &[&str]| names.iter().map(|name| HostOrIp::Name((*name).to_owned())).collect();
    match source {
        SanSource::HostNames => std::iter::once(&host.name)
            .chain(&host.names)
            .map(|name| HostOrIp::Name(name.to_string()))
            .collect(),
        SanSource::HostAddresses => host.addresses.iter().copied().map(HostOrIp::Ip).collect(),
        SanSource::Loopback => vec![
            HostOrIp::Name("localhost".to_owned()),
            HostOrIp::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            HostOrIp::Ip(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)),
        ],
        SanSource::KubernetesService => {
            let in_domain = format!("kubernetes.default.svc.{}", cluster.dns_domain);
            names(&["kubernetes", "kubernetes.default", "kubernetes.default.svc", &in_domain])
        }
        SanSource::FirstServiceAddress => {
            let address = cluster.service_subnets.first().copied().and_then(first_address);
            address.map(HostOrIp::Ip).into_iter().collect()
        }
        SanSource::Endpoint => vec![cluster.endpoint.host.clone()],
        SanSource::Extra => cluster.extra_sans.clone(),
        SanSource::Confined(role) => match cluster.authorities.mode {
            AuthorityMode::Single => vec![HostOrIp::Name(confined_name(cluster, role))],
            AuthorityMode::Separate => Vec::new(),
        },
    }
}

/// The first address after the network's own: the `kubernetes` service's.
fn first_address(subnet: ipnet::IpNet) -> Option<IpAddr> {
    match subnet.network() {
        IpAddr::V4(network) => u32::from(network).checked_add(1).map(|first| IpAddr::V4(first.into())),
        IpAddr::V6(network) => u128::from(network).checked_add(1).map(|first| IpAddr::V6(first.into())),
    }
}
