//! Services, ingresses and network policies (`pkg/apis/core/validation`, `pkg/apis/networking/validation`).

use std::{collections::HashSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    checks,
    field::{self, Path},
    meta, names,
    pod::PROTOCOLS,
    read,
};
use crate::status::Cause;

/// Longest time that a client stays with one pod, in seconds.
pub const AFFINITY_SECONDS_MAX: i64 = 86_400;

/// A service.
pub fn service(object: &Value, faults: &mut Vec<Cause>) {
    let spec = read::get(object, "/spec").unwrap_or(&Value::Null);
    let at = Path::new("spec");
    let kind = read::text(spec, "/type");
    let ports = read::list(spec, "/ports");
    let headless = read::text(spec, "/clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        faults.push(field::required(&at.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            let ips = at.child("clusterIPs");
            faults.push(field::invalid(&ips.index(0), "None", &why));
        }
        "ExternalName" => external_name(spec, &at, faults),
        _ => {}
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.child("ports");
        service_port(port, ports.len() > 1, &at.index(index), &mut seen, faults);
    }
    meta::labels(read::map(spec, "/selector"), &at.child("selector"), faults);
    affinity(spec, &at, faults);
    if kind != "ExternalName" {
        addresses(spec, &at, faults);
    }
    for (index, ip) in read::list(spec, "/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let at = at.child("externalIPs");
        address(ip, &at.index(index), faults);
    }
    checks::one_of(
        spec,
        "/type",
        &at.child("type"),
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        faults,
    );
    port_clashes(ports, kind, &at.child("ports"), faults);
    let allocates = read::get(spec, "/allocateLoadBalancerNodePorts").is_some();
    if allocates && kind != "LoadBalancer" {
        let why = "may only be used when `type` is 'LoadBalancer'";
        faults.push(field::forbidden(&at.child("allocateLoadBalancerNodePorts"), why));
    }
    traffic(spec, kind, &at, faults);
}

fn external_name(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let there =
            read::get(spec, &format!("/{name}")).is_some_and(|value| value.as_array().is_none_or(|l| !l.is_empty()));
        if there {
            faults.push(field::forbidden(
                &at.child(name),
                "may not be set for ExternalName services",
            ));
        }
    }
    let name = read::text(spec, "/externalName").trim_end_matches('.');
    let at = at.child("externalName");
    if name.is_empty() {
        faults.push(field::required(&at, ""));
    } else {
        faults.extend(
            names::dns1123_subdomain(name)
                .iter()
                .map(|why| field::invalid(&at, name, why)),
        );
    }
}

fn service_port<'a>(
    port: &'a Value,
    needs_name: bool,
    at: &Path<'_>,
    seen: &mut HashSet<&'a str>,
    faults: &mut Vec<Cause>,
) {
    let name = read::text(port, "/name");
    if needs_name && name.is_empty() {
        faults.push(field::required(&at.child("name"), ""));
    } else if !name.is_empty() {
        checks::named(port, "/name", &at.child("name"), names::dns1123_label, faults);
        if !seen.insert(name) {
            faults.push(field::duplicate(&at.child("name"), name));
        }
    }
    checks::port_number(
        read::number(port, "/port").unwrap_or_default(),
        &at.child("port"),
        faults,
    );
    checks::one_of(port, "/protocol", &at.child("protocol"), &PROTOCOLS, faults);
    checks::port(read::get(port, "/targetPort"), &at.child("targetPort"), faults);
    checks::named(port, "/appProtocol", &at.child("appProtocol"), names::qualified, faults);
}

