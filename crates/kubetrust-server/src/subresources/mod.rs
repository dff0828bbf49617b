//! What is asked and answered without being stored (reviews, tokens), and the subresources of another kind than their
//! resource's (scale, binding, eviction).

mod access;
mod identity;
mod pods;
mod scale;
mod token;

use hyper::body::Incoming;
use kubetrust_api::status::Status;
use serde_json::Value;

use crate::endpoints::resource::Call;
use crate::http::body;
use crate::http::respond::{self, Reply};

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
    /// The body as an object of the resource, or of the subresource's kind.
    async fn posted(&mut self, incoming: Incoming) -> Result<Value, Status> {
        let text = body::read(incoming).await?;
        self.decoded_kind(&text)
    }

    /// 201 with an answered object.
    fn answer(&self, object: &Value) -> Reply {
        respond::value(201, object, self.style.wanted.encoding)
    }
}
