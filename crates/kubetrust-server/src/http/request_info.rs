//! From the request line to what authorizers and handlers speak of (`k8s.io/apiserver/pkg/endpoints/request`).
//!
//! The path is percent-decoded once, here, and everything after works on that: what is authorized is what is served.

use http::Method;
use kubetrust_api::resource::lookup;
use kubetrust_api::select::{field, label};
use kubetrust_auth::authz::attributes::{Attributes, Operator, Requirement, ResourceAttributes};
use percent_encoding::percent_decode_str;

use super::query::Query;

/// Longest path that is looked at, in bytes; above it the answer is 414.
pub const MAX_PATH: usize = 8 * 1024;
/// Longest query that is looked at, in bytes.
pub const MAX_QUERY: usize = 32 * 1024;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// The decoded path.
    pub path: String,
    /// The decoded query.
    pub query: Query,
    /// What authorizers see.
    pub attributes: Attributes,
}

/// Why a request line makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Longer than [`MAX_PATH`] or [`MAX_QUERY`].
    #[error("the request URI is too long")]
    TooLong,
    /// Bytes that are no UTF-8, a NUL, or a `.` or `..` or empty segment: nothing that a client of ours means.
    #[error("the path of the request is malformed")]
    Malformed,
}

/// The verbs of the deprecated prefixes `/api/v1/watch/…` and `/api/v1/proxy/…`.
const PREFIX_VERBS: [&str; 2] = ["proxy", "watch"];
/// What follows `/namespaces/NAME/` and still is about the namespace itself.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads a request line.
    pub fn of(method: &Method, uri: &http::Uri) -> Result<Self, BadLine> {
        if uri.path().len() > MAX_PATH || uri.query().is_some_and(|query| query.len() > MAX_QUERY) {
            return Err(BadLine::TooLong);
        }
        let path = percent_decode_str(uri.path())
            .decode_utf8()
            .map_err(|_| BadLine::Malformed)?
            .into_owned();
        if path.contains('\0') || !path.starts_with('/') {
            return Err(BadLine::Malformed);
        }
        let query = Query::parse(uri.query().unwrap_or_default());
        let attributes = match resource_attributes(method, &path, &query)? {
            Some(resource) => Attributes::Resource(resource),
            None => Attributes::NonResource {
                verb: method.as_str().to_ascii_lowercase(),
                path: path.clone(),
            },
        };
        Ok(Self {
            path,
            query,
            attributes,
        })
    }

    /// The resource's attributes, for a request of the API.
    #[must_use]
    pub fn resource(&self) -> Option<&ResourceAttributes> {
        match &self.attributes {
            Attributes::Resource(resource) => Some(resource),
            Attributes::NonResource { .. } => None,
        }
    }

    /// Whether it may stay open for as long as it likes: such requests are outside the in-flight limits.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        match &self.attributes {
            Attributes::Resource(resource) => {
                resource.verb == "watch"
                    || resource.verb == "proxy"
                    || matches!(
                        resource.subresource.as_str(),
                        "attach" | "exec" | "log" | "portforward" | "proxy"
                    )
            }
            Attributes::NonResource { .. } => false,
        }
    }

    /// Whether it only reads, as in-flight limits and audit see it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.attributes.verb(), "get" | "list" | "watch" | "head" | "options")
    }
}

