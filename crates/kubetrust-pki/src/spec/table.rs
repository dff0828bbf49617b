//! Every field of the spec, described once.

use std::net::IpAddr;

use ipnet::IpNet;

use super::choice::{Choice, choices};
use super::diagnostic::Problem;
use super::model::{
    AuthorityMode, CaKeyPlacement, Credentials, DnsName, Endpoint, HostOrIp, KeyAlgorithm, KubeletClient,
    KubeletServing, Layout, Role,
};
use super::text::{Attribute, ClusterName, Country, HostName, InstallPath, Lifetime, LocalPath, Port, Text, UpToADay};

/// The port of a control-plane endpoint that names none.
pub(super) const DEFAULT_PORT: u16 = 6443;

/// No limit to a list.
const MANY: usize = usize::MAX;

/// The spec itself.
pub(super) static ROOT: Kind = Kind::Object(&[
    field("apiVersion", text::<ApiVersion>())
        .doc("The version of this format.")
        .default("kubetrust.dev/v1alpha1")
        .example("kubetrust.dev/v1alpha1"),
    field("kind", text::<SpecKind>())
        .doc("What the file describes.")
        .default("Cluster")
        .example("Cluster"),
    field("clusterName", text::<ClusterName>())
        .doc("The cluster's name in kubeconfigs and in etcd's cluster token.")
        .default("kubernetes")
        .example("prod"),
    field("networking", NETWORKING)
        .doc("The names and addresses of services.")
        .default("{}"),
    field("controlPlaneEndpoint", text::<Endpoint>())
        .doc(
            "Where clients outside a control-plane host reach the API server: a name or an address, and a port \
             (6443). With several control-plane hosts, this is their load balancer.",
        )
        .absent("the first control-plane host's first address, port apiServerPort")
        .example("api.example.org:6443"),
    field("apiServerPort", text::<Port>())
        .doc("The port on which each API server listens, also where a load balancer in front of them has another.")
        .default("6443")
        .example("6443"),
    field("extraSANs", list::<HostOrIp>(0, MANY))
        .doc("Further names (the first label may be `*`) and addresses in every API server's certificate.")
        .default("[]")
        .example(r#"[kube.example.org, "*.kube.example.org", 203.0.113.10]"#),
    field("hosts", HOSTS)
        .doc("Every machine of the cluster.")
        .default("[{name: node-1, addresses: [127.0.0.1], roles: [control-plane, etcd, worker]}]")
        .example(
            "{name: m2, addresses: [192.0.2.12, \"2001:db8::12\"], roles: [control-plane, etcd]}\n\
             {name: m3, addresses: [192.0.2.13, \"2001:db8::13\"], roles: [control-plane, etcd]}\n\
             {name: w1, addresses: [192.0.2.21, \"2001:db8::21\"]}\n\
             {name: w2, addresses: [192.0.2.22, \"2001:db8::22\"], names: [w2.example.org]}",
        ),
    field("layout", text::<Layout>())
        .doc("Which file tree the hosts' folders follow.")
        .default("document")
        .example("document"),
    field("authorities", AUTHORITIES)
        .doc("The certificate authorities.")
        .default("{}"),
    field("caKeys", text::<CaKeyPlacement>())
        .doc("Which CA keys control-plane hosts receive.")
        .default("all")
        .example("signing"),
    field("kubelets", KUBELETS).doc("What kubelets receive.").default("{}"),
    field("kubeconfigs", KUBECONFIGS)
        .doc("Whether kubeconfigs name files, which are read again when they change, or embed their contents.")
        .default("{}"),
    field("keyAlgorithm", text::<KeyAlgorithm>())
        .doc("The algorithm of every new key.")
        .default("ecdsa-p256")
        .example("ecdsa-p256"),
    field("validity", VALIDITY)
        .doc(
            "How long things live: weeks, days of 24 hours, hours, minutes and seconds, such as 52w, 365d, \
             8760h or 1h30m. A certificate never outlives its CA.",
        )
        .default("{}"),
    field("renewBefore", text::<Lifetime>())
        .doc("How long before its end a certificate is renewed.")
        .absent("when a third of its lifetime is left")
        .example("720h"),
    field("backdate", text::<UpToADay>())
        .doc("How far a certificate's start lies in the past, for clocks that run behind. At most 24h.")
        .default("5m")
        .example("5m"),
    field("subject", SUBJECT)
        .doc("Attributes added to every certificate's subject.")
        .default("{}"),
    field("paths", PATHS)
        .doc("Where the files lie on the hosts.")
        .default("{}"),
]);

const NETWORKING: Kind = Kind::Object(&[
    field("dnsDomain", text::<DnsName>())
        .doc("The DNS domain of services.")
        .default("cluster.local")
        .example("cluster.local"),
    field("serviceSubnets", list::<IpNet>(1, 2))
        .doc("The addresses of services: one network, or an IPv4 and an IPv6 one. No host's address lies inside.")
        .default("[10.96.0.0/12]")
        .example(r#"[10.96.0.0/12, "fd00:10:96::/112"]"#),
]);

const HOSTS: Kind = Kind::List {
    item: &HOST,
    min: 1,
    max: MANY,
};

static HOST: Kind = Kind::Object(&[
    field("name", text::<HostName>())
        .doc("The node's name: a DNS name, and the name of the host's folder.")
        .required()
        .example("m1"),
    field("addresses", list::<IpAddr>(1, MANY))
        .doc("The host's addresses. The first is the one that others call.")
        .required()
        .example(r#"[192.0.2.11, "2001:db8::11"]"#),
    field("names", list::<DnsName>(0, MANY))
        .doc("Further DNS names of the host.")
        .default("[]")
        .example("[m1.example.org]"),
    field("roles", list::<Role>(1, MANY))
        .doc("What runs on the host.")
        .default("[worker]")
        .example("[control-plane, etcd]"),
]);

const AUTHORITIES: Kind = Kind::Object(&[
    field("mode", text::<AuthorityMode>())
        .doc("How many CAs there are.")
        .default("separate")
        .example("separate"),
    field("bring", BRING)
        .doc(
            "CAs that exist already. Those not named here are made. Mode `separate` has etcd, kubernetes and \
             frontProxy; mode `single` has single.",
        )
        .default("{}"),
]);

const BRING: Kind = Kind::Object(&[
    field("etcd", BROUGHT)
        .doc("The CA of etcd's traffic.")
        .absent(MADE)
        .commented(),
    field("kubernetes", BROUGHT)
        .doc("The CA of the API server and its clients.")
        .absent(MADE)
        .example("{certificate: pki/ca.crt}")
        .commented(),
    field("frontProxy", BROUGHT)
        .doc("The CA of the aggregator.")
        .absent(MADE)
        .example("{certificate: pki/front-proxy-ca.crt, key: pki/front-proxy-ca.key}")
        .commented(),
    field("single", BROUGHT)
        .doc("The CA of everything.")
        .absent(MADE)
        .example("{certificate: pki/ca.crt, key: pki/ca.key}")
        .commented(),
]);

const MADE: &str = "kubetrust makes it";

const BROUGHT: Kind = Kind::Object(&[
    field("certificate", text::<LocalPath>())
        .doc("The CA's certificate, in PEM. Relative to the spec's folder.")
        .required()
        .example("pki/etcd-ca.crt"),
    field("key", text::<LocalPath>())
        .doc("The CA's key, in PEM.")
        .absent("the CA is offline, and signs certificate requests")
        .example("pki/etcd-ca.key"),
    field("chain", text::<LocalPath>())
        .doc("The certificates above an intermediate CA, up to its root, in PEM.")
        .absent("the CA is a root")
        .example("pki/root.crt"),
]);

const KUBELETS: Kind = Kind::Object(&[
    field("serving", text::<KubeletServing>())
        .doc("Who signs a kubelet's serving certificate.")
        .default("none")
        .example("kubelet-ca"),
    field("client", text::<KubeletClient>())
        .doc("How a kubelet comes by its client certificate.")
        .default("bootstrap")
        .example("bootstrap"),
]);

const KUBECONFIGS: Kind = Kind::Object(&[
    field("components", text::<Credentials>())
        .doc("The components' kubeconfigs.")
        .default("layout")
        .example("layout"),
    field("admin", text::<Credentials>())
        .doc("The administrators' kubeconfigs, which travel.")
        .default("embedded")
        .example("embedded"),
]);

const VALIDITY: Kind = Kind::Object(&[
    field("ca", text::<Lifetime>())
        .doc("CAs.")
        .default("87600h")
        .example("87600h"),
    field("kubeletCA", text::<Lifetime>())
        .doc("Kubelet CAs, with `kubelets.serving: kubelet-ca`.")
        .default("43800h")
        .example("43800h"),
    field("server", text::<Lifetime>())
        .doc("Server certificates, those of etcd's peers included.")
        .default("8760h")
        .example("8760h"),
    field("client", text::<Lifetime>())
        .doc("Client certificates.")
        .default("8760h")
        .example("8760h"),
    field("bootstrapToken", text::<Lifetime>())
        .doc("Bootstrap tokens.")
        .default("720h")
        .example("24h"),
]);

const SUBJECT: Kind = Kind::Object(&[
    field("country", text::<Country>())
        .doc("C, two capital letters.")
        .absent("left out")
        .example("DE"),
    field("state", text::<Attribute>())
        .doc("ST.")
        .absent("left out")
        .example("Hesse"),
    field("locality", text::<Attribute>())
        .doc("L.")
        .absent("left out")
        .example("Frankfurt"),
    field("organizationalUnit", text::<Attribute>())
        .doc("OU.")
        .absent("left out")
        .example("Platform"),
]);

const PATHS: Kind = Kind::Object(&[
    field("kubernetes", text::<InstallPath>())
        .doc("Kubernetes' certificates and kubeconfigs.")
        .default("/etc/kubernetes")
        .example("/etc/kubernetes"),
    field("etcd", text::<InstallPath>())
        .doc("etcd's certificates, in the document layout.")
        .default("/etc/etcd")
        .example("/etc/etcd"),
    field("kubelet", text::<InstallPath>())
        .doc("The kubelet's state.")
        .default("/var/lib/kubelet")
        .example("/var/lib/kubelet"),
    field("etcdData", text::<InstallPath>())
        .doc("etcd's data.")
        .default("/var/lib/etcd")
        .example("/var/lib/etcd"),
]);

choices! {
    /// `apiVersion`.
    pub(super) enum ApiVersion {
        /// This version.
        V1Alpha1 = "kubetrust.dev/v1alpha1",
    }

    /// `kind`.
    pub(super) enum SpecKind {
        /// A Kubernetes cluster.
        Cluster = "Cluster",
    }
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is, in a sentence or two.
    pub(super) doc: &'static str,
    pub(super) absence: Absence,
    /// Its value in the example, as YAML. Without one, an object is spelled out field by field. A list of objects
    /// has its first item spelled out, and here the others, one a line.
    pub(super) example: &'static str,
    /// Whether the example only hints at it, in a comment.
    pub(super) commented: bool,
}

/// What a field's value is.
#[derive(Debug)]
pub(super) enum Kind {
    Object(&'static [Field]),
    /// Items of one kind. Texts don't repeat.
    List {
        item: &'static Kind,
        min: usize,
        max: usize,
    },
    Text(Format),
}

/// What a text has to be: a [`Text`] type's description.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) what: &'static str,
    pub(super) pattern: Option<&'static str>,
    pub(super) choices: &'static [Choice],
    pub(super) check: fn(&str) -> Result<(), Problem>,
}

/// What an absent or null field means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absence {
    /// An error.
    Required,
    /// The same as this YAML.
    Default(&'static str),
    /// Something that no value says, in words.
    Means(&'static str),
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        doc: "",
        absence: Absence::Required,
        example: "",
        commented: false,
    }
}

impl Field {
    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn required(self) -> Self {
        Self {
            absence: Absence::Required,
            ..self
        }
    }

    const fn default(self, yaml: &'static str) -> Self {
        Self {
            absence: Absence::Default(yaml),
            ..self
        }
    }

    const fn absent(self, meaning: &'static str) -> Self {
        Self {
            absence: Absence::Means(meaning),
            ..self
        }
    }

    const fn example(self, yaml: &'static str) -> Self {
        Self { example: yaml, ..self }
    }

    const fn commented(self) -> Self {
        Self {
            commented: true,
            ..self
        }
    }
}

const fn text<T: Text>() -> Kind {
    Kind::Text(Format {
        what: T::WHAT,
        pattern: T::PATTERN,
        choices: T::CHOICES,
        check: |text| match T::parse(text) {
            Ok(_) => Ok(()),
            Err(problem) => Err(problem),
        },
    })
}

const fn list<T: Text>(min: usize, max: usize) -> Kind {
    Kind::List {
        item: &const { text::<T>() },
        min,
        max,
    }
}

impl Kind {
    /// What the value has to be, for messages.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Object(_) => "a mapping of fields".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Text(format) => format.what.to_owned(),
        }
    }
}
