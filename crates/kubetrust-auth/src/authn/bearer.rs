//! Where a bearer token may stand in a request: the `Authorization` header (RFC 6750), or a WebSocket's subprotocol.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONNECTION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use zeroize::Zeroizing;

use super::verdict::{Declined, Refused};

/// What clients are warned with whose token stands after two spaces.
pub(super) const EXTRA_SPACE: &str =
    "the provided Authorization header contains extra space before the bearer token, and is ignored";
/// What a token may have at most. No scheme's token comes near it, and hashing it is cheap.
const TOKEN_LIMIT: usize = 64 * 1024;
/// How a subprotocol begins that carries a token in base64url.
const SUBPROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Why a token can't be read where one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than one `Authorization` header: proxies differ in which of them counts.
    #[error("there is more than one Authorization header")]
    SeveralHeaders,
    /// Bytes outside of UTF-8.
    #[error("the Authorization header is not text")]
    NotText,
    /// Longer than any token.
    #[error("the bearer token is longer than {TOKEN_LIMIT} bytes")]
    TooLong,
    /// Two subprotocols with a token.
    #[error("multiple base64.bearer.authorization tokens specified")]
    SeveralSubprotocols,
    /// Not base64url without padding.
    #[error("invalid base64.bearer.authorization token encoding")]
    Encoding,
    /// Not UTF-8.
    #[error("invalid base64.bearer.authorization token")]
    SubprotocolNotText,
    /// No subprotocol is left that the server could answer with.
    #[error("missing additional subprotocol")]
    NoOtherSubprotocol,
}

/// No token, with a reason, or a token that can't be read.
pub(super) enum NoToken {
    Declined(Declined),
    Refused(Refused),
}

impl From<Declined> for NoToken {
    fn from(reason: Declined) -> Self {
        Self::Declined(reason)
    }
}

impl From<Malformed> for NoToken {
    fn from(reason: Malformed) -> Self {
        Self::Refused(reason.into())
    }
}

/// The only `Authorization` header. Upstream takes the first of several; which one a proxy in front checked is
/// anybody's guess, so several are refused.
pub(super) fn authorization(headers: &HeaderMap) -> Result<&HeaderValue, NoToken> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next().ok_or(Declined::NoAuthorization)?;
    if values.next().is_some() {
        return Err(Malformed::SeveralHeaders.into());
    }
    Ok(header)
}

/// The token of an `Authorization: Bearer` header, as `request/bearertoken` reads it: what follows a further space is
/// not looked at.
pub(super) fn in_header(header: &HeaderValue) -> Result<&str, NoToken> {
    let text = std::str::from_utf8(header.as_bytes())
        .map_err(|_| Malformed::NotText)?
        .trim();
    if text.is_empty() {
        return Err(Declined::NoAuthorization.into());
    }
    let mut parts = text.splitn(3, ' ');
    let scheme = parts.next().unwrap_or_default();
    match parts.next() {
        Some(_) if !scheme.eq_ignore_ascii_case("bearer") => Err(Declined::OtherAuthorization.into()),
        // The text is trimmed: an empty second part has a third.
        Some("") => Err(Declined::ExtraSpace.into()),
        Some(token) if token.len() > TOKEN_LIMIT => Err(Malformed::TooLong.into()),
        Some(token) => Ok(token),
        None => Err(Declined::OtherAuthorization.into()),
    }
}

/// The token of a WebSocket handshake's subprotocol, as `request/websocket` reads it.
pub(super) fn in_subprotocol(headers: &HeaderMap) -> Result<Zeroizing<String>, NoToken> {
    if !is_websocket(headers) {
        return Err(Declined::NoSubprotocol.into());
    }
    let mut token = None;
    let mut others = false;
    for protocol in subprotocols(headers) {
        let Some(encoded) = protocol.strip_prefix(SUBPROTOCOL.as_bytes()) else {
            others = true;
            continue;
        };
        if token.is_some() {
            return Err(Malformed::SeveralSubprotocols.into());
        }
        if encoded.len() > TOKEN_LIMIT {
            return Err(Malformed::TooLong.into());
        }
        let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Malformed::Encoding)?;
        token = Some(Zeroizing::new(
            String::from_utf8(decoded).map_err(|_| Malformed::SubprotocolNotText)?,
        ));
    }
    match token.filter(|token| !token.is_empty()) {
        None => Err(Declined::NoSubprotocol.into()),
        Some(_) if !others => Err(Malformed::NoOtherSubprotocol.into()),
        Some(token) => Ok(token),
    }
}

