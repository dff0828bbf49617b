#![no_main]

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use kubetrust_auth::authn::service_account::Keys;
use kubetrust_auth::authn::{Authenticators, Config, Nothing, ServiceAccounts, TokenFile};
use libfuzzer_sys::fuzz_target;

static AUTHENTICATORS: LazyLock<Authenticators> = LazyLock::new(|| {
    let keys = Keys::from_pem("sa.pub", include_bytes!("ca.crt")).expect("the certificate beside this file");
    let accounts = ServiceAccounts::new(keys, ["https://issuer".to_owned()], ["https://issuer".to_owned()]);
    let file = TokenFile::parse("token.csv", b"known-token,user,uid").expect("a good file");
    Authenticators::new(Config {
        service_accounts: Some(Arc::new(accounts.expect("randomness"))),
        token_file: Some(Arc::new(file)),
        bootstrap_tokens: true,
        ..Config::default()
    })
});

fuzz_target!(|token: &str| {
    let found = AUTHENTICATORS.authenticate_token(token, None, &Nothing, Timestamp::UNIX_EPOCH);
    assert!(found.is_err() || token == "known-token", "{token:?} is nobody's");
});
