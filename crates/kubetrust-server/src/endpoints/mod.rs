//! What is served: the resources of the table, and everything that is no resource.

pub mod backup;
pub mod discovery;
pub mod explain;
pub mod health;
pub mod issuer;
pub mod openapi;
pub mod resource;
pub mod version;

use http::{HeaderMap, Method};
use kubetrust_api::status::Status;

use crate::ApiServer;
use crate::audit::Record;
use crate::chain::Authorized;
use crate::http::accept;
use crate::http::query::Query;
use crate::http::respond::{self, Reply};

/// Media type of `/metrics`.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A path that is no resource.
pub struct Route {
    /// The path; what is below it is asked for with a slash after it.
    pub path: &'static str,
    /// Whether there is something below it.
    pub has_children: bool,
    answer: fn(&Asked<'_>) -> Result<Reply, Status>,
}

/// A request for a [`Route`].
struct Asked<'a> {
    server: &'a ApiServer,
    request: &'a Authorized,
    headers: &'a HeaderMap,
    query: &'a Query,
    /// The whole path, without slashes at its end.
    path: &'a str,
    /// What of it is below the route; empty for the route itself.
    below: &'a str,
}

/// Every path that is no resource. Who is allowed what of them is the authorizers' matter.
pub const ROUTES: [Route; 13] = [
    leaf("/", |asked| Ok(root(asked.server))),
    leaf("/.well-known/openid-configuration", |asked| {
        issuer::configuration(asked.server)
    }),
    tree("/api", discovered),
    tree("/apis", discovered),
    leaf(explain::PATH, |asked| explain::own(asked.server, asked.request)),
    tree("/healthz", |asked| Ok(health(asked, "/healthz"))),
    tree("/livez", |asked| Ok(health(asked, "/livez"))),
    leaf("/metrics", |asked| {
        Ok(respond::bytes(200, METRICS, asked.server.metrics.text(asked.server)))
    }),
    leaf("/openapi/v2", |asked| openapi::v2(asked.headers)),
    tree("/openapi/v3", |asked| match asked.below {
        "" => Ok(openapi::v3_index()),
        name => openapi::v3(name, asked.headers),
    }),
    leaf("/openid/v1/jwks", |asked| Ok(issuer::keys(asked.server))),
    tree("/readyz", |asked| Ok(health(asked, "/readyz"))),
    leaf("/version", |_| {
        Ok(respond::value(200, &version::version(), accept::Encoding::Json))
    }),
];

/// The paths that are posted to.
pub const POSTED: [&str; 2] = [backup::PATH, explain::PATH];

const fn leaf(path: &'static str, answer: fn(&Asked<'_>) -> Result<Reply, Status>) -> Route {
    Route {
        path,
        has_children: false,
        answer,
    }
}

const fn tree(path: &'static str, answer: fn(&Asked<'_>) -> Result<Reply, Status>) -> Route {
    Route {
        path,
        has_children: true,
        answer,
    }
}

impl Route {
    /// What of a path is below this one; empty for the path itself.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.path)? {
            "" => Some(""),
            rest if self.has_children => rest.strip_prefix('/'),
            _ => None,
        }
    }
}

/// Answers a request that may be answered.
pub async fn serve(server: &ApiServer, request: Authorized, record: &Record) -> Result<Reply, Status> {
    let received = request.received();
    let only_reads = matches!(received.head.method, Method::GET | Method::HEAD);
    if let Some(asked) = received.info.resource() {
        // Authorized as what it looks like, as upstream does; served is only what begins as paths of the API do.
        if received.info.path.starts_with("//") {
            return Err(Status::no_such_path());
        }
        // `/api/v1/watch/…` is a watch by its path, whatever the method.
        if asked.verb == "watch" && !only_reads {
            return Err(Status::method_not_allowed());
        }
        return resource::serve(server, request, record).await;
    }
    if received.head.method == Method::POST {
        match received.info.path.as_str() {
            backup::PATH => return backup::take(server).await,
            explain::PATH => return explain::anothers(server, request).await,
            _ => {}
        }
    }
    if !only_reads {
        return Err(Status::method_not_allowed());
    }
    let path = match received.info.path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let found = ROUTES.iter().find_map(|route| Some((route, route.below(path)?)));
    let (route, below) = found.ok_or_else(Status::no_such_path)?;
    (route.answer)(&Asked {
        server,
        request: &request,
        headers: &received.head.headers,
        query: &received.info.query,
        path,
        below,
    })
}

/// The route that a path belongs to.
pub(crate) fn route(path: &str) -> Option<&'static str> {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let found = ROUTES.iter().map(|route| (route.path, route.below(path).is_some()));
    let posted = POSTED.iter().map(|posted| (*posted, *posted == path));
    found.chain(posted).find_map(|(route, is_it)| is_it.then_some(route))
}

fn discovered(asked: &Asked<'_>) -> Result<Reply, Status> {
    match asked.below {
        "" => discovery::groups(asked.server, asked.path, asked.headers),
        _ => discovery::group(asked.path, asked.headers),
    }
}

fn health(asked: &Asked<'_>, endpoint: &'static str) -> Reply {
    asked
        .server
        .health
        .serve(asked.server, endpoint, asked.below, asked.query)
}

/// The paths that there are, as `kubectl get --raw /` shows them.
fn root(server: &ApiServer) -> Reply {
    let mut paths: Vec<String> = ROUTES
        .iter()
        .map(|route| route.path.to_owned())
        .filter(|path| path != "/")
        .collect();
    paths.extend(["/api/v1", "/apis/", "/openapi/v3/"].map(str::to_owned));
    for resource in kubetrust_api::resource::TABLE
        .iter()
        .filter(|resource| !resource.group.is_empty())
    {
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
