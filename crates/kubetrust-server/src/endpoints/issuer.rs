//! `OpenID` discovery of the service-account issuer, so that others can verify the tokens.

use kubetrust_api::status::Status;

use crate::ApiServer;
use crate::http::respond::{self, Reply};

/// `/.well-known/openid-configuration`; 404 where the issuer is no https URL.
pub fn configuration(server: &ApiServer) -> Result<Reply, Status> {
    let document = server
        .issuer
        .load()
        .configuration
        .clone()
        .ok_or_else(Status::no_such_path)?;
    Ok(respond::bytes(200, "application/json", document))
}

/// `/openid/v1/jwks`
pub fn keys(server: &ApiServer) -> Reply {
    respond::bytes(200, "application/jwk-set+json", server.issuer.load().keys.clone())
}
