//! Writes on the Secret of a service account's token on which day it was last used, so that those which nobody uses can be
//! found (`pkg/serviceaccount/legacy.go`, which writes it within the request).

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use kubetrust_auth::authn::service_account::{LAST_USED, UsedSecret};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::bootstrap::change_as_server;
use crate::registry::Registry;
use crate::registry::target::Target;
use crate::stop::told;

/// How many Secrets may wait to be labelled.
pub const USED_SECRETS: usize = 1024;

pub(super) async fn run(registry: Registry, mut used: mpsc::Receiver<UsedSecret>, mut stop: watch::Receiver<bool>) {
    loop {
        let secret = tokio::select! {
            secret = used.recv() => secret,
            () = told(&mut stop) => None,
        };
        let Some(secret) = secret else { return };
        let (namespace, name) = (&secret.namespace, &secret.name);
        match label(&registry, &secret, Timestamp::now()).await {
            Ok(()) => {}
            Err(error) if matches!(error.code, 404 | 409) => {
                debug!(%namespace, %name, %error, "the secret of a used token has gone");
            }
            Err(error) => warn!(%namespace, %name, %error, "the secret of a used token can't be labelled"),
        }
    }
}

async fn label(registry: &Registry, used: &UsedSecret, now: Timestamp) -> Result<(), Status> {
    let secrets = resource::lookup("", "v1", "secrets").ok_or_else(Status::no_such_path)?;
    let target = Target::object(secrets, &used.namespace, &used.name);
    // All requests until the first was written ask for the same.
    let is_written = |secret: &serde_json::Value| secret["metadata"]["labels"][LAST_USED] == used.day.as_str();
    if registry
        .cached(&target)
        .is_some_and(|secret| is_written(&secret.value()))
    {
        return Ok(());
    }
    change_as_server(registry, &target, now, |old| {
        if old.is_null() {
            return Err(target.not_found());
        }
        if meta::uid(old) != used.uid {
            return Err(target.conflict("it was made anew"));
        }
        let mut labelled = old.clone();
        labelled["metadata"]["labels"][LAST_USED] = used.day.clone().into();
        meta::remove(&mut labelled, "resourceVersion");
        Ok(labelled)
    })
    .await
}
