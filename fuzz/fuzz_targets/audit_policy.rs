#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| kubetrust_fuzz::entries::audit_policy(data));
