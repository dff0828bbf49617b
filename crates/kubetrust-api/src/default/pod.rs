//! Defaults of pod specs, wherever they stand.

use serde_json::{Map, Value, json};

use super::rows::{
    self,
    Default::{Bool, Int, NonZero, Object, Text},
    Row, row,
};

/// Of every pod spec.
static SPEC: &[Row] = &[
    row("", "restartPolicy", Text("Always")),
    row("", "terminationGracePeriodSeconds", Int(30)),
    row("", "dnsPolicy", Text("ClusterFirst")),
    row("", "securityContext", Object),
    row("", "schedulerName", Text("default-scheduler")),
    row("volumes.*.secret", "defaultMode", Int(0o644)),
    row("volumes.*.configMap", "defaultMode", Int(0o644)),
    row("volumes.*.downwardAPI", "defaultMode", Int(0o644)),
    row("volumes.*.downwardAPI.items.*.fieldRef", "apiVersion", Text("v1")),
    row("volumes.*.projected", "defaultMode", Int(0o644)),
    row(
        "volumes.*.projected.sources.*.serviceAccountToken",
        "expirationSeconds",
        Int(3600),
    ),
    row(
        "volumes.*.projected.sources.*.downwardAPI.items.*.fieldRef",
        "apiVersion",
        Text("v1"),
    ),
    row("volumes.*.hostPath", "type", Text("")),
    row("volumes.*.iscsi", "iscsiInterface", Text("default")),
    row("volumes.*.rbd", "pool", Text("rbd")),
    row("volumes.*.rbd", "user", Text("admin")),
    row("volumes.*.rbd", "keyring", Text("/etc/ceph/keyring")),
    row("volumes.*.azureDisk", "cachingMode", Text("ReadWrite")),
    row("volumes.*.azureDisk", "fsType", Text("ext4")),
    row("volumes.*.azureDisk", "readOnly", Bool(false)),
    row("volumes.*.azureDisk", "kind", Text("Shared")),
    row("volumes.*.scaleIO", "storageMode", Text("ThinProvisioned")),
    row("volumes.*.scaleIO", "fsType", Text("xfs")),
    row(
        "volumes.*.ephemeral.volumeClaimTemplate.spec!",
        "volumeMode",
        Text("Filesystem"),
    ),
];

/// Of every container.
static CONTAINER: &[Row] = &[
    row("", "resources", Object),
    row("", "terminationMessagePath", Text("/dev/termination-log")),
    row("", "terminationMessagePolicy", Text("File")),
    row("ports.*", "protocol", Text("TCP")),
    row("env.*.valueFrom.fieldRef", "apiVersion", Text("v1")),
    row("lifecycle.postStart.httpGet", "path", Text("/")),
    row("lifecycle.postStart.httpGet", "scheme", Text("HTTP")),
    row("lifecycle.preStop.httpGet", "path", Text("/")),
    row("lifecycle.preStop.httpGet", "scheme", Text("HTTP")),
];

/// Of every probe.
static PROBE: &[Row] = &[
    row("", "timeoutSeconds", NonZero(1)),
    row("", "periodSeconds", NonZero(10)),
    row("", "successThreshold", NonZero(1)),
    row("", "failureThreshold", NonZero(3)),
    row("httpGet", "path", Text("/")),
    row("httpGet", "scheme", Text("HTTP")),
    row("grpc", "service", Text("")),
];

const CONTAINERS: [&str; 3] = ["containers.*", "initContainers.*", "ephemeralContainers.*"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Completes a pod spec.
pub fn spec(spec: &mut Map<String, Value>) {
    rows::apply(spec, SPEC);
    for at in CONTAINERS {
        rows::each(spec, at, &mut container);
    }
    rows::each(spec, "volumes.*", &mut volume);
    account(spec);
}

fn container(container: &mut Map<String, Value>) {
    rows::apply(container, CONTAINER);
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    rows::set(container, "imagePullPolicy", Text(policy));
    for probe in PROBES {
        rows::each(container, probe, &mut |probe| rows::apply(probe, PROBE));
    }
}

/// `Always` for the tag `latest`, also where it is left out.
fn pull_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    if latest && !image.is_empty() {
        "Always"
    } else {
        "IfNotPresent"
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    rows::each(volume, "image", &mut |image| {
        let policy = pull_policy(image.get("reference").and_then(Value::as_str).unwrap_or_default());
        rows::set(image, "pullPolicy", Text(policy));
    });
}

/// `serviceAccount` is an older name of `serviceAccountName`; both are written.
fn account(spec: &mut Map<String, Value>) {
    let text = |name: &str| spec.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(name) = text("serviceAccountName")
        .or_else(|| text("serviceAccount"))
        .map(str::to_owned)
    {
        spec.insert("serviceAccountName".into(), json!(name));
        spec.insert("serviceAccount".into(), json!(name));
    }
}

/// What only pods get, and templates don't.
pub fn pod(pod: &mut Map<String, Value>) {
    rows::each(pod, "spec", &mut |spec| {
        rows::set(spec, "enableServiceLinks", Bool(true));
        let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default();
        for at in ["containers.*", "initContainers.*"] {
            rows::each(spec, at, &mut requests);
            if host_network {
                rows::each(spec, at, &mut |container| {
                    rows::each(container, "ports.*", &mut host_port);
                });
            }
        }
        rows::each(spec, "", &mut requests);
    });
}

/// What is limited is requested, unless something else is.
fn requests(container: &mut Map<String, Value>) {
    rows::each(container, "resources", &mut |resources| {
        let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
            return;
        };
        rows::each(resources, "requests!", &mut |requests| {
            for (name, limit) in &limits {
                requests.entry(name.clone()).or_insert_with(|| limit.clone());
            }
        });
    });
}

fn host_port(port: &mut Map<String, Value>) {
    if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
        rows::set(port, "hostPort", NonZero(number));
    }
}
