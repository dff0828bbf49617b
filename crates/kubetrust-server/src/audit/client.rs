//! What a request says of the client that sent it, as events tell it.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName};

/// Longest `User-Agent` that is recorded whole, in bytes (upstream's `maxUserAgentLength`).
const MAX_USER_AGENT: usize = 1024;
/// What follows one that was cut.
const TRUNCATED: &str = "...TRUNCATED";
/// Most addresses that are recorded of what `X-Forwarded-For` lists.
const MAX_FORWARDED: usize = 32;
/// Longest `Audit-ID` that a client may choose, in bytes.
const MAX_ID: usize = 64;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The id that the client or a proxy before us gave the request, so that all servers on its way name it alike. Upstream
/// takes any text; here it is short and visible, since it goes into the log and back in a header.
pub fn requested_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(AUDIT_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic())).then_some(id)
}

/// `User-Agent`, bounded.
pub(super) fn user_agent(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(USER_AGENT) else {
        return String::new();
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    if text.len() <= MAX_USER_AGENT {
        return text.into_owned();
    }
    format!("{}{TRUNCATED}", &text[..text.floor_char_boundary(MAX_USER_AGENT)])
}

/// `X-Forwarded-For`, then `X-Real-Ip` if it isn't among them, then the connection's other end if it isn't the last
/// (`k8s.io/apimachinery/pkg/util/net.SourceIPs`).
pub(super) fn source_ips(headers: &HeaderMap, remote: SocketAddr) -> Vec<IpAddr> {
    let first = |name: &HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let forwarded = first(&FORWARDED_FOR).split(',').take(MAX_FORWARDED).filter_map(address);
    let mut addresses: Vec<IpAddr> = forwarded.collect();
    if let Some(real) = address(first(&REAL_IP))
        && !addresses.contains(&real)
    {
        addresses.push(real);
    }
    let remote = remote.ip().to_canonical();
    if addresses.last() != Some(&remote) {
        addresses.push(remote);
    }
    addresses
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The message of a failed authentication: how it was tried, never with what.
pub(super) fn attempted(headers: &HeaderMap, has_certificate: bool) -> String {
    let mut methods = Vec::new();
    let authorization = headers
        .get(AUTHORIZATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .unwrap_or_default();
    if let Some((scheme, _)) = authorization.trim().split_once(' ') {
        methods.extend(
            ["basic", "bearer"]
                .into_iter()
                .find(|known| scheme.eq_ignore_ascii_case(known)),
        );
    }
    if has_certificate {
        methods.push("x509");
    }
    if methods.is_empty() {
        return "Authentication failed, no credentials provided".into();
    }
    format!("Authentication failed, attempted: {}", methods.join(", "))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn addresses_are_listed_as_upstream_lists_them() {
        for (rows, remote, want) in [
            (&[][..], "10.0.0.9:1", "10.0.0.9"),
            (&[("x-forwarded-for", "1.1.1.1")], "10.0.0.9:1", "1.1.1.1 10.0.0.9"),
            (
                &[("x-forwarded-for", "1.1.1.1, 10.0.0.9")],
                "10.0.0.9:1",
                "1.1.1.1 10.0.0.9",
            ),
            (
                &[("x-forwarded-for", "nobody,, 2001:db8::1 ,1.1.1.1:80")],
                "10.0.0.9:1",
                "2001:db8::1 10.0.0.9",
            ),
            (&[("x-real-ip", "1.1.1.1")], "10.0.0.9:1", "1.1.1.1 10.0.0.9"),
            (
                &[("x-forwarded-for", "1.1.1.1,2.2.2.2"), ("x-real-ip", "1.1.1.1")],
                "10.0.0.9:1",
                "1.1.1.1 2.2.2.2 10.0.0.9",
            ),
            (&[("x-real-ip", "10.0.0.9")], "10.0.0.9:1", "10.0.0.9"),
            (&[], "[::ffff:10.0.0.9]:1", "10.0.0.9"),
        ] {
            let found = source_ips(&headers(rows), remote.parse().unwrap());
            assert_eq!(
                found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                want,
                "{rows:?}"
            );
        }
        let many = vec!["1.1.1.1"; 1000].join(",");
        assert_eq!(
            source_ips(&headers(&[("x-forwarded-for", &many)]), "10.0.0.9:1".parse().unwrap()).len(),
            MAX_FORWARDED + 1
        );
    }

    #[test]
    fn a_long_user_agent_is_cut_between_characters() {
        assert_eq!(user_agent(&headers(&[])), "");
        assert_eq!(
            user_agent(&headers(&[("user-agent", "kubectl/v1.37")])),
            "kubectl/v1.37"
        );
        let mut long = HeaderMap::new();
        long.insert(USER_AGENT, HeaderValue::from_bytes("é".repeat(600).as_bytes()).unwrap());
        assert_eq!(user_agent(&long), format!("{}{TRUNCATED}", "é".repeat(512)));
        long.insert(
            USER_AGENT,
            HeaderValue::from_bytes(format!("x{}", "é".repeat(600)).as_bytes()).unwrap(),
        );
        assert_eq!(user_agent(&long), format!("x{}{TRUNCATED}", "é".repeat(511)));
    }

    #[test]
    fn how_authentication_was_tried_is_told_without_the_credential() {
        for (rows, certificate, want) in [
            (&[][..], false, "Authentication failed, no credentials provided"),
            (
                &[("authorization", "Bearer secret")],
                false,
                "Authentication failed, attempted: bearer",
            ),
            (
                &[("authorization", "basic secret")],
                true,
                "Authentication failed, attempted: basic, x509",
            ),
            (
                &[("authorization", "secret")],
                false,
                "Authentication failed, no credentials provided",
            ),
            (&[], true, "Authentication failed, attempted: x509"),
        ] {
            assert_eq!(attempted(&headers(rows), certificate), want);
        }
    }

    #[test]
    fn an_id_of_the_client_is_taken_if_it_fits_into_a_log() {
        let long = "a".repeat(MAX_ID + 1);
        for (id, taken) in [
            ("a-b_1", true),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            (&long, false),
        ] {
            assert_eq!(
                requested_id(&headers(&[("audit-id", id)])),
                taken.then_some(id),
                "{id:?}"
            );
        }
        assert_eq!(requested_id(&headers(&[])), None);
    }
}
