//! Deployments, replica sets, stateful sets, daemon sets, jobs and cron jobs (`pkg/apis/apps/validation`,
//! `pkg/apis/batch/validation`).

use serde_json::{Value, json};

use super::{
    checks,
    field::{self, Path},
    meta as meta_rules, names, pod, read,
};
use crate::{meta, status::Cause, strategy};

/// Longest name of a cron job, in bytes: its jobs' names have 11 more.
pub const CRON_NAME_MAX: usize = 52;

fn spec_of(object: &Value) -> &Value {
    read::get(object, "/spec").unwrap_or(&Value::Null)
}

fn template_of(spec: &Value) -> &Value {
    read::get(spec, "/template").unwrap_or(&Value::Null)
}

/// What the templates of workloads that run forever must be. `kind` as the message names it.
fn endless_template(spec: &Value, at: &Path<'_>, kind: &str, faults: &mut Vec<Cause>) {
    let at = at.child("template");
    pod::template(template_of(spec), &at, faults);
    let policy = read::text(spec, "/template/spec/restartPolicy");
    if policy != "Always" {
        faults.push(field::not_supported(
            &at.child("spec.restartPolicy"),
            policy,
            &["Always"],
        ));
    }
    if read::get(spec, "/template/spec/activeDeadlineSeconds").is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        faults.push(field::forbidden(&at.child("spec.activeDeadlineSeconds"), &why));
    }
}

/// A deployment.
pub fn deployment(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    checks::non_negative(spec, "/replicas", &at.child("replicas"), faults);
    checks::selector_of_template(spec, &at, "empty selector is invalid for deployment", faults);
    endless_template(spec, &at, "ReplicaSet", faults);
    deployment_strategy(spec, &at.child("strategy"), faults);
    checks::non_negative(spec, "/minReadySeconds", &at.child("minReadySeconds"), faults);
    checks::non_negative(spec, "/revisionHistoryLimit", &at.child("revisionHistoryLimit"), faults);
    let ready = read::number(spec, "/minReadySeconds").unwrap_or_default();
    if let Some(seconds) = read::number(spec, "/progressDeadlineSeconds") {
        let at = at.child("progressDeadlineSeconds");
        checks::non_negative(spec, "/progressDeadlineSeconds", &at, faults);
        if seconds <= ready {
            faults.push(field::invalid(&at, seconds, "must be greater than minReadySeconds"));
        }
    }
}

