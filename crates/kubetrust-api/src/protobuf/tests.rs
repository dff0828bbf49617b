use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::decode::MAX_VALUES;
use super::table::{Codec, Field, Kind, Message, Shape, message, messages, of_kind};
use super::wire::LENGTH;
use super::*;
use crate::resource::{Kept, TABLE, api_version};
use crate::schema;

/// Kinds that requests of any group version carry, or answers to them.
const EVERYWHERE: [&str; 12] = [
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "APIVersions",
    "CreateOptions",
    "DeleteOptions",
    "List",
    "PartialObjectMetadata",
    "PartialObjectMetadataList",
    "PatchOptions",
    "Status",
    "WatchEvent",
];

/// What is served, by version and kind.
fn kinds() -> Vec<(String, String)> {
    let mut kinds: Vec<(String, String)> = EVERYWHERE
        .iter()
        .map(|kind| ("v1".to_owned(), (*kind).to_owned()))
        .collect();
    for row in TABLE {
        kinds.push((row.api_version(), row.kind.to_owned()));
        if row.kept != Kept::Answered {
            kinds.push((row.api_version(), format!("{}List", row.kind)));
        }
        for sub in row.subresources.iter().filter(|sub| !sub.connects) {
            let (group, version) = sub.kind_group_version.unwrap_or((row.group, row.version));
            kinds.push((api_version(group, version), sub.kind.to_owned()));
        }
    }
    kinds
}

/// An object with all fields of its kind, each other than zero. What has itself in it, as schemas do, has it once.
fn filled(of: &'static Message) -> Value {
    inside(of, &mut Vec::new())
}

fn inside(of: &'static Message, path: &mut Vec<&'static Message>) -> Value {
    match of.codec {
        Some(Codec::Time) => "2026-01-02T03:04:05Z".into(),
        Some(Codec::MicroTime) => "2026-01-02T03:04:05.123456Z".into(),
        Some(Codec::Quantity) => "1500m".into(),
        Some(Codec::IntOrString) => "http".into(),
        Some(Codec::Raw) => json!({"anything": [1, null, {"b": true}]}),
        Some(Codec::Items) => json!(["one", "two"]),
        Some(Codec::OrBool) => true.into(),
        Some(Codec::OrList) => match of.fields.get(1).unwrap().kind {
            Kind::String => json!(["one"]),
            _ => Value::Null,
        },
        None => {
            path.push(of);
            let mut object = Map::new();
            for field in &of.fields {
                match filled_field(field, path) {
                    Some(Value::Object(inner)) if field.inline => object.extend(inner),
                    Some(value) => drop(object.insert(field.name.to_owned(), value)),
                    None => {}
                }
            }
            path.pop();
            Value::Object(object)
        }
    }
}

fn filled_field(field: &Field, path: &mut Vec<&'static Message>) -> Option<Value> {
    let value = match field.kind {
        Kind::String => "text".into(),
        Kind::Bytes => "AP8=".into(),
        Kind::Json => json!({}),
        Kind::Bool => true.into(),
        Kind::Int32 => i32::MIN.into(),
        Kind::Int64 => i64::MAX.into(),
        Kind::Double => 0.5.into(),
        Kind::Message(number) => {
            let of = message(number);
            if path.iter().any(|outer| std::ptr::eq(*outer, of)) {
                return None;
            }
            inside(of, path)
        }
    };
    match field.shape {
        Shape::Single => (!value.is_null()).then_some(value),
        Shape::Repeated => Some(Value::Array(vec![value.clone(), value])),
        Shape::Map => Some(json!({"a": value.clone(), "b": value})),
    }
}

fn typed(api_version: &str, kind: &str, fields: Value) -> Value {
    let mut object = json!({"kind": kind, "apiVersion": api_version});
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}

#[test]
fn every_kind_that_is_served_has_a_message() {
    for (version, kind) in kinds() {
        assert!(knows(&version, &kind), "{version} {kind}");
    }
    assert!(knows("apps/v1", "DeleteOptions"));
    for (version, kind) in [
        ("v1", "Deployment"),
        ("v1", "Container"),
        ("example.com/v1", "Pod"),
        ("", ""),
    ] {
        assert!(!knows(version, kind), "{version} {kind}");
    }
}

