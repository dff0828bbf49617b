//! Every route of the server × everyone who proves nothing: 401 or 403 with a `Status`.

use std::collections::BTreeSet;

use http::Method;
use kubetrust_api::resource::{Resource, Scope, TABLE};
use kubetrust_auth::authz::attributes::Attributes;
use kubetrust_auth::user::User;
use kubetrust_server::endpoints::{POSTED, ROUTES};
use kubetrust_server::listen::Limits;
use serde_json::json;

use super::refusals;
use super::world::{World, method, refused};
use crate::support::{Client, Credential, Engine};

on_both!(
    whoever_proves_nothing_gets_nothing_from_any_route,
    no_route_is_left_untested,
    what_everyone_may_is_what_the_default_policy_says,
);

/// A request to a route.
#[derive(Debug)]
struct Request {
    method: Method,
    path: String,
    /// What a 403 says that anonymous may not do.
    cannot: String,
}

/// Everything that is no resource, and whether v1.36's default policy gives it to everyone. Whoever adds a path to the
/// server decides that here.
const NON_RESOURCES: [(&str, bool); 23] = [
    ("/", false),
    ("/.well-known/openid-configuration", false),
    ("/api", false),
    ("/api/v1", false),
    ("/apis", false),
    ("/apis/apps", false),
    ("/apis/apps/v1", false),
    ("/debug/authentication", false),
    ("/healthz", true),
    ("/healthz/ping", false),
    ("/livez", true),
    ("/livez/ping", false),
    ("/metrics", false),
    ("/openapi/v2", false),
    ("/openapi/v3", false),
    ("/openapi/v3/api/v1", false),
    ("/openid/v1/jwks", false),
    ("/readyz", true),
    ("/readyz/ping", false),
    ("/readyz/poststarthook/rbac/bootstrap-roles", false),
    ("/version", true),
    ("/version/", true),
    ("/nothing/such", false),
];

/// What is no resource and is posted to; the default policy gives none of it to anyone.
const POSTED_TO: [&str; 2] = ["/kubetrust/store/backup", "/debug/authentication"];

/// Every verb, with how it is asked for: method, whether with a name, query.
const VERBS: [(&str, &str, bool, &str); 8] = [
    ("create", "POST", false, ""),
    ("delete", "DELETE", true, ""),
    ("deletecollection", "DELETE", false, ""),
    ("get", "GET", true, ""),
    ("list", "GET", false, ""),
    ("patch", "PATCH", true, ""),
    ("update", "PUT", true, ""),
    ("watch", "GET", false, "?watch=true"),
];

fn base(resource: &Resource) -> String {
    let group = if resource.group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", resource.group)
    };
    let namespace = if resource.scope == Scope::Namespaced {
        "/namespaces/n"
    } else {
        ""
    };
    format!("{group}/{}{namespace}/{}", resource.version, resource.plural)
}

fn place(resource: &Resource) -> &'static str {
    match (resource.scope, resource.plural) {
        (Scope::Namespaced, _) | (_, "namespaces") => "in the namespace \"n\"",
        _ => "at the cluster scope",
    }
}

/// Every verb of every resource and subresource, from the table that the server serves by.
fn resources() -> Vec<Request> {
    let mut requests = Vec::new();
    for resource in TABLE {
        let group = resource.group;
        for (verb, name, named, query) in VERBS.iter().filter(|(verb, ..)| resource.verbs.contains(verb)) {
            let object = if *named { "/n" } else { "" };
            // A namespace is in itself; all of them are nowhere.
            let place = if *named || resource.plural != "namespaces" {
                place(resource)
            } else {
                "at the cluster scope"
            };
            requests.push(Request {
                method: method(name),
                path: format!("{}{object}{query}", base(resource)),
                cannot: format!(
                    "cannot {verb} resource \"{}\" in API group \"{group}\" {place}",
                    resource.plural
                ),
            });
        }
        for part in resource.subresources {
            let verbs = VERBS.iter().filter(|(verb, ..)| part.verbs.contains(verb));
            for (verb, name, ..) in verbs.filter(|(verb, ..)| !matches!(*verb, "list" | "watch" | "deletecollection")) {
                requests.push(Request {
                    method: method(name),
                    path: format!("{}/n/{}", base(resource), part.name),
                    cannot: format!(
                        "cannot {verb} resource \"{}/{}\" in API group \"{group}\" {}",
                        resource.plural,
                        part.name,
                        place(resource)
                    ),
                });
            }
        }
    }
    requests
}

fn of_path(path: &str) -> Request {
    Request {
        method: Method::GET,
        path: path.to_owned(),
        cannot: format!("cannot get path {path:?}"),
    }
}

fn is_public(path: &str) -> bool {
    NON_RESOURCES.contains(&(path, true))
}