fn resource_attributes(method: &Method, path: &str, query: &Query) -> Result<Option<ResourceAttributes>, BadLine> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut attributes = ResourceAttributes::default();
    let is_grouped = match parts.first() {
        Some(&"api") if parts.len() >= 3 => false,
        Some(&"apis") if parts.len() >= 4 => true,
        _ => return Ok(None),
    };
    // Beyond this point the path names objects: no segment may be one that some other server would resolve.
    if parts
        .iter()
        .any(|part| part.is_empty() || *part == "." || *part == "..")
    {
        return Err(BadLine::Malformed);
    }
    parts.remove(0);
    if is_grouped {
        parts.remove(0).clone_into(&mut attributes.group);
    }
    parts.remove(0).clone_into(&mut attributes.version);

    let prefix_verb = PREFIX_VERBS.into_iter().find(|verb| parts.first() == Some(verb));
    if prefix_verb.is_some() {
        parts.remove(0);
        if parts.is_empty() {
            return Ok(None);
        }
    }

    if parts.first() == Some(&"namespaces")
        && let Some(namespace) = parts.get(1)
    {
        (*namespace).clone_into(&mut attributes.namespace);
        if parts.get(2).is_some_and(|part| !NAMESPACE_SUBRESOURCES.contains(part)) {
            parts.drain(..2);
        }
    }
    if let Some(resource) = parts.first() {
        (*resource).clone_into(&mut attributes.resource);
    }
    if let Some(name) = parts.get(1) {
        (*name).clone_into(&mut attributes.name);
    }
    if let Some(subresource) = parts.get(2)
        && prefix_verb.is_none()
    {
        (*subresource).clone_into(&mut attributes.subresource);
    }
    attributes.verb = prefix_verb.map_or_else(|| verb_of(method), str::to_owned);
    if attributes.verb == "get" && attributes.name.is_empty() {
        "list".clone_into(&mut attributes.verb);
    }
    if attributes.verb == "list" && query.is_on("watch") {
        "watch".clone_into(&mut attributes.verb);
    }
    if attributes.verb == "delete" && attributes.name.is_empty() {
        "deletecollection".clone_into(&mut attributes.verb);
    }
    if matches!(attributes.verb.as_str(), "list" | "watch" | "deletecollection") {
        select(&mut attributes, query);
    }
    Ok(Some(attributes))
}

fn verb_of(method: &Method) -> String {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
    .to_owned()
}

/// What the selectors of a request demand, for authorizers. A selector that can't be read demands nothing; the handler
/// refuses it. `fieldSelector=metadata.name=x` names one object, so that RBAC's resourceNames hold for it.
fn select(attributes: &mut ResourceAttributes, query: &Query) {
    let found = lookup(&attributes.group, &attributes.version, &attributes.resource);
    if let Some(resource) = found
        && let Ok(terms) = field::Selector::parse(query.get("fieldSelector"), field::fields(resource))
    {
        let name = terms.requires_exact_match("metadata.name");
        if let Some(name) = name.filter(|name| attributes.name.is_empty() && !name.is_empty()) {
            name.clone_into(&mut attributes.name);
        }
        attributes.field_selector = terms.terms().iter().map(of_term).collect();
    }
    if let Ok(labels) = label::Selector::parse(query.get("labelSelector")) {
        attributes.label_selector = labels.requirements().iter().map(of_requirement).collect();
    }
}

fn of_term(term: &field::Term) -> Requirement {
    let operator = if term.equal {
        Operator::Equals
    } else {
        Operator::NotEquals
    };
    Requirement {
        key: term.field.clone(),
        operator,
        values: vec![term.value.clone()],
    }
}

