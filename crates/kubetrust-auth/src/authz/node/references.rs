//! What an object refers to that the kubelet of its node has to read. Where a reference stands is a table of paths.

use serde_json::Value;

use super::graph::{Feed, Kind, Pod, Reference, Volume};

/// An object without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an object of {plural} has no metadata.{field}; the API refuses such an object, so the store is not what it should be"
)]
pub struct GraphError {
    /// Which resource it should have been.
    pub plural: &'static str,
    /// What is missing.
    pub field: &'static str,
}

/// Where the secret of a pod's volume stands (`pkg/api/v1/pod/util.go`).
const VOLUME_SECRETS: [&str; 10] = [
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/csi/nodePublishSecretRef/name",
    "/flexVolume/secretRef/name",
    "/iscsi/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/secret/secretName",
    "/storageos/secretRef/name",
];

/// Where the containers of a pod stand.
const CONTAINERS: [&str; 3] = ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];

/// Where a container refers to something: list, path within an item, kind.
const CONTAINER_REFERENCES: [(&str, &str, Kind); 4] = [
    ("/envFrom", "/secretRef/name", Kind::Secret),
    ("/env", "/valueFrom/secretKeyRef/name", Kind::Secret),
    ("/envFrom", "/configMapRef/name", Kind::ConfigMap),
    ("/env", "/valueFrom/configMapKeyRef/name", Kind::ConfigMap),
];

/// Where the secret of a persistent volume stands: path of its name, path of its namespace, and whether it is the
/// claim's where that is empty (`pkg/api/v1/persistentvolume/util.go`). Those that only controllers use are left out.
const PERSISTENT_SECRETS: [(&str, &str, bool); 11] = [
    ("/azureFile/secretName", "/azureFile/secretNamespace", true),
    ("/cephfs/secretRef/name", "/cephfs/secretRef/namespace", true),
    ("/cinder/secretRef/name", "/cinder/secretRef/namespace", false),
    (
        "/csi/nodeExpandSecretRef/name",
        "/csi/nodeExpandSecretRef/namespace",
        false,
    ),
    (
        "/csi/nodePublishSecretRef/name",
        "/csi/nodePublishSecretRef/namespace",
        false,
    ),
    (
        "/csi/nodeStageSecretRef/name",
        "/csi/nodeStageSecretRef/namespace",
        false,
    ),
    ("/flexVolume/secretRef/name", "/flexVolume/secretRef/namespace", true),
    ("/iscsi/secretRef/name", "/iscsi/secretRef/namespace", true),
    ("/rbd/secretRef/name", "/rbd/secretRef/namespace", true),
    ("/scaleIO/secretRef/name", "/scaleIO/secretRef/namespace", true),
    ("/storageos/secretRef/name", "/storageos/secretRef/namespace", false),
];

/// Marks a pod that the API server only mirrors: its kubelet runs it whatever the API says, and so the kubelet must not
/// gain anything by it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What the graph takes in of an object; nothing if it is of another resource.
pub(super) fn read(group: &str, plural: &str, object: &Value) -> Result<Option<Feed>, GraphError> {
    Ok(Some(match (group, plural) {
        ("", "pods") => pod(object)?,
        ("", "persistentvolumes") => persistent_volume(object)?,
        ("storage.k8s.io", "volumeattachments") => Feed::Attachment {
            name: name("volumeattachments", object)?,
            node: text(object, "/spec/nodeName"),
        },
        ("resource.k8s.io", "resourceslices") => Feed::Slice {
            name: name("resourceslices", object)?,
            node: text(object, "/spec/nodeName"),
        },
        _ => return Ok(None),
    }))
}

