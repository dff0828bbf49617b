//! `scale`: how many replicas a workload wants, apart from all else about it (`autoscaling/v1 Scale`).

use hyper::body::Incoming;
use kubetrust_api::decode::{self, Expected};
use kubetrust_api::patch::Patch;
use kubetrust_api::status::{Cause, Status};
use serde_json::{Map, Value, json};

use crate::endpoints::resource::Call;
use crate::http::body;
use crate::http::respond::{self, Reply};
use crate::registry::target::Target;

/// Reads it, or changes the number.
pub async fn serve(call: &mut Call<'_>, verb: &str, incoming: Incoming) -> Result<Reply, Status> {
    let workload = Target {
        subresource: None,
        ..call.target.clone()
    };
    if verb == "get" {
        let object = call.server.registry.get(&workload, &call.query).await?;
        return Ok(respond::value(
            200,
            &scale_of(&workload, &object.value()),
            call.style.wanted.encoding,
        ));
    }
    let expected = Expected::built_in("autoscaling", "v1", "Scale");
    let validation = call.field_validation()?;
    let change = match verb {
        "patch" => Change::Patched(call.read_patch(incoming).await?),
        _ => Change::Replaced(call.decoded(&body::read(incoming).await?, expected)?),
    };
    let updated = call
        .server
        .registry
        .update(&workload, call.writer()?, |old| {
            if old.is_null() {
                return Err(workload.not_found());
            }
            let scale = match &change {
                Change::Replaced(scale) => scale.clone(),
                Change::Patched(patch) => {
                    decode::patched(scale_of(&workload, old), patch, expected, validation)?.object
                }
            };
            with_replicas(&workload, old, &scale)
        })
        .await?;
    Ok(respond::value(
        200,
        &scale_of(&workload, &updated.object.value()),
        call.style.wanted.encoding,
    ))
}

/// What is asked for.
enum Change {
    Replaced(Value),
    Patched(Patch),
}

fn scale_of(target: &Target, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let metadata: Map<String, Value> = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), metadata.get(*name)?.clone())))
        .collect();
    let mut status = json!({"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)});
    let selector = selector_text(
        &object["spec"]["selector"],
        target.resource.kind == "ReplicationController",
    );
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": status,
    })
}

/// The selector as the text that a query takes.
fn selector_text(selector: &Value, flat: bool) -> String {
    let labels = if flat { selector } else { &selector["matchLabels"] };
    let mut terms: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        terms.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}

fn with_replicas(target: &Target, old: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
            field: "spec.replicas".into(),
        };
        return Err(Status::invalid("autoscaling", "Scale", &target.name, vec![cause]));
    }
    let mut object = old.clone();
    object["spec"]["replicas"] = replicas.into();
    // The conditions of the change are those of the scale.
    match &scale["metadata"]["resourceVersion"] {
        Value::String(version) if !version.is_empty() => object["metadata"]["resourceVersion"] = version.clone().into(),
        _ => {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.shift_remove("resourceVersion");
            }
        }
    }
    Ok(object)
}
