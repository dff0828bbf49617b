//! Pods and the templates of pods (`pkg/apis/core/validation`): what makes a spec that no kubelet could run, and what of
//! a pod must not change. Fields of single volume types are left to whoever mounts them.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{
    checks,
    core::TAINT_EFFECTS,
    field::{self, Path},
    meta, names, read,
};
use crate::{decode::quantity::Quantity, status::Cause, strategy};

/// Largest user and group id.
pub const ID_MAX: i64 = i32::MAX as i64;

/// A pod.
pub fn pod(object: &Value, faults: &mut Vec<Cause>) {
    spec(
        read::get(object, "/spec").unwrap_or(&Value::Null),
        &Path::new("spec"),
        faults,
    );
}

/// A template of pods, as workloads have it.
pub fn template(template: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    meta::labels(read::map(template, "/metadata/labels"), &at.child("labels"), faults);
    meta::annotations(
        read::map(template, "/metadata/annotations"),
        &at.child("annotations"),
        faults,
    );
    let at = at.child("spec");
    spec(read::get(template, "/spec").unwrap_or(&Value::Null), &at, faults);
    if !read::list(template, "/spec/ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        faults.push(field::forbidden(&at.child("ephemeralContainers"), why));
    }
}

fn spec(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if read::get(spec, "/terminationGracePeriodSeconds").is_none() {
        faults.push(field::required(&at.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volumes(spec, &at.child("volumes"), faults);
    containers(spec, &volumes, at, faults);
    checks::one_of(
        spec,
        "/restartPolicy",
        &at.child("restartPolicy"),
        &["Always", "OnFailure", "Never"],
        faults,
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    checks::one_of(spec, "/dnsPolicy", &at.child("dnsPolicy"), &policies, faults);
    meta::labels(read::map(spec, "/nodeSelector"), &at.child("nodeSelector"), faults);
    ids(spec, &at.child("securityContext"), faults);
    let subdomain: names::Check = names::dns1123_subdomain;
    checks::named(
        spec,
        "/serviceAccountName",
        &at.child("serviceAccountName"),
        subdomain,
        faults,
    );
    checks::named(spec, "/nodeName", &at.child("nodeName"), subdomain, faults);
    if let Some(seconds) =
        read::number(spec, "/activeDeadlineSeconds").filter(|seconds| !(1..=ID_MAX).contains(seconds))
    {
        faults.push(field::invalid(
            &at.child("activeDeadlineSeconds"),
            seconds,
            &names::not_between(1, ID_MAX),
        ));
    }
    checks::named(spec, "/hostname", &at.child("hostname"), names::dns1123_label, faults);
    checks::named(spec, "/subdomain", &at.child("subdomain"), names::dns1123_label, faults);
    tolerations(spec, &at.child("tolerations"), faults);
    checks::named(
        spec,
        "/priorityClassName",
        &at.child("priorityClassName"),
        subdomain,
        faults,
    );
    checks::named(
        spec,
        "/runtimeClassName",
        &at.child("runtimeClassName"),
        subdomain,
        faults,
    );
    let policies = ["PreemptLowerPriority", "Never"];
    checks::one_of_if_there(
        spec,
        "/preemptionPolicy",
        &at.child("preemptionPolicy"),
        &policies,
        faults,
    );
}

fn ids(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for name in ["runAsUser", "runAsGroup", "fsGroup"] {
        let id = read::number(spec, &format!("/securityContext/{name}"));
        if let Some(id) = id.filter(|id| !(0..=ID_MAX).contains(id)) {
            faults.push(field::invalid(&at.child(name), id, &names::not_between(0, ID_MAX)));
        }
    }
}

fn volumes<'a>(spec: &'a Value, at: &Path<'_>, faults: &mut Vec<Cause>) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    for (index, volume) in read::list(spec, "/volumes").iter().enumerate() {
        let at = at.index(index);
        let before = faults.len();
        let sources = volume
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .filter(|key| *key != "name");
        for source in sources.skip(1) {
            faults.push(field::forbidden(
                &at.child(source),
                "may not specify more than 1 volume type",
            ));
        }
        for (source, name) in [
            ("secret", "secretName"),
            ("configMap", "name"),
            ("persistentVolumeClaim", "claimName"),
        ] {
            if read::get(volume, &format!("/{source}")).is_some() {
                let at = at.child(source);
                checks::required(volume, &format!("/{source}/{name}"), &at.child(name), faults);
            }
        }
        if read::get(volume, "/hostPath").is_some() {
            let path_at = at.child("hostPath.path");
            let path = read::text(volume, "/hostPath/path");
            if path.is_empty() {
                faults.push(field::required(&path_at, ""));
            }
            if path.split('/').any(|part| part == "..") {
                faults.push(field::invalid(&path_at, path, "must not contain '..'"));
            }
        }
        let name = read::text(volume, "/name");
        let at = at.child("name");
        if name.is_empty() {
            faults.push(field::required(&at, ""));
        }
        checks::named(volume, "/name", &at, names::dns1123_label, faults);
        if found.contains(name) {
            faults.push(field::duplicate(&at, name));
        }
        if faults.len() == before {
            found.insert(name);
        }
    }
    found
}

fn containers(spec: &Value, volumes: &HashSet<&str>, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let at_main = at.child("containers");
    let main = read::list(spec, "/containers");
    if main.is_empty() {
        faults.push(field::required(&at_main, ""));
    }
    let mut seen = HashSet::new();
    let mut host_ports = HashSet::new();
    for (index, item) in main.iter().enumerate() {
        let at = at_main.index(index);
        container(item, volumes, &at, faults);
        if !seen.insert(read::text(item, "/name")) {
            faults.push(field::duplicate(&at.child("name"), read::text(item, "/name")));
        }
        handlers(item, &at, faults);
    }
    for (index, item) in main.iter().enumerate() {
        let at = at_main.index(index);
        for (port_index, port) in read::list(item, "/ports").iter().enumerate() {
            let number = read::number(port, "/hostPort").unwrap_or_default();
            let key = (read::text(port, "/protocol"), read::text(port, "/hostIP"), number);
            if number != 0 && !host_ports.insert(key) {
                let ports = at.child("ports");
                let shown = format!("{}/{}/{number}", key.0, key.1);
                faults.push(field::duplicate(&ports.index(port_index).child("hostPort"), shown));
            }
        }
    }
    let at_init = at.child("initContainers");
    for (index, item) in read::list(spec, "/initContainers").iter().enumerate() {
        let at = at_init.index(index);
        container(item, volumes, &at, faults);
        let name = read::text(item, "/name");
        if !name.is_empty() && !seen.insert(name) {
            faults.push(field::duplicate(&at.child("name"), name));
        }
        if read::text(item, "/restartPolicy") == "Always" {
            handlers(item, &at, faults);
            continue;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if read::get(item, &format!("/{name}")).is_some() {
                let why = "may not be set for init containers without restartPolicy=Always";
                faults.push(field::forbidden(&at.child(name), why));
            }
        }
    }
}

fn container(container: &Value, volumes: &HashSet<&str>, at: &Path<'_>, faults: &mut Vec<Cause>) {
    checks::required(container, "/name", &at.child("name"), faults);
    checks::named(container, "/name", &at.child("name"), names::dns1123_label, faults);
    checks::required(container, "/image", &at.child("image"), faults);
    let policies = ["File", "FallbackToLogsOnError"];
    checks::one_of(
        container,
        "/terminationMessagePolicy",
        &at.child("terminationMessagePolicy"),
        &policies,
        faults,
    );
    ports(container, &at.child("ports"), faults);
    env(container, &at.child("env"), faults);
    mounts(container, volumes, &at.child("volumeMounts"), faults);
    let policies = ["Always", "IfNotPresent", "Never"];
    checks::one_of(
        container,
        "/imagePullPolicy",
        &at.child("imagePullPolicy"),
        &policies,
        faults,
    );
    resources(container, &at.child("resources"), faults);
    ids(container, &at.child("securityContext"), faults);
    if read::flag(container, "/securityContext/privileged")
        && read::get(container, "/securityContext/allowPrivilegeEscalation") == Some(&json!(false))
    {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        faults.push(field::invalid(
            &at.child("securityContext"),
            read::get(container, "/securityContext").unwrap_or(&Value::Null),
            why,
        ));
    }
}

fn ports(container: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, port) in read::list(container, "/ports").iter().enumerate() {
        let at = at.index(index);
        let name = read::text(port, "/name");
        if !name.is_empty() {
            let bad = names::port_name(name);
            if bad.is_empty() && !seen.insert(name) {
                faults.push(field::duplicate(&at.child("name"), name));
            }
            faults.extend(bad.iter().map(|why| field::invalid(&at.child("name"), name, why)));
        }
        match read::number(port, "/containerPort").unwrap_or_default() {
            0 => faults.push(field::required(&at.child("containerPort"), "")),
            number => checks::port_number(number, &at.child("containerPort"), faults),
        }
        match read::number(port, "/hostPort").unwrap_or_default() {
            0 => {}
            number => checks::port_number(number, &at.child("hostPort"), faults),
        }
        checks::one_of(port, "/protocol", &at.child("protocol"), &PROTOCOLS, faults);
    }
}

/// Protocols of ports, sorted.
pub const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

fn env(container: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for (index, variable) in read::list(container, "/env").iter().enumerate() {
        let at = at.index(index);
        checks::required(variable, "/name", &at.child("name"), faults);
        checks::named(variable, "/name", &at.child("name"), names::env_name, faults);
        let Some(from) = read::map(variable, "/valueFrom") else {
            continue;
        };
        let at = at.child("valueFrom");
        let why = match from.values().filter(|source| !source.is_null()).count() {
            0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            _ if !read::text(variable, "/value").is_empty() => "may not be specified when `value` is not empty",
            1 => "",
            _ => "may not have more than one field specified at a time",
        };
        for source in ["configMapKeyRef", "secretKeyRef"] {
            if read::get(variable, &format!("/valueFrom/{source}")).is_some() {
                let at = at.child(source);
                let pointer = format!("/valueFrom/{source}/key");
                checks::required(variable, &pointer, &at.child("key"), faults);
                checks::named(variable, &pointer, &at.child("key"), names::config_key, faults);
            }
        }
        if !why.is_empty() {
            faults.push(field::invalid(&at, "", why));
        }
    }
}

fn mounts(container: &Value, volumes: &HashSet<&str>, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, mount) in read::list(container, "/volumeMounts").iter().enumerate() {
        let at = at.index(index);
        let (name, path) = (read::text(mount, "/name"), read::text(mount, "/mountPath"));
        checks::required(mount, "/name", &at.child("name"), faults);
        if !volumes.contains(name) {
            faults.push(field::not_found(&at.child("name"), name));
        }
        checks::required(mount, "/mountPath", &at.child("mountPath"), faults);
        if !seen.insert(path) {
            faults.push(field::invalid(&at.child("mountPath"), path, "must be unique"));
        }
    }
}

