//! Service-account tokens: asking for one (`kubectl create token`), and asking whose one is.

use hyper::body::Incoming;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::{Cause, Status};
use kubetrust_auth::authn::service_account::Reference;
use kubetrust_auth::authn::service_account::issue::{BoundTo, IssueError, TokenAsk};
use serde_json::{Value, json};

use super::identity::user_info;
use super::texts;
use crate::endpoints::resource::Call;
use crate::http::respond::Reply;
use crate::registry::target::Target;

/// Seconds that a token lives for which nobody asked otherwise.
const DEFAULT_SECONDS: i64 = 60 * 60;

/// `serviceaccounts/NAME/token`: a new token for the account, bound to what the request names.
pub async fn request(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let mut request = call.posted(incoming).await?;
    let account_target = Target {
        subresource: None,
        ..call.target.clone()
    };
    for (field, is) in [("name", &call.target.name), ("namespace", &call.target.namespace)] {
        let said = meta::text(&request, field).to_owned();
        if !said.is_empty() && said != *is {
            let what = if field == "name" {
                "must match the service account name"
            } else {
                "must match the service account namespace"
            };
            return Err(invalid(
                &call.target.name,
                &format!("metadata.{field}"),
                format!("Invalid value: {said:?}: {what}"),
            ));
        }
        meta::set(&mut request, field, is.clone());
    }
    let account = call.server.registry.get(&account_target, &call.query).await?.value();
    let spec = &mut request["spec"];
    if !spec.is_object() {
        *spec = json!({});
    }
    if spec["expirationSeconds"].is_null() {
        spec["expirationSeconds"] = DEFAULT_SECONDS.into();
    }
    let bound_to = bound_to(call, &request["spec"]["boundObjectRef"], &account).await?;
    call.admit(&request).await?;
    let issuer = call.server.issuer.load_full();
    let Some(tokens) = &issuer.tokens else {
        return Err(Status::no_such_path());
    };
    let wanted = TokenAsk {
        namespace: call.target.namespace.clone(),
        account: Reference {
            name: call.target.name.clone(),
            uid: meta::uid(&account).to_owned(),
        },
        bound_to,
        audiences: texts(&request["spec"]["audiences"]),
        expiration_seconds: request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS),
    };
    let seconds = wanted.expiration_seconds;
    let signed = tokens.issue(wanted, call.style.now).map_err(|error| match error {
        IssueError::TooShort | IssueError::TooLong => invalid(
            &call.target.name,
            "spec.expirationSeconds",
            format!("Invalid value: {seconds}: {error}"),
        ),
        IssueError::Random(_) | IssueError::Sign(_) | IssueError::Json => Status::internal("the token can't be signed"),
    })?;
    call.warnings.extend(signed.warning);
    meta::set(&mut request, "creationTimestamp", meta::time(call.style.now));
    request["spec"]["audiences"] = json!(signed.audiences);
    request["spec"]["expirationSeconds"] = signed.expiration_seconds.into();
    request["status"] = json!({"token": signed.token.as_str(), "expirationTimestamp": meta::time(signed.expiration)});
    Ok(call.answer(&request))
}

/// What the token is to die with: it has to be there, and to be the one that is meant.
async fn bound_to(call: &Call<'_>, reference: &Value, account: &Value) -> Result<BoundTo, Status> {
    if !reference.is_object() {
        return Ok(BoundTo::Account);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let plural = match (text("apiVersion").as_str(), kind.as_str()) {
        ("v1", "Pod") => "pods",
        ("v1", "Secret") => "secrets",
        ("v1", "Node") => "nodes",
        (version, _) => {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to object of type {version}, Kind={kind}",
                meta::name(account)
            )));
        }
    };
    let found = resource::lookup("", "v1", plural).ok_or_else(Status::no_such_path)?;
    let namespace = if plural == "nodes" {
        ""
    } else {
        call.target.namespace.as_str()
    };
    let object = call
        .server
        .registry
        .get(&Target::object(found, namespace, &name), &call.query)
        .await?
        .value();
    let is = meta::uid(&object).to_owned();
    if !uid.is_empty() && uid != is {
        return Err(Status::conflict(
            "",
            plural,
            &name,
            &format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    let reference = Reference { name, uid: is };
    match plural {
        "secrets" => Ok(BoundTo::Secret(reference)),
        "nodes" => Ok(BoundTo::Node(reference)),
        _ => {
            let runs_as = object["spec"]["serviceAccountName"].as_str().unwrap_or_default();
            if runs_as != meta::name(account) {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    meta::name(account)
                )));
            }
            let node = object["spec"]["nodeName"].as_str().filter(|name| !name.is_empty());
            let node = match node {
                Some(name) => {
                    let nodes = resource::lookup("", "v1", "nodes").ok_or_else(Status::no_such_path)?;
                    let found = call.server.registry.cached(&Target::object(nodes, "", name));
                    let uid = found
                        .map(|node| meta::uid(&node.value()).to_owned())
                        .unwrap_or_default();
                    Some(Reference {
                        name: name.to_owned(),
                        uid,
                    })
                }
                None => None,
            };
            Ok(BoundTo::Pod(reference, node))
        }
    }
}

/// `TokenReview`: whose a token is, and for which of these audiences it is good.
pub async fn review(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let mut review = call.posted(incoming).await?;
    call.admit(&review).await?;
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let audiences = texts(&review["spec"]["audiences"]);
    let asked = (!audiences.is_empty()).then_some(audiences.as_slice());
    let authenticators = call.server.authenticators.load();
    review["status"] = match authenticators.authenticate_token(&token, asked, &call.server.registry, call.style.now) {
        Ok(authenticated) => {
            let mut status = json!({"authenticated": true, "user": user_info(&authenticated.user)});
            if !authenticated.audiences.is_empty() {
                status["audiences"] = json!(authenticated.audiences.as_ref());
            }
            status
        }
        Err(_) => json!({"user": {}, "error": "[invalid bearer token]"}),
    };
    Ok(call.answer(&review))
}

fn invalid(name: &str, field: &str, message: String) -> Status {
    let cause = Cause {
        reason: "FieldValueInvalid",
        message,
        field: field.to_owned(),
    };
    Status::invalid("authentication.k8s.io", "TokenRequest", name, vec![cause])
}
