//! Users, as certificates name them, as servers tell them, and as they are printed.

use kubetrust_auth::user::{AUTHENTICATED, CREDENTIAL_ID, SERVICE_ACCOUNTS, UNAUTHENTICATED, User};
use kubetrust_pki::certificate::Certificate;
use serde_json::{Value, json};

/// Whom a certificate names (S3): CN the user, each O a group. Nobody without a CN.
pub fn of_certificate(certificate: &Certificate) -> Option<User> {
    let name = certificate.common_name().filter(|name| !name.is_empty())?;
    let credential = format!("X509SHA256={}", certificate.fingerprint());
    Some(proven(User {
        name,
        groups: certificate.organizations(),
        extra: [(CREDENTIAL_ID.to_owned(), vec![credential])].into(),
        ..User::default()
    }))
}

/// With the group of all who proved who they are.
pub fn proven(mut user: User) -> User {
    if !user.is_anonymous() && !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// A service account's groups, if the user is one.
pub fn groups_of_account(user: &User) -> Vec<String> {
    let account = user.service_account();
    account.map_or_else(Vec::new, |(namespace, _)| {
        vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
    })
}

/// A user from `authentication/v1 UserInfo`.
pub fn from_info(info: &Value) -> User {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let extra = info["extra"].as_object().into_iter().flatten();
    User {
        name: text(&info["username"]),
        uid: text(&info["uid"]),
        groups: texts(&info["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

/// A user as `authentication/v1 UserInfo`.
pub fn to_info(user: &User) -> Value {
    json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra})
}

/// A user, attribute by attribute; what is empty is left out.
pub fn lines(user: &User) -> Vec<[String; 2]> {
    let mut lines = vec![["Username".to_owned(), user.name.clone()]];
    if !user.uid.is_empty() {
        lines.push(["UID".to_owned(), user.uid.clone()]);
    }
    if !user.groups.is_empty() {
        lines.push(["Groups".to_owned(), user.groups.join(", ")]);
    }
    lines.extend(
        user.extra
            .iter()
            .map(|(key, values)| [format!("Extra: {key}"), values.join(", ")]),
    );
    lines
}
