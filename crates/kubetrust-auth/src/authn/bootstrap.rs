//! Bootstrap tokens (S3): `ID.SECRET`, vouched for by the Secret `bootstrap-token-ID` of kube-system.

use std::collections::BTreeSet;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use serde_json::Value;

use super::lookup::{Lookup, deleted, secret_data, text};
use crate::user::User;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const USER_PREFIX: &str = "system:bootstrap:";
const GROUP: &str = "system:bootstrappers";
/// How long `ID` and `SECRET` are.
const LENGTHS: (usize, usize) = (6, 16);
/// What a group's name may have after `system:bootstrappers:`.
const GROUP_LIMIT: usize = 256;

/// Why a token is no bootstrap token. The bearer group as a whole then refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBootstrapToken {
    /// It doesn't look like one.
    #[error("the token is not of the form [a-z0-9]{{6}}.[a-z0-9]{{16}}")]
    Form,
    /// There is no such Secret.
    #[error("there is no Secret for the bootstrap token")]
    NoSecret,
    /// The Secret is being deleted.
    #[error("the bootstrap token's Secret is deleted and awaiting removal")]
    Deleted,
    /// The Secret is something else.
    #[error("the bootstrap token's Secret has another type than {TYPE}")]
    Type,
    /// The Secret has another `token-secret`.
    #[error("the bootstrap token's secret is wrong")]
    Secret,
    /// The Secret has another `token-id`.
    #[error("the bootstrap token's Secret has another token-id")]
    Id,
    /// Past its `expiration`, or with one that is no time.
    #[error("the bootstrap token has expired")]
    Expired,
    /// Not for authentication.
    #[error("the bootstrap token's Secret is not marked usage-bootstrap-authentication=true")]
    Usage,
    /// Groups that bootstrap tokens may not give.
    #[error("the bootstrap token's Secret has invalid auth-extra-groups")]
    Groups,
}

/// The user of a bootstrap token.
pub(super) fn authenticate(token: &str, lookup: &dyn Lookup, now: Timestamp) -> Result<User, NoBootstrapToken> {
    let (id, secret) = parse(token).ok_or(NoBootstrapToken::Form)?;
    let object = lookup
        .secret(NAMESPACE, &format!("bootstrap-token-{id}"))
        .ok_or(NoBootstrapToken::NoSecret)?;
    let data = |key: &str| secret_data(&object, key).unwrap_or_default();
    if deleted(&object).is_some() {
        return Err(NoBootstrapToken::Deleted);
    }
    if text(&object, &["type"]) != TYPE {
        return Err(NoBootstrapToken::Type);
    }
    if verify_slices_are_equal(&data("token-secret"), secret.as_bytes()).is_err() {
        return Err(NoBootstrapToken::Secret);
    }
    if data("token-id") != id.as_bytes() {
        return Err(NoBootstrapToken::Id);
    }
    if has_expired(&data("expiration"), now) {
        return Err(NoBootstrapToken::Expired);
    }
    if data("usage-bootstrap-authentication") != b"true" {
        return Err(NoBootstrapToken::Usage);
    }
    Ok(User {
        name: format!("{USER_PREFIX}{id}"),
        groups: groups(&object).ok_or(NoBootstrapToken::Groups)?,
        ..User::default()
    })
}

fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    ((id.len(), secret.len()) == LENGTHS && plain(id) && plain(secret)).then_some((id, secret))
}

/// No expiration is no end; one that can't be read is past.
fn has_expired(expiration: &[u8], now: Timestamp) -> bool {
    if expiration.is_empty() {
        return false;
    }
    let time: Option<Timestamp> = std::str::from_utf8(expiration).ok().and_then(|text| text.parse().ok());
    time.is_none_or(|time| time <= now)
}

