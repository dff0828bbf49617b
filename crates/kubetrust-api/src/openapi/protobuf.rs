//! An `OpenAPI` v2 document as protobuf: the messages of gnostic's `OpenAPIv2.proto`, as far as our document uses them.
//! client-go takes the document in no other form.

use serde_json::{Map, Value};

/// `Document`.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, &document["swagger"]);
    message.nested(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    message.nested(8, |paths| paths.named(2, &document["paths"], path_item));
    message.nested(9, |definitions| definitions.named(1, &document["definitions"], schema));
    message.nested(10, |parameters| parameters.named(1, &document["parameters"], parameter));
    for requirement in items(&document["security"]) {
        message.nested(12, |security| {
            security.named(1, requirement, |names, value| names.texts(1, value));
        });
    }
    message.nested(13, |definitions| {
        definitions.named(1, &document["securityDefinitions"], security_definition);
    });
    message.0
}

/// Methods of a `PathItem` with their numbers.
const METHODS: [(&str, u32); 7] = [
    ("get", 2),
    ("put", 3),
    ("post", 4),
    ("delete", 5),
    ("options", 6),
    ("head", 7),
    ("patch", 8),
];

fn path_item(message: &mut Message, item: &Value) {
    for (method, number) in METHODS {
        if item[method].is_object() {
            message.nested(number, |message| operation(message, &item[method]));
        }
    }
    for it in items(&item["parameters"]) {
        message.nested(9, |message| parameters_item(message, it));
    }
}

fn operation(message: &mut Message, operation: &Value) {
    message.texts(1, &operation["tags"]);
    message.text(3, &operation["description"]);
    message.text(5, &operation["operationId"]);
    message.texts(6, &operation["produces"]);
    message.texts(7, &operation["consumes"]);
    for it in items(&operation["parameters"]) {
        message.nested(8, |message| parameters_item(message, it));
    }
    message.nested(9, |responses| {
        responses.named(1, &operation["responses"], response_value);
    });
    message.texts(10, &operation["schemes"]);
    message.extensions(13, operation);
}

fn parameters_item(message: &mut Message, it: &Value) {
    if it["$ref"].is_string() {
        message.nested(2, |reference| reference.text(1, &it["$ref"]));
    } else {
        message.nested(1, |message| parameter(message, it));
    }
}

fn parameter(message: &mut Message, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => message.nested(1, |body| {
            body.text(1, &parameter["description"]);
            body.text(2, &parameter["name"]);
            body.text(3, &parameter["in"]);
            body.flag(4, &parameter["required"]);
            body.nested(5, |message| schema(message, &parameter["schema"]));
        }),
        Some("path") => message.nested(2, |message| {
            message.nested(4, |path| {
                simple_parameter(path, parameter);
                path.text(5, &parameter["type"]);
                path.flag(19, &parameter["uniqueItems"]);
            });
        }),
        _ => message.nested(2, |message| {
            message.nested(3, |query| {
                simple_parameter(query, parameter);
                query.text(6, &parameter["type"]);
                query.flag(20, &parameter["uniqueItems"]);
            });
        }),
    }
}

fn simple_parameter(message: &mut Message, parameter: &Value) {
    message.flag(1, &parameter["required"]);
    message.text(2, &parameter["in"]);
    message.text(3, &parameter["description"]);
    message.text(4, &parameter["name"]);
}

fn response_value(message: &mut Message, response: &Value) {
    message.nested(1, |message| {
        message.text(1, &response["description"]);
        if response["schema"].is_object() {
            message.nested(2, |item| item.nested(1, |message| schema(message, &response["schema"])));
        }
    });
}

fn security_definition(message: &mut Message, definition: &Value) {
    message.nested(2, |key| {
        key.text(1, &definition["type"]);
        key.text(2, &definition["name"]);
        key.text(3, &definition["in"]);
        key.text(4, &definition["description"]);
    });
}

/// `Schema`. As deep as the schemas that are built in.
fn schema(message: &mut Message, value: &Value) {
    message.text(1, &value["$ref"]);
    message.text(2, &value["format"]);
    message.text(4, &value["description"]);
    message.texts(19, &value["required"]);
    if value["additionalProperties"].is_object() {
        message.nested(21, |item| {
            item.nested(1, |message| schema(message, &value["additionalProperties"]));
        });
    }
    if value["type"].is_string() {
        message.nested(22, |kind| kind.text(1, &value["type"]));
    }
    if value["items"].is_object() {
        message.nested(23, |item| item.nested(1, |message| schema(message, &value["items"])));
    }
    if value["properties"].is_object() {
        message.nested(25, |properties| properties.named(1, &value["properties"], schema));
    }
    message.extensions(31, value);
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Wire type of texts and nested messages.
const LENGTH_DELIMITED: u32 = 2;

/// A message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number << 3 | LENGTH_DELIMITED));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text, unless it is empty or none.
    fn text(&mut self, number: u32, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u32, value: &Value) {
        for text in items(value).iter().filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn flag(&mut self, number: u32, value: &Value) {
        if value == true {
            self.varint(u64::from(number << 3));
            self.varint(1);
        }
    }

    fn nested(&mut self, number: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// The fields of an object as messages of a name and a value.
    fn named(&mut self, number: u32, value: &Value, fill: impl Fn(&mut Self, &Value)) {
        for (name, value) in value.as_object().unwrap_or(&Map::new()) {
            self.nested(number, |named| {
                named.bytes(1, name.as_bytes());
                named.nested(2, |message| fill(message, value));
            });
        }
    }

    /// `x-…` as YAML, of which JSON is a part.
    fn extensions(&mut self, number: u32, value: &Value) {
        for (name, value) in value
            .as_object()
            .unwrap_or(&Map::new())
            .iter()
            .filter(|(name, _)| name.starts_with("x-"))
        {
            self.nested(number, |named| {
                named.bytes(1, name.as_bytes());
                named.nested(2, |any| any.bytes(2, value.to_string().as_bytes()));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_written_as_protobuf_writes_them() {
        let mut message = Message::default();
        message.varint(300);
        message.text(1, &json!("ab"));
        message.text(2, &json!(""));
        message.text(2, &json!(null));
        message.flag(20, &json!(true));
        message.flag(20, &json!(false));
        message.nested(31, |inner| inner.texts(1, &json!(["x", "y"])));
        assert_eq!(
            message.0,
            [
                0xac, 0x02, 0x0a, 2, b'a', b'b', 0xa0, 0x01, 1, 0xfa, 0x01, 6, 0x0a, 1, b'x', 0x0a, 1, b'y'
            ]
        );
    }

    #[test]
    fn extensions_carry_their_json() {
        let mut message = Message::default();
        message.extensions(3, &json!({"x-a": {"b": 1}, "other": 2}));
        assert_eq!(message.0, b"\x1a\x10\x0a\x03x-a\x12\x09\x12\x07{\"b\":1}");
    }
}
