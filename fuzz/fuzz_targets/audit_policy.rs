#![no_main]

use kubetrust_server::audit::policy::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Policy::parse(data);
});
