//! The token that goes on with a list: where, and at which revision. Its text is the one of kube-apiserver
//! (`k8s.io/apiserver/pkg/storage/continue.go`), so that tokens live on over a change of servers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubetrust_api::status::Status;
use kubetrust_store::Revision;
use serde::{Deserialize, Serialize};

/// Longest token that is looked at.
const MAX_LENGTH: usize = 4096;
const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision that all pages show; `None` goes on with what there is now.
    pub revision: Option<Revision>,
    /// The first key of the next page, whole.
    pub start: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

impl ContinueToken {
    /// The text, for a list of the keys with this prefix.
    #[must_use]
    pub fn encode(&self, prefix: &[u8]) -> String {
        let start = self.start.strip_prefix(prefix).unwrap_or(&self.start);
        let wire = Wire {
            v: VERSION.into(),
            rv: self
                .revision
                .map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX)),
            start: String::from_utf8_lossy(start).into_owned(),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// Reads a token of a list of the keys with this prefix; one that would leave the prefix is refused.
    pub fn decode(text: &str, prefix: &[u8]) -> Result<Self, Status> {
        let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
        if text.len() > MAX_LENGTH {
            return Err(invalid("too long"));
        }
        let json = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| invalid(&error.to_string()))?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| invalid("unrecognized encoded start token"))?;
        if wire.v != VERSION {
            return Err(invalid(&format!(
                "server does not recognize this encoded version {:?}",
                wire.v
            )));
        }
        let revision = match wire.rv {
            -1 => None,
            0 => {
                return Err(invalid(
                    "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                ));
            }
            revision => Some(Revision::try_from(revision).map_err(|_| invalid("negative resourceVersion"))?),
        };
        if wire.start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let start = wire.start.strip_prefix('/').unwrap_or(&wire.start);
        if start.split('/').any(|segment| segment == ".." || segment == ".") {
            return Err(invalid(&format!("invalid start key: {:?}", wire.start)));
        }
        Ok(Self {
            revision,
            start: [prefix, start.as_bytes()].concat(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_and_never_leaves_its_prefix() {
        let token = ContinueToken {
            revision: Some(7),
            start: b"/registry/pods/n/p\0".to_vec(),
        };
        let text = token.encode(b"/registry/pods/");
        assert_eq!(ContinueToken::decode(&text, b"/registry/pods/").unwrap(), token);
        let now = ContinueToken {
            revision: None,
            ..token
        };
        assert_eq!(
            ContinueToken::decode(&now.encode(b"/registry/pods/"), b"/registry/pods/").unwrap(),
            now
        );
        for wire in [
            r#"{"v":"meta.k8s.io/v1","rv":5,"start":"../secrets/x"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":5,"start":"a/../../x"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":-2,"start":"a"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":5,"start":""}"#,
            r#"{"v":"meta.k8s.io/v2","rv":5,"start":"a"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":"5","start":"a"}"#,
            "nothing",
        ] {
            let refused = ContinueToken::decode(&URL_SAFE_NO_PAD.encode(wire), b"/registry/pods/").unwrap_err();
            assert_eq!(refused.code, 400, "{wire}");
        }
        for text in ["", "%%%", &"A".repeat(MAX_LENGTH + 1)] {
            assert_eq!(ContinueToken::decode(text, b"/").unwrap_err().code, 400);
        }
    }
}
