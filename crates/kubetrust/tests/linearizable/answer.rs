//! What a client may be told while servers and members of etcd come and go.

use std::io;

use serde_json::Value;

use crate::client::Reply;

/// The refusals that a client tries again after, whether with a `Retry-After`, and whether the request may have had its
/// effect all the same. client-go repeats any request by itself that is answered with a `Retry-After`: only those may be
/// that surely had none.
#[rustfmt::skip]
const RETRYABLE: &[(u16, &str, bool, bool)] = &[
    (429, "TooManyRequests",    true,  false),
    (503, "ServiceUnavailable", true,  false),
    (504, "Timeout",            true,  false),
    (504, "Timeout",            false, true),
];

/// The answers about the object itself.
#[rustfmt::skip]
const EXPECTED: &[(u16, &str)] = &[
    (404, "NotFound"),
    (409, "Conflict"),
    (409, "AlreadyExists"),
];

/// An answer, as far as the workload is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 or 201, and the object.
    Done(Value),
    /// 404.
    Absent,
    /// 409.
    Conflict,
    /// Try again: it did not happen.
    Refused,
    /// Try again: nobody knows.
    Unknown,
}

impl Answer {
    /// Judges an answer. An error for one that no client should get.
    pub fn of(reply: io::Result<Reply>) -> Result<Self, String> {
        match reply {
            Ok(reply) => {
                let retry = reply.headers.get("retry-after").is_some();
                let body = serde_json::from_slice(&reply.body)
                    .map_err(|error| format!("{} without an object: {error}", reply.code))?;
                Self::of_status(reply.code, retry, body)
            }
            // Nobody listens: nothing was sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Self::Refused),
            Err(_) => Ok(Self::Unknown),
        }
    }

    fn of_status(code: u16, retry: bool, body: Value) -> Result<Self, String> {
        if matches!(code, 200 | 201) {
            return Ok(Self::Done(body));
        }
        let reason = body["reason"].as_str().unwrap_or_default();
        if let Some((.., may_have_happened)) = RETRYABLE
            .iter()
            .find(|row| (row.0, row.1, row.2) == (code, reason, retry))
        {
            return Ok(if *may_have_happened {
                Self::Unknown
            } else {
                Self::Refused
            });
        }
        // A path that is not served is a 404 too, and says nothing of an object.
        let known = EXPECTED.contains(&(code, reason)) && body["details"]["kind"] == "configmaps";
        match (known, code) {
            (true, 404) => Ok(Self::Absent),
            (true, _) => Ok(Self::Conflict),
            (false, _) => Err(format!("{code} is no answer to be tried again after: {body}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_client_can_try_again_after_is_told_from_what_it_cannot() {
        let about = |reason: &str| json!({"reason": reason, "details": {"kind": "configmaps"}});
        #[rustfmt::skip]
        let cases = [
            (200, false, json!({}),                    Some(Answer::Done(json!({})))),
            (404, false, about("NotFound"),            Some(Answer::Absent)),
            (404, false, json!({"reason": "NotFound", "details": {}}), None),
            (409, false, about("Conflict"),            Some(Answer::Conflict)),
            (409, false, about("AlreadyExists"),       Some(Answer::Conflict)),
            (429, true,  about("TooManyRequests"),     Some(Answer::Refused)),
            (503, true,  about("ServiceUnavailable"),  Some(Answer::Refused)),
            (503, false, about("ServiceUnavailable"),  None),
            (504, true,  about("Timeout"),             Some(Answer::Refused)),
            (504, false, about("Timeout"),             Some(Answer::Unknown)),
            (500, true,  about("InternalError"),       None),
            (401, false, about("Unauthorized"),        None),
            (403, false, about("Forbidden"),           None),
            (410, false, about("Expired"),             None),
            (422, false, about("Invalid"),             None),
        ];
        for (code, retry, body, answer) in cases {
            assert_eq!(
                Answer::of_status(code, retry, body.clone()).ok(),
                answer,
                "{code} {retry} {body}"
            );
        }
        let failed = |kind| Answer::of(Err(io::Error::from(kind)));
        assert_eq!(failed(io::ErrorKind::ConnectionRefused), Ok(Answer::Refused));
        assert_eq!(failed(io::ErrorKind::ConnectionReset), Ok(Answer::Unknown));
    }
}