#[test]
fn every_line_of_the_table_is_read() {
    let text = include_str!("messages.txt");
    let begins = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    let heads = begins("kind ") + begins("message ");
    assert_eq!(messages().len(), heads);
    let fields: usize = messages().iter().map(|message| message.fields.len()).sum();
    assert_eq!(fields + heads + begins("package "), text.lines().count());
    let coded = text
        .lines()
        .filter(|line| line.starts_with("message ") && line.split(' ').count() == 3)
        .count();
    assert_eq!(
        messages().iter().filter(|message| message.codec.is_some()).count(),
        coded
    );
    for message in messages() {
        assert!(
            message.fields.is_sorted_by(|one, next| one.number < next.number),
            "{}",
            message.name
        );
        assert!(
            message
                .fields
                .iter()
                .all(|field| !field.inline || matches!(field.kind, Kind::Message(_))),
            "{}",
            message.name
        );
    }
}

#[test]
fn every_field_of_the_schemas_has_a_number() {
    fn names(of: &Message, to: &mut BTreeSet<&'static str>) {
        for field in &of.fields {
            match field.kind {
                Kind::Message(number) if field.inline => names(message(number), to),
                _ => drop(to.insert(field.name)),
            }
        }
    }
    let mut missing: Vec<String> = Vec::new();
    let mut compared = 0;
    for definition in schema::names() {
        let Some(schema) = schema::lookup(definition) else {
            continue;
        };
        let Some(message) = messages()
            .iter()
            .find(|message| definition.strip_suffix(message.name) == Some(&format!("{}.", message.package)))
        else {
            missing.push(definition.to_owned());
            continue;
        };
        if message.codec.is_some() {
            continue;
        }
        compared += 1;
        let mut known = BTreeSet::new();
        names(message, &mut known);
        // Those of the envelope.
        if schema.property("metadata").is_some() || of_kind("v1", message.name).is_some() {
            known.extend(["apiVersion", "kind"]);
        }
        for (field, _) in schema.fields().filter(|(field, _)| !known.contains(field)) {
            missing.push(format!("{definition}.{field}"));
        }
    }
    assert!(compared > 400, "{compared}");
    assert_eq!(missing, NO_MESSAGE);
}

/// Schemas without a message: a patch is JSON whatever the client speaks, and `/version` is JSON only.
const NO_MESSAGE: [&str; 2] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.version.Info",
];

#[test]
fn what_is_written_is_read_again_field_by_field() {
    for (version, kind) in kinds() {
        let object = typed(&version, &kind, filled(of_kind(&version, &kind).unwrap()));
        let bytes = encode(&object).unwrap_or_else(|fault| panic!("{version} {kind}: {fault}"));
        let read = decode(&bytes).unwrap_or_else(|fault| panic!("{version} {kind}: {fault}"));
        assert_eq!(read, object, "{version} {kind}");
        assert_eq!(encode(&read).unwrap(), bytes, "{version} {kind}");
    }
}

#[test]
fn an_object_without_fields_is_the_zero_of_its_kind() {
    for (version, kind) in kinds() {
        let bytes = encode(&typed(&version, &kind, json!({}))).unwrap();
        let zero = decode(&bytes).unwrap_or_else(|fault| panic!("{version} {kind}: {fault}"));
        assert_eq!(encode(&zero).unwrap(), bytes, "{version} {kind}");
    }
    let zero = |version, kind| decode(&encode(&typed(version, kind, json!({}))).unwrap()).unwrap();
    assert_eq!(
        zero("apps/v1", "Deployment"),
        json!({
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {},
            "spec": {"selector": null, "template": {"metadata": {}, "spec": {"containers": null}}, "strategy": {}},
            "status": {},
        })
    );
    assert_eq!(
        zero("rbac.authorization.k8s.io/v1", "Role"),
        json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {}, "rules": null})
    );
    assert_eq!(
        zero("v1", "PodList"),
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": null})
    );
}