fn resources(container: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let parse = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    let limits = read::map(container, "/resources/limits");
    for (kind, amounts) in [
        ("limits", limits),
        ("requests", read::map(container, "/resources/requests")),
    ] {
        let at = at.child(kind);
        for (name, value) in amounts.into_iter().flatten() {
            faults.extend(
                names::qualified(name)
                    .iter()
                    .map(|why| field::invalid(&at.key(name), name, why)),
            );
            let quantity = parse(value);
            if quantity.is_some_and(Quantity::is_negative) {
                faults.push(field::invalid(&at.key(name), value, checks::NEGATIVE));
            }
            let limit = limits
                .and_then(|limits| limits.get(name))
                .filter(|_| kind == "requests");
            let Some((limit, quantity)) = limit.zip(quantity) else {
                continue;
            };
            if parse(limit).is_some_and(|limit| quantity.nano() > limit.nano()) {
                let limit = limit.as_str().unwrap_or_default();
                let why = format!("must be less than or equal to {name} limit of {limit}");
                faults.push(field::invalid(&at, value, &why));
            }
        }
    }
}

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

fn handlers(container: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for name in ["postStart", "preStop"] {
        if let Some(hook) = read::get(container, &format!("/lifecycle/{name}")) {
            let at = at.child("lifecycle");
            handler(hook, &at.child(name), faults);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = read::get(container, &format!("/{name}")) else {
            continue;
        };
        let at = at.child(name);
        handler(probe, &at, faults);
        for name in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            checks::non_negative(probe, &format!("/{name}"), &at.child(name), faults);
        }
        let threshold = read::number(probe, "/successThreshold").unwrap_or(1);
        if name != "readinessProbe" && threshold != 1 {
            faults.push(field::invalid(&at.child("successThreshold"), threshold, "must be 1"));
        }
    }
}

