//! Tokens of service accounts: for pods on the node, and for whom these pods are to have them.

use std::collections::BTreeSet;

use kubetrust_api::meta;
use kubetrust_api::status::Status;
use kubetrust_api::validate::field::go_quoted;
use kubetrust_auth::authz::{Attributes, ResourceAttributes};
use serde_json::Value;

use super::Asked;
use crate::admission::fields::{each, text};
use crate::admission::{Verb, pod};

/// What a node must be allowed to do to get a token for an audience that no volume of the pod names.
const VERB: &str = "request-serviceaccounts-token-audience";

/// Volumes of old that a CSI driver serves by now (`csi-translation-lib`).
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

pub(super) async fn request(asked: Asked<'_>) -> Result<(), Status> {
    let operation = asked.operation;
    if operation.verb != Verb::Create {
        return Ok(());
    }
    let bound = &operation.object["spec"]["boundObjectRef"];
    let (name, uid) = (text(bound, "name"), text(bound, "uid"));
    if text(bound, "apiVersion") != "v1" || text(bound, "kind") != "Pod" || name.is_empty() {
        return Err(asked.forbidden("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(asked.forbidden("node requested token with a pod binding without a uid"));
    }
    let Some(pod) = asked.objects.find("pods", operation.namespace, name).await? else {
        return Err(Status::not_found("", "pod", name));
    };
    if uid != meta::uid(&pod) {
        return Err(asked.forbidden(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        )));
    }
    if pod::node(&pod) != asked.node {
        return Err(asked.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    check_audience(asked, &pod).await
}

async fn check_audience(asked: Asked<'_>, pod: &Value) -> Result<(), Status> {
    let audiences: Vec<&Value> = each(&asked.operation.object["spec"], "audiences").collect();
    let audience = match audiences.as_slice() {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err(asked.forbidden("node may only request 0 or 1 audiences")),
    };
    let named = pod_names_audience(asked, pod, audience).await?;
    let quoted = go_quoted(audience);
    let named = named.map_err(|why| asked.forbidden(&format!("error validating audience {quoted}: {why}")))?;
    if named || may_request(asked, audience) {
        return Ok(());
    }
    let who = &asked.operation.user.name;
    Err(asked.forbidden(&format!(
        "audience {quoted} not found in pod spec volume, {who} is not authorized to request tokens for this audience"
    )))
}

fn may_request(asked: Asked<'_>, audience: &str) -> bool {
    let attributes = Attributes::Resource(ResourceAttributes {
        verb: VERB.into(),
        version: "v1".into(),
        // The audience stands for the resource, and the account for its name.
        resource: audience.into(),
        namespace: asked.operation.namespace.into(),
        name: asked.operation.name.into(),
        ..ResourceAttributes::default()
    });
    asked
        .authorizer
        .authorize(asked.operation.user, &attributes)
        .is_allowed()
}

/// Whether a volume of the pod has a token for the audience, its own or its driver's. What is missing on the way is an
/// error, unless another volume has it.
async fn pod_names_audience(asked: Asked<'_>, pod: &Value, audience: &str) -> Result<Result<bool, String>, Status> {
    let mut missing = BTreeSet::new();
    for volume in each(&pod["spec"], "volumes") {
        let has_token = |source: &Value| {
            let token = &source["serviceAccountToken"];
            token.is_object() && text(token, "audience") == audience
        };
        if each(&volume["projected"], "sources").any(has_token) {
            return Ok(Ok(true));
        }
        match volume_has_audience(asked, pod, volume, audience).await? {
            Ok(true) => return Ok(Ok(true)),
            Ok(false) => {}
            Err(NotThere(what)) => drop(missing.insert(what)),
        }
    }
    Ok(match missing.into_iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(false),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    })
}

/// An object that is referred to and is not there.
struct NotThere(String);

impl NotThere {
    fn new(resource: &str, name: &str) -> Self {
        Self(format!("{resource} {} not found", go_quoted(name)))
    }
}

/// Volume → claim → volume of the cluster → driver → the audiences that it asks for.
async fn volume_has_audience(
    asked: Asked<'_>,
    pod: &Value,
    volume: &Value,
    audience: &str,
) -> Result<Result<bool, NotThere>, Status> {
    let driver = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
        let claim = format!("{}-{}", meta::name(pod), text(volume, "name"));
        driver_of_claim(asked, &claim).await?
    } else if volume["persistentVolumeClaim"].is_object() {
        driver_of_claim(asked, text(&volume["persistentVolumeClaim"], "claimName")).await?
    } else {
        Ok(driver_of(volume))
    };
    let driver = match driver {
        Ok(Some(driver)) => driver,
        Ok(None) => return Ok(Ok(false)),
        Err(missing) => return Ok(Err(missing)),
    };
    let Some(found) = asked.objects.find("csidrivers", "", &driver).await? else {
        return Ok(Err(NotThere::new("csidriver.storage.k8s.io", &driver)));
    };
    Ok(Ok(
        each(&found["spec"], "tokenRequests").any(|request| text(request, "audience") == audience)
    ))
}

async fn driver_of_claim(asked: Asked<'_>, claim: &str) -> Result<Result<Option<String>, NotThere>, Status> {
    let Some(found) = asked
        .objects
        .find("persistentvolumeclaims", asked.operation.namespace, claim)
        .await?
    else {
        return Ok(Err(NotThere::new("persistentvolumeclaim", claim)));
    };
    let name = text(&found["spec"], "volumeName");
    let Some(volume) = asked.objects.find("persistentvolumes", "", name).await? else {
        return Ok(Err(NotThere::new("persistentvolume", name)));
    };
    Ok(Ok(driver_of(&volume["spec"])))
}

/// The driver of a volume, of a pod or of the cluster.
fn driver_of(volume: &Value) -> Option<String> {
    match text(&volume["csi"], "driver") {
        "" => MIGRATED
            .iter()
            .find(|(source, _)| volume[*source].is_object())
            .map(|(_, driver)| (*driver).to_owned()),
        driver => Some(driver.to_owned()),
    }
}
