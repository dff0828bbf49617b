//! The `OpenID` Connect documents of the service-account issuer, so that others can verify its tokens
//! (`pkg/serviceaccount/openidmetadata.go`). The key set is [`Keys::jwks`].

use http::Uri;
use serde_json::{Value, json};

use super::keys::Keys;
use crate::authn::file::FileError;

/// Where the discovery document is served.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the key set is served.
pub const JWKS_PATH: &str = "/openid/v1/jwks";

/// The discovery document. `jwks_uri` is `--service-account-jwks-uri`, or `https://` with the external address and
/// [`JWKS_PATH`]. The documents stand or fall with an issuer that is an https URL without query or fragment.
pub fn configuration(issuer: &str, jwks_uri: &str, keys: &Keys) -> Result<Value, FileError> {
    let https = |flag: &str, value: &str| {
        let fault = |what: &str| FileError::whole(flag, format!("{what}, got: {value}"));
        let uri: Uri = value.parse().map_err(|_| fault("it must be a URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(fault("issuer URL must use https scheme"));
        }
        Ok(uri)
    };
    let uri = https("--service-account-issuer", issuer)?;
    for (found, what) in [(uri.query().is_some(), "query"), (issuer.contains('#'), "fragment")] {
        if found {
            let fault = format!("issuer URL may not include a {what}, got: {issuer}");
            return Err(FileError::whole("--service-account-issuer", fault));
        }
    }
    https("--service-account-jwks-uri", jwks_uri)?;
    Ok(json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": keys.algorithms(),
    }))
}
