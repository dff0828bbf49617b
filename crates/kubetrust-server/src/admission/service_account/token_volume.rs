//! The volume with the token of a pod's service account, the cluster's CA and the pod's namespace.

use serde_json::{Value, json};

use crate::admission::fields::{each, list_mut, spec_mut, text};
use crate::registry::write::generated_name;

/// How the names of such volumes begin.
const PREFIX: &str = "kube-api-access-";
/// Where containers have it.
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A token of so many seconds is known to come from here: it lives for a year where old clients need it
/// (`pkg/serviceaccount` `WarnOnlyBoundTokenExpirationSeconds`).
const TOKEN_SECONDS: u32 = 3607;
/// Who may read the files: all of the container.
const MODE: u32 = 0o644;

/// Mounts it into each container that has nothing there.
pub(super) fn mount(pod: &mut Value) {
    let present = each(&pod["spec"], "volumes")
        .map(|volume| text(volume, "name"))
        .find(|name| name.starts_with(PREFIX));
    let (name, is_new) = match present {
        Some(name) => (name.to_owned(), false),
        None => (generated_name(PREFIX), true),
    };
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            mounted |= mount_into(container, &name);
        }
    }
    if mounted
        && is_new
        && let Some(volumes) = spec_mut(pod).and_then(|spec| list_mut(spec, "volumes"))
    {
        volumes.push(volume(&name));
    }
}

fn mount_into(container: &mut Value, volume: &str) -> bool {
    if each(container, "volumeMounts").any(|mount| text(mount, "mountPath") == PATH) {
        return false;
    }
    let mounts = container
        .as_object_mut()
        .and_then(|fields| list_mut(fields, "volumeMounts"));
    mounts
        .map(|mounts| mounts.push(json!({"name": volume, "readOnly": true, "mountPath": PATH})))
        .is_some()
}

fn volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": MODE,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}