fn pod(object: &Value) -> Result<Feed, GraphError> {
    let name = name("pods", object)?;
    let namespace = text(object, "/metadata/namespace");
    if namespace.is_empty() {
        return Err(GraphError {
            plural: "pods",
            field: "namespace",
        });
    }
    let node = text(object, "/spec/nodeName");
    let mirrored = object
        .pointer("/metadata/annotations")
        .is_some_and(|each| each.get(MIRROR).is_some());
    let mut found = Vec::new();
    if !node.is_empty() && !mirrored {
        found.push((Kind::ServiceAccount, text(object, "/spec/serviceAccountName")));
        let pull_secrets = items(object, "/spec/imagePullSecrets");
        found.extend(pull_secrets.iter().map(|each| (Kind::Secret, text(each, "/name"))));
        containers(object, &mut found);
        volumes(object, &name, &mut found);
        claims(object, &mut found);
    }
    let references = found
        .into_iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(kind, name)| Reference {
            kind,
            namespace: namespace.clone(),
            name,
        })
        .collect();
    Ok(Feed::Pod {
        namespace,
        name,
        pod: Pod { node, references },
    })
}

fn containers(pod: &Value, found: &mut Vec<(Kind, String)>) {
    for container in CONTAINERS.iter().flat_map(|path| items(pod, path)) {
        for (list, path, kind) in CONTAINER_REFERENCES {
            found.extend(items(container, list).iter().map(|each| (kind, text(each, path))));
        }
    }
}

fn volumes(pod: &Value, pod_name: &str, found: &mut Vec<(Kind, String)>) {
    for volume in items(pod, "/spec/volumes") {
        found.extend(VOLUME_SECRETS.iter().map(|path| (Kind::Secret, text(volume, path))));
        found.push((Kind::ConfigMap, text(volume, "/configMap/name")));
        for source in items(volume, "/projected/sources") {
            found.push((Kind::Secret, text(source, "/secret/name")));
            found.push((Kind::ConfigMap, text(source, "/configMap/name")));
        }
        found.push((Kind::Claim, text(volume, "/persistentVolumeClaim/claimName")));
        if volume.get("ephemeral").is_some_and(Value::is_object) {
            found.push((Kind::Claim, format!("{pod_name}-{}", text(volume, "/name"))));
        }
    }
}

/// A resource claim is named by the pod, or made from a template and then named by the pod's status.
fn claims(pod: &Value, found: &mut Vec<(Kind, String)>) {
    let made = items(pod, "/status/resourceClaimStatuses");
    for claim in items(pod, "/spec/resourceClaims") {
        let mut name = text(claim, "/resourceClaimName");
        if name.is_empty() && claim.get("resourceClaimTemplateName").is_some_and(Value::is_string) {
            let status = made.iter().find(|status| status.get("name") == claim.get("name"));
            name = status
                .map(|status| text(status, "/resourceClaimName"))
                .unwrap_or_default();
        }
        found.push((Kind::ResourceClaim, name));
    }
    found.push((
        Kind::ResourceClaim,
        text(pod, "/status/extendedResourceClaimStatus/resourceClaimName"),
    ));
}

fn persistent_volume(object: &Value) -> Result<Feed, GraphError> {
    let name = name("persistentvolumes", object)?;
    let claim = object
        .pointer("/spec/claimRef")
        .filter(|claim| claim.is_object())
        .map(|claim| Reference {
            kind: Kind::Claim,
            namespace: text(claim, "/namespace"),
            name: text(claim, "/name"),
        });
    let volume = claim.map(|claim| Volume {
        secrets: persistent_secrets(object, &claim.namespace),
        claim,
    });
    Ok(Feed::Volume { name, volume })
}

fn persistent_secrets(object: &Value, claim_namespace: &str) -> Vec<Reference> {
    let Some(spec) = object.get("spec") else {
        return Vec::new();
    };
    PERSISTENT_SECRETS
        .iter()
        .filter_map(|(name, namespace, or_of_claim)| {
            let name = Some(text(spec, name)).filter(|name| !name.is_empty())?;
            let namespace = match text(spec, namespace) {
                own if own.is_empty() && *or_of_claim => claim_namespace.to_owned(),
                own => own,
            };
            Some(Reference {
                kind: Kind::Secret,
                namespace,
                name,
            })
        })
        .collect()
}

fn name(plural: &'static str, object: &Value) -> Result<String, GraphError> {
    match text(object, "/metadata/name") {
        name if name.is_empty() => Err(GraphError { plural, field: "name" }),
        name => Ok(name),
    }
}

/// The text at a path, empty where there is none.
fn text(value: &Value, path: &str) -> String {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The list at a path, empty where there is none.
fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