#[test]
fn other_forms_of_a_value_are_written_as_upstream_reads_them() {
    let service = |port: Value| {
        typed(
            "v1",
            "Service",
            json!({"spec": {"ports": [{"port": 80, "targetPort": port}]}}),
        )
    };
    for (port, read) in [
        (json!(8080), json!(8080)),
        (json!("http"), json!("http")),
        (json!(null), json!(0)),
    ] {
        let read_again = decode(&encode(&service(port)).unwrap()).unwrap();
        assert_eq!(read_again["spec"]["ports"][0]["targetPort"], read);
    }
    let claim = |size: Value| {
        typed(
            "v1",
            "PersistentVolume",
            json!({"spec": {"capacity": {"storage": size}}}),
        )
    };
    for (size, read) in [(json!("1024Mi"), "1Gi"), (json!(5), "5"), (json!(null), "0")] {
        let read_again = decode(&encode(&claim(size)).unwrap()).unwrap();
        assert_eq!(read_again["spec"]["capacity"]["storage"], read);
    }
    let schema = |properties: Value| {
        let version = json!({"name": "v1", "schema": {"openAPIV3Schema": properties}});
        typed(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({"spec": {"versions": [version]}}),
        )
    };
    for properties in [
        json!({"additionalProperties": {"type": "string"}}),
        json!({"additionalProperties": false}),
        json!({"additionalProperties": true}),
        json!({"items": {"type": "string"}}),
        json!({"items": [{"type": "string"}, {"type": "integer"}]}),
        json!({"dependencies": {"a": ["b"], "c": {"type": "object"}}}),
        json!({"default": {"a": [1]}, "enum": [1, "a", null], "maximum": 1.5}),
    ] {
        let read_again = decode(&encode(&schema(properties.clone())).unwrap()).unwrap();
        assert_eq!(
            read_again["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            properties
        );
    }
}

#[test]
fn what_a_kind_has_no_field_for_is_left_out() {
    let item = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "colour": "red"});
    let list = typed(
        "v1",
        "ConfigMapList",
        json!({"metadata": {"resourceVersion": "7"}, "items": [item]}),
    );
    let read = decode(&encode(&list).unwrap()).unwrap();
    assert_eq!(read["items"], json!([{"metadata": {"name": "a"}}]));
    assert_eq!(read["metadata"]["resourceVersion"], "7");
}

#[test]
fn objects_that_do_not_fit_their_kind_are_refused_by_field() {
    for (fields, text) in [
        (json!({"metadata": 1}), "metadata: expected object"),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "metadata.labels[a]: expected string",
        ),
        (
            json!({"spec": {"containers": [{}, {"name": 7}]}}),
            "spec.containers[1].name: expected string",
        ),
        (json!({"spec": {"containers": {}}}), "spec.containers: expected array"),
        (
            json!({"spec": {"priority": 2_147_483_648_i64}}),
            "spec.priority: a number is out of range",
        ),
        (json!({"spec": {"priority": 1.5}}), "spec.priority: expected integer"),
        (
            json!({"metadata": {"creationTimestamp": "yesterday"}}),
            "metadata.creationTimestamp: no time between the years 0 and 9999 in the form of RFC 3339",
        ),
        (
            json!({"spec": {"overhead": {"cpu": "much"}}}),
            "spec.overhead[cpu]: quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        assert_eq!(encode(&typed("v1", "Pod", fields)).unwrap_err().to_string(), text);
    }
    let secret = typed("v1", "Secret", json!({"data": {"key": "?"}}));
    assert_eq!(
        encode(&secret).unwrap_err().to_string(),
        "data[key]: illegal base64 data"
    );
    let fault = encode(&typed("example.com/v1", "Widget", json!({}))).unwrap_err();
    assert!(matches!(fault.cause, Cause::Kind { .. }), "{fault}");
}

/// An envelope around these bytes.
fn wrapped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    envelope::write(&mut writer, api_version, kind, |to| {
        to.bytes(raw);
        Ok(())
    })
    .unwrap();
    writer.finish()
}

