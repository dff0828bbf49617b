#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use kubetrust_auth::authn::x509::{Pool, Verifier};
use kubetrust_auth::authn::{Authenticators, Config, Nothing, PeerChain, Presented};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;

/// Any CA that the corpus can't have the key of.
static AUTHENTICATORS: LazyLock<Authenticators> = LazyLock::new(|| {
    let pool = Pool::from_pem("ca", include_bytes!("ca.crt")).expect("the CA beside this file");
    Authenticators::new(Config { client: Some(Verifier::new(pool, std::sync::Arc::default())), ..Config::default() })
});

fuzz_target!(|data: &[u8]| {
    let Some(peer) = PeerChain::new(vec![CertificateDer::from(data.to_vec())]) else { return };
    let headers = http::HeaderMap::new();
    let presented = Presented { peer: Some(&peer), headers: &headers, path: "/", now: Timestamp::UNIX_EPOCH };
    assert!(AUTHENTICATORS.authenticate(&presented, &Nothing).is_err(), "nobody has that CA's key");
});