fn deployment_strategy(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let rolling = read::get(spec, "/strategy/rollingUpdate");
    let at_rolling = at.child("rollingUpdate");
    match (read::text(spec, "/strategy/type"), rolling) {
        ("Recreate", Some(_)) => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            faults.push(field::forbidden(&at_rolling, why));
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => {
            faults.push(field::required(
                &at_rolling,
                "this should be defaulted and never be nil",
            ));
        }
        ("RollingUpdate", Some(rolling)) => {
            let zero = json!(0);
            let value = |name: &str| rolling.get(name).unwrap_or(&zero);
            let (unavailable, surge) = (value("maxUnavailable"), value("maxSurge"));
            let at_unavailable = at_rolling.child("maxUnavailable");
            checks::int_or_percent(unavailable, &at_unavailable, faults);
            checks::int_or_percent(surge, &at_rolling.child("maxSurge"), faults);
            if checks::amount(unavailable) == 0 && checks::amount(surge) == 0 {
                faults.push(field::invalid(
                    &at_unavailable,
                    unavailable,
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            checks::at_most_100_percent(unavailable, &at_unavailable, faults);
        }
        (other, _) => {
            // Upstream prints the internal type, whose fields have Go's names.
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            faults.push(field::not_supported(at, shown, &["Recreate", "RollingUpdate"]));
        }
    }
}

/// The selector of a workload never changes.
pub fn selector_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    checks::immutable(new, old, "/spec/selector", &Path::new("spec.selector"), faults);
}

/// A replica set.
pub fn replica_set(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    checks::non_negative(spec, "/replicas", &at.child("replicas"), faults);
    checks::non_negative(spec, "/minReadySeconds", &at.child("minReadySeconds"), faults);
    checks::selector_of_template(spec, &at, "empty selector is invalid for deployment", faults);
    endless_template(spec, &at, "ReplicaSet", faults);
}

/// A replication controller: its selector is a map.
pub fn replication_controller(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    checks::non_negative(spec, "/minReadySeconds", &at.child("minReadySeconds"), faults);
    let selector = read::map(spec, "/selector");
    if selector.is_none_or(serde_json::Map::is_empty) {
        faults.push(field::required(&at.child("selector"), ""));
    }
    checks::non_negative(spec, "/replicas", &at.child("replicas"), faults);
    if read::get(spec, "/template").is_none() {
        faults.push(field::required(&at.child("template"), ""));
        return;
    }
    let labels = read::map(spec, "/template/metadata/labels");
    let selects = selector
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
    if !selects {
        let at = at.child("template.metadata.labels");
        faults.push(field::invalid(
            &at,
            read::sorted(labels),
            "`selector` does not match template `labels`",
        ));
    }
    endless_template(spec, &at, "ReplicationController", faults);
}

/// A stateful set.
pub fn stateful_set(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    let policy_at = at.child("podManagementPolicy");
    match read::text(spec, "/podManagementPolicy") {
        "" => faults.push(field::required(&policy_at, "")),
        "OrderedReady" | "Parallel" => {}
        other => faults.push(field::invalid(
            &policy_at,
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let strategy_at = at.child("updateStrategy");
    let rolling = read::get(spec, "/updateStrategy/rollingUpdate");
    match (read::text(spec, "/updateStrategy/type"), rolling) {
        ("", _) => faults.push(field::required(&strategy_at, "")),
        ("OnDelete", Some(_)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            faults.push(field::invalid(
                &strategy_at.child("rollingUpdate"),
                rolling.unwrap_or(&Value::Null),
                why,
            ));
        }
        ("RollingUpdate", Some(rolling)) => {
            checks::non_negative(
                rolling,
                "/partition",
                &strategy_at.child("rollingUpdate.partition"),
                faults,
            );
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        (other, _) => {
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            faults.push(field::invalid(
                &strategy_at,
                shown,
                "must be 'RollingUpdate' or 'OnDelete'",
            ));
        }
    }
    for name in ["whenDeleted", "whenScaled"] {
        let at = at.child("persistentVolumeClaimRetentionPolicy");
        let pointer = format!("/persistentVolumeClaimRetentionPolicy/{name}");
        if read::get(spec, "/persistentVolumeClaimRetentionPolicy").is_some() {
            checks::one_of(spec, &pointer, &at.child(name), &["Retain", "Delete"], faults);
        }
    }
    for name in ["replicas", "minReadySeconds"] {
        checks::non_negative(spec, &format!("/{name}"), &at.child(name), faults);
    }
    checks::non_negative(spec, "/ordinals/start", &at.child("ordinals.start"), faults);
    checks::named(
        spec,
        "/serviceName",
        &at.child("serviceName"),
        names::dns1123_label,
        faults,
    );
    checks::selector_of_template(spec, &at, "empty selector is invalid for statefulset", faults);
    // Volumes of claim templates are there for the containers to mount.
    let mut spec = spec.clone();
    let claims: Vec<Value> = read::list(&spec, "/volumeClaimTemplates")
        .iter()
        .map(|claim| json!({"name": meta::name(claim), "persistentVolumeClaim": {"claimName": meta::name(claim)}}))
        .collect();
    if let Some(pod) = spec.pointer_mut("/template/spec").and_then(Value::as_object_mut) {
        let claimed = |volume: &Value| claims.iter().any(|claim| claim.get("name") == volume.get("name"));
        let own = pod.get("volumes").and_then(Value::as_array).into_iter().flatten();
        let own: Vec<Value> = own.filter(|volume| !claimed(volume)).cloned().collect();
        pod.insert(
            "volumes".into(),
            Value::Array(claims.iter().cloned().chain(own).collect()),
        );
    }
    endless_template(&spec, &at, "StatefulSet", faults);
}

/// What must not change in a stateful set.
pub fn stateful_set_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    const UPDATABLE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    let fixed = |object: &Value| {
        let mut spec = spec_of(object).clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|name, _| !UPDATABLE.contains(&name.as_str()));
        }
        spec
    };
    if !strategy::same(Some(&fixed(new)), Some(&fixed(old))) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                   'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        faults.push(field::forbidden(&Path::new("spec"), why));
    }
}

/// A daemon set.
pub fn daemon_set(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    checks::selector_of_template(spec, &at, "empty selector is invalid for daemonset", faults);
    endless_template(spec, &at, "DaemonSet", faults);
    for name in ["minReadySeconds", "templateGeneration"] {
        checks::non_negative(spec, &format!("/{name}"), &at.child(name), faults);
    }
    let strategy_at = at.child("updateStrategy");
    let rolling = read::get(spec, "/updateStrategy/rollingUpdate");
    match (read::text(spec, "/updateStrategy/type"), rolling) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => faults.push(field::required(&strategy_at.child("rollingUpdate"), "")),
        ("RollingUpdate", Some(rolling)) => {
            let zero = json!(0);
            let at = strategy_at.child("rollingUpdate");
            let value = |name: &str| rolling.get(name).unwrap_or(&zero);
            let (unavailable, surge) = (value("maxUnavailable"), value("maxSurge"));
            for (name, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
                checks::int_or_percent(value, &at.child(name), faults);
                checks::at_most_100_percent(value, &at.child(name), faults);
            }
            match (checks::amount(unavailable) != 0, checks::amount(surge) != 0) {
                (true, true) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    faults.push(field::invalid(&at.child("maxSurge"), surge, why));
                }
                (false, false) => {
                    let why = "cannot be 0 when maxSurge is 0";
                    faults.push(field::required(&at.child("maxUnavailable"), why));
                }
                _ => {}
            }
        }
        (other, _) => {
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            faults.push(field::not_supported(
                &strategy_at,
                shown,
                &["RollingUpdate", "OnDelete"],
            ));
        }
    }
    checks::non_negative(spec, "/revisionHistoryLimit", &at.child("revisionHistoryLimit"), faults);
}

