//! Tokens of the `TokenRequest` API: the account, and what the token is bound to, must be there still
//! (`validator.Validate` of `pkg/serviceaccount/claims.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::claims::{Bound, Claims, LEEWAY, Reference};
use super::{InvalidToken, Object};
use crate::authn::lookup::{Lookup, deleted, uid};
use crate::user::{CREDENTIAL_ID, NODE_NAME, NODE_UID, POD_NAME, POD_UID, User};

/// Looks everything up that the token is bound to.
pub(super) fn check(bound: &Bound, lookup: &dyn Lookup, now: Timestamp) -> Result<(), InvalidToken> {
    let Bound {
        namespace,
        serviceaccount,
        secret,
        pod,
        node,
        ..
    } = bound;
    if namespace.is_empty() || serviceaccount.name.is_empty() {
        return Err(InvalidToken::Incomplete("kubernetes.io"));
    }
    let account = lookup.service_account(namespace, &serviceaccount.name);
    exists(Object::ServiceAccount, account.as_deref(), serviceaccount, now)?;
    if let Some(secret) = secret {
        exists(
            Object::Secret,
            lookup.secret(namespace, &secret.name).as_deref(),
            secret,
            now,
        )?;
    }
    if let Some(pod) = pod {
        exists(Object::Pod, lookup.pod(namespace, &pod.name).as_deref(), pod, now)?;
    } else if let Some(node) = node {
        // Of a pod's token the node is information; the kubelet deletes the pods of a node that goes.
        exists(Object::Node, lookup.node(&node.name).as_deref(), node, now)?;
    }
    Ok(())
}

fn exists(kind: Object, object: Option<&Value>, claim: &Reference, now: Timestamp) -> Result<(), InvalidToken> {
    let object = object.ok_or(InvalidToken::Gone(kind))?;
    if uid(object) != claim.uid {
        return Err(InvalidToken::OtherUid(kind));
    }
    // A deletion's time is the end of the grace that was given, so a pod's token works while it shuts down.
    let gone = deleted(object).is_some_and(|deleted| now.checked_sub(LEEWAY).is_ok_and(|limit| deleted < limit));
    if gone { Err(InvalidToken::Deleted(kind)) } else { Ok(()) }
}

/// The user of a token whose claims hold.
pub(super) fn user(claims: &Claims, bound: &Bound) -> User {
    let mut user = super::user(&bound.namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid);
    let mut add = |key: &str, value: &str| user.extra.insert(key.to_owned(), vec![value.to_owned()]);
    if let Some(pod) = &bound.pod
        && !pod.name.is_empty()
        && !pod.uid.is_empty()
    {
        add(POD_NAME, &pod.name);
        add(POD_UID, &pod.uid);
    }
    if !claims.jti.is_empty() {
        add(CREDENTIAL_ID, &format!("JTI={}", claims.jti));
    }
    if let Some(node) = &bound.node
        && !node.name.is_empty()
    {
        add(NODE_NAME, &node.name);
        if !node.uid.is_empty() {
            add(NODE_UID, &node.uid);
        }
    }
    user
}

/// The audit annotation of a token that is past the time after which its client should have a new one.
pub(super) fn stale(claims: &Claims, bound: &Bound, now: Timestamp) -> Option<(&'static str, String)> {
    let warn_after = bound.warnafter.filter(|seconds| *seconds != 0)?;
    let late = now.as_second().saturating_sub(warn_after);
    (now.as_nanosecond() > i128::from(warn_after) * 1_000_000_000).then(|| {
        let text = format!("subject: {}, seconds after warning threshold: {late}", claims.sub);
        ("authentication.k8s.io/stale-token", text)
    })
}