fn affinity(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    checks::one_of(
        spec,
        "/sessionAffinity",
        &at.child("sessionAffinity"),
        &["ClientIP", "None"],
        faults,
    );
    let at = at.child("sessionAffinityConfig");
    let configured = read::get(spec, "/sessionAffinityConfig").is_some();
    match read::text(spec, "/sessionAffinity") {
        "None" if configured => faults.push(field::forbidden(&at, "must not be set when session affinity is None")),
        "ClientIP" => {
            let seconds = read::number(spec, "/sessionAffinityConfig/clientIP/timeoutSeconds");
            let at = at.child("clientIP.timeoutSeconds");
            match seconds {
                None => faults.push(field::required(&at, "when session affinity type is ClientIP")),
                Some(seconds) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                    faults.push(field::invalid(
                        &at,
                        seconds,
                        "must be greater than 0 and less than 86400",
                    ));
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

fn addresses(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let ips = read::list(spec, "/clusterIPs");
    let ip = read::text(spec, "/clusterIP");
    let ips_at = at.child("clusterIPs");
    match (ip.is_empty(), ips.first().and_then(Value::as_str)) {
        (false, None) => faults.push(field::required(&ips_at, "")),
        (false, Some(first)) if first != ip => {
            faults.push(field::invalid(
                &ips_at,
                Value::from(ips),
                "first value must match `clusterIP`",
            ));
        }
        (true, Some(_)) => {
            faults.push(field::invalid(
                &ips_at,
                Value::from(ips),
                "must be empty when `clusterIP` is not specified",
            ));
        }
        _ => {}
    }
    let families_at = at.child("ipFamilies");
    let mut seen = HashSet::new();
    for (index, family) in read::list(spec, "/ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        if !matches!(family, "IPv4" | "IPv6") {
            faults.push(field::not_supported(
                &families_at.index(index),
                family,
                &["IPv4", "IPv6"],
            ));
        }
        if !seen.insert(family) {
            faults.push(field::duplicate(&families_at.index(index), family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    checks::one_of_if_there(spec, "/ipFamilyPolicy", &at.child("ipFamilyPolicy"), &policies, faults);
    for (index, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
        if index == 0 && ip == "None" {
            if ips.len() > 1 {
                faults.push(field::invalid(
                    &ips_at,
                    Value::from(ips),
                    "'None' must be the first and only value",
                ));
            }
            continue;
        }
        address(ip, &ips_at.index(index), faults);
    }
    if ips.len() > 2 {
        faults.push(field::invalid(
            &ips_at,
            Value::from(ips),
            "may only hold up to 2 values",
        ));
    }
}

/// An IP address, as those of services are written.
fn address(ip: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if ip.parse::<IpAddr>().is_err() {
        faults.push(field::invalid(
            at,
            ip,
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ));
    }
}

fn port_clashes(ports: &[Value], kind: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let node_port = |port| read::number(port, "/nodePort").unwrap_or_default();
    if kind == "ClusterIP" {
        for (index, _) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
            let why = "may not be used when `type` is 'ClusterIP'";
            faults.push(field::forbidden(&at.index(index).child("nodePort"), why));
        }
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
        if !seen.insert((read::text(port, "/protocol"), node_port(port))) {
            faults.push(field::duplicate(&at.index(index).child("nodePort"), node_port(port)));
        }
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (
            read::text(port, "/protocol"),
            read::number(port, "/port").unwrap_or_default(),
        );
        if !seen.insert((protocol, number)) {
            // Upstream prints the internal type, whose fields have Go's names.
            let shown = json!({"Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0});
            faults.push(field::duplicate(&at.index(index), shown));
        }
    }
}

fn traffic(spec: &Value, kind: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let outside = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !read::list(spec, "/externalIPs").is_empty());
    let policy = read::text(spec, "/externalTrafficPolicy");
    let policy_at = at.child("externalTrafficPolicy");
    if outside {
        checks::one_of(
            spec,
            "/externalTrafficPolicy",
            &policy_at,
            &["Cluster", "Local"],
            faults,
        );
    } else if !policy.is_empty() {
        faults.push(field::invalid(
            &policy_at,
            policy,
            "may only be set for externally-accessible services",
        ));
    }
    let health = read::number(spec, "/healthCheckNodePort").unwrap_or_default();
    if health != 0 && !(kind == "LoadBalancer" && policy == "Local") {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        faults.push(field::invalid(&at.child("healthCheckNodePort"), health, why));
    }
    let internal_at = at.child("internalTrafficPolicy");
    checks::one_of_if_there(
        spec,
        "/internalTrafficPolicy",
        &internal_at,
        &["Cluster", "Local"],
        faults,
    );
}

/// What must not change in a service: its addresses, once it has them. A second one may come and go.
pub fn service_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let ips = |service| read::list(service, "/spec/clusterIPs");
    let outside = |service| read::text(service, "/spec/type") == "ExternalName";
    let headless = |service| read::text(service, "/spec/clusterIP") == "None";
    if outside(new) || outside(old) || (headless(new) && headless(old)) {
        return;
    }
    let (now, before) = (ips(new), ips(old));
    let at = Path::new("spec.clusterIPs");
    if now.is_empty() && !before.is_empty() {
        faults.push(field::invalid(
            &at.index(0),
            Value::from(now),
            "primary clusterIP can not be unset",
        ));
    }
    let compared = if now.len() == before.len() { now.len() } else { 1 };
    for (index, _) in now
        .iter()
        .zip(before)
        .take(compared)
        .enumerate()
        .filter(|(_, (now, before))| now != before)
    {
        faults.push(field::invalid(
            &at.index(index),
            Value::from(now),
            "may not change once set",
        ));
    }
    let policy = read::get(new, "/spec/ipFamilyPolicy").unwrap_or(&Value::Null);
    if before.len() > now.len() && now.len() == 1 && policy.as_str() != Some("SingleStack") {
        let why = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        faults.push(field::invalid(&Path::new("spec.ipFamilyPolicy"), policy, why));
    }
}

/// An ingress.
pub fn ingress(object: &Value, faults: &mut Vec<Cause>) {
    let spec = read::get(object, "/spec").unwrap_or(&Value::Null);
    let at = Path::new("spec");
    let rules = read::list(spec, "/rules");
    let default = read::get(spec, "/defaultBackend");
    if rules.is_empty() && default.is_none() {
        let why = "either `defaultBackend` or `rules` must be specified";
        faults.push(field::invalid(&at, spec.get("rules").unwrap_or(&Value::Null), why));
    }
    if let Some(default) = default {
        backend(default, &at.child("defaultBackend"), faults);
    }
    let rules_at = at.child("rules");
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        host(read::text(rule, "/host"), &at.child("host"), faults);
        let Some(http) = read::get(rule, "/http") else { continue };
        let at = at.child("http.paths");
        let paths = read::list(http, "/paths");
        if paths.is_empty() {
            faults.push(field::required(&at, ""));
        }
        for (index, path) in paths.iter().enumerate() {
            ingress_path(path, &at.index(index), faults);
        }
    }
    let tls_at = at.child("tls");
    for (index, tls) in read::list(spec, "/tls").iter().enumerate() {
        let at = tls_at.index(index);
        for (index, name) in read::list(tls, "/hosts").iter().filter_map(Value::as_str).enumerate() {
            let check = if name.contains('*') {
                names::wildcard_subdomain
            } else {
                names::dns1123_subdomain
            };
            let at = at.child("hosts");
            faults.extend(
                check(name)
                    .iter()
                    .map(|why| field::invalid(&at.index(index), name, why)),
            );
        }
        checks::named(
            tls,
            "/secretName",
            &at.child("secretName"),
            names::dns1123_subdomain,
            faults,
        );
    }
    checks::named(
        spec,
        "/ingressClassName",
        &at.child("ingressClassName"),
        names::dns1123_subdomain,
        faults,
    );
}

fn host(host: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if host.is_empty() {
        return;
    }
    if host.parse::<IpAddr>().is_ok() {
        faults.push(field::invalid(at, host, "must be a DNS name, not an IP address"));
    }
    let check = if host.contains('*') {
        names::wildcard_subdomain
    } else {
        names::dns1123_subdomain
    };
    faults.extend(check(host).iter().map(|why| field::invalid(at, host, why)));
}

const PATH_MAY_NOT_CONTAIN: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const PATH_MAY_NOT_END: [&str; 2] = ["/..", "/."];

fn ingress_path(path: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let (kind, text) = (read::text(path, "/pathType"), read::text(path, "/path"));
    if kind.is_empty() {
        faults.push(field::required(&at.child("pathType"), "pathType must be specified"));
        return;
    }
    let path_at = at.child("path");
    match kind {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                faults.push(field::invalid(&path_at, text, "must be an absolute path"));
            }
            for part in PATH_MAY_NOT_CONTAIN.iter().filter(|part| text.contains(**part)) {
                faults.push(field::invalid(&path_at, text, &format!("must not contain '{part}'")));
            }
            for part in PATH_MAY_NOT_END.iter().filter(|part| text.ends_with(**part)) {
                faults.push(field::invalid(&path_at, text, &format!("cannot end with '{part}'")));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                faults.push(field::invalid(&path_at, text, "must be an absolute path"));
            }
        }
        other => {
            let supported = ["Exact", "ImplementationSpecific", "Prefix"];
            faults.push(field::not_supported(&at.child("pathType"), other, &supported));
        }
    }
    backend(
        read::get(path, "/backend").unwrap_or(&Value::Null),
        &at.child("backend"),
        faults,
    );
}

fn backend(backend: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    match (read::get(backend, "/service"), read::get(backend, "/resource")) {
        (Some(_), Some(_)) => {
            faults.push(field::invalid(at, "", "cannot set both resource and service backends"));
        }
        (None, None) => faults.push(field::invalid(at, "", "resource or service backend is required")),
        (None, Some(resource)) => {
            for name in ["kind", "name"] {
                let at = at.child("resource");
                checks::required(resource, &format!("/{name}"), &at.child(name), faults);
            }
        }
        (Some(service), None) => {
            let service_at = at.child("service");
            checks::required(service, "/name", &service_at.child("name"), faults);
            checks::named(
                service,
                "/name",
                &service_at.child("name"),
                names::dns1035_label,
                faults,
            );
            let number = read::number(service, "/port/number").unwrap_or_default();
            match (read::text(service, "/port/name").is_empty(), number == 0) {
                (false, false) => faults.push(field::invalid(at, "", "cannot set both port name & port number")),
                (true, true) => faults.push(field::required(at, "port name or number is required")),
                (false, true) => {
                    checks::named(
                        service,
                        "/port/name",
                        &service_at.child("port.name"),
                        names::port_name,
                        faults,
                    );
                }
                (true, false) => checks::port_number(number, &service_at.child("port.number"), faults),
            }
        }
    }
}

/// A network policy.
pub fn network_policy(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    meta::label_selector(read::get(object, "/spec/podSelector"), &at.child("podSelector"), faults);
    for (name, peers) in [("ingress", "from"), ("egress", "to")] {
        let at = at.child(name);
        for (index, rule) in read::list(object, &format!("/spec/{name}")).iter().enumerate() {
            let at = at.index(index);
            for (index, port) in read::list(rule, "/ports").iter().enumerate() {
                let at = at.child("ports");
                let at = at.index(index);
                checks::one_of_if_there(port, "/protocol", &at.child("protocol"), &PROTOCOLS, faults);
                if read::get(port, "/port").is_some() {
                    checks::port(read::get(port, "/port"), &at.child("port"), faults);
                }
            }
            for (index, peer) in read::list(rule, &format!("/{peers}")).iter().enumerate() {
                let at = at.child(peers);
                network_peer(peer, &at.index(index), faults);
            }
        }
    }
    let types = read::list(object, "/spec/policyTypes");
    if types.len() > 2 {
        let why = "may not specify more than two policyTypes";
        faults.push(field::invalid(&at.child("policyTypes"), Value::from(types), why));
        return;
    }
    for (index, kind) in types.iter().filter_map(Value::as_str).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            let at = at.child("policyTypes");
            faults.push(field::not_supported(&at.index(index), kind, &["Egress", "Ingress"]));
        }
    }
}

fn network_peer(peer: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let there = ["podSelector", "namespaceSelector", "ipBlock"]
        .into_iter()
        .filter(|name| read::get(peer, &format!("/{name}")).is_some())
        .count();
    for name in ["podSelector", "namespaceSelector"] {
        meta::label_selector(read::get(peer, &format!("/{name}")), &at.child(name), faults);
    }
    if there == 0 {
        faults.push(field::required(at, "must specify a peer"));
    }
    if there > 1 && read::get(peer, "/ipBlock").is_some() {
        let why = "may not specify both ipBlock and another peer";
        faults.push(field::forbidden(at, why));
    }
}
