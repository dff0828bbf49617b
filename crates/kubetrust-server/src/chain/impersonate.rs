//! Acting as someone else (`Impersonate-*`), where the one who asks may
//! (`k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use kubetrust_api::status::Status;
use kubetrust_auth::authz::attributes::{Attributes, ResourceAttributes};
use kubetrust_auth::authz::{Authorizer, Decision, forbidden};
use kubetrust_auth::user::{ANONYMOUS, AUTHENTICATED, SERVICE_ACCOUNTS, UNAUTHENTICATED, User};
use percent_encoding::percent_decode_str;

use super::{Authenticated, Identity};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA_PREFIX: &str = "impersonate-extra-";
/// Most values of all impersonation headers together: each is an authorization of its own.
const MAX_VALUES: usize = 256;

/// Makes the request one of the user that its headers name, if the one who asks may impersonate every part of it.
pub fn impersonate(mut request: Authenticated, authorizer: &Authorizer) -> Result<Authenticated, Status> {
    let wanted = match Wanted::of(&request.received.head.headers) {
        Ok(None) => return Ok(request),
        Ok(Some(wanted)) => wanted,
        Err(status) => return Err(status),
    };
    let asking = Arc::clone(&request.identity.user);
    for attributes in wanted.permissions() {
        let attributes = Attributes::Resource(attributes);
        match authorizer.authorize(&asking, &attributes) {
            Decision::Allow(_) => {}
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                return Err(forbidden(&asking, &attributes, &reason));
            }
        }
    }
    remove_headers(&mut request.received.head.headers);
    request.identity = Identity {
        user: Arc::new(wanted.user()),
        by: Some(asking),
    };
    Ok(request)
}

/// Who the headers name.
#[derive(Debug, Default)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, Vec<String>)>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let count = headers
            .keys()
            .filter(|name| is_impersonation(name))
            .map(|name| headers.get_all(name).iter().count())
            .sum::<usize>();
        if count == 0 {
            return Ok(None);
        }
        if count > MAX_VALUES {
            return Err(Status::bad_request(format!(
                "more than {MAX_VALUES} values of impersonation headers"
            )));
        }
        let mut wanted = Self {
            name: first(headers, &USER)?,
            uid: first(headers, &UID)?,
            ..Self::default()
        };
        for group in headers.get_all(GROUP) {
            wanted.groups.push(text(group)?);
        }
        for name in headers.keys() {
            let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) else {
                continue;
            };
            let key = percent_decode_str(key).decode_utf8_lossy().to_ascii_lowercase();
            let values = headers.get_all(name).iter().map(text).collect::<Result<_, _>>()?;
            wanted.extra.push((key, values));
        }
        if wanted.name.is_empty() {
            // As upstream: an empty name alone asks for nothing.
            if wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty() {
                return Ok(None);
            }
            let message = format!("requested {} without impersonating a user name", wanted.parts());
            return Err(Status::internal(message));
        }
        Ok(Some(wanted))
    }

    fn parts(&self) -> String {
        format!(
            "impersonation of uid={:?}, groups={:?}, extra keys={:?}",
            self.uid,
            self.groups,
            self.extra.iter().map(|(key, _)| key).collect::<Vec<_>>()
        )
    }

    /// Each thing that has to be allowed.
    fn permissions(&self) -> Vec<ResourceAttributes> {
        let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| ResourceAttributes {
            verb: "impersonate".into(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let as_user = User {
            name: self.name.clone(),
            ..User::default()
        };
        let mut asked = vec![match as_user.service_account() {
            Some((namespace, name)) => may("", "serviceaccounts", "", namespace, name),
            None => may("", "users", "", "", &self.name),
        }];
        asked.extend(self.groups.iter().map(|group| may("", "groups", "", "", group)));
        if !self.uid.is_empty() {
            asked.push(may("authentication.k8s.io", "uids", "", "", &self.uid));
        }
        for (key, values) in &self.extra {
            asked.extend(
                values
                    .iter()
                    .map(|value| may("authentication.k8s.io", "userextras", key, "", value)),
            );
        }
        asked
    }

    fn user(self) -> User {
        let mut user = User {
            name: self.name,
            uid: self.uid,
            groups: self.groups,
            extra: self.extra.into_iter().collect(),
        };
        // A service account is in its groups, unless groups were named.
        if user.groups.is_empty()
            && let Some((namespace, _)) = user.service_account()
        {
            let of_namespace = format!("{SERVICE_ACCOUNTS}:{namespace}");
            user.groups = vec![SERVICE_ACCOUNTS.into(), of_namespace];
        }
        let settled = user.in_group(AUTHENTICATED) || user.in_group(UNAUTHENTICATED);
        if user.name == ANONYMOUS {
            if !user.in_group(UNAUTHENTICATED) {
                user.groups.push(UNAUTHENTICATED.into());
            }
        } else if !settled {
            user.groups.push(AUTHENTICATED.into());
        }
        user
    }
}

fn is_impersonation(name: &HeaderName) -> bool {
    *name == USER || *name == GROUP || *name == UID || name.as_str().starts_with(EXTRA_PREFIX)
}

fn remove_headers(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_impersonation(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn first(headers: &HeaderMap, name: &HeaderName) -> Result<String, Status> {
    headers.get(name).map_or(Ok(String::new()), text)
}

fn text(value: &HeaderValue) -> Result<String, Status> {
    let invalid = || Status::bad_request("an impersonation header is no UTF-8");
    std::str::from_utf8(value.as_bytes())
        .map(str::to_owned)
        .map_err(|_| invalid())
}
