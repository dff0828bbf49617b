//! Fields held against each other. Each value is valid by itself.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::SignedDuration;

use super::diagnostic::{Fault, Problem};
use super::model::{Authority, AuthorityMode, Cluster, HostOrIp, KeyAlgorithm, KubeletServing, Layout, Role};
use super::yaml::Node;

/// What a cluster has against it.
pub(super) struct Findings {
    pub(super) errors: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

/// Checks `cluster`, which was read from `tree`.
pub(super) fn check(cluster: &Cluster, tree: &Node) -> Findings {
    let mut checks = Checks {
        cluster,
        tree,
        findings: Findings {
            errors: Vec::new(),
            warnings: Vec::new(),
        },
    };
    checks.names();
    checks.addresses();
    checks.service_subnets();
    checks.authorities();
    checks.lifetimes();
    checks.control_plane();
    checks.etcd();
    checks.endpoint();
    checks.loopback();
    checks.reserved_names();
    checks.kubeadm_keys();
    checks.findings
}

/// What needs to live shorter than what: each a path and a lifetime.
type Named = (&'static str, SignedDuration);

struct Checks<'a> {
    cluster: &'a Cluster,
    tree: &'a Node<'a>,
    findings: Findings,
}

impl Checks<'_> {
    /// No name leads to two hosts.
    fn names(&mut self) {
        let mut owners = HashMap::new();
        for (h, host) in self.cluster.hosts.iter().enumerate() {
            let further = host
                .names
                .iter()
                .enumerate()
                .map(|(n, name)| (name, format!("hosts[{h}].names[{n}]")));
            for (name, path) in std::iter::once((&host.name, format!("hosts[{h}].name"))).chain(further) {
                let (owner, first) = owners.entry(name).or_insert_with(|| (h, path.clone()));
                if *owner != h {
                    let problem = Problem::new(format!("`{name}` is already {}", self.place(first)));
                    self.error(&path, problem.hint("give every host names of its own"));
                }
            }
        }
    }

    /// No address leads to two hosts, or twice to one.
    fn addresses(&mut self) {
        let mut owners: HashMap<IpAddr, String> = HashMap::new();
        for (address, path) in host_addresses(self.cluster) {
            match owners.get(&address) {
                Some(first) => {
                    let problem = Problem::new(format!("`{address}` is already {}", self.place(first)));
                    self.error(&path, problem.hint("give every host addresses of its own, each once"));
                }
                None => {
                    owners.insert(address, path);
                }
            }
        }
    }

    /// Services have a network a family, to themselves.
    fn service_subnets(&mut self) {
        if let [IpNet::V4(_), IpNet::V4(_)] | [IpNet::V6(_), IpNet::V6(_)] = self.cluster.service_subnets[..] {
            let problem = Problem::new("both networks are of one family");
            self.error(
                "networking.serviceSubnets[1]",
                problem.hint("give one network, or an IPv4 and an IPv6 one"),
            );
        }
        let endpoint = match self.cluster.endpoint.host {
            HostOrIp::Ip(address) => Some((address, "controlPlaneEndpoint".to_owned())),
            HostOrIp::Name(_) => None,
        };
        for (s, subnet) in self.cluster.service_subnets.iter().enumerate() {
            // One line for a network that swallows every host.
            let mut inside = host_addresses(self.cluster)
                .chain(endpoint.clone())
                .filter(|(address, _)| subnet.contains(address));
            if let Some((address, path)) = inside.next() {
                let message = format!("`{subnet}` holds `{address}`, which is {}", self.place(&path));
                let problem = Problem::new(message).hint("choose a network that only services use");
                self.error(&format!("networking.serviceSubnets[{s}]"), problem);
            }
        }
    }

    /// The CAs that the user brings exist in the mode.
    fn authorities(&mut self) {
        let mode = self.cluster.authorities.mode;
        for authority in self.cluster.authorities.brought.keys() {
            let hint = match (mode, authority) {
                (AuthorityMode::Separate, Authority::Single) => "bring etcd, kubernetes or frontProxy",
                (AuthorityMode::Single, Authority::Etcd | Authority::Kubernetes | Authority::FrontProxy) => {
                    "bring single"
                }
                _ => continue,
            };
            let problem = Problem::new(format!("mode `{mode}` has no CA `{authority}`"));
            self.error(
                &format!("authorities.bring.{authority}"),
                problem.hint(format!("{hint}, or change the mode")),
            );
        }
    }

    /// Nothing outlives its CA, and a renewal has a time before it.
    fn lifetimes(&mut self) {
        let validity = &self.cluster.validity;
        let ca = ("validity.ca", validity.ca);
        let server = ("validity.server", validity.server);
        let client = ("validity.client", validity.client);
        let mut all = vec![ca, server, client];

        // Whoever signs for kubelets, other server certificates are a CA's directly.
        self.within(server, ca);
        self.within(client, ca);
        if self.cluster.kubelets.serving == KubeletServing::KubeletCa {
            let kubelet_ca = ("validity.kubeletCA", validity.kubelet_ca);
            all.push(kubelet_ca);
            self.within(kubelet_ca, ca);
            self.within(server, kubelet_ca);
        }

        let shortest = all.into_iter().min_by_key(|(_, lifetime)| *lifetime);
        if let Some(renew_before) = self.cluster.renew_before
            && let Some((path, lifetime)) = shortest
            && renew_before >= lifetime
        {
            let message = format!("{renew_before:#} is not shorter than {path} ({lifetime:#})");
            self.error(
                "renewBefore",
                Problem::new(message).hint("else a certificate is due as soon as it is issued"),
            );
        }
    }