#[test]
fn malformed_bytes_are_refused_with_their_place() {
    let start = wrapped("v1", "Pod", &[]).len() - 4;
    for (raw, path, cause) in [
        (&[0x0a][..], "metadata", Cause::Truncated),
        (&[0x0a, 0x05, 0x0a], "metadata", Cause::Truncated),
        (&[0x0a, 0x02, 0x0a, 0x7f], "metadata.name", Cause::Truncated),
        (&[0x0a, 0x03, 0x0a, 0x01, 0xff], "metadata.name", Cause::Utf8),
        (&[0x08, 0x01], "metadata", Cause::WireType(0)),
        (&[0x0a, 0x00, 0x0a, 0x00], "metadata", Cause::Twice),
        (&[0x00], "", Cause::Number(0)),
        (&[0xfb, 0x01], "", Cause::WireType(3)),
        (&[0xff; 11], "", Cause::Overflow),
        (
            &[0x12, 0x04, 0x12, 0x02, 0x42, 0x7f],
            "spec.containers[0].resources",
            Cause::Truncated,
        ),
    ] {
        let fault = decode(&wrapped("v1", "Pod", raw)).unwrap_err();
        assert_eq!((fault.path.as_str(), &fault.cause), (path, &cause), "{raw:?}");
        let offset = fault.offset.unwrap();
        assert!((start..=start + raw.len()).contains(&offset), "{raw:?}: {offset}");
    }
    for (bytes, cause) in [
        (&b""[..], Cause::Prefix),
        (b"k8s", Cause::Prefix),
        (b"{}", Cause::Prefix),
        (b"k8s\0\x1a\x04gzip", Cause::Content),
        (b"k8s\0\x22\x10application/json", Cause::Content),
    ] {
        assert_eq!(decode(bytes).unwrap_err().cause, cause);
    }
    assert!(matches!(decode(MAGIC).unwrap_err().cause, Cause::Kind { .. }));
}

#[test]
fn unknown_fields_are_passed_over() {
    let raw = [
        &[0xf8, 0x07, 0x96, 0x01][..],
        &[0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xfa, 0x07, 0x02, 0xff, 0xff],
        &[0xfd, 0x07, 1, 2, 3, 4],
    ]
    .concat();
    let read = decode(&wrapped("v1", "ConfigMap", &raw)).unwrap();
    assert_eq!(read, json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}}));
}

#[test]
fn depth_and_values_have_limits() {
    // `not` within `not`, and what has the outermost.
    let schema = schema_number("not");
    let mut writer = Writer::default();
    for _ in 0..MAX_DEPTH {
        writer.close(schema, 0);
    }
    for number in [1, 4, 7, 2] {
        writer.close(number, 0);
    }
    let deep = wrapped("apiextensions.k8s.io/v1", "CustomResourceDefinition", &writer.finish());
    let fault = decode(&deep).unwrap_err();
    assert_eq!(fault.cause, Cause::Depth);
    assert!(
        fault
            .path
            .starts_with("spec.versions[0].schema.openAPIV3Schema.not.not."),
        "{fault}"
    );

    let mut nested = json!({});
    for _ in 0..MAX_DEPTH {
        nested = json!({"not": nested});
    }
    let versions = json!([{"schema": {"openAPIV3Schema": nested}}]);
    let object = typed(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        json!({"spec": {"versions": versions}}),
    );
    assert_eq!(encode(&object).unwrap_err().cause, Cause::Depth);

    let mut envelopes = encode(&typed("v1", "List", json!({}))).unwrap();
    for _ in 0..MAX_DEPTH {
        let mut writer = Writer::default();
        writer.bytes(&envelopes);
        writer.close(1, 0);
        writer.close(2, 0);
        envelopes = wrapped("v1", "List", &writer.finish());
    }
    assert_eq!(decode(&envelopes).unwrap_err().cause, Cause::Depth);

    // Containers without anything: two bytes each.
    let mut writer = Writer::default();
    for _ in 0..MAX_VALUES {
        writer.tag_and_nothing();
    }
    writer.close(2, 0);
    let many = wrapped("v1", "Pod", &writer.finish());
    assert_eq!(decode(&many).unwrap_err().cause, Cause::TooMany);
}