async fn asked(client: &Client, request: &Request) -> crate::support::Reply {
    let body = json!({});
    let body = (request.method != Method::GET).then_some(&body);
    client.request(request.method.clone(), &request.path, &[], body).await
}

/// The requests of all routes: those of the table, those above, and what the server itself lists.
async fn all(world: &World) -> Vec<Request> {
    let listed = world.admin().get("/").await.json();
    let listed = listed["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap().to_owned());
    let paths: BTreeSet<String> = NON_RESOURCES
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .chain(listed)
        .collect();
    let posted = POSTED_TO.iter().map(|path| Request {
        method: Method::POST,
        path: (*path).to_owned(),
        cannot: format!("cannot post path {path:?}"),
    });
    resources()
        .into_iter()
        .chain(paths.iter().map(|path| of_path(path)))
        .chain(posted)
        .collect()
}

async fn whoever_proves_nothing_gets_nothing_from_any_route(engine: Engine) {
    let world = World::start_with(engine, Limits::default(), refusals::revoke).await;
    let requests = all(&world).await;
    let anonymous = world.client(Credential::none());
    for request in &requests {
        let reply = asked(&anonymous, request).await;
        let what = format!("{} {}", request.method, request.path);
        if is_public(&request.path) {
            assert_eq!(reply.code, 200, "{what}");
            continue;
        }
        assert_eq!(reply.code, 403, "{what}");
        let status = refused(&reply, &what);
        let message = status["message"].as_str().unwrap();
        let said = format!("User \"system:anonymous\" {}", request.cannot);
        assert!(message.ends_with(&said), "{what}: {message} does not say {said}");
    }

    for (name, credential) in refusals::all(&world).await {
        let client = world.client(credential);
        for request in &requests {
            let reply = asked(&client, request).await;
            let what = format!("{} {} with {name}", request.method, request.path);
            assert_eq!(reply.code, 401, "{what}");
            assert_eq!(refused(&reply, &what)["message"], "Unauthorized", "{what}");
        }
    }
    world.running.stop().await;
}

async fn no_route_is_left_untested(engine: Engine) {
    let world = World::start(engine).await;
    let tested: BTreeSet<String> = all(&world)
        .await
        .iter()
        .map(|it| format!("{} {}", it.method, it.path))
        .collect();
    let mut untested = Vec::new();
    for resource in TABLE {
        let (mut verbs, mut part_verbs): (BTreeSet<&str>, BTreeSet<(&str, &str)>) = (BTreeSet::new(), BTreeSet::new());
        for (verb, name, named, query) in VERBS {
            let object = if named { "/n" } else { "" };
            if tested.contains(&format!("{name} {}{object}{query}", base(resource))) {
                verbs.insert(verb);
            }
            for part in resource.subresources {
                if tested.contains(&format!("{name} {}/n/{}", base(resource), part.name)) {
                    part_verbs.insert((part.name, verb));
                }
            }
        }
        untested.extend(
            resource
                .verbs
                .iter()
                .filter(|verb| !verbs.contains(*verb))
                .map(|verb| format!("{verb} {}", resource.qualified())),
        );
        for part in resource.subresources {
            let missing = part
                .verbs
                .iter()
                .filter(|verb| !part_verbs.contains(&(part.name, verb)));
            untested.extend(missing.map(|verb| format!("{verb} {}/{}", resource.qualified(), part.name)));
        }
    }
    for route in &ROUTES {
        if !NON_RESOURCES.iter().any(|(path, _)| *path == route.path) {
            untested.push(route.path.to_owned());
        }
        let below = format!("{}/", route.path);
        if route.has_children
            && !NON_RESOURCES
                .iter()
                .any(|(path, _)| path.starts_with(&below) && *path != below)
        {
            untested.push(format!("{below}*"));
        }
    }
    untested.extend(
        POSTED
            .iter()
            .filter(|path| !POSTED_TO.contains(path))
            .map(|path| (*path).to_owned()),
    );
    assert_eq!(untested, Vec::<String>::new(), "no security test touches these");
    world.running.stop().await;
}

async fn what_everyone_may_is_what_the_default_policy_says(engine: Engine) {
    let world = World::start(engine).await;
    let anonymous = User::anonymous();
    for request in all(&world).await {
        if !request.path.starts_with("/api/") && !request.path.starts_with("/apis/") {
            let verb = request.method.as_str().to_lowercase();
            let attributes = Attributes::NonResource {
                verb,
                path: request.path.clone(),
            };
            let allowed = world.running.authorizer.authorize(&anonymous, &attributes).is_allowed();
            assert_eq!(allowed, is_public(&request.path), "{}", request.path);
        }
    }
    world.running.stop().await;
}