fn of_requirement(requirement: &label::Requirement) -> Requirement {
    let operator = match requirement.operator {
        label::Operator::In => Operator::In,
        label::Operator::NotIn => Operator::NotIn,
        label::Operator::Equals | label::Operator::DoubleEquals => Operator::Equals,
        label::Operator::NotEquals => Operator::NotEquals,
        label::Operator::GreaterThan => Operator::GreaterThan,
        label::Operator::LessThan => Operator::LessThan,
        label::Operator::Exists => Operator::Exists,
        label::Operator::DoesNotExist => Operator::DoesNotExist,
    };
    Requirement {
        key: requirement.key.clone(),
        operator,
        values: requirement.values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, uri: &str) -> String {
        let method: Method = method.parse().unwrap();
        match RequestInfo::of(&method, &uri.parse().unwrap()) {
            Err(bad) => format!("{bad:?}"),
            Ok(RequestInfo {
                attributes: Attributes::NonResource { verb, path },
                ..
            }) => format!("{verb} {path}"),
            Ok(RequestInfo {
                attributes: Attributes::Resource(a),
                ..
            }) => {
                format!(
                    "{} {}/{} ns={} {}/{} {}",
                    a.verb, a.group, a.version, a.namespace, a.resource, a.subresource, a.name
                )
            }
        }
    }

    #[test]
    fn every_form_of_a_request_line_reads_as_upstream_reads_it() {
        for (method, uri, want) in [
            ("GET", "/", "get /"),
            ("GET", "/api", "get /api"),
            ("GET", "/api/v1", "get /api/v1"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("GET", "/healthz", "get /healthz"),
            ("GET", "/api/v1/pods", "list /v1 ns= pods/ "),
            ("GET", "/api/v1/pods?watch=1", "watch /v1 ns= pods/ "),
            (
                "GET",
                "/api/v1/pods?watch=true&fieldSelector=metadata.name%3Dx",
                "watch /v1 ns= pods/ x",
            ),
            ("GET", "/api/v1/pods?watch=false", "list /v1 ns= pods/ "),
            ("GET", "/api/v1/watch/pods", "watch /v1 ns= pods/ "),
            ("GET", "/api/v1/watch/namespaces/n/pods/p", "watch /v1 ns=n pods/ p"),
            ("GET", "/api/v1/namespaces", "list /v1 ns= namespaces/ "),
            ("GET", "/api/v1/namespaces/n", "get /v1 ns=n namespaces/ n"),
            (
                "PUT",
                "/api/v1/namespaces/n/status",
                "update /v1 ns=n namespaces/status n",
            ),
            (
                "PUT",
                "/api/v1/namespaces/n/finalize",
                "update /v1 ns=n namespaces/finalize n",
            ),
            ("GET", "/api/v1/namespaces/n/pods", "list /v1 ns=n pods/ "),
            ("HEAD", "/api/v1/namespaces/n/pods/p", "get /v1 ns=n pods/ p"),
            (
                "DELETE",
                "/api/v1/namespaces/n/pods",
                "deletecollection /v1 ns=n pods/ ",
            ),
            ("DELETE", "/api/v1/namespaces/n/pods/p", "delete /v1 ns=n pods/ p"),
            (
                "POST",
                "/api/v1/namespaces/n/pods/p/exec",
                "create /v1 ns=n pods/exec p",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/n/deployments/d/scale",
                "patch apps/v1 ns=n deployments/scale d",
            ),
            ("GET", "/api/v1/namespaces/n%2fpods%2Fp", "get /v1 ns=n pods/ p"),
            ("GET", "/api/v1/namespaces//pods", "Malformed"),
            ("GET", "/apis//v1/pods", "Malformed"),
            ("GET", "/api/v1/namespaces/../pods", "Malformed"),
            ("GET", "/api/v1/namespaces/%2e%2e/pods", "Malformed"),
            ("GET", "/api/v1/namespaces/n/pods/a%00b", "Malformed"),
            ("GET", "/api/v1/namespaces/n/pods/%ff", "Malformed"),
            ("GET", "/API/v1/pods", "get /API/v1/pods"),
            ("GET", "/api/v1/Pods", "list /v1 ns= Pods/ "),
            ("GET", "//api/v1/pods", "list /v1 ns= pods/ "),
            ("TRACE", "/api/v1/pods", " /v1 ns= pods/ "),
        ] {
            assert_eq!(line(method, uri), want, "{method} {uri}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let path = format!("/{}", "a".repeat(MAX_PATH));
        assert_eq!(
            RequestInfo::of(&Method::GET, &path.parse().unwrap()),
            Err(BadLine::TooLong)
        );
        let query = format!("/?{}", "a".repeat(MAX_QUERY + 1));
        assert_eq!(
            RequestInfo::of(&Method::GET, &query.parse().unwrap()),
            Err(BadLine::TooLong)
        );
    }
}