/// Takes the subprotocol with the token out, so that nothing later sees or answers it.
pub(super) fn strip_subprotocol(headers: &mut HeaderMap) {
    let kept: Vec<_> = subprotocols(headers)
        .filter(|protocol| !protocol.starts_with(SUBPROTOCOL.as_bytes()))
        .map(<[u8]>::to_vec)
        .collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b","[..]))
        && !kept.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    upgrades && headers.get(UPGRADE).is_some_and(websocket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn said(reason: &NoToken) -> String {
        match reason {
            NoToken::Declined(reason) => format!("declined: {reason}"),
            NoToken::Refused(reason) => format!("refused: {reason}"),
        }
    }

    #[test]
    fn the_header_is_read_as_upstream_reads_it() {
        for (value, expected) in [
            ("Bearer abc", Ok("abc")),
            ("bEaReR abc", Ok("abc")),
            ("  Bearer abc  ", Ok("abc")),
            ("Bearer abc def", Ok("abc")),
            ("Bearer abc,def", Ok("abc,def")),
            ("", Err("declined: there is no Authorization header")),
            (
                "Bearer",
                Err("declined: the Authorization header is not of this scheme"),
            ),
            (
                "Bearer ",
                Err("declined: the Authorization header is not of this scheme"),
            ),
            (
                "Bearerabc",
                Err("declined: the Authorization header is not of this scheme"),
            ),
            (
                "Basic abc",
                Err("declined: the Authorization header is not of this scheme"),
            ),
            (
                "Bearer\tabc",
                Err("declined: the Authorization header is not of this scheme"),
            ),
            (
                "Bearer  abc",
                Err("declined: the provided Authorization header contains extra space"),
            ),
        ] {
            match (in_header(&HeaderValue::from_static(value)), expected) {
                (Ok(token), Ok(expected)) => assert_eq!(token, expected),
                (Err(reason), Err(expected)) => assert!(said(&reason).starts_with(expected), "{value:?}"),
                (found, _) => panic!("{value:?}: {:?}", found.map_err(|reason| said(&reason))),
            }
        }
    }

    #[test]
    fn two_headers_are_refused() {
        let headers = map(&[("authorization", "Bearer a"), ("Authorization", "Bearer a")]);
        assert!(matches!(
            authorization(&headers),
            Err(NoToken::Refused(Refused::Bearer(Malformed::SeveralHeaders)))
        ));
    }

    #[test]
    fn a_subprotocol_carries_a_token_beside_another_one() {
        const ABC: &str = "base64url.bearer.authorization.k8s.io.YWJj";
        let upgrade = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        let with = |protocols: &[&str]| {
            let mut pairs = upgrade.to_vec();
            pairs.extend(protocols.iter().map(|each| ("sec-websocket-protocol", *each)));
            map(&pairs)
        };
        let both = format!("v5.channel.k8s.io, {ABC}");
        for (protocols, expected) in [
            (vec![both.as_str()], Ok("abc")),
            (vec![ABC, "v5.channel.k8s.io"], Ok("abc")),
            (vec![ABC], Err("refused: missing additional subprotocol")),
            (
                vec![ABC, &both],
                Err("refused: multiple base64.bearer.authorization tokens specified"),
            ),
            (
                vec!["x", "base64url.bearer.authorization.k8s.io.YW=="],
                Err("refused: invalid base64.bearer"),
            ),
            (
                vec!["x", "base64url.bearer.authorization.k8s.io._w"],
                Err("refused: invalid base64.bearer"),
            ),
            (vec!["x", "base64url.bearer.authorization.k8s.io."], Err("declined")),
            (vec!["x"], Err("declined")),
            (vec![], Err("declined")),
        ] {
            match (in_subprotocol(&with(&protocols)), expected) {
                (Ok(token), Ok(expected)) => assert_eq!(*token, expected),
                (Err(reason), Err(expected)) => assert!(said(&reason).starts_with(expected), "{protocols:?}"),
                (found, _) => panic!("{protocols:?}: {:?}", found.map_err(|reason| said(&reason))),
            }
        }
        let plain = map(&[("sec-websocket-protocol", both.as_str())]);
        assert!(
            matches!(in_subprotocol(&plain), Err(NoToken::Declined(_))),
            "without an upgrade it is no WebSocket"
        );

        let mut headers = with(&[ABC, &both]);
        strip_subprotocol(&mut headers);
        let left: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert_eq!(left, ["v5.channel.k8s.io"]);
    }
}
