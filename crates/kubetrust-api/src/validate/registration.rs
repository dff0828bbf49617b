//! API services (`kube-aggregator/pkg/apis/apiregistration/validation`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    field::{self, Path, go_quoted},
    names, read,
};
use crate::{meta, status::Cause};

/// Highest priority of a group.
pub const GROUP_PRIORITY_MAX: i64 = 20_000;
/// Highest priority of a version.
pub const VERSION_PRIORITY_MAX: i64 = 1_000;

/// An API service. Its name follows from what it serves, and is checked here.
pub fn api_service(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    let (group, version) = (read::text(object, "/spec/group"), read::text(object, "/spec/version"));
    let (name, wanted) = (meta::name(object), format!("{version}.{group}"));
    if !name.is_empty() && name != wanted && names::path_segment(name).is_empty() {
        let why = format!("must be `spec.version+\".\"+spec.group`: {}", go_quoted(&wanted));
        faults.push(field::invalid(&Path::new("metadata.name"), name, &why));
    }
    if group.is_empty() && version != "v1" {
        faults.push(field::required(
            &at.child("group"),
            "only v1 may have an empty group and it better be legacy kube",
        ));
    }
    if !group.is_empty() {
        faults.extend(
            names::dns1123_subdomain(group)
                .iter()
                .map(|why| field::invalid(&at.child("group"), group, why)),
        );
    }
    faults.extend(
        names::dns1035_label(version)
            .iter()
            .map(|why| field::invalid(&at.child("version"), version, why)),
    );
    for (name, limit, why) in [
        (
            "groupPriorityMinimum",
            GROUP_PRIORITY_MAX,
            "must be positive and less than 20000",
        ),
        (
            "versionPriority",
            VERSION_PRIORITY_MAX,
            "must be positive and less than 1000",
        ),
    ] {
        let priority = read::number(object, &format!("/spec/{name}")).unwrap_or_default();
        if priority <= 0 || priority > limit {
            faults.push(field::invalid(&at.child(name), priority, why));
        }
    }
    let bundle = STANDARD
        .decode(read::text(object, "/spec/caBundle"))
        .unwrap_or_default()
        .len();
    let insecure = read::flag(object, "/spec/insecureSkipTLSVerify");
    let insecure_at = at.child("insecureSkipTLSVerify");
    if read::get(object, "/spec/service").is_none() {
        if bundle > 0 {
            let shown = format!("{bundle} bytes");
            faults.push(field::invalid(
                &at.child("caBundle"),
                shown,
                "local APIServices may not have a caBundle",
            ));
        }
        if insecure {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            faults.push(field::invalid(&insecure_at, insecure, why));
        }
        return;
    }
    for name in ["namespace", "name"] {
        if read::text(object, &format!("/spec/service/{name}")).is_empty() {
            faults.push(field::required(&at.child("service").child(name), ""));
        }
    }
    let port = read::number(object, "/spec/service/port").unwrap_or_default();
    let bad = names::port_number(port);
    if !bad.is_empty() {
        let why = format!("port is not valid: {}", bad.join(", "));
        faults.push(field::invalid(&at.child("service.port"), port, &why));
    }
    if insecure && bundle > 0 {
        faults.push(field::invalid(
            &insecure_at,
            insecure,
            "may not be true if caBundle is present",
        ));
    }
}

/// The status of an API service.
pub fn api_service_status(new: &Value, _: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("status.conditions");
    for (index, condition) in read::list(new, "/status/conditions").iter().enumerate() {
        let status = read::text(condition, "/status");
        let supported = ["True", "False", "Unknown"];
        if !supported.contains(&status) {
            faults.push(field::not_supported(
                &at.index(index).child("status"),
                status,
                &supported,
            ));
        }
    }
}
