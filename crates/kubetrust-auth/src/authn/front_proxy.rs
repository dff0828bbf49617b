//! The authenticating proxy (S9): who it says that is asking, believed only after its own certificate was verified.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use super::file::FileError;
use super::presented::Presented;
use super::verdict::{Declined, Refused, with_authenticated_group};
use super::x509::{Untrusted, Verifier, recall};
use crate::user::User;

/// How many headers of each kind may be configured.
const HEADERS_LIMIT: usize = 32;

/// The headers that a proxy speaks in. A name is matched whole and without regard to case; `X_Remote_User` is another
/// header than `X-Remote-User`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHeaders {
    users: Vec<HeaderName>,
    uids: Vec<HeaderName>,
    groups: Vec<HeaderName>,
    // In lower case.
    extra_prefixes: Vec<String>,
}

/// The proxy's CA, names and headers: the `--requestheader-*` flags.
pub struct FrontProxy {
    verifier: Verifier,
    allowed_names: Vec<String>,
    headers: RemoteHeaders,
}

/// Why a proxy, or what it says, is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrusted {
    /// Its certificate.
    #[error(transparent)]
    Certificate(#[from] Untrusted),
    /// A good certificate of somebody who may not speak for others.
    #[error("x509: subject with cn={0:?} is not in the allowed list")]
    Name(String),
    /// The same header twice: the proxy may have added its own beside the client's.
    #[error("the header {0} is there more than once")]
    SeveralHeaders(HeaderName),
    /// Bytes outside of UTF-8.
    #[error("the header {0} is not text")]
    NotText(HeaderName),
}

impl RemoteHeaders {
    /// `X-Remote-User`, `-Uid`, `-Group`, `-Extra-`: the names that kubeadm sets, and that are never passed on.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            users: vec![HeaderName::from_static("x-remote-user")],
            uids: vec![HeaderName::from_static("x-remote-uid")],
            groups: vec![HeaderName::from_static("x-remote-group")],
            extra_prefixes: vec!["x-remote-extra-".into()],
        }
    }

    /// Takes the values of `--requestheader-username-headers`, `-uid-headers`, `-group-headers` and
    /// `-extra-headers-prefix`, in order.
    pub fn new<S: AsRef<str>>(users: &[S], uids: &[S], groups: &[S], extra_prefixes: &[S]) -> Result<Self, FileError> {
        let names = |flag: &str, values: &[S]| -> Result<Vec<_>, _> {
            values.iter().map(|value| name(flag, value.as_ref())).collect()
        };
        for (flag, count) in [
            ("--requestheader-username-headers", users.len()),
            ("--requestheader-uid-headers", uids.len()),
            ("--requestheader-group-headers", groups.len()),
            ("--requestheader-extra-headers-prefix", extra_prefixes.len()),
        ] {
            if count > HEADERS_LIMIT {
                return Err(FileError::whole(flag, format!("there are more than {HEADERS_LIMIT}")));
            }
        }
        let prefixes = extra_prefixes
            .iter()
            .map(|prefix| name("--requestheader-extra-headers-prefix", prefix.as_ref()))
            .map(|prefix| prefix.map(|prefix| prefix.as_str().to_owned()));
        Ok(Self {
            users: names("--requestheader-username-headers", users)?,
            uids: names("--requestheader-uid-headers", uids)?,
            groups: names("--requestheader-group-headers", groups)?,
            extra_prefixes: prefixes.collect::<Result<_, _>>()?,
        })
    }

    /// Takes every header of these kinds out of a request.
    pub fn strip(&self, headers: &mut HeaderMap) {
        // A request has few headers, and hardly ever one of these.
        let found: Vec<_> = headers.keys().filter(|name| self.has(name)).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    fn has(&self, name: &HeaderName) -> bool {
        let mut names = self.users.iter().chain(&self.uids).chain(&self.groups);
        let is_extra = |prefix: &String| name.as_str().starts_with(prefix);
        names.any(|known| known == name) || self.extra_prefixes.iter().any(is_extra)
    }

    /// The user that the headers name, if they name one.
    fn user(&self, headers: &HeaderMap) -> Result<Option<User>, Distrusted> {
        let Some(name) = first(headers, &self.users)? else {
            return Ok(None);
        };
        let mut user = User {
            name: name.to_owned(),
            uid: first(headers, &self.uids)?.unwrap_or_default().to_owned(),
            ..User::default()
        };
        for name in &self.groups {
            for group in values(headers, name) {
                let group = group?;
                if !group.is_empty() {
                    user.groups.push(group.to_owned());
                }
            }
        }
        // By prefix first, so that the order of an extra's values is that of the configuration.
        for prefix in &self.extra_prefixes {
            for name in headers.keys() {
                let Some(key) = name.as_str().strip_prefix(prefix.as_str()) else {
                    continue;
                };
                let extra = user.extra.entry(unescape(key)).or_default();
                for value in values(headers, name) {
                    extra.push(value?.to_owned());
                }
            }
        }
        Ok(Some(user))
    }
}

