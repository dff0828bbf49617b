//! A checked tree as a [`Cluster`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::diagnostic::{Fault, Position, Problem};
use super::model::{
    Authorities, Authority, BroughtCa, Cluster, Endpoint, Host, HostOrIp, InstallPaths, Kubeconfigs, Kubelets, Role,
    SubjectExtras, Validity,
};
use super::table::{Absence, Kind, ROOT};
use super::text::{Attribute, ClusterName, Country, HostName, InstallPath, Lifetime, LocalPath, Port, Text, UpToADay};
use super::yaml::{self, Data, Entry, Node};

/// Completes `root` with the defaults and reads it. [`check`](super::check) has found no fault in it.
pub(super) fn build(root: &mut Node) -> Result<Cluster, Fault> {
    complete(root, &ROOT)?;
    let root = &*root;

    let networking = root.field("networking");
    let authorities = root.field("authorities");
    let kubelets = root.field("kubelets");
    let kubeconfigs = root.field("kubeconfigs");
    let validity = root.field("validity");
    let subject = root.field("subject");
    let paths = root.field("paths");
    let hosts = hosts(root.field("hosts"))?;
    let api_server_port = root.field("apiServerPort").text::<Port>()?.0;

    Ok(Cluster {
        name: root.field("clusterName").text::<ClusterName>()?.0,
        dns_domain: networking.field("dnsDomain").text()?,
        service_subnets: networking.field("serviceSubnets").texts()?,
        endpoint: match root.field("controlPlaneEndpoint").optional()? {
            Some(endpoint) => endpoint,
            None => default_endpoint(&hosts, api_server_port),
        },
        api_server_port,
        extra_sans: root.field("extraSANs").texts()?,
        hosts,
        layout: root.field("layout").text()?,
        authorities: Authorities {
            mode: authorities.field("mode").text()?,
            brought: brought(authorities.field("bring"))?,
        },
        ca_keys: root.field("caKeys").text()?,
        kubelets: Kubelets {
            serving: kubelets.field("serving").text()?,
            client: kubelets.field("client").text()?,
        },
        kubeconfigs: Kubeconfigs {
            components: kubeconfigs.field("components").text()?,
            admin: kubeconfigs.field("admin").text()?,
        },
        key_algorithm: root.field("keyAlgorithm").text()?,
        validity: Validity {
            ca: validity.field("ca").text::<Lifetime>()?.0,
            kubelet_ca: validity.field("kubeletCA").text::<Lifetime>()?.0,
            server: validity.field("server").text::<Lifetime>()?.0,
            client: validity.field("client").text::<Lifetime>()?.0,
            bootstrap_token: validity.field("bootstrapToken").text::<Lifetime>()?.0,
        },
        renew_before: root
            .field("renewBefore")
            .optional::<Lifetime>()?
            .map(|lifetime| lifetime.0),
        backdate: root.field("backdate").text::<UpToADay>()?.0,
        subject: SubjectExtras {
            country: subject.field("country").optional::<Country>()?.map(|country| country.0),
            state: subject
                .field("state")
                .optional::<Attribute>()?
                .map(|attribute| attribute.0),
            locality: subject
                .field("locality")
                .optional::<Attribute>()?
                .map(|attribute| attribute.0),
            organizational_unit: subject
                .field("organizationalUnit")
                .optional::<Attribute>()?
                .map(|unit| unit.0),
        },
        paths: InstallPaths {
            kubernetes: paths.field("kubernetes").text::<InstallPath>()?.0,
            etcd: paths.field("etcd").text::<InstallPath>()?.0,
            kubelet: paths.field("kubelet").text::<InstallPath>()?.0,
            etcd_data: paths.field("etcdData").text::<InstallPath>()?.0,
        },
    })
}