/// The groups, sorted and each once, as upstream's set gives them.
fn groups(secret: &Value) -> Option<Vec<String>> {
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    let extra = secret_data(secret, "auth-extra-groups").unwrap_or_default();
    if !extra.is_empty() {
        for group in std::str::from_utf8(&extra).ok()?.split(',') {
            let rest = group.strip_prefix(GROUP)?.strip_prefix(':')?;
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":-".contains(&byte);
            let last = rest.bytes().next_back()?;
            if rest.len() > GROUP_LIMIT || !rest.bytes().all(fits) || b":-".contains(&last) {
                return None;
            }
            groups.insert(group.to_owned());
        }
    }
    Some(groups.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    struct One(Value);

    impl Lookup for One {
        fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
            (namespace == "kube-system" && name == "bootstrap-token-abcdef").then(|| Arc::new(self.0.clone()))
        }
        fn service_account(&self, _: &str, _: &str) -> Option<Arc<Value>> {
            None
        }
        fn pod(&self, _: &str, _: &str) -> Option<Arc<Value>> {
            None
        }
        fn node(&self, _: &str) -> Option<Arc<Value>> {
            None
        }
    }

    type Change = Box<dyn Fn(&mut Value)>;

    const TOKEN: &str = "abcdef.0123456789abcdef";

    fn ask(token: &str, change: impl Fn(&mut Value)) -> Result<User, NoBootstrapToken> {
        let mut secret = json!({"type": TYPE, "metadata": {}, "data": {
            "token-id": STANDARD.encode("abcdef"), "token-secret": STANDARD.encode("0123456789abcdef"),
            "usage-bootstrap-authentication": STANDARD.encode("true"),
            "expiration": STANDARD.encode("2030-01-01T00:00:00Z")}});
        change(&mut secret);
        authenticate(token, &One(secret), "2029-12-31T23:59:59Z".parse().unwrap())
    }

    #[test]
    fn a_good_token_is_its_user() {
        let extra = "system:bootstrappers:z,system:bootstrappers:kubeadm:default-node-token,system:bootstrappers:z";
        let user = ask(TOKEN, |secret| {
            secret["data"]["auth-extra-groups"] = STANDARD.encode(extra).into();
        })
        .unwrap();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(
            user.groups,
            [
                "system:bootstrappers",
                "system:bootstrappers:kubeadm:default-node-token",
                "system:bootstrappers:z"
            ]
        );
        assert_eq!(user.uid, "");
        assert!(ask(TOKEN, |secret| secret["data"]["expiration"] = "".into()).is_ok());
    }

    #[test]
    fn every_fault_of_the_secret_declines() {
        use NoBootstrapToken as No;
        let set = |key: &'static str, value: &'static str| {
            move |secret: &mut Value| secret["data"][key] = STANDARD.encode(value).into()
        };
        let cases: Vec<(Change, No)> = vec![
            (
                Box::new(|secret| secret["metadata"]["deletionTimestamp"] = "2031-01-01T00:00:00Z".into()),
                No::Deleted,
            ),
            (Box::new(|secret| secret["type"] = "Opaque".into()), No::Type),
            (Box::new(|secret| secret["data"] = Value::Null), No::Secret),
            (
                Box::new(|secret| secret["data"]["token-secret"] = "!".into()),
                No::Secret,
            ),
            (Box::new(set("token-secret", "0123456789abcdeX")), No::Secret),
            (Box::new(set("token-id", "abcdeg")), No::Id),
            (Box::new(set("expiration", "2029-12-31T23:59:59Z")), No::Expired),
            (Box::new(set("expiration", "soon")), No::Expired),
            (Box::new(set("usage-bootstrap-authentication", "True")), No::Usage),
            (Box::new(set("auth-extra-groups", "system:masters")), No::Groups),
            (Box::new(set("auth-extra-groups", "system:bootstrappers:")), No::Groups),
            (Box::new(set("auth-extra-groups", "system:bootstrappers:A")), No::Groups),
            (
                Box::new(set("auth-extra-groups", "system:bootstrappers:a-")),
                No::Groups,
            ),
            (
                Box::new(set("auth-extra-groups", "system:bootstrappers:a,")),
                No::Groups,
            ),
        ];
        for (change, fault) in cases {
            assert_eq!(ask(TOKEN, change), Err(fault));
        }
    }

    #[test]
    fn only_the_form_is_looked_up() {
        for token in [
            "",
            ".",
            "abcdef.",
            "abcdef0123456789abcdef",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef ",
            "abcdef.0123456789abcde",
            "abcde/.0123456789abcdef",
            "../../.0123456789abcdef",
            "abcdéf.0123456789abcdef",
        ] {
            assert_eq!(ask(token, |_| ()), Err(NoBootstrapToken::Form), "{token}");
        }
        assert_eq!(ask("abcdeg.0123456789abcdef", |_| ()), Err(NoBootstrapToken::NoSecret));
    }
}
