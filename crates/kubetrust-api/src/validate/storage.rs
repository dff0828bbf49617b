//! Volumes, claims, classes, and what scales, guards and ranks pods: the kinds of which only the outline is checked.

use serde_json::Value;

use super::{
    checks,
    field::{self, Path},
    meta as meta_rules, names, read,
};
use crate::{decode::quantity::Quantity, meta, status::Cause, strategy};

/// Highest priority of pods that users may define.
pub const PRIORITY_MAX: i64 = 1_000_000_000;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const RECLAIM: [&str; 3] = ["Delete", "Recycle", "Retain"];

fn access_modes(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let at = at.child("accessModes");
    let modes: Vec<&str> = read::list(spec, "/accessModes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(*mode)) {
        faults.push(field::not_supported(&at, *mode, &ACCESS_MODES));
    }
    let others = modes
        .iter()
        .any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode));
    if modes.contains(&"ReadWriteOncePod") && others {
        faults.push(field::forbidden(
            &at,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
}

fn positive(value: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let quantity = value.as_str().and_then(|text| Quantity::parse(text).ok());
    if quantity.is_some_and(|quantity| quantity.nano() <= 0) {
        faults.push(field::invalid(at, value, "must be greater than zero"));
    }
}

/// A persistent volume.
pub fn volume(object: &Value, faults: &mut Vec<Cause>) {
    const NOT_SOURCES: [&str; 9] = [
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    ];
    let spec = read::get(object, "/spec").unwrap_or(&Value::Null);
    let at = Path::new("spec");
    if read::list(spec, "/accessModes").is_empty() {
        faults.push(field::required(&at.child("accessModes"), ""));
    }
    access_modes(spec, &at, faults);
    let capacity = read::map(spec, "/capacity");
    let capacity_at = at.child("capacity");
    if capacity.is_none_or(serde_json::Map::is_empty) {
        faults.push(field::required(&capacity_at, ""));
    }
    if capacity.is_none_or(|capacity| capacity.len() != 1 || !capacity.contains_key("storage")) {
        faults.push(field::not_supported(&capacity_at, read::sorted(capacity), &["storage"]));
    }
    for (name, value) in capacity.into_iter().flatten() {
        positive(value, &capacity_at.key(name), faults);
    }
    let reclaim_at = at.child("persistentVolumeReclaimPolicy");
    checks::one_of_if_there(spec, "/persistentVolumeReclaimPolicy", &reclaim_at, &RECLAIM, faults);
    let sources: Vec<&String> = spec
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.is_object())
        .map(|(name, _)| name)
        .collect();
    let sources: Vec<&&String> = sources
        .iter()
        .filter(|name| !NOT_SOURCES.contains(&name.as_str()))
        .collect();
    for source in sources.iter().skip(1) {
        faults.push(field::forbidden(
            &at.child(source),
            "may not specify more than 1 volume type",
        ));
    }
    if sources.is_empty() {
        faults.push(field::required(&at, "must specify a volume type"));
    }
    checks::named(
        spec,
        "/storageClassName",
        &at.child("storageClassName"),
        names::dns1123_subdomain,
        faults,
    );
    checks::one_of_if_there(spec, "/volumeMode", &at.child("volumeMode"), &VOLUME_MODES, faults);
}

/// What must not change in a persistent volume.
pub fn volume_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    checks::immutable(new, old, "/spec/volumeMode", &Path::new("volumeMode"), faults);
}

/// A claim of a persistent volume.
pub fn claim(object: &Value, faults: &mut Vec<Cause>) {
    let spec = read::get(object, "/spec").unwrap_or(&Value::Null);
    let at = Path::new("spec");
    if read::list(spec, "/accessModes").is_empty() {
        faults.push(field::required(
            &at.child("accessModes"),
            "at least 1 access mode is required",
        ));
    }
    meta_rules::label_selector(read::get(spec, "/selector"), &at.child("selector"), faults);
    access_modes(spec, &at, faults);
    let resources_at = at.child("resources");
    let storage_at = resources_at.key("storage");
    match read::get(spec, "/resources/requests/storage") {
        None => faults.push(field::required(&storage_at, "")),
        Some(value) => positive(value, &storage_at, faults),
    }
    checks::named(
        spec,
        "/storageClassName",
        &at.child("storageClassName"),
        names::dns1123_subdomain,
        faults,
    );
    checks::one_of_if_there(spec, "/volumeMode", &at.child("volumeMode"), &VOLUME_MODES, faults);
}

/// What must not change in a claim.
pub fn claim_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let bound = read::text(new, "/status/phase") == "Bound";
    let unnamed = read::text(old, "/spec/volumeName").is_empty();
    let unclassed = read::get(old, "/spec/storageClassName").is_none();
    let fixed = |object: &Value| {
        let mut spec = read::get(object, "/spec").cloned().unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|name, _| {
                !((name == "volumeName" && unnamed)
                    || (name == "storageClassName" && unclassed)
                    || (bound && matches!(name.as_str(), "resources" | "volumeAttributesClassName")))
            });
        }
        spec
    };
    if !strategy::same(Some(&fixed(new)), Some(&fixed(old))) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        faults.push(field::forbidden(&Path::new("spec"), why));
    }
    let size = |object| Quantity::parse(read::text(object, "/spec/resources/requests/storage")).map(Quantity::nano);
    if let (Ok(now), Ok(before)) = (size(new), size(old)) {
        let given = Quantity::parse(read::text(old, "/status/capacity/storage")).map_or(0, Quantity::nano);
        if now < before && now <= given {
            let at = Path::new("spec.resources.requests.storage");
            faults.push(field::forbidden(&at, "field can not be less than status.capacity"));
        }
    }
    checks::immutable(new, old, "/spec/volumeMode", &Path::new("volumeMode"), faults);
}

