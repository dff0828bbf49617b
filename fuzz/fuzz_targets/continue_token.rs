#![no_main]

use kubetrust_server::registry::continue_token::ContinueToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    const PREFIX: &[u8] = b"/registry/pods/default/";
    if let Ok(token) = ContinueToken::decode(text, PREFIX) {
        assert!(token.start.starts_with(PREFIX));
    }
});
