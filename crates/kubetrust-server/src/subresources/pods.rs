//! What is done to a pod beside changing it: placing it on a node, evicting it, reaching into it.

use std::sync::Arc;

use hyper::body::Incoming;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::select::label;
use kubetrust_api::status::{Cause, Status};
use serde_json::{Value, json};

use crate::endpoints::resource::Call;
use crate::http::respond::{self, Reply};
use crate::registry::delete::DeleteOptions;
use crate::registry::list::List;
use crate::registry::object::{Object, to_stored};
use crate::registry::target::Target;

/// What the store is called among the component statuses.
const STORE: &str = "etcd-0";

/// `binding`: names the node of a pod, once.
pub async fn bind(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let binding = call.posted(incoming).await?;
    let name = if call.target.name.is_empty() {
        meta::name(&binding).to_owned()
    } else {
        call.target.name.clone()
    };
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    if !matches!(kind, "" | "Node") {
        faults.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {kind:?}: supported values: \"Node\", \"\""),
            field: "target.kind".into(),
        });
    }
    if node.is_empty() {
        faults.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value".into(),
            field: "target.name".into(),
        });
    }
    if !faults.is_empty() {
        return Err(Status::invalid("", "Binding", &name, faults));
    }
    call.admit(&binding).await?;
    let pods = resource::lookup("", "v1", "pods").ok_or_else(Status::no_such_path)?;
    let pod = Target {
        resource: pods,
        subresource: pods.subresource("binding"),
        namespace: call.target.namespace.clone(),
        name,
    };
    let now = meta::time(call.style.now);
    call.server
        .registry
        .update(&pod, call.writer()?, |old| {
            let refused = |why: String| Status::conflict("", "pods/binding", &pod.name, &why);
            if old.is_null() {
                return Err(pod.not_found());
            }
            if meta::deletion_timestamp(old).is_some() {
                return Err(refused(format!(
                    "pod {} is being deleted, cannot be assigned to a host",
                    pod.name
                )));
            }
            match old["spec"]["nodeName"].as_str() {
                None | Some("") => {}
                Some(there) => {
                    return Err(refused(format!(
                        "pod {} is already assigned to node {there:?}",
                        pod.name
                    )));
                }
            }
            let mut placed = old.clone();
            placed["spec"]["nodeName"] = node.clone().into();
            let scheduled =
                json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
            let conditions = placed["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let mut conditions: Vec<Value> = conditions
                .into_iter()
                .filter(|condition| condition["type"] != "PodScheduled")
                .collect();
            conditions.push(scheduled);
            placed["status"]["conditions"] = conditions.into();
            meta::remove(&mut placed, "resourceVersion");
            Ok(placed)
        })
        .await?;
    Ok(respond::success(201, ("code", json!(201)), call.style.wanted.encoding))
}

/// `eviction`: a removal that a disruption budget may refuse.
pub async fn evict(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let eviction = call.posted(incoming).await?;
    let pod = Target {
        subresource: None,
        ..call.target.clone()
    };
    let object = call.server.registry.get(&pod, &call.query).await?;
    call.admit(&eviction).await?;
    confirm_budget(call, &object.value())?;
    let options = DeleteOptions::of(&eviction["deleteOptions"])?;
    call.server.registry.delete(&pod, call.writer()?, &options).await?;
    Ok(respond::success(201, ("code", json!(201)), call.style.wanted.encoding))
}

/// 429 where a budget that covers the pod allows no disruption now.
fn confirm_budget(call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed" | "Pending")
    ) || meta::deletion_timestamp(pod).is_some()
    {
        return Ok(());
    }
    let Some(budgets) = call.server.registry.cache().table("poddisruptionbudgets") else {
        return Ok(());
    };
    let prefix = [budgets.prefix().as_ref(), call.target.namespace.as_bytes(), b"/"].concat();
    for (_, budget) in budgets.snapshot(&prefix, None, 0).items {
        let budget = budget.value();
        let covers = label::Selector::from_object(budget["spec"].get("selector"))
            .is_ok_and(|selector| selector.matches_object(pod));
        if covers && budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) < 1 {
            let cause = Cause {
                reason: "DisruptionBudget",
                message: format!(
                    "The disruption budget {} needs {} healthy pods and has {} currently",
                    meta::name(&budget),
                    budget["status"]["desiredHealthy"].as_i64().unwrap_or(0),
                    budget["status"]["currentHealthy"].as_i64().unwrap_or(0)
                ),
                ..Cause::default()
            };
            return Err(Status::new(
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
            )
            .causes(vec![cause]));
        }
    }
    Ok(())
}

/// What only the kubelet of the node can answer.
pub async fn on_the_node(call: &Call<'_>) -> Result<Reply, Status> {
    let whole = Target {
        subresource: None,
        ..call.target.clone()
    };
    let object = call.server.registry.get(&whole, &call.query).await?;
    if whole.resource.plural == "pods"
        && object.value()["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    {
        // A pod that runs nowhere has said nothing; only what needs it running is an error.
        if call
            .target
            .subresource
            .is_some_and(|subresource| subresource.name == "log")
        {
            return Ok(respond::text(204, ""));
        }
        return Err(Status::bad_request(format!(
            "pod {} does not have a host assigned",
            whole.name
        )));
    }
    Err(Status::new(
        501,
        "NotImplemented",
        "this server does not connect to kubelets: it runs no containers to reach into",
    ))
}

/// `componentstatuses`: deprecated, and only the store is a component of ours.
pub async fn components(call: &Call<'_>) -> Result<Reply, Status> {
    let healthy = call.server.registry.store().health().await.is_ok();
    let (status, message) = if healthy {
        ("True", "ok")
    } else {
        ("False", "the store does not answer")
    };
    let store = json!({
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": STORE},
        "conditions": [{"type": "Healthy", "status": status, "message": message}],
    });
    let text = to_stored(&store).ok_or_else(|| Status::internal("the status of the store can't be written"))?;
    let (resource, store) = (call.target.resource, Arc::new(Object::unstored(text)));
    match call.target.name.as_str() {
        "" => {
            let list = List {
                items: vec![store],
                revision: 0,
                continue_token: String::new(),
                remaining: None,
            };
            Ok(respond::list(resource, list, call.style))
        }
        STORE => Ok(respond::object(200, resource, &store, call.style)),
        _ => Err(call.target.not_found()),
    }
}
