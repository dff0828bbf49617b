//! The claims of a service account's token (`pkg/serviceaccount/claims.go` and `legacy.go`).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

/// How far clocks may be apart (`DefaultLeeway` of go-jose), for the times of a token and those of deletions.
pub(super) const LEEWAY: SignedDuration = SignedDuration::from_mins(1);
/// `iss` of tokens that Secrets hold.
pub(super) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Everything that either kind of token says. A name that is there twice is an error, as serde has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub exp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub iat: Option<i64>,
    pub iss: String,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub jti: String,
    #[serde(rename = "kubernetes.io", default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    #[serde(flatten)]
    pub legacy: Legacy,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub sub: String,
}

/// What a token of the `TokenRequest` API is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    #[serde(default)]
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub warnafter: Option<i64>,
}

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// What a token of a Secret says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Legacy {
    #[serde(
        rename = "kubernetes.io/serviceaccount/namespace",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/secret.name",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub secret: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.name",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.uid",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub uid: String,
}

/// Why a token is not valid at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadTime {
    Expired,
    NotYetValid,
    IssuedInTheFuture,
}

impl Claims {
    /// Whether the token is valid at `now`, give or take [`LEEWAY`].
    pub fn valid_at(&self, now: Timestamp) -> Result<(), BadTime> {
        let now = now.as_nanosecond();
        let leeway = LEEWAY.as_nanos();
        let nanos = |seconds: i64| i128::from(seconds) * 1_000_000_000;
        if self.nbf.is_some_and(|from| now + leeway < nanos(from)) {
            return Err(BadTime::NotYetValid);
        }
        if self.exp.is_some_and(|until| now - leeway > nanos(until)) {
            return Err(BadTime::Expired);
        }
        if self.iat.is_some_and(|issued| now + leeway < nanos(issued)) {
            return Err(BadTime::IssuedInTheFuture);
        }
        Ok(())
    }
}

/// The issuer that a payload names, before anything is verified.
pub(super) fn issuer(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    serde_json::from_slice(payload).ok().map(|Issuer { iss }| iss)
}

/// A text, or `null`, which Go reads as an empty one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// `NumericDate` (RFC 7519 section 2): seconds, of which a fraction is cut off.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    use serde::de::Error as _;
    // Beyond, a double can't tell one second from the next, and no clock gets there.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if let Some(seconds) = number.as_i64() {
        return Ok(Some(seconds));
    }
    let seconds = number.as_f64().filter(|seconds| seconds.abs() < LIMIT);
    let seconds = seconds.ok_or_else(|| D::Error::custom("not a date"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is cut off on purpose, and within i64"
    )]
    Ok(Some(seconds.trunc() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Claims, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_times_have_a_minute_of_leeway() {
        let claims = |json: &str| read(&format!("{{\"iss\":\"i\",{json}}}")).unwrap();
        for (json, now, expected) in [
            ("\"exp\":1000", "1970-01-01T00:17:40Z", Ok(())),
            ("\"exp\":1000", "1970-01-01T00:17:40.001Z", Err(BadTime::Expired)),
            ("\"exp\":1000.9", "1970-01-01T00:17:40.5Z", Err(BadTime::Expired)),
            ("\"nbf\":1000", "1970-01-01T00:15:40Z", Ok(())),
            ("\"nbf\":1000", "1970-01-01T00:15:39.999Z", Err(BadTime::NotYetValid)),
            ("\"iat\":1000", "1970-01-01T00:15:39Z", Err(BadTime::IssuedInTheFuture)),
            (
                "\"exp\":9223372036854775807,\"nbf\":-9223372036854775808",
                "2026-01-01T00:00:00Z",
                Ok(()),
            ),
            ("\"exp\":null", "2026-01-01T00:00:00Z", Ok(())),
            ("\"exp\":0", "2026-01-01T00:00:00Z", Err(BadTime::Expired)),
        ] {
            assert_eq!(claims(json).valid_at(now.parse().unwrap()), expected, "{json} {now}");
        }
    }

    #[test]
    fn claims_of_a_wrong_type_are_no_claims() {
        for json in [
            r#"{"iss":"i","exp":"1000"}"#,
            r#"{"iss":"i","exp":1e300}"#,
            r#"{"iss":"i","exp":18446744073709551615}"#,
            r#"{"iss":"i","aud":[1]}"#,
            r#"{"iss":"i","aud":{}}"#,
            r#"{"iss":"i","sub":1}"#,
            r#"{"iss":"i","iss":"j"}"#,
            r#"{"iss":"i","kubernetes.io":{"namespace":"a","namespace":"b"}}"#,
            r#"{"iss":"i","kubernetes.io":{"pod":"p"}}"#,
            r#"{"iss":"i","kubernetes.io/serviceaccount/namespace":"a","kubernetes.io/serviceaccount/namespace":"b"}"#,
            r#"{"iss":"i","kubernetes.io/serviceaccount/namespace":1}"#,
            r"{}",
            "[]",
            "",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        let one = read(r#"{"iss":"i","aud":"a"}"#).unwrap();
        assert_eq!(one.aud, read(r#"{"iss":"i","aud":["a"],"more":[1]}"#).unwrap().aud);
    }
}
