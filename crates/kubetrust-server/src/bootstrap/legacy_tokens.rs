//! Since when the use of tokens from Secrets is tracked: whoever cleans up those that nobody uses has to know
//! (`pkg/controlplane/controller/legacytokentracking`).

use jiff::Timestamp;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use serde_json::json;

use super::New;
use crate::registry::Registry;
use crate::registry::target::Target;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-apiserver-legacy-service-account-token-tracking";

/// The config map that says it, unless there is one.
pub(super) fn missing(registry: &Registry, now: Timestamp) -> Result<Option<New>, Status> {
    let maps = resource::lookup("", "v1", "configmaps").ok_or_else(Status::no_such_path)?;
    if registry.cached(&Target::object(maps, NAMESPACE, NAME)).is_some() {
        return Ok(None);
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "data": {"since": now.strftime("%Y-%m-%d").to_string()},
    });
    New::of("", "v1", "configmaps", object).map(Some)
}
