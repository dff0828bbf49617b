//! What is served: the resources of the table, and everything that is no resource.

pub mod backup;
pub mod discovery;
pub mod health;
pub mod issuer;
pub mod openapi;
pub mod resource;
pub mod version;

use kubetrust_api::status::Status;

use crate::ApiServer;
use crate::chain::Authorized;
use crate::http::accept;
use crate::http::respond::{self, Reply};

/// Media type of `/metrics`.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a request that may be answered.
pub async fn serve(server: &ApiServer, request: Authorized) -> Result<Reply, Status> {
    if request.received().info.resource().is_some() {
        return resource::serve(server, request).await;
    }
    let received = request.received();
    let headers = &received.head.headers;
    if received.info.path == backup::PATH && received.head.method == http::Method::POST {
        return backup::take(server).await;
    }
    if !matches!(received.head.method, http::Method::GET | http::Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let path = received.info.path.trim_end_matches('/');
    let reply = match path {
        "" => root(server),
        "/version" => respond::value(200, &version::version(), accept::Encoding::Json),
        "/healthz" | "/livez" | "/readyz" => server.health.serve(server, path, "", &received.info.query),
        "/metrics" => respond::bytes(200, METRICS, server.metrics.text(server)),
        "/.well-known/openid-configuration" => issuer::configuration(server)?,
        "/openid/v1/jwks" => issuer::keys(server),
        "/openapi/v2" => openapi::v2(headers)?,
        "/openapi/v3" => openapi::v3_index(),
        "/api" | "/apis" => discovery::groups(server, path, headers)?,
        _ => match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
            Some((check @ ("healthz" | "livez" | "readyz"), name)) => {
                server.health.serve(server, &format!("/{check}"), name, &received.info.query)
            }
            Some(("openapi", rest)) => openapi::v3(rest, headers)?,
            Some(("api" | "apis", _)) => discovery::group(path, headers)?,
            _ => return Err(Status::no_such_path()),
        },
    };
    Ok(respond::compress(headers, reply))
}

/// The paths that there are, as `kubectl get --raw /` shows them.
fn root(server: &ApiServer) -> Reply {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for resource in kubetrust_api::resource::TABLE.iter().filter(|resource| !resource.group.is_empty()) {
        paths.push(format!("/apis/{}", resource.group));
        paths.push(format!("/apis/{}/{}", resource.group, resource.version));
    }
    for check in server.health.names() {
        paths.extend(["healthz", "livez", "readyz"].map(|endpoint| format!("/{endpoint}/{check}")));
    }
    paths.sort();
    paths.dedup();
    respond::value(200, &serde_json::json!({"paths": paths}), accept::Encoding::Json)
}
