//! Accounts whose pods may use no secrets but the account's own (annotation `kubernetes.io/enforce-mountable-secrets`).

use kubetrust_api::meta;
use serde_json::Value;

use crate::admission::fields::{each, text};

const ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";

/// What Go's `strconv.ParseBool` takes for a yes.
const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];

/// Whether the account says so.
pub(super) fn enforced(account: &Value) -> bool {
    meta::annotation(account, ANNOTATION).is_some_and(|value| YES.contains(&value))
}

/// Looks through a new pod.
pub(super) fn check(account: &Value, pod: &Value) -> Result<(), String> {
    let (spec, who) = (&pod["spec"], meta::name(account));
    for secret in each(spec, "volumes").filter_map(|volume| volume["secret"].as_object()) {
        let name = secret.get("secretName").and_then(Value::as_str).unwrap_or_default();
        if !allows(account, "secrets", name) {
            return Err(format!(
                "volume with secret.secretName=\"{name}\" is not allowed \
                 because service account {who} does not reference that secret"
            ));
        }
    }
    check_containers(account, spec, "initContainers", "init container")?;
    check_containers(account, spec, "containers", "container")?;
    for (index, secret) in each(spec, "imagePullSecrets").enumerate() {
        let name = text(secret, "name");
        if !allows(account, "imagePullSecrets", name) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed \
                 because service account {who} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// Looks through the containers that are added to a pod that runs. Upstream answers these with a bare 500.
pub(super) fn check_ephemeral(account: &Value, pod: &Value) -> Result<(), String> {
    check_containers(account, &pod["spec"], "ephemeralContainers", "ephemeral container")
}

fn check_containers(account: &Value, spec: &Value, list: &str, called: &str) -> Result<(), String> {
    let who = meta::name(account);
    for container in each(spec, list) {
        let place = format!("{called} {}", text(container, "name"));
        for variable in each(container, "env") {
            if let Some(secret) = refused(account, &variable["valueFrom"]["secretKeyRef"]) {
                return Err(format!(
                    "{place} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed \
                 because service account {who} does not reference that secret",
                    text(variable, "name")
                ));
            }
        }
        for source in each(container, "envFrom") {
            if let Some(secret) = refused(account, &source["secretRef"]) {
                return Err(format!(
                    "{place} with envFrom referencing secret.secretName=\"{secret}\" is not allowed \
                 because service account {who} does not reference that secret"
                ));
            }
        }
    }
    Ok(())
}

/// The secret of a reference, where there is one and it is not the account's.
fn refused<'a>(account: &Value, reference: &'a Value) -> Option<&'a str> {
    reference.as_object()?;
    let name = text(reference, "name");
    (!allows(account, "secrets", name)).then_some(name)
}

fn allows(account: &Value, list: &str, name: &str) -> bool {
    each(account, list).any(|secret| text(secret, "name") == name)
}
