//! What signs service-account tokens, and what others need to verify them.

use bytes::Bytes;
use kubetrust_auth::authn::service_account::issue::TokenIssuer;

/// The issuer in force.
pub struct Issuer {
    /// What signs; `None` where no signing key is configured.
    pub tokens: Option<TokenIssuer>,
    /// `/.well-known/openid-configuration`; `None` where the issuer is no URL that discovery can be served for.
    pub configuration: Option<Bytes>,
    /// `/openid/v1/jwks`
    pub keys: Bytes,
}