/// The number of a schema's field.
fn schema_number(name: &str) -> u32 {
    let schema = messages()
        .iter()
        .find(|message| message.name == "JSONSchemaProps")
        .unwrap();
    schema.fields.iter().find(|field| field.name == name).unwrap().number
}

impl Writer {
    fn tag_and_nothing(&mut self) {
        self.varint(0);
        self.tag(2, LENGTH);
    }
}

#[test]
fn numbers_of_a_list_may_stand_in_one_piece() {
    // spec.securityContext.supplementalGroups: fields 2, 14, 4.
    let spec = [0x12, 0x06, 0x72, 0x04, 0x22, 0x02, 0x07, 0x08];
    let read = decode(&wrapped("v1", "Pod", &spec)).unwrap();
    assert_eq!(read["spec"]["securityContext"]["supplementalGroups"], json!([7, 8]));
}

#[test]
fn a_frame_of_a_watch_has_its_length_and_the_object_in_an_envelope() {
    let object = typed(
        "v1",
        "ConfigMap",
        json!({"metadata": {"name": "a"}, "data": {"b": "c"}}),
    );
    let frame = watch_frame("ADDED", &object).unwrap();
    let (length, event) = frame.split_first_chunk().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    let expected = [b"\x0a\x05ADDED\x12\x38\x0a\x36", encode(&object).unwrap().as_slice()].concat();
    assert_eq!(event, expected);
    let read = decode(&wrapped("v1", "WatchEvent", event)).unwrap();
    assert_eq!((&read["type"], &read["object"]), (&"ADDED".into(), &object));
}

#[test]
fn times_are_read_to_the_digit_that_json_shows() {
    let lease = |time: &str| typed("coordination.k8s.io/v1", "Lease", json!({"spec": {"renewTime": time}}));
    let read = |time| decode(&encode(&lease(time)).unwrap()).unwrap()["spec"]["renewTime"].clone();
    assert_eq!(read("2026-01-02T03:04:05.000001Z"), "2026-01-02T03:04:05.000001Z");
    assert_eq!(read("1969-12-31T23:59:59.999999Z"), "1969-12-31T23:59:59.999999Z");
    assert_eq!(read("2026-01-02T03:04:05.000001+01:00"), "2026-01-02T02:04:05.000001Z");
    // metadata.creationTimestamp: fields 1, 8, 1.
    let created = |seconds: i64| {
        let mut writer = Writer::default();
        writer.number(1, seconds.cast_unsigned());
        writer.close(8, 0);
        writer.close(1, 0);
        decode(&wrapped("v1", "ConfigMap", &writer.finish())).map(|object| object["metadata"].clone())
    };
    assert_eq!(
        created(0).unwrap(),
        json!({"creationTimestamp": "1970-01-01T00:00:00Z"})
    );
    assert_eq!(created(-62_135_596_800).unwrap(), json!({}));
    for seconds in [253_402_300_800, -62_167_219_201, i64::MAX, i64::MIN] {
        assert_eq!(created(seconds).unwrap_err().cause, Cause::Time, "{seconds}");
    }
}

/// Bytes of a pod with all its fields.
fn pod() -> Vec<u8> {
    encode(&typed("v1", "Pod", filled(of_kind("v1", "Pod").unwrap()))).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_usize..300) {
        let kinds = kinds();
        if let Some((version, kind)) = kinds.get(kind % kinds.len())
            && let Ok(object) = decode(&wrapped(version, kind, &raw))
        {
            // What was read can be written.
            prop_assert!(encode(&object).is_ok());
        }
        drop(decode(&raw));
    }

    #[test]
    fn changed_bytes_are_read_or_refused(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = pod();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        if let Ok(object) = decode(&bytes)
            && knows(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap())
        {
            prop_assert!(encode(&object).is_ok());
        }
    }

    #[test]
    fn a_part_of_a_message_is_read_or_refused(length in any::<u16>()) {
        let bytes = pod();
        let length = usize::from(length) % bytes.len();
        if let Some(part) = bytes.get(..length) {
            // Cut between two fields, it is whole.
            if let Ok(object) = decode(part) {
                prop_assert!(encode(&object).is_ok());
            }
        }
    }
}
