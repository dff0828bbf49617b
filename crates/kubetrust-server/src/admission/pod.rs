//! What a pod refers to (`pkg/api/pod/util.go`).

use kubetrust_api::meta;
use kubetrust_api::validate::field::go_quoted;
use serde_json::Value;

use super::fields::{each, text};

/// The annotation of a pod that only shows what a kubelet runs from a file.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Volumes that name a secret, and where.
const VOLUME_SECRETS: [(&str, &str); 10] = [
    ("azureFile", "/secretName"),
    ("cephfs", "/secretRef/name"),
    ("cinder", "/secretRef/name"),
    ("csi", "/nodePublishSecretRef/name"),
    ("flexVolume", "/secretRef/name"),
    ("iscsi", "/secretRef/name"),
    ("rbd", "/secretRef/name"),
    ("scaleIO", "/secretRef/name"),
    ("secret", "/secretName"),
    ("storageos", "/secretRef/name"),
];

/// Volumes that are nothing without another object, and which.
const REFERRING_VOLUMES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];

/// The same of the sources of a projected volume; all but `downwardAPI`.
const REFERRING_SOURCES: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

/// Volumes that a node makes of its own.
const OWN_VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// The text at a JSON pointer, if there is any.
fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// Whether it is a mirror pod.
pub(super) fn is_mirror(pod: &Value) -> bool {
    meta::annotations(pod).is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// The node that it runs on, or is to; empty for none.
pub(super) fn node(pod: &Value) -> &str {
    text(&pod["spec"], "nodeName")
}

/// Its service account, also by the field's old name.
pub(super) fn service_account(pod: &Value) -> &str {
    let spec = &pod["spec"];
    [text(spec, "serviceAccountName"), text(spec, "serviceAccount")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    CONTAINERS.iter().flat_map(|list| each(&pod["spec"], list))
}

fn projected(volume: &Value) -> std::slice::Iter<'_, Value> {
    each(&volume["projected"], "sources")
}

/// Whether a container's environment names a secret or a config map, by these fields.
fn in_environment(pod: &Value, whole: &str, key: &str) -> bool {
    containers(pod).any(|container| {
        each(container, "envFrom").any(|source| text_at(source, whole).is_some())
            || each(container, "env").any(|variable| text_at(variable, key).is_some())
    })
}

/// Whether it names a secret.
pub(super) fn refers_to_secrets(pod: &Value) -> bool {
    each(&pod["spec"], "imagePullSecrets").any(|secret| text_at(secret, "/name").is_some())
        || in_environment(pod, "/secretRef/name", "/valueFrom/secretKeyRef/name")
        || each(&pod["spec"], "volumes").any(|volume| {
            VOLUME_SECRETS
                .iter()
                .any(|(source, name)| text_at(&volume[*source], name).is_some())
                || projected(volume).any(|source| text_at(source, "/secret/name").is_some())
        })
}

fn refers_to_config_maps(pod: &Value) -> bool {
    in_environment(pod, "/configMapRef/name", "/valueFrom/configMapKeyRef/name")
        || each(&pod["spec"], "volumes").any(|volume| {
            text_at(volume, "/configMap/name").is_some()
                || projected(volume).any(|source| text_at(source, "/configMap/name").is_some())
        })
}

/// Whether it has the token of its service account in a volume.
pub(super) fn has_token(pod: &Value) -> bool {
    each(&pod["spec"], "volumes")
        .any(|volume| projected(volume).any(|source| source["serviceAccountToken"].is_object()))
}

/// What it refers to, if anything: a pod that a kubelet may create refers to nothing. An error for a volume of unknown
/// kind.
pub(super) fn reference(pod: &Value) -> Result<Option<&'static str>, String> {
    let known = [
        ("serviceaccounts", !service_account(pod).is_empty()),
        ("secrets", refers_to_secrets(pod)),
        ("configmaps", refers_to_config_maps(pod)),
        ("resourceclaims", each(&pod["spec"], "resourceClaims").len() > 0),
    ];
    if let Some((resource, _)) = known.into_iter().find(|(_, refers)| *refers) {
        return Ok(Some(resource));
    }
    for volume in each(&pod["spec"], "volumes") {
        if let Some(resource) = volume_reference(volume)? {
            return Ok(Some(resource));
        }
    }
    Ok(None)
}

