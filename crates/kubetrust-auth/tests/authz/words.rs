//! Requests and users in one line of text.

use kubetrust_auth::authz::{Attributes, Requirement, ResourceAttributes};
use kubetrust_auth::user::User;

/// `alice`, `alice+dev+ops`: a user and groups.
pub fn user(text: &str) -> User {
    let mut words = text.split('+').map(str::to_owned);
    User {
        name: words.next().unwrap(),
        groups: words.collect(),
        ..User::default()
    }
}

/// `get /healthz`, `get pods`, `create deployments.apps/scale @default web`, `list pods spec.nodeName=n`.
pub fn asked(text: &str) -> Attributes {
    let mut words = text.split_whitespace();
    let (verb, what) = (words.next().unwrap().to_owned(), words.next().unwrap());
    if what.starts_with('/') {
        return Attributes::NonResource {
            verb,
            path: what.to_owned(),
        };
    }
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let mut asked = ResourceAttributes {
        verb,
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        ..ResourceAttributes::default()
    };
    for word in words {
        match (word.strip_prefix('@'), word.split_once('=')) {
            (Some(namespace), _) => asked.namespace = namespace.into(),
            (_, Some((key, value))) => asked.field_selector.push(Requirement::equals(key, value)),
            _ => asked.name = word.into(),
        }
    }
    Attributes::Resource(asked)
}
