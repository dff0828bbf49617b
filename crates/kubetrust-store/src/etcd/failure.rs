//! What a call that went wrong means: whether it happened, and what the caller can do about it.

use tonic::{Code, Status};

use super::connection::Broken;
use crate::{Error, REQUEST_LIMIT};

/// How a call went wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server has seen nothing of it.
    Unsent(String),
    /// The server may have seen it, and did not answer.
    Lost(String),
    /// etcd answered, and did nothing; another member may do better.
    Refused(String),
    /// etcd answered.
    Answered(Error),
}

/// Sorts an answer, given its words.
type Meaning = fn(String) -> Failure;

/// What etcd's answers mean (`api/v3rpc/rpctypes/error.go`): the words that they end with, the same since 3.4.
#[rustfmt::skip]
const ANSWERS: &[(&str, Meaning)] = &[
    // Filled in by the caller, who knows what was asked.
    ("required revision has been compacted",      |_| Failure::Answered(Error::Compacted { asked: 0, oldest: 0 })),
    ("required revision is a future revision",    |_| Failure::Answered(Error::Future { asked: 0, newest: 0 })),
    ("requested lease not found",                 |_| Failure::Answered(Error::NoLease)),
    ("request is too large",                      |_| Failure::Answered(Error::TooLarge { size: REQUEST_LIMIT, limit: REQUEST_LIMIT })),
    ("duplicate key given in txn request",        |text| Failure::Answered(Error::Invalid(text))),
    ("too many operations in txn request",        |text| Failure::Answered(Error::Invalid(text))),
    ("key is not provided",                       |text| Failure::Answered(Error::Invalid(text))),
    ("too large lease TTL",                       |text| Failure::Answered(Error::Invalid(text))),
    ("corrupt cluster",                           |text| Failure::Answered(Error::Corrupt(text))),
    ("database space exceeded",                   |text| Failure::Answered(Error::Unavailable(text))),
    ("permission denied",                         |text| Failure::Answered(Error::Unavailable(text))),
    ("user name is empty",                        |text| Failure::Answered(Error::Unavailable(text))),
    ("too many requests",                         |text| Failure::Answered(Error::Unavailable(text))),
    ("etcdserver: no leader",                     Failure::Refused),
    ("not capable",                               Failure::Refused),
];

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let source = std::error::Error::source(&status);
        if let Some(broken) = source.and_then(|source| source.downcast_ref::<Broken>()) {
            return broken.into();
        }
        let text = status.message().to_owned();
        if source.is_some() {
            // The connection ended in the middle of an answer.
            return Self::Lost(text);
        }
        let known = ANSWERS.iter().find(|(words, _)| text.ends_with(words));
        match (known, status.code()) {
            (Some((_, meaning)), _) => meaning(text),
            (None, Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented) => {
                Self::Answered(Error::Unavailable(text))
            }
            // Timed out, the leader changed, the server stopped: it may come to happen.
            (None, _) => Self::Lost(text),
        }
    }
}

impl From<&Broken> for Failure {
    fn from(broken: &Broken) -> Self {
        let text = broken.to_string();
        if broken.unsent {
            Self::Unsent(text)
        } else {
            Self::Lost(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_happen_is_said_not_to_have() {
        let lost = [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: leader changed",
            "etcdserver: server stopped",
        ];
        for text in lost {
            assert!(
                matches!(Failure::from(Status::unavailable(text)), Failure::Lost(_)),
                "{text}"
            );
        }
        assert!(matches!(
            Failure::from(Status::unavailable("etcdserver: no leader")),
            Failure::Refused(_)
        ));
        let compacted = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert!(matches!(
            Failure::from(compacted),
            Failure::Answered(Error::Compacted { .. })
        ));
    }
}