    fn within(&mut self, (path, lifetime): Named, (ca_path, ca_lifetime): Named) {
        if lifetime > ca_lifetime {
            let message = format!("{lifetime:#} is longer than {ca_path} ({ca_lifetime:#}), which signs it");
            self.error(
                path,
                Problem::new(message).hint(format!("shorten it, or lengthen {ca_path}")),
            );
        }
    }

    fn control_plane(&mut self) {
        if self.cluster.hosts_with(Role::ControlPlane).next().is_none() {
            let problem = Problem::new("no host has the role `control-plane`");
            self.error("hosts", problem.hint("give it to at least one"));
        }
    }

    fn etcd(&mut self) {
        let members = self.cluster.hosts_with(Role::Etcd).count();
        if members > 7 {
            let problem = Problem::new(format!(
                "{members} etcd members: each write waits for {}",
                members / 2 + 1
            ));
            self.warn(
                "hosts",
                problem.hint("more than 7 slow etcd down, 5 survive two failures"),
            );
        }
        if members > 0 && members.is_multiple_of(2) {
            let message = format!(
                "{members} etcd members survive no more failures than {}, and there is one more that can fail",
                members - 1
            );
            self.warn("hosts", Problem::new(message).hint("choose an odd number"));
        }
    }

    /// Several API servers are worth little behind the address of one.
    fn endpoint(&mut self) {
        let servers = self.cluster.hosts_with(Role::ControlPlane).count();
        let one = self
            .cluster
            .hosts
            .iter()
            .find(|host| match &self.cluster.endpoint.host {
                HostOrIp::Ip(address) => host.addresses.contains(address),
                HostOrIp::Name(name) => std::iter::once(&host.name)
                    .chain(&host.names)
                    .any(|own| own.as_str() == name),
            });
        if let Some(host) = one
            && servers > 1
        {
            let message = format!(
                "leads to host `{}` alone, though {servers} hosts run an API server",
                host.name
            );
            let hint = "when it fails, clients lose the API server; name a load balancer or a virtual address";
            self.warn("controlPlaneEndpoint", Problem::new(message).hint(hint));
        }
    }

    /// A loopback address leads every host to itself. Only a cluster on one machine has nothing else.
    fn loopback(&mut self) {
        if host_addresses(self.cluster).all(|(address, _)| address.is_loopback()) {
            return;
        }
        let cluster = self.cluster;
        if cluster.hosts.len() > 1 {
            for (address, path) in host_addresses(cluster).filter(|(address, _)| address.is_loopback()) {
                let problem = Problem::new(format!(
                    "`{address}` is a loopback address, which other hosts can't reach"
                ));
                self.warn(&path, problem.hint("give an address that they can"));
            }
        }
    }

    /// Under `single`, names below this one open etcd: no host and no API server may have one.
    fn reserved_names(&mut self) {
        let cluster = self.cluster;
        let domain = format!("etcd.{}.internal", cluster.name);
        let extra = cluster.extra_sans.iter().enumerate();
        let extra = extra.map(|(s, name)| (name.to_string(), format!("extraSANs[{s}]")));
        let names = cluster.hosts.iter().enumerate().flat_map(|(h, host)| {
            let further = host.names.iter().enumerate();
            let further = further.map(move |(n, name)| (name.to_string(), format!("hosts[{h}].names[{n}]")));
            std::iter::once((host.name.to_string(), format!("hosts[{h}].name"))).chain(further)
        });
        for (name, path) in extra.chain(names) {
            let below = name
                .strip_suffix(&domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if cluster.authorities.mode == AuthorityMode::Single && below {
                let message = format!("`{name}` is one of the names by which etcd knows its clients and peers");
                self.error(
                    &path,
                    Problem::new(message).hint("choose a name outside `{domain}`".replace("{domain}", &domain)),
                );
            }
        }
    }

    /// kubeadm's own verbs read RSA and ECDSA keys alone (`pkiutil.TryLoadKeyFromDisk`); the components take Ed25519.
    fn kubeadm_keys(&mut self) {
        if self.cluster.layout == Layout::Kubeadm && self.cluster.key_algorithm == KeyAlgorithm::Ed25519 {
            let problem = Problem::new("the components take Ed25519 keys, but `kubeadm certs` can't read them");
            self.warn(
                "keyAlgorithm",
                problem.hint("choose an ecdsa or rsa algorithm if kubeadm is to renew these certificates"),
            );
        }
    }

    /// Where `path` stands, for messages.
    fn place(&self, path: &str) -> String {
        format!("{path} (line {})", self.tree.locate(path).line)
    }

    fn error(&mut self, path: &str, problem: Problem) {
        let fault = self.fault(path, problem);
        self.findings.errors.push(fault);
    }

    fn warn(&mut self, path: &str, problem: Problem) {
        let fault = self.fault(path, problem);
        self.findings.warnings.push(fault);
    }

    fn fault(&self, path: &str, problem: Problem) -> Fault {
        Fault {
            at: self.tree.locate(path),
            field: path.to_owned(),
            problem,
        }
    }
}

/// Every host's every address, and its path.
fn host_addresses(cluster: &Cluster) -> impl Iterator<Item = (IpAddr, String)> {
    cluster.hosts.iter().enumerate().flat_map(|(h, host)| {
        host.addresses
            .iter()
            .enumerate()
            .map(move |(a, address)| (*address, format!("hosts[{h}].addresses[{a}]")))
    })
}
