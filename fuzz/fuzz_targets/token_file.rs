#![no_main]

use kubetrust_auth::authn::{PasswordFile, TokenFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = TokenFile::parse("token.csv", data) {
        assert!(file.user("").is_none(), "an empty token is nobody's");
    }
    let _ = PasswordFile::parse("password.csv", data);
});
