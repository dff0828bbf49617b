#![no_main]

use kubetrust_api::resource;
use kubetrust_api::select::{field, label};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let pod = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {}, "status": {"phase": "Running"}});
    if let Ok(selector) = label::Selector::parse(text) {
        // What it prints means the same.
        let again = label::Selector::parse(&selector.to_string()).expect("its own text");
        assert_eq!(selector.matches_object(&pod), again.matches_object(&pod));
    }
    let pods = resource::lookup("", "v1", "pods").expect("pods are served");
    if let Ok(selector) = field::Selector::parse(text, field::fields(pods)) {
        let _ = selector.matches(&pod, field::fields(pods));
    }
});
