//! The four reviews of `authorization.k8s.io`: may this user do this, may I, and what may I.

use hyper::body::Incoming;
use kubetrust_api::status::{Cause, Status};
use kubetrust_auth::authz::attributes::{Attributes, Operator, Requirement, ResourceAttributes};
use kubetrust_auth::authz::rbac::Rule;
use kubetrust_auth::authz::{Decision, Rules};
use kubetrust_auth::user::User;
use serde_json::{Value, json};

use super::texts;
use crate::endpoints::resource::Call;
use crate::http::respond::Reply;

/// Answers one of them.
pub async fn review(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let mut review = call.posted(incoming).await?;
    call.admit(&review).await?;
    let user = match call.target.resource.plural {
        "selfsubjectaccessreviews" | "selfsubjectrulesreviews" => User::clone(&call.identity.user),
        _ => user_of(&review["spec"]),
    };
    if call.target.resource.plural == "selfsubjectrulesreviews" {
        let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        review["status"] = rules_status(&call.server.authorizer.rules_for(&user, namespace));
        return Ok(call.answer(&review));
    }
    if call.target.resource.plural == "localsubjectaccessreviews" {
        let asked = review["spec"]["resourceAttributes"]["namespace"]
            .as_str()
            .unwrap_or_default();
        if asked != call.target.namespace {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {asked:?}: must match metadata.namespace"),
                field: "spec.resourceAttributes.namespace".into(),
            };
            return Err(Status::invalid(
                "authorization.k8s.io",
                "LocalSubjectAccessReview",
                "",
                vec![cause],
            ));
        }
    }
    let attributes = attributes_of(&review["spec"]);
    review["status"] = decision_status(&call.server.authorizer.authorize(&user, &attributes));
    Ok(call.answer(&review))
}

fn decision_status(decision: &Decision) -> Value {
    let mut status = serde_json::Map::new();
    status.insert("allowed".into(), decision.is_allowed().into());
    if matches!(decision, Decision::Deny(_)) {
        status.insert("denied".into(), true.into());
    }
    if !decision.reason().is_empty() {
        status.insert("reason".into(), decision.reason().into());
    }
    Value::Object(status)
}

fn user_of(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text(&spec["user"]),
        uid: text(&spec["uid"]),
        groups: texts(&spec["groups"]),
        extra: extra
            .map(|(key, values)| (key.to_ascii_lowercase(), texts(values)))
            .collect(),
    }
}

/// What a review asks about.
fn attributes_of(spec: &Value) -> Attributes {
    let resource = &spec["resourceAttributes"];
    if resource.is_object() {
        return Attributes::Resource(ResourceAttributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            version: text(&resource["version"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            field_selector: requirements(&resource["fieldSelector"]),
            label_selector: requirements(&resource["labelSelector"]),
        });
    }
    let url = &spec["nonResourceAttributes"];
    Attributes::NonResource {
        verb: text(&url["verb"]),
        path: text(&url["path"]),
    }
}

/// The requirements of a review's selector. One with an operator that there is none of demands nothing.
fn requirements(selector: &Value) -> Vec<Requirement> {
    let listed = selector["requirements"].as_array().into_iter().flatten();
    listed
        .filter_map(|requirement| {
            let operator = match requirement["operator"].as_str()? {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return None,
            };
            let values = texts(&requirement["values"]);
            // `in` with one value is what authorizers look for as `=`.
            let operator = if operator == Operator::In && values.len() == 1 {
                Operator::Equals
            } else {
                operator
            };
            Some(Requirement {
                key: text(&requirement["key"]),
                operator,
                values,
            })
        })
        .collect()
}

fn rules_status(rules: &Rules) -> Value {
    let resources: Vec<Value> = rules.of_resources().map(resource_rule).collect();
    let urls: Vec<Value> = rules
        .of_urls()
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let mut status = json!({"resourceRules": resources, "nonResourceRules": urls, "incomplete": rules.incomplete});
    if !rules.evaluation_error.is_empty() {
        status["evaluationError"] = rules.evaluation_error.clone().into();
    }
    status
}

fn resource_rule(rule: &Rule) -> Value {
    let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
    if !rule.resource_names.is_empty() {
        shown["resourceNames"] = json!(rule.resource_names);
    }
    shown
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