impl FrontProxy {
    /// An empty list of names allows every certificate of the CA.
    #[must_use]
    pub fn new(verifier: Verifier, allowed_names: Vec<String>, headers: RemoteHeaders) -> Self {
        Self {
            verifier,
            allowed_names,
            headers,
        }
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &RemoteHeaders {
        &self.headers
    }

    /// What verifies the proxy's certificate.
    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Verifies the certificate, then reads the headers. The order is the point: nothing of a header is looked at
    /// for somebody who isn't a proxy.
    pub(super) fn authenticate(
        &self,
        presented: &Presented<'_>,
        generation: u64,
    ) -> Result<Result<Arc<User>, Declined>, Refused> {
        let Some(peer) = presented.peer else {
            return Ok(Err(Declined::NoCertificate));
        };
        let verified = recall(
            &peer.as_proxy,
            &self.verifier,
            &peer.certificates,
            generation,
            presented.now,
        )
        .map_err(Distrusted::Certificate)?;
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&verified.common_name) {
            return Err(Distrusted::Name(verified.common_name.clone()).into());
        }
        let user = self.headers.user(presented.headers)?;
        Ok(user.map(with_authenticated_group).ok_or(Declined::NoUserHeader))
    }
}

/// A header's name, or the prefix of one.
fn name(flag: &str, value: &str) -> Result<HeaderName, FileError> {
    let value = value.trim();
    HeaderName::from_bytes(value.as_bytes()).map_err(|_| {
        FileError::whole(
            flag,
            format!("{value:?} is no name of a header; write X-Remote-User, say"),
        )
    })
}

/// The value of the first header that has one. Upstream takes the first value of a header that is there twice; since
/// that is the client's where a proxy adds rather than replaces, such a header is refused.
fn first<'a>(headers: &'a HeaderMap, names: &[HeaderName]) -> Result<Option<&'a str>, Distrusted> {
    for name in names {
        let mut values = values(headers, name);
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Distrusted::SeveralHeaders(name.clone()));
        }
        let value = value?;
        if !value.is_empty() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Result<&'a str, Distrusted>> {
    headers
        .get_all(name)
        .iter()
        .map(move |value| std::str::from_utf8(value.as_bytes()).map_err(|_| Distrusted::NotText(name.clone())))
}

/// The key of an extra, percent-decoded as a path's part; one that is malformed stays as it is.
fn unescape(key: &str) -> String {
    let well_formed = key.split('%').skip(1).all(|rest| {
        rest.get(..2)
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    });
    match percent_decode_str(key).decode_utf8() {
        Ok(decoded) if well_formed => decoded.into_owned(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn every_header_is_read_as_upstream_reads_it() {
        let headers = map(&[
            ("X-REMOTE-user", "jane"),
            ("X-Remote-Uid", "7"),
            ("X-Remote-Group", "b"),
            ("X-Remote-Group", ""),
            ("x-remote-group", "a,c"),
            ("X-Remote-Extra-Scopes", "x"),
            ("X-Remote-Extra-Scopes", "y"),
            ("X-Remote-Extra-acme.com%2FProject", "p"),
            ("X-Remote-Extra-bad%2", "q"),
            ("X_Remote_Group", "system:masters"),
            ("XRemoteGroup", "system:masters"),
        ]);
        let user = RemoteHeaders::standard().user(&headers).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "7"));
        assert_eq!(user.groups, ["b", "a,c"]);
        let extra: Vec<_> = user
            .extra
            .iter()
            .map(|(key, values)| (key.as_str(), values.join(" ")))
            .collect();
        assert_eq!(
            extra,
            [
                ("acme.com/project", "p".to_owned()),
                ("bad%2", "q".to_owned()),
                ("scopes", "x y".to_owned())
            ]
        );
    }

    #[test]
    fn the_first_header_with_a_value_names_the_user() {
        let remote = RemoteHeaders::new(&["A", "B"], &[], &[], &[]).unwrap();
        let user = |pairs: &[(&str, &str)]| remote.user(&map(pairs)).map(|user| user.map(|user| user.name));
        assert_eq!(user(&[("b", "two"), ("a", "one")]), Ok(Some("one".into())));
        assert_eq!(user(&[("a", ""), ("b", "two")]), Ok(Some("two".into())));
        assert_eq!(user(&[("c", "three")]), Ok(None));
        assert_eq!(user(&[]), Ok(None));
        let twice = Distrusted::SeveralHeaders(HeaderName::from_static("a"));
        assert_eq!(user(&[("a", "one"), ("A", "two")]), Err(twice));
        let not_text = Distrusted::NotText(HeaderName::from_static("a"));
        let mut headers = HeaderMap::new();
        headers.insert("a", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(remote.user(&headers), Err(not_text));
    }

    #[test]
    fn nothing_of_the_proxy_is_passed_on() {
        let mut headers = map(&[
            ("X-Remote-User", "a"),
            ("X-Remote-User", "b"),
            ("X-Remote-Uid", "1"),
            ("X-Remote-Group", "g"),
            ("X-Remote-Extra-K", "v"),
            ("X-Remote-Users", "kept"),
            ("Accept", "kept"),
        ]);
        RemoteHeaders::standard().strip(&mut headers);
        let left: std::collections::BTreeSet<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept", "x-remote-users"].into());
    }

    #[test]
    fn a_flag_that_names_no_header_is_an_error() {
        for bad in ["", " ", "a b", "ü", "a:"] {
            let error = RemoteHeaders::new(&[bad], &[], &[], &[]).unwrap_err().to_string();
            assert!(error.starts_with("--requestheader-username-headers: "), "{error}");
        }
        assert_eq!(
            RemoteHeaders::new(
                &[" X-Remote-User "],
                &["X-Remote-Uid"],
                &["X-Remote-Group"],
                &["X-Remote-Extra-"]
            ),
            Ok(RemoteHeaders::standard())
        );
    }
}