/// A storage class.
pub fn storage_class(object: &Value, faults: &mut Vec<Cause>) {
    let provisioner = read::text(object, "/provisioner").to_lowercase();
    let at = Path::new("provisioner");
    if provisioner.is_empty() {
        faults.push(field::required(&at, ""));
    } else {
        faults.extend(
            names::qualified(&provisioner)
                .iter()
                .map(|why| field::invalid(&at, &provisioner, why)),
        );
    }
    // Classes may not recycle.
    let policies = ["Delete", "Retain"];
    checks::one_of_if_there(object, "/reclaimPolicy", &Path::new("reclaimPolicy"), &policies, faults);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    checks::one_of(
        object,
        "/volumeBindingMode",
        &Path::new("volumeBindingMode"),
        &modes,
        faults,
    );
}

/// What must not change in a storage class.
pub fn storage_class_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    for name in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        checks::immutable(new, old, &format!("/{name}"), &Path::new(name), faults);
    }
}

/// A horizontal pod autoscaler.
pub fn autoscaler(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    let least = read::number(object, "/spec/minReplicas");
    let most = read::number(object, "/spec/maxReplicas").unwrap_or_default();
    if let Some(least) = least.filter(|least| *least < 1) {
        faults.push(field::invalid(
            &at.child("minReplicas"),
            least,
            "must be greater than or equal to 1",
        ));
    }
    let most_at = at.child("maxReplicas");
    match most {
        0 => faults.push(field::required(&most_at, "must be set and greater than 0")),
        ..0 => faults.push(field::invalid(&most_at, most, "must be greater than or equal to 1")),
        _ => {}
    }
    if least.is_some_and(|least| most < least) {
        faults.push(field::invalid(
            &most_at,
            most,
            "must be greater than or equal to `minReplicas`",
        ));
    }
    let target_at = at.child("scaleTargetRef");
    for name in ["kind", "name"] {
        let pointer = format!("/spec/scaleTargetRef/{name}");
        checks::required(object, &pointer, &target_at.child(name), faults);
        checks::named(object, &pointer, &target_at.child(name), names::path_segment, faults);
    }
}

/// A pod disruption budget.
pub fn disruption_budget(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    let spec = read::get(object, "/spec").unwrap_or(&Value::Null);
    let both = ["minAvailable", "maxUnavailable"].map(|name| (name, read::get(spec, &format!("/{name}"))));
    if both.iter().all(|(_, value)| value.is_some()) {
        faults.push(field::invalid(
            &at,
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for (name, value) in both {
        let Some(value) = value else { continue };
        checks::int_or_percent(value, &at.child(name), faults);
        checks::at_most_100_percent(value, &at.child(name), faults);
    }
    meta_rules::label_selector(read::get(spec, "/selector"), &at.child("selector"), faults);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    let policy_at = at.child("unhealthyPodEvictionPolicy");
    checks::one_of_if_there(spec, "/unhealthyPodEvictionPolicy", &policy_at, &policies, faults);
}

/// The classes that the system brings, and their priorities.
const SYSTEM_PRIORITIES: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// A priority class.
pub fn priority_class(object: &Value, faults: &mut Vec<Cause>) {
    let name = meta::name(object);
    let value = read::number(object, "/value").unwrap_or_default();
    if name.starts_with("system-") {
        let why = match SYSTEM_PRIORITIES.iter().find(|(known, _)| *known == name) {
            None => format!("{name} is not a known system priority class"),
            Some((_, wanted)) if *wanted != value => format!("value of {name} PriorityClass must be {wanted}"),
            Some(_) if read::flag(object, "/globalDefault") => {
                format!("globalDefault of {name} PriorityClass must be false")
            }
            Some(_) => String::new(),
        };
        if !why.is_empty() {
            let why =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            faults.push(field::forbidden(&Path::new("metadata.name"), &why));
        }
    } else if value > PRIORITY_MAX {
        let why = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        faults.push(field::forbidden(&Path::new("value"), &why));
    }
    let policies = ["Never", "PreemptLowerPriority"];
    checks::one_of_if_there(
        object,
        "/preemptionPolicy",
        &Path::new("preemptionPolicy"),
        &policies,
        faults,
    );
}

/// What must not change in a priority class.
pub fn priority_class_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    if read::number(new, "/value") != read::number(old, "/value") {
        faults.push(field::forbidden(
            &Path::new("value"),
            "may not be changed in an update.",
        ));
    }
    checks::immutable(new, old, "/preemptionPolicy", &Path::new("preemptionPolicy"), faults);
}