fn hosts(node: &Node) -> Result<Vec<Host>, Fault> {
    let host = |node: &Node| {
        let mut roles: Vec<Role> = node.field("roles").texts()?;
        roles.sort_unstable();
        Ok(Host {
            name: node.field("name").text::<HostName>()?.0,
            addresses: node.field("addresses").texts()?,
            names: node.field("names").texts()?,
            roles,
        })
    };
    let mut hosts = node.items().iter().map(host).collect::<Result<Vec<_>, _>>()?;

    // Without hosts for etcd, it runs stacked: a member on every control-plane host.
    if !hosts.iter().any(|host| host.is(Role::Etcd)) {
        for host in hosts.iter_mut().filter(|host| host.is(Role::ControlPlane)) {
            host.roles.push(Role::Etcd);
            host.roles.sort_unstable();
        }
    }
    Ok(hosts)
}

fn default_endpoint(hosts: &[Host], port: u16) -> Endpoint {
    let first = hosts.iter().find(|host| host.is(Role::ControlPlane));
    // A cluster without a control-plane host is refused later, whatever its endpoint.
    let address = first.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Host::address);
    Endpoint {
        host: HostOrIp::Ip(address),
        port,
    }
}

fn brought(node: &Node) -> Result<BTreeMap<Authority, BroughtCa>, Fault> {
    let present = |authority: &Authority| Some((*authority, node.get(authority.as_str())?));
    let read = |(authority, node): (Authority, &Node)| {
        let path = |name| {
            node.field(name)
                .optional::<LocalPath>()
                .map(|path| path.map(|path| path.0))
        };
        let certificate = node.field("certificate").text::<LocalPath>()?.0;
        Ok((
            authority,
            BroughtCa {
                certificate,
                key: path("key")?,
                chain: path("chain")?,
            },
        ))
    };
    Authority::ALL.iter().filter_map(present).map(read).collect()
}

/// Writes the defaults into the tree, so that null fields are gone and absent ones have no value by design. A
/// default stands where the mapping stands that lacks it.
fn complete(node: &mut Node, kind: &Kind) -> Result<(), Fault> {
    match kind {
        Kind::Object(fields) => {
            let mut entries = match std::mem::replace(&mut node.data, Data::Null) {
                Data::Mapping(entries) => entries,
                _ => Vec::new(),
            };
            entries.retain(|entry| !entry.value.is_null());
            for field in *fields {
                let position = entries.iter().position(|entry| entry.name == field.name);
                let entry = match (position, field.absence) {
                    (Some(i), _) => &mut entries[i],
                    (None, Absence::Default(yaml)) => {
                        let mut value = yaml::read(yaml)?;
                        value.move_to(node.at);
                        entries.push_mut(Entry {
                            at: node.at,
                            name: Cow::Borrowed(field.name),
                            value,
                        })
                    }
                    (None, Absence::Required | Absence::Means(_)) => continue,
                };
                complete(&mut entry.value, &field.kind)?;
            }
            node.data = Data::Mapping(entries);
        }
        Kind::List { item, .. } => {
            if let Data::List(items) = &mut node.data {
                for node in items {
                    complete(node, item)?;
                }
            }
        }
        Kind::Text(_) => {}
    }
    Ok(())
}

/// What [`Node::field`] gives for an absent field.
static NULL: Node = Node {
    at: Position::START,
    data: Data::Null,
};

impl<'t> Node<'t> {
    /// The value of the mapping's field `name`, or else a null node.
    fn field(&self, name: &str) -> &Node<'t> {
        self.get(name).unwrap_or(&NULL)
    }

    fn text<T: Text>(&self) -> Result<T, Fault> {
        match &self.data {
            Data::Text(text) => T::parse(text),
            _ => Err(Problem::new(format!("expected {}, found {}", T::WHAT, self.what()))),
        }
        .map_err(|problem| Fault {
            at: self.at,
            field: String::new(),
            problem,
        })
    }

    fn optional<T: Text>(&self) -> Result<Option<T>, Fault> {
        if self.is_null() {
            Ok(None)
        } else {
            self.text().map(Some)
        }
    }

    fn texts<T: Text>(&self) -> Result<Vec<T>, Fault> {
        self.items().iter().map(Node::text).collect()
    }
}
