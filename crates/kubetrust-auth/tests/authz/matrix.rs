//! The permission matrix: every identity that a new cluster has × every resource × every verb.
//!
//! The text is reviewed by people: `tests/authz/snapshots`. Each cell is also computed a second time, by an evaluator that
//! shares no code with the engine, from upstream's golden files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kubetrust_api::resource::{Scope, TABLE};
use kubetrust_auth::authz::default_policy::defaults;
use kubetrust_auth::authz::rbac::aggregate::{Aggregated, aggregate};
use kubetrust_auth::authz::rbac::{Binding, Kind, RoleRef, Subject};
use kubetrust_auth::authz::{Attributes, Authorizer, Mode, ResourceAttributes};
use kubetrust_auth::user::User;

use crate::default_policy::GOLDEN;
use crate::naive::{self, Model};
use crate::node;
use crate::words::user;

/// Verbs with a letter each.
const VERBS: [(&str, char); 8] = [
    ("get", 'g'),
    ("list", 'l'),
    ("watch", 'w'),
    ("create", 'c'),
    ("update", 'u'),
    ("patch", 'p'),
    ("delete", 'd'),
    ("deletecollection", 'D'),
];
/// Verbs that stand as words, since few have them.
const SPECIAL: [&str; 7] = ["approve", "attest", "bind", "escalate", "impersonate", "proxy", "sign"];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What is only ever impersonated: resource, subresource, group.
const IMPERSONATED: [(&str, &str, &str); 4] = [
    ("groups", "", ""),
    ("uids", "", "authentication.k8s.io"),
    ("userextras", "scopes", "authentication.k8s.io"),
    ("users", "", ""),
];

/// A made-up resource: what is allowed with it is allowed with all.
const ANY: (&str, &str, &str) = ("things", "", "example.com");

/// Where namespaced resources are asked for besides `default`; empty is all namespaces at once.
const PLACES: [&str; 4] = ["", "kube-node-lease", "kube-public", "kube-system"];

/// Single objects that somebody has rights to: resource, group, namespace, name.
#[rustfmt::skip] // a line an object
const OBJECTS: [(&str, &str, &str, &str); 24] = [
    ("configmaps", "", "kube-public", "cluster-info"),
    ("configmaps", "", "kube-system", "extension-apiserver-authentication"),
    ("configmaps", "", "kube-system", "kube-apiserver-legacy-service-account-token-tracking"),
    ("configmaps", "", "ns", "volume"),
    ("csinodes", "storage.k8s.io", "", "n"),
    ("csinodes", "storage.k8s.io", "", "other"),
    ("leases", "coordination.k8s.io", "kube-node-lease", "n"),
    ("leases", "coordination.k8s.io", "kube-node-lease", "other"),
    ("leases", "coordination.k8s.io", "kube-system", "kube-controller-manager"),
    ("leases", "coordination.k8s.io", "kube-system", "kube-scheduler"),
    ("nodes", "", "", "n"),
    ("nodes", "", "", "other"),
    ("persistentvolumeclaims", "", "ns", "claim"),
    ("persistentvolumes", "", "", "pv"),
    ("pods", "", "ns", "web"),
    ("resourceclaims", "resource.k8s.io", "ns", "named"),
    ("resourceslices", "resource.k8s.io", "", "va"),
    ("secrets", "", "ns", "volume"),
    ("serviceaccounts", "", "ns", "account"),
    ("signers", "certificates.k8s.io", "", "kubernetes.io/kube-apiserver-client"),
    ("signers", "certificates.k8s.io", "", "kubernetes.io/kube-apiserver-client-kubelet"),
    ("signers", "certificates.k8s.io", "", "kubernetes.io/kubelet-serving"),
    ("signers", "certificates.k8s.io", "", "kubernetes.io/legacy-unknown"),
    ("volumeattachments", "storage.k8s.io", "", "va"),
];

const PATHS: [&str; 22] = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/apps/v1",
    "/configz",
    "/debug/pprof/profile",
    "/flagz",
    "/healthz",
    "/healthz/etcd",
    "/livez",
    "/livez/ping",
    "/logs",
    "/made-up",
    "/metrics",
    "/metrics/slis",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/readyz/informer-sync",
    "/statusz",
    "/version",
];

