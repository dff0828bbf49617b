//! Services, endpoints, ingresses and what belongs to them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::print::selector;
use crate::print::view::{NONE, UNSET, View, first_of, join_texts, list, or, plain, text};

/// Most endpoints, ports or hosts that a cell shows.
const MOST: usize = 3;

/// The first address of a service.
pub(crate) fn cluster_ip(view: &View<'_>) -> Value {
    let first = view.list("spec.clusterIPs").first().and_then(Value::as_str);
    first.unwrap_or_else(|| view.text_or("spec.clusterIP", NONE)).into()
}

/// Where a service is reached from outside.
pub(crate) fn external_ip(view: &View<'_>) -> Value {
    let own = join_texts(view.list("spec.externalIPs"));
    match view.text_or("spec.type", "ClusterIP") {
        "ClusterIP" | "NodePort" => or(&own, NONE).into(),
        "LoadBalancer" => {
            let balancer = balancer_addresses(view);
            let both = [balancer.as_str(), own.as_str()]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>();
            or(&both.join(","), "<pending>").into()
        }
        "ExternalName" => view.text("spec.externalName").into(),
        _ => "<unknown>".into(),
    }
}

/// `80:30080/TCP,…`
pub(crate) fn ports(view: &View<'_>) -> Value {
    let ports: Vec<String> = view
        .list("spec.ports")
        .iter()
        .map(|port| {
            let port = view.of(port);
            let protocol = port.text_or("protocol", "TCP");
            match (port.number("port"), port.number("nodePort")) {
                (number, 0) => format!("{number}/{protocol}"),
                (number, node) => format!("{number}:{node}/{protocol}"),
            }
        })
        .collect();
    or(&ports.join(","), NONE).into()
}

/// The addresses of a load balancer.
pub(crate) fn load_balancer(view: &View<'_>) -> Value {
    balancer_addresses(view).into()
}

fn balancer_addresses(view: &View<'_>) -> String {
    let addresses: BTreeSet<&str> = view
        .list("status.loadBalancer.ingress")
        .iter()
        .map(|ingress| or(text(ingress, "ip"), text(ingress, "hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

/// `10.0.0.1:80,…`, the first of them.
pub(crate) fn endpoints(view: &View<'_>) -> Value {
    let subsets = view.list("subsets");
    if subsets.is_empty() {
        return NONE.into();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = list(subset, "addresses").iter().map(|address| text(address, "ip"));
        match list(subset, "ports") {
            [] => all.extend(addresses.map(str::to_owned)),
            ports => {
                for port in ports {
                    let number = plain(port.get("port").unwrap_or(&Value::Null));
                    all.extend(addresses.clone().map(|ip| host_port(ip, &number)));
                }
            }
        }
    }
    first_of(&all, MOST, ",").into()
}

fn host_port(ip: &str, port: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

/// The ports of an endpoint slice.
pub(crate) fn slice_ports(view: &View<'_>) -> Value {
    let ports: Vec<String> = view
        .list("ports")
        .iter()
        .map(|port| match (port.get("port"), text(port, "name")) {
            (Some(number), _) => plain(number),
            (None, "") => "*".to_owned(),
            (None, name) => name.to_owned(),
        })
        .collect();
    or(&first_of(&ports, MOST, ","), UNSET).into()
}

/// The addresses of an endpoint slice.
pub(crate) fn slice_endpoints(view: &View<'_>) -> Value {
    let endpoints = view
        .list("endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "addresses"));
    let addresses: Vec<String> = endpoints.map(plain).collect();
    or(&first_of(&addresses, MOST, ","), UNSET).into()
}

/// The hosts of an ingress. Upstream counts rules, of which some have no host.
pub(crate) fn hosts(view: &View<'_>) -> Value {
    let rules = view.list("spec.rules");
    let mut shown = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == MOST;
        let host = text(rule, "host");
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.join(","), more) {
        (shown, _) if shown.is_empty() => "*".into(),
        (shown, true) => format!("{shown} + {} more...", rules.len() - MOST).into(),
        (shown, false) => shown.into(),
    }
}

/// The ports of an ingress.
pub(crate) fn ingress_ports(view: &View<'_>) -> Value {
    if view.list("spec.tls").is_empty() {
        "80"
    } else {
        "80, 443"
    }
    .into()
}

/// The name of an ingress class, and whether it is the default.
pub(crate) fn ingress_class_name(view: &View<'_>) -> Value {
    let name = view.text("metadata.name");
    match view.annotation("ingressclass.kubernetes.io/is-default-class") {
        Some("true") => format!("{name} (default)").into(),
        _ => name.into(),
    }
}

/// The parameters of an ingress class.
pub(crate) fn ingress_class_parameters(view: &View<'_>) -> Value {
    let parameters = view.at("spec.parameters");
    let (kind, name) = (text(parameters, "kind"), text(parameters, "name"));
    match (parameters, text(parameters, "apiGroup")) {
        (Value::Null, _) => NONE.into(),
        (_, "") => format!("{kind}/{name}").into(),
        (_, group) => format!("{kind}.{group}/{name}").into(),
    }
}

/// The pods that a network policy is about.
pub(crate) fn pod_selector(view: &View<'_>) -> Value {
    selector::format(view.at("spec.podSelector")).into()
}

/// The ranges of a service CIDR.
pub(crate) fn cidrs(view: &View<'_>) -> Value {
    join_texts(view.list("spec.cidrs")).into()
}

/// What an IP address belongs to.
pub(crate) fn parent(view: &View<'_>) -> Value {
    let parent = view.at("spec.parentRef");
    if parent.is_null() {
        return NONE.into();
    }
    let resource = crate::resource::qualified(text(parent, "group"), text(parent, "resource")).to_lowercase();
    let path = [resource.as_str(), text(parent, "namespace"), text(parent, "name")];
    path.into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
        .into()
}
