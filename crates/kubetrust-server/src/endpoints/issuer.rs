//! OpenID discovery of the service-account issuer, so that others can verify the tokens.

use crate::ApiServer;
use crate::http::respond::{self, Reply};

/// `/.well-known/openid-configuration`
pub fn configuration(server: &ApiServer) -> Reply {
    respond::bytes(200, "application/json", server.issuer.load().configuration.clone())
}

/// `/openid/v1/jwks`
pub fn keys(server: &ApiServer) -> Reply {
    respond::bytes(200, "application/jwk-set+json", server.issuer.load().keys.clone())
}
