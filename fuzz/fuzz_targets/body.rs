#![no_main]

use kubetrust_api::decode::{self, Encoding, Expected, FieldValidation};
use kubetrust_api::protobuf;
use kubetrust_api::{default, resource, strategy, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let row = &resource::TABLE[usize::from(*choice) % resource::TABLE.len()];
    let expected = Expected::built_in(row.group, row.version, row.kind);
    for encoding in [Encoding::Json, Encoding::Yaml] {
        if let Ok(decoded) = decode::object(body, encoding, expected, FieldValidation::Warn) {
            let mut object = decoded.object;
            default::apply(row, &mut object);
            strategy::prepare_for_create(row, &mut object);
            let _ = validate::create(row, &object);
        }
    }
    let _ = protobuf::decode(body);
});