/// Who there is in a new cluster, and three who hold the roles for people.
fn identities() -> Vec<User> {
    let mut identities: Vec<User> = [
        "kubernetes-admin+system:masters+system:authenticated",
        "system:kube-controller-manager+system:authenticated",
        "system:kube-scheduler+system:authenticated",
        "system:kube-proxy+system:authenticated",
        "system:node:n+system:nodes+system:authenticated",
        "system:bootstrapper+system:authenticated",
        "system:bootstrap:abcdef+system:bootstrappers+system:bootstrappers:kubeadm:default-node-token+system:authenticated",
        "prometheus+system:monitoring+system:authenticated",
        "admin+system:authenticated",
        "edit+system:authenticated",
        "view+system:authenticated",
        "somebody+system:authenticated",
        "system:anonymous+system:unauthenticated",
        "system:serviceaccount:default:default+system:serviceaccounts+system:serviceaccounts:default+system:authenticated",
    ]
    .map(user)
    .to_vec();
    let accounts: BTreeSet<String> = Model::parse(GOLDEN)
        .bindings
        .into_iter()
        .flat_map(|binding| binding.subjects)
        .filter(|(kind, _, _)| kind == "ServiceAccount")
        .map(|(_, namespace, name)| format!("system:serviceaccount:{namespace}:{name}"))
        .collect();
    identities.extend(accounts.iter().map(|account| {
        user(&format!(
            "{account}+system:serviceaccounts+system:serviceaccounts:kube-system+system:authenticated"
        ))
    }));
    identities
}

const HELD: [&str; 3] = ["admin", "edit", "view"];

/// The engine, fed with what a new cluster has.
fn engine() -> Authorizer {
    let mut authorizer = Authorizer::new([Mode::Node, Mode::Rbac]);
    authorizer.node = node::cluster();
    let mut objects = defaults();
    loop {
        let roles: Vec<Aggregated> = objects
            .iter()
            .filter(|each| each.kind == Kind::ClusterRole)
            .map(|each| Aggregated::read(&each.object).unwrap())
            .collect();
        let changes = aggregate(&roles);
        if changes.is_empty() {
            break;
        }
        for (name, rules) in changes {
            let role = objects
                .iter_mut()
                .find(|each| each.kind == Kind::ClusterRole && each.name == name)
                .unwrap();
            role.object["rules"] = serde_json::json!(rules);
        }
    }
    for each in &objects {
        assert!(
            authorizer
                .put("rbac.authorization.k8s.io", each.kind.plural(), &each.object)
                .unwrap()
        );
    }
    authorizer.rbac.update(|policy| {
        for role in HELD {
            policy.put_binding(Binding {
                namespace: String::new(),
                name: role.into(),
                role: RoleRef {
                    api_group: String::new(),
                    kind: "ClusterRole".into(),
                    name: role.into(),
                },
                subjects: vec![Subject::user(role)],
            });
        }
    });
    authorizer
}

/// The same, for the second evaluator: from upstream's files.
fn naive() -> Model {
    let mut model = Model::parse(GOLDEN).gathered();
    model.bindings.extend(HELD.map(|role| naive::Binding {
        namespace: String::new(),
        name: role.into(),
        of_kind: "ClusterRole".into(),
        of: role.into(),
        subjects: vec![("User".into(), String::new(), role.into())],
    }));
    model
}

/// What is asked for: the same thing in every place that may make a difference. The first is the usual one.
struct Row {
    name: String,
    places: Vec<(String, ResourceAttributes)>,
}

fn row(resource: &str, subresource: &str, group: &str) -> Row {
    let namespaced = TABLE
        .iter()
        .any(|each| each.plural == resource && each.group == group && each.scope == Scope::Namespaced);
    let asked = |namespace: &str, name: &str| ResourceAttributes {
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    };
    let mut name = resource.to_owned();
    for (sign, part) in [('/', subresource), ('.', group)] {
        if !part.is_empty() {
            write!(name, "{sign}{part}").unwrap();
        }
    }
    let mut places = vec![(String::new(), asked(if namespaced { "default" } else { "" }, ""))];
    if namespaced {
        let label = |place: &str| {
            if place.is_empty() {
                " in all namespaces".into()
            } else {
                format!(" in {place}")
            }
        };
        places.extend(PLACES.iter().map(|place| (label(place), asked(place, ""))));
    }
    for (_, _, namespace, object) in OBJECTS.iter().filter(|each| (each.0, each.1) == (resource, group)) {
        let place = if namespace.is_empty() {
            String::new()
        } else {
            format!(" in {namespace}")
        };
        places.push((format!(" {object}{place}"), asked(namespace, object)));
    }
    Row { name, places }
}

/// Every resource and subresource that is served, once for all versions of its group, and what else some role speaks of.
fn rows() -> Vec<Row> {
    let served = TABLE.iter().flat_map(|each| {
        let subresources = each.subresources.iter().map(|subresource| subresource.name);
        [""].into_iter()
            .chain(subresources)
            .map(|subresource| (each.plural, subresource, each.group))
    });
    let model = Model::parse(GOLDEN);
    let spoken_of = model
        .roles
        .iter()
        .flat_map(|role| &role.rules)
        .flat_map(|[_, groups, resources, ..]| {
            let pairs = groups
                .iter()
                .flat_map(|group| resources.iter().map(move |resource| (group, resource)));
            pairs
                .filter(|(group, resource)| !group.contains('*') && !resource.contains('*'))
                .map(|(group, resource)| {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    (resource, subresource, group.as_str())
                })
        });
    let all: BTreeSet<(&str, &str, &str)> = served.chain(spoken_of).chain(IMPERSONATED).collect();
    let mut rows: Vec<Row> = all
        .into_iter()
        .map(|(resource, subresource, group)| row(resource, subresource, group))
        .collect();
    rows.sort_by(|one, other| one.key().cmp(&other.key()));
    rows
}