fn handler(handler: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let there: Vec<&str> = HANDLERS
        .into_iter()
        .filter(|name| read::get(handler, &format!("/{name}")).is_some())
        .collect();
    if there.is_empty() {
        faults.push(field::required(at, "must specify a handler type"));
    }
    for (index, name) in there.into_iter().enumerate() {
        let at = at.child(name);
        if index > 0 {
            faults.push(field::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        match name {
            "exec" if read::list(handler, "/exec/command").is_empty() => {
                faults.push(field::required(&at.child("command"), ""));
            }
            "httpGet" => {
                checks::required(handler, "/httpGet/path", &at.child("path"), faults);
                checks::port(read::get(handler, "/httpGet/port"), &at.child("port"), faults);
                let scheme = read::text(handler, "/httpGet/scheme");
                if !matches!(scheme, "HTTP" | "HTTPS") {
                    faults.push(field::not_supported(&at.child("scheme"), scheme, &["HTTP", "HTTPS"]));
                }
            }
            "tcpSocket" => checks::port(read::get(handler, "/tcpSocket/port"), &at.child("port"), faults),
            _ => {}
        }
    }
}

fn tolerations(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for (index, toleration) in read::list(spec, "/tolerations").iter().enumerate() {
        let at = at.index(index);
        let text = |name: &str| read::text(toleration, name);
        let (key, operator, value, effect) = (text("/key"), text("/operator"), text("/value"), text("/effect"));
        let operator_at = at.child("operator");
        if !key.is_empty() {
            meta::label_key(key, &at.child("key"), faults);
        }
        if key.is_empty() && operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(field::invalid(&operator_at, operator, why));
        }
        if read::get(toleration, "/tolerationSeconds").is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(field::invalid(&at.child("effect"), effect, why));
        }
        match operator {
            "" | "Equal" => {
                let bad = names::label_value(value);
                if !bad.is_empty() {
                    faults.push(field::invalid(&operator_at, value, &bad.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                faults.push(field::invalid(&operator_at, value, why));
            }
            "Exists" => {}
            "Lt" | "Gt" => {
                faults.push(field::not_supported(
                    &operator_at,
                    operator,
                    &["Equal", "Exists", "Lt", "Gt"],
                ));
            }
            other => faults.push(field::not_supported(&operator_at, other, &["Equal", "Exists"])),
        }
        checks::one_of_if_there(toleration, "/effect", &at.child("effect"), &TAINT_EFFECTS, faults);
    }
}

/// What must not change in the containers that debug a running pod: they only come.
pub fn ephemeral_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec.ephemeralContainers");
    let others = ["containers", "initContainers"].map(|name| read::list(new, &format!("/spec/{name}")));
    let mut seen: HashSet<&str> = others
        .into_iter()
        .flatten()
        .map(|item| read::text(item, "/name"))
        .collect();
    let now = read::list(new, "/spec/ephemeralContainers");
    for (index, item) in now.iter().enumerate() {
        let at = at.index(index);
        checks::required(item, "/name", &at.child("name"), faults);
        checks::named(item, "/name", &at.child("name"), names::dns1123_label, faults);
        checks::required(item, "/image", &at.child("image"), faults);
        let name = read::text(item, "/name");
        if !name.is_empty() && !seen.insert(name) {
            faults.push(field::duplicate(&at.child("name"), name));
        }
        for name in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if read::get(item, &format!("/{name}")).is_some() {
                faults.push(field::forbidden(
                    &at.child(name),
                    "cannot be set for an Ephemeral Container",
                ));
            }
        }
    }
    let now: HashMap<&str, &Value> = now.iter().map(|item| (read::text(item, "/name"), item)).collect();
    for before in read::list(old, "/spec/ephemeralContainers") {
        let name = read::text(before, "/name");
        let what = match now.get(name) {
            None => "removed",
            Some(item) if !strategy::same(Some(item), Some(before)) => "changed",
            Some(_) => continue,
        };
        let why = format!(
            "existing ephemeral containers {} may not be {what}\n",
            field::go_quoted(name)
        );
        faults.push(field::forbidden(&at, &why));
    }
}

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What must not change in a pod: all of its spec but a few fields.
pub fn pod_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    for name in ["containers", "initContainers"] {
        let (now, before) = (
            read::list(new, &format!("/spec/{name}")),
            read::list(old, &format!("/spec/{name}")),
        );
        let at = at.child(name);
        if now.len() != before.len() {
            faults.push(field::forbidden(&at, "pod updates may not add or remove containers"));
            return;
        }
        for (index, container) in now.iter().enumerate() {
            checks::required(container, "/image", &at.index(index).child("image"), faults);
        }
    }
    let deadline = |pod| read::number(pod, "/spec/activeDeadlineSeconds");
    let deadline_at = at.child("activeDeadlineSeconds");
    match (deadline(new), deadline(old)) {
        (Some(seconds), _) if !(0..=ID_MAX).contains(&seconds) => {
            faults.push(field::invalid(&deadline_at, seconds, &names::not_between(0, ID_MAX)));
            return;
        }
        (Some(now), Some(before)) if before < now => {
            faults.push(field::invalid(
                &deadline_at,
                now,
                "must be less than or equal to previous value",
            ));
            return;
        }
        (None, Some(_)) => {
            faults.push(field::invalid(
                &deadline_at,
                Value::Null,
                "must not update from a positive integer to nil value",
            ));
        }
        _ => {}
    }
    let told_apart = |toleration: &Value| read::sorted(but(toleration, &["tolerationSeconds"]).as_object()).to_string();
    let now: HashSet<String> = read::list(new, "/spec/tolerations").iter().map(told_apart).collect();
    let kept = read::list(old, "/spec/tolerations")
        .iter()
        .all(|toleration| now.contains(&told_apart(toleration)));
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        faults.push(field::forbidden(&at.child("tolerations"), why));
    }
    if !strategy::same(Some(&fixed_part(new, old)), Some(&fixed_part(old, old))) {
        faults.push(field::forbidden(
            &at,
            &format!("pod updates may not change fields other than {UPDATABLE}"),
        ));
    }
}

fn but(value: &Value, fields: &[&str]) -> Value {
    let map = value.as_object().into_iter().flatten();
    Value::Object(
        map.filter(|(name, _)| !fields.contains(&name.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    )
}

/// The spec without what may change.
fn fixed_part(pod: &Value, old: &Value) -> Value {
    let spec = read::get(pod, "/spec").unwrap_or(&Value::Null);
    let mut fixed = but(spec, &["activeDeadlineSeconds", "tolerations", "schedulingGates"]);
    for name in ["containers", "initContainers"] {
        for container in fixed.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            *container = but(container, &["image"]);
        }
    }
    let grace = "terminationGracePeriodSeconds";
    let before = read::number(old, "/spec/terminationGracePeriodSeconds").unwrap_or_default();
    if before < 0
        && fixed.get(grace).and_then(Value::as_i64) == Some(1)
        && let Some(fixed) = fixed.as_object_mut()
    {
        fixed.insert(grace.into(), json!(before));
    }
    fixed
}