/// A job; its selector has been made by now.
pub fn job(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    job_spec(spec, &at, faults);
    checks::selector_of_template(spec, &at, "", faults);
}

fn job_spec(spec: &Value, at: &Path<'_>, faults: &mut Vec<Cause>) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        checks::non_negative(spec, &format!("/{name}"), &at.child(name), faults);
    }
    let has = |name: &str| read::get(spec, &format!("/{name}")).is_some();
    if has("maxFailedIndexes") && !has("backoffLimitPerIndex") {
        faults.push(field::required(
            &at.child("backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    let modes = ["NonIndexed", "Indexed"];
    checks::one_of_if_there(spec, "/completionMode", &at.child("completionMode"), &modes, faults);
    if read::text(spec, "/completionMode") == "Indexed" {
        if !has("completions") {
            faults.push(field::required(
                &at.child("completions"),
                "when completion mode is Indexed",
            ));
        }
    } else {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(number) = read::number(spec, &format!("/{name}")) {
                faults.push(field::invalid(
                    &at.child(name),
                    number,
                    "requires indexed completion mode",
                ));
            }
        }
    }
    pod::template(template_of(spec), &at.child("template"), faults);
    let policy = read::text(spec, "/template/spec/restartPolicy");
    let policy_at = at.child("template.spec.restartPolicy");
    match policy {
        "" | "Always" => faults.push(field::required(&policy_at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if has("podFailurePolicy") => {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            faults.push(field::invalid(&policy_at, policy, why));
        }
        "OnFailure" | "Never" => {}
        other => faults.push(field::not_supported(&policy_at, other, &["OnFailure", "Never"])),
    }
}

/// What must not change in a job.
pub fn job_update(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let indexed = read::text(new, "/spec/completionMode") == "Indexed";
    let at = Path::new("spec");
    for name in [
        "completions",
        "selector",
        "template",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        // An indexed job grows by its completions, and one that waits may be placed elsewhere.
        let may = (name == "completions" && indexed) || (name == "template" && read::flag(old, "/spec/suspend"));
        if !may {
            checks::immutable(new, old, &format!("/spec/{name}"), &at.child(name), faults);
        }
    }
}

/// A cron job.
pub fn cron_job(object: &Value, faults: &mut Vec<Cause>) {
    let (spec, at) = (spec_of(object), Path::new("spec"));
    schedule(read::text(spec, "/schedule"), &at.child("schedule"), faults);
    checks::non_negative(
        spec,
        "/startingDeadlineSeconds",
        &at.child("startingDeadlineSeconds"),
        faults,
    );
    if read::get(spec, "/timeZone").and_then(Value::as_str) == Some("") {
        let why = "timeZone must be nil or non-empty string";
        faults.push(field::invalid(&at.child("timeZone"), "", why));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    checks::one_of(
        spec,
        "/concurrencyPolicy",
        &at.child("concurrencyPolicy"),
        &policies,
        faults,
    );
    let template = read::get(spec, "/jobTemplate/spec").unwrap_or(&Value::Null);
    let template_at = at.child("jobTemplate.spec");
    job_spec(template, &template_at, faults);
    if read::flag(template, "/manualSelector") {
        let at = template_at.child("manualSelector");
        faults.push(field::not_supported(&at, true, &["nil", "false"]));
    }
    meta_rules::label_selector(read::get(template, "/selector"), &template_at.child("selector"), faults);
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        checks::non_negative(spec, &format!("/{name}"), &at.child(name), faults);
    }
}

/// The name of a new cron job leaves room for those of its jobs.
pub fn cron_job_name(object: &Value, faults: &mut Vec<Cause>) {
    let name = meta::name(object);
    if name.len() > CRON_NAME_MAX {
        faults.push(field::invalid(
            &Path::new("metadata.name"),
            name,
            "must be no more than 52 characters",
        ));
    }
}

const SHORTHANDS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

fn schedule(text: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if text.is_empty() {
        faults.push(field::required(at, ""));
        return;
    }
    if text.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        faults.push(field::invalid(at, text, why));
        return;
    }
    let fields = text.split_whitespace().count();
    let why = if text.starts_with('@') {
        let known = SHORTHANDS.contains(&text) || text.strip_prefix("@every ").is_some_and(|every| !every.is_empty());
        if known {
            String::new()
        } else {
            format!("unrecognized descriptor: {text}")
        }
    } else if fields == 5 {
        cron_fault(text).unwrap_or_default()
    } else {
        let found: Vec<&str> = text.split_whitespace().collect();
        format!("expected exactly 5 fields, found {fields}: [{}]", found.join(" "))
    };
    if !why.is_empty() {
        faults.push(field::invalid(at, text, &why));
    }
}

/// Least, most and names of the five fields of a schedule.
const CRON_FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

fn cron_fault(text: &str) -> Option<String> {
    for (part, (least, most, names)) in text.split_whitespace().zip(CRON_FIELDS) {
        for range in part.split(',') {
            let number = |text: &str| -> Result<u32, String> {
                let named = names
                    .iter()
                    .zip(least..)
                    .find(|(name, _)| text.eq_ignore_ascii_case(name));
                let parsed = || text.parse().map_err(|_| format!("failed to parse int from {text}"));
                named.map_or_else(parsed, |(_, number)| Ok(number))
            };
            let (bounds, step) = range
                .split_once('/')
                .map_or((range, "1"), |(bounds, step)| (bounds, step));
            let checked = (|| -> Result<(), String> {
                let step = step
                    .parse::<u32>()
                    .map_err(|_| format!("failed to parse int from {step}"))?;
                if step == 0 {
                    return Err(format!("step of range should be a positive number: {range}"));
                }
                if matches!(bounds, "*" | "?") {
                    return Ok(());
                }
                let (from, to) = bounds.split_once('-').unwrap_or((bounds, bounds));
                let (from, to) = (number(from)?, number(to)?);
                if from < least {
                    return Err(format!("beginning of range ({from}) below minimum ({least}): {range}"));
                }
                if to > most {
                    return Err(format!("end of range ({to}) above maximum ({most}): {range}"));
                }
                if from > to {
                    return Err(format!(
                        "beginning of range ({from}) beyond end of range ({to}): {range}"
                    ));
                }
                Ok(())
            })();
            if let Err(why) = checked {
                return Some(why);
            }
        }
    }
    None
}
