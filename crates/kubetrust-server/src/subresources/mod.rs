//! What is asked and answered without being stored (reviews, tokens), and the subresources of another kind than their
//! resource's (scale, binding, eviction).

mod access;
mod identity;
mod pods;
mod scale;
mod token;

use hyper::body::Incoming;
use kubetrust_api::decode::Expected;
use kubetrust_api::status::Status;
use kubetrust_api::validate;
use serde_json::Value;

use crate::admission::{Operation, Verb};
use crate::endpoints::resource::Call;
use crate::http::body;
use crate::http::respond::{self, Reply};
use crate::registry::write::refuse;

pub(crate) use identity::user_info;

/// Serves a request for one of them.
pub async fn serve(call: &mut Call<'_>, verb: &str, incoming: Incoming) -> Result<Reply, Status> {
    let resource = call.target.resource;
    let subresource = call.target.subresource.map_or("", |subresource| subresource.name);
    match (resource.group, resource.plural, subresource, verb) {
        (_, _, "scale", "get" | "update" | "patch") => scale::serve(call, verb, incoming).await,
        ("", "pods", "binding", "create") | ("", "bindings", "", "create") => pods::bind(call, incoming).await,
        ("", "pods", "eviction", "create") => pods::evict(call, incoming).await,
        ("", "pods", "exec" | "attach" | "portforward" | "log" | "proxy", _)
        | ("", "nodes" | "services", "proxy", _) => pods::on_the_node(call).await,
        ("", "serviceaccounts", "token", "create") => token::request(call, incoming).await,
        ("authentication.k8s.io", "tokenreviews", "", "create") => token::review(call, incoming).await,
        ("authentication.k8s.io", "selfsubjectreviews", "", "create") => identity::own(call, incoming).await,
        ("authorization.k8s.io", _, "", "create") => access::review(call, incoming).await,
        ("", "componentstatuses", "", "get" | "list") => pods::components(call).await,
        _ => Err(Status::method_not_allowed()),
    }
}

impl Call<'_> {
    /// The body as an object of the subresource's kind, or of the resource's.
    async fn posted(&mut self, incoming: Incoming) -> Result<Value, Status> {
        let text = body::read(incoming).await?;
        let resource = self.target.resource;
        let (kind, group_version) = match self.target.subresource {
            Some(subresource) => (subresource.kind, subresource.kind_group_version),
            None => (resource.kind, None),
        };
        let (group, version) = group_version.unwrap_or((resource.group, resource.version));
        self.decoded(&text, Expected::built_in(group, version, kind))
    }

    /// Lets admission see an object that is not stored.
    async fn admit(&self, object: &Value) -> Result<(), Status> {
        if self.target.subresource.is_none() {
            let faults = validate::create(self.target.resource, object);
            refuse(self.target.resource, "", faults)?;
        }
        let writer = self.writer()?;
        let operation = Operation {
            user: writer.user,
            verb: Verb::Create,
            resource: self.target.resource,
            subresource: self.target.subresource,
            namespace: &self.target.namespace,
            name: &self.target.name,
            object: object.clone(),
            old: None,
            dry_run: writer.dry_run,
        };
        let mutated = writer.admission.mutate(operation).await?;
        writer.admission.validate(mutated).await.map(drop)
    }

    /// 201 with an answered object.
    fn answer(&self, object: &Value) -> Reply {
        respond::value(201, object, self.style.wanted.encoding)
    }
}

/// The texts of a JSON list; anything else in it is left out.
fn texts(value: &Value) -> Vec<String> {
    let listed = value.as_array().into_iter().flatten();
    listed.filter_map(Value::as_str).map(str::to_owned).collect()
}
