//! `ServiceAccount`: every pod runs as a service account that there is, and has its token
//! (`plugin/pkg/admission/serviceaccount`).

mod mountable;
mod token_volume;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kubetrust_api::meta;
use kubetrust_api::status::Status;
use serde_json::{Value, json};

use super::fields::{each, list_mut, spec_mut, text};
use super::objects::Objects;
use super::{Operation, Plugin, Step, Verb, pod};
use crate::registry::Registry;

/// The account of pods that name none.
const DEFAULT: &str = "default";
/// How often the default account is looked for: a controller makes it a moment after its namespace.
const ATTEMPTS: usize = 30;
/// How long to wait between two looks.
const WAIT: Duration = Duration::from_millis(50);

/// The plugin.
#[derive(Debug)]
pub struct ServiceAccount {
    objects: Objects,
}

impl ServiceAccount {
    /// Looks accounts up in a registry.
    pub fn new(registry: &Registry) -> Self {
        Self {
            objects: Objects::new(registry),
        }
    }

    async fn admit(&self, operation: &mut Operation<'_>) -> Result<(), Status> {
        if !is_pod_created(operation) || pod::is_mirror(&operation.object) {
            return self.check(operation).await;
        }
        let wanted = match pod::service_account(&operation.object) {
            "" => DEFAULT.to_owned(),
            name => name.to_owned(),
        };
        let account = self.account(operation, &wanted).await?;
        if let Some(spec) = spec_mut(&mut operation.object) {
            // The old name of the field says the same, always.
            spec.insert("serviceAccountName".into(), wanted.clone().into());
            spec.insert("serviceAccount".into(), wanted.into());
        }
        if wants_token(&account, &operation.object) {
            token_volume::mount(&mut operation.object);
        }
        add_pull_secrets(&account, &mut operation.object);
        self.check(operation).await
    }

    async fn check(&self, operation: &Operation<'_>) -> Result<(), Status> {
        let pod = &operation.object;
        if !pod.is_object() {
            return Ok(());
        }
        let ephemeral = is_ephemeral_update(operation);
        if !ephemeral && pod::is_mirror(pod) {
            return check_mirror(pod).map_err(|why| operation.forbidden(why));
        }
        let name = pod::service_account(pod);
        if name.is_empty() {
            let place = format!("{}/{}", operation.namespace, meta::name(pod));
            return Err(operation.forbidden(&format!("no service account specified for pod {place}")));
        }
        let account = self.account(operation, name).await?;
        if !mountable::enforced(&account) {
            return Ok(());
        }
        let checked = if ephemeral {
            mountable::check_ephemeral(&account, pod)
        } else {
            mountable::check(&account, pod)
        };
        checked.map_err(|why| operation.forbidden(&why))
    }

    async fn account(&self, operation: &Operation<'_>, name: &str) -> Result<Arc<Value>, Status> {
        let namespace = operation.namespace;
        let attempts = if name == DEFAULT { ATTEMPTS } else { 1 };
        for attempt in 0..attempts {
            if attempt > 0 {
                tokio::time::sleep(WAIT).await;
            }
            if let Some(account) = self.objects.find("serviceaccounts", namespace, name).await? {
                return Ok(account);
            }
        }
        Err(operation.forbidden(&format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        )))
    }
}

fn is_pod_created(operation: &Operation<'_>) -> bool {
    operation.is("", "pods") && operation.verb == Verb::Create
}

fn is_ephemeral_update(operation: &Operation<'_>) -> bool {
    operation.is_subresource("", "pods", "ephemeralcontainers") && operation.verb == Verb::Update
}

/// The pod decides, then the account; by default it is yes.
fn wants_token(account: &Value, pod: &Value) -> bool {
    let wishes = [
        &pod["spec"]["automountServiceAccountToken"],
        &account["automountServiceAccountToken"],
    ];
    wishes.into_iter().find_map(Value::as_bool).unwrap_or(true)
}

/// A pod that names no secrets for pulling images has those of its account.
fn add_pull_secrets(account: &Value, pod: &mut Value) {
    let secrets: Vec<Value> = each(account, "imagePullSecrets")
        .map(|secret| json!({"name": text(secret, "name")}))
        .collect();
    if !secrets.is_empty()
        && let Some(list) = spec_mut(pod).and_then(|spec| list_mut(spec, "imagePullSecrets"))
        && list.is_empty()
    {
        *list = secrets;
    }
}

/// A pod that only shows what a kubelet runs reaches nothing of the cluster.
fn check_mirror(pod: &Value) -> Result<(), &'static str> {
    let rules = [
        (
            !pod::service_account(pod).is_empty(),
            "a mirror pod may not reference service accounts",
        ),
        (pod::refers_to_secrets(pod), "a mirror pod may not reference secrets"),
        (
            pod::has_token(pod),
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
    ];
    rules
        .into_iter()
        .find(|(broken, _)| *broken)
        .map_or(Ok(()), |(_, why)| Err(why))
}

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, _: Step, operation: &Operation<'_>) -> bool {
        is_pod_created(operation) || is_ephemeral_update(operation)
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.admit(operation))
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.check(operation))
    }
}
