#![no_main]

use kubetrust_api::decode::{self, Expected, FieldValidation};
use kubetrust_api::patch::{self, Kind};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}});
    for kind in [Kind::Json, Kind::Merge, Kind::Strategic] {
        if let Ok(patch) = patch::read(kind, data) {
            let expected = Expected::built_in("", "v1", "Pod");
            let _ = decode::patched(pod.clone(), &patch, expected, FieldValidation::Strict);
        }
    }
});