impl Row {
    fn key(&self) -> (&str, &str, &str) {
        let asked = &self.places[0].1;
        (&asked.group, &asked.resource, &asked.subresource)
    }
}

/// Every verb that may be done there.
fn verbs(may: &impl Fn(&Attributes) -> bool, asked: &ResourceAttributes) -> String {
    let may = |verb: &str| {
        may(&Attributes::Resource(ResourceAttributes {
            verb: verb.into(),
            ..asked.clone()
        }))
    };
    let mut text: String = VERBS
        .iter()
        .filter(|(verb, _)| may(verb))
        .map(|(_, letter)| letter)
        .collect();
    for verb in SPECIAL.iter().filter(|verb| may(verb)) {
        write!(text, " {verb}").unwrap();
    }
    text.trim_start().to_owned()
}

fn methods(may: &impl Fn(&Attributes) -> bool, path: &str) -> String {
    let may = |verb: &str| {
        may(&Attributes::NonResource {
            verb: verb.into(),
            path: path.into(),
        })
    };
    METHODS
        .iter()
        .filter(|method| may(method))
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The lines of one identity: what it may do with everything, and each resource of which that is not true.
fn lines(may: &impl Fn(&Attributes) -> bool, rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, place: &str, verbs: &str| {
        let verbs = if verbs.is_empty() { "-" } else { verbs };
        writeln!(text, "  {name}{place}: {verbs}").unwrap();
    };
    let (resource, subresource, group) = ANY;
    let all = verbs(may, &row(resource, subresource, group).places[0].1);
    if !all.is_empty() {
        line("*", "", &all);
    }
    for row in rows {
        let usual = verbs(may, &row.places[0].1);
        for (index, (place, asked)) in row.places.iter().enumerate() {
            let here = verbs(may, asked);
            if here != if index == 0 { all.as_str() } else { usual.as_str() } {
                line(&row.name, place, &here);
            }
        }
    }
    for path in PATHS {
        let allowed = methods(may, path);
        if !allowed.is_empty() {
            line(path, "", &allowed);
        }
    }
    text
}

#[test]
fn the_permission_matrix_is_as_reviewed() {
    let (authorizer, rows) = (engine(), rows());
    let mut text = String::from(
        "g get, l list, w watch, c create, u update, p patch, d delete, D deletecollection; - nothing.\n\
         Namespaced resources are asked for in the namespace \"default\", without a name. Under *, what may be done with\n\
         any resource; then each resource of which that is not true; then each place where a resource's line is not true.\n",
    );
    for identity in identities() {
        let may = |attributes: &Attributes| authorizer.authorize(&identity, attributes).is_allowed();
        write!(
            text,
            "\n{} ({})\n{}",
            identity.name,
            identity.groups.join(", "),
            lines(&may, &rows)
        )
        .unwrap();
    }
    insta::assert_snapshot!("matrix", text);
}

#[test]
fn every_cell_is_the_same_by_another_evaluator_from_upstreams_files() {
    let (authorizer, model, rows) = (engine(), naive(), rows());
    let mut cells = 0;
    for identity in identities() {
        let bound = model.bound_to(&identity);
        let wanted = |attributes: &Attributes| naive::permitted(&bound, &identity, attributes);
        for row in &rows {
            for (place, asked) in &row.places {
                for verb in VERBS.iter().map(|row| row.0).chain(SPECIAL) {
                    let attributes = Attributes::Resource(ResourceAttributes {
                        verb: verb.into(),
                        ..asked.clone()
                    });
                    // Kubelets have the node authorizer besides, which has its own cases.
                    let wanted = wanted(&attributes) || authorizer.node.authorize(&identity, &attributes).is_allowed();
                    let allowed = authorizer.authorize(&identity, &attributes).is_allowed();
                    assert_eq!(allowed, wanted, "{} {verb} {}{place}", identity.name, row.name);
                    cells += 1;
                }
            }
        }
        for path in PATHS {
            for method in METHODS {
                let attributes = Attributes::NonResource {
                    verb: method.into(),
                    path: path.into(),
                };
                let allowed = authorizer.authorize(&identity, &attributes).is_allowed();
                assert_eq!(allowed, wanted(&attributes), "{} {method} {path}", identity.name);
                cells += 1;
            }
        }
    }
    assert!(cells > 100_000, "{cells}");
}
