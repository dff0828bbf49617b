#![no_main]

use http::{Method, Uri};
use kubetrust_server::http::request_info::RequestInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::TRACE];
    let method = &methods[usize::from(input.0) % methods.len()];
    let Ok(uri) = input.1.parse::<Uri>() else { return };
    let Ok(info) = RequestInfo::of(method, &uri) else { return };
    if let Some(resource) = info.resource() {
        for segment in [&resource.namespace, &resource.resource, &resource.subresource] {
            assert!(!segment.contains('/') && segment != "..", "{segment:?} leaves its place");
        }
    }
});