fn volume_reference(volume: &Value) -> Result<Option<&'static str>, String> {
    let has = |field: &&str| volume[*field].is_object();
    if let Some((_, resource)) = REFERRING_VOLUMES.iter().find(|(field, _)| has(field)) {
        return Ok(Some(resource));
    }
    let name = go_quoted(text(volume, "name"));
    if has(&"projected") {
        for source in projected(volume) {
            match REFERRING_SOURCES.iter().find(|(field, _)| source[*field].is_object()) {
                Some((_, resource)) => return Ok(Some(resource)),
                None if source["downwardAPI"].is_object() => {}
                None => return Err(format!("unknown source for projected volume {name}")),
            }
        }
        return Ok(None);
    }
    // The two spaces are upstream's.
    if OWN_VOLUMES.iter().any(has) {
        Ok(None)
    } else {
        Err(format!("unknown volume type for volume  {name}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table, a line a case")]
    fn every_way_of_referring_is_found() {
        let secret = json!({"secretName": "s", "secretRef": {"name": "s"}, "nodePublishSecretRef": {"name": "s"}});
        let named = |field: &str| json!({"volumes": [{"name": "v", field: secret}]});
        let in_source =
            |field: &str| json!({"volumes": [{"name": "v", "projected": {"sources": [{field: {"name": "n"}}]}}]});
        let container = |list: &str, container: Value| json!({list: [container]});
        let mut cases = vec![
            (json!({}), Ok(None)),
            (json!({"serviceAccountName": "a"}), Ok(Some("serviceaccounts"))),
            (json!({"serviceAccount": "a"}), Ok(Some("serviceaccounts"))),
            (json!({"imagePullSecrets": [{"name": "s"}]}), Ok(Some("secrets"))),
            (json!({"imagePullSecrets": [{"name": ""}]}), Ok(None)),
            (json!({"resourceClaims": [{"name": "c"}]}), Ok(Some("resourceclaims"))),
            (in_source("secret"), Ok(Some("secrets"))),
            (in_source("configMap"), Ok(Some("configmaps"))),
            (
                in_source("serviceAccountToken"),
                Ok(Some("serviceaccounts (via projected volumes)")),
            ),
            (in_source("clusterTrustBundle"), Ok(Some("clustertrustbundles"))),
            (in_source("podCertificate"), Ok(Some("podcertificates"))),
            (in_source("downwardAPI"), Ok(None)),
            (
                in_source("news"),
                Err(r#"unknown source for projected volume "v""#.to_owned()),
            ),
            (
                json!({"volumes": [{"name": "v", "configMap": {}}]}),
                Ok(Some("configmaps (via configmap volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
                Ok(Some("configmaps")),
            ),
            (
                json!({"volumes": [{"name": "v", "secret": {}}]}),
                Ok(Some("secrets (via secret volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}),
                Ok(Some("csidrivers (via CSI volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v", "glusterfs": {}}]}),
                Ok(Some("endpoints (via glusterFS volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v", "persistentVolumeClaim": {}}]}),
                Ok(Some("persistentvolumeclaims")),
            ),
            (
                json!({"volumes": [{"name": "v", "ephemeral": {}}]}),
                Ok(Some("persistentvolumeclaims (via ephemeral volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v", "azureFile": {}}]}),
                Ok(Some("secrets (via azureFile volumes)")),
            ),
            (
                json!({"volumes": [{"name": "v"}]}),
                Err(r#"unknown volume type for volume  "v""#.to_owned()),
            ),
            (
                json!({"volumes": [{"name": "v", "news": {}}]}),
                Err(r#"unknown volume type for volume  "v""#.to_owned()),
            ),
        ];
        cases.extend(
            VOLUME_SECRETS
                .iter()
                .map(|(field, _)| (named(field), Ok(Some("secrets")))),
        );
        cases.extend(
            OWN_VOLUMES
                .iter()
                .map(|field| (json!({"volumes": [{"name": "v", *field: {}}]}), Ok(None))),
        );
        for list in CONTAINERS {
            let variable = |from: Value| json!({"env": [{"name": "A", "valueFrom": from}]});
            cases.extend([
                (
                    container(list, variable(json!({"secretKeyRef": {"name": "s"}}))),
                    Ok(Some("secrets")),
                ),
                (
                    container(list, json!({"envFrom": [{"secretRef": {"name": "s"}}]})),
                    Ok(Some("secrets")),
                ),
                (
                    container(list, variable(json!({"configMapKeyRef": {"name": "c"}}))),
                    Ok(Some("configmaps")),
                ),
                (
                    container(list, json!({"envFrom": [{"configMapRef": {"name": "c"}}]})),
                    Ok(Some("configmaps")),
                ),
                (
                    container(list, variable(json!({"fieldRef": {"fieldPath": "metadata.name"}}))),
                    Ok(None),
                ),
            ]);
        }
        for (spec, expected) in cases {
            assert_eq!(reference(&json!({"spec": spec})), expected, "{spec}");
        }
    }
}
