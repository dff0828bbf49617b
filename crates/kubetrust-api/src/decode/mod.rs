//! From the bytes of a request to an object of the expected kind, with the checks and answers of `apiserver`'s handlers
//! and decoders.

pub mod conform;
pub mod quantity;
pub mod tree;

use serde_json::{Map, Value};

use crate::{
    patch::{self, Patch},
    resource::api_version,
    schema::{self, Schema},
    status::Status,
    validate::field::{self, Path, go_json, go_plain, go_quoted},
};

/// How much of a body is shown when it is not understood, in bytes.
const SUMMARY_MAX: usize = 30;

/// How much of a patch or of its result is shown when it is refused, in bytes. Upstream shows all of it.
const SHOWN_MAX: usize = 64 * 1024;

/// What happens to fields that are unknown, or stand there twice: `?fieldValidation=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// The request is refused.
    Strict,
    /// They are dropped, and the client is warned.
    #[default]
    Warn,
    /// They are dropped.
    Ignore,
}

impl FieldValidation {
    /// From the parameter's value; empty is Warn. `None` if it has no meaning.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Strict" => Some(Self::Strict),
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// What a body must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Group of the kind.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// Its schema. Without one, an object is taken as it is.
    pub schema: Option<&'a Schema>,
}

/// An object, and what the client is to be warned of.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object, with its `apiVersion` and `kind`.
    pub object: Value,
    /// One text for each warning.
    pub warnings: Vec<String>,
}

impl<'a> Expected<'a> {
    /// The kind with its built-in schema.
    #[must_use]
    pub fn built_in(group: &'a str, version: &'a str, kind: &'a str) -> Self {
        Self {
            group,
            version,
            kind,
            schema: schema::of_kind(group, version, kind),
        }
    }
}

/// Reads a body as an object of the expected kind; what it does not say of its kind, it gets. 400 with upstream's words
/// if it is none.
pub fn object(
    body: &[u8],
    encoding: Encoding,
    expected: Expected<'_>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let unrecognized = |why: &str| {
        let (kind, summary) = (expected.kind, summary(body));
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
        ))
    };
    let tree = match encoding {
        Encoding::Json => tree::json(body)
            .map_err(|why| unrecognized(&format!("couldn't get version/kind; json parse error: {why}")))?,
        Encoding::Yaml => tree::yaml(body).map_err(|why| unrecognized(&why))?,
    };
    let mut object = tree.value;
    if object.is_null() {
        object = Value::Object(Map::new());
    }
    let kind = Kind::of(&object, expected).map_err(|why| unrecognized(&why))?;
    let refuse = |why: &str| {
        let (kind, version) = (&kind.name, go_quoted(&kind.version));
        Status::bad_request(format!(
            "{kind} in version {version} cannot be handled as a {}: {why}",
            expected.kind
        ))
    };
    kind.check(expected).map_err(|fault| match fault {
        KindFault::Decoding(why) => refuse(&why),
        KindFault::Version(why) => Status::bad_request(why),
    })?;
    let mut strict = duplicates(&tree.duplicates);
    if let Some(schema) = expected.schema {
        strict.extend(conform::conform(&mut object, schema).map_err(|why| refuse(&why))?);
    }
    name_kind(&mut object, expected);
    let warnings = match validation {
        FieldValidation::Strict if !strict.is_empty() => {
            return Err(refuse(&format!("strict decoding error: {}", strict.join(", "))));
        }
        FieldValidation::Strict | FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => strict,
    };
    Ok(Decoded { object, warnings })
}

/// Applies a patch, and checks its result as a body is checked. 422 with upstream's words if it is no such object.
pub fn patched(
    current: Value,
    patch: &Patch,
    expected: Expected<'_>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let mut object = patch.apply(current, expected.schema)?;
    let shown = match patch.kind {
        patch::Kind::Strategic => go_plain(&patch.value),
        patch::Kind::Json | patch::Kind::Merge => go_json(&object),
    };
    let shown = shown.get(..shown.floor_char_boundary(SHOWN_MAX)).unwrap_or_default();
    let refuse = |why: &str| Status::invalid("", "", "", vec![field::invalid(&Path::new("patch"), shown, why)]);
    let same = object.get("apiVersion").and_then(Value::as_str) == Some(&api_version(expected.group, expected.version))
        && object.get("kind").and_then(Value::as_str) == Some(expected.kind);
    if !same {
        let kind = Kind::of(&object, expected).map_err(|why| refuse(&why))?;
        kind.check(expected).map_err(|fault| match fault {
            KindFault::Decoding(why) | KindFault::Version(why) => refuse(&why),
        })?;
    }
    let mut strict = patch.strict_faults.clone();
    if let Some(schema) = expected.schema {
        strict.extend(conform::conform(&mut object, schema).map_err(|why| refuse(&why))?);
    }
    name_kind(&mut object, expected);
    let warnings = match validation {
        FieldValidation::Strict if !strict.is_empty() => {
            return Err(refuse(&format!("strict decoding error: {}", strict.join(", "))));
        }
        FieldValidation::Strict | FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => strict,
    };
    Ok(Decoded { object, warnings })
}

fn duplicates(paths: &[String]) -> Vec<String> {
    paths
        .iter()
        .map(|path| format!("duplicate field {}", go_quoted(path)))
        .collect()
}

fn name_kind(object: &mut Value, expected: Expected<'_>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(
            "apiVersion".into(),
            api_version(expected.group, expected.version).into(),
        );
        fields.insert("kind".into(), expected.kind.into());
    }
}

/// What an object says it is, completed from what is expected.
struct Kind {
    group: String,
    version: String,
    name: String,
}

enum KindFault {
    Decoding(String),
    Version(String),
}

impl Kind {
    fn of(object: &Value, expected: Expected<'_>) -> Result<Self, String> {
        let wrong = |what: &str| format!("couldn't get version/kind; json parse error: json: cannot unmarshal {what}");
        let Some(fields) = object.as_object() else {
            let found = match object {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Number(_) => "number",
                _ => "bool",
            };
            return Err(wrong(&format!(
                r#"{found} into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }}"#
            )));
        };
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => {
                let found = match other {
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                    Value::Number(_) => "number",
                    _ => "bool",
                };
                Err(wrong(&format!("{found} into Go struct field .{name} of type string")))
            }
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let (group, version) = match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [version] => ("", *version),
            [group, version] => (*group, *version),
            _ => return Err(format!("unexpected GroupVersion string: {api_version}")),
        };
        let (group, version) = if version.is_empty() && (group.is_empty() || group == expected.group) {
            (expected.group, expected.version)
        } else {
            (group, version)
        };
        let kind = if kind.is_empty() { expected.kind } else { kind };
        Ok(Self {
            group: group.into(),
            version: version.into(),
            name: kind.into(),
        })
    }

    fn check(&self, expected: Expected<'_>) -> Result<(), KindFault> {
        if (self.group.as_str(), self.version.as_str(), self.name.as_str())
            == (expected.group, expected.version, expected.kind)
        {
            return Ok(());
        }
        let given = api_version(&self.group, &self.version);
        if schema::of_kind(&self.group, &self.version, &self.name).is_none() {
            return Err(KindFault::Decoding(format!(
                "no kind {} is registered for version {} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
                go_quoted(&self.name),
                go_quoted(&given)
            )));
        }
        if self.name == expected.kind {
            let wanted = api_version(expected.group, expected.version);
            return Err(KindFault::Version(format!(
                "the API version in the data ({given}) does not match the expected API version ({wanted})"
            )));
        }
        let package = match expected.group.split('.').next() {
            None | Some("") => "core",
            Some(first) => first,
        };
        Err(KindFault::Decoding(format!(
            "converting ({}.{}) to ({package}.{}): unknown conversion",
            self.version, self.name, expected.kind
        )))
    }
}

/// The beginning of a body: as text if it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    let start = body.get(..SUMMARY_MAX).unwrap_or(body);
    let mut text = match body.first() {
        None => return "<empty>".into(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => {
            let digits = start.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            digits
                .filter_map(|digit| char::from_digit(u32::from(digit), 16))
                .collect()
        }
    };
    if body.len() > SUMMARY_MAX {
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod() -> Expected<'static> {
        Expected::built_in("", "v1", "Pod")
    }

    fn read(body: &str, expected: Expected<'_>, validation: FieldValidation) -> Result<Decoded, Status> {
        object(body.as_bytes(), Encoding::Json, expected, validation)
    }

    #[test]
    fn bodies_that_are_no_such_object_are_refused_in_upstreams_words() {
        let deployment = Expected::built_in("apps", "v1", "Deployment");
        let secret = Expected::built_in("", "v1", "Secret");
        for (expected, body, message) in [
            (
                pod(),
                "",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
            ),
            (
                pod(),
                "hello",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: invalid character 'h' looking for beginning of value (68656c6c6f)",
            ),
            (
                pod(),
                "{\"kind\":1}",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({\"kind\":1})",
            ),
            (
                pod(),
                "{\"apiVersion\":\"a/b/c\"}",
                "the object provided is unrecognized (must be of type Pod): unexpected GroupVersion string: a/b/c ({\"apiVersion\":\"a/b/c\"})",
            ),
            (
                pod(),
                r#"{"apiVersion":"v1","kind":"Cat"}"#,
                "Cat in version \"v1\" cannot be handled as a Pod: no kind \"Cat\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            ),
            (
                pod(),
                r#"{"apiVersion":"v1","kind":"Secret"}"#,
                "Secret in version \"v1\" cannot be handled as a Pod: converting (v1.Secret) to (core.Pod): unknown conversion",
            ),
            (
                Expected::built_in("events.k8s.io", "v1", "Event"),
                r#"{"apiVersion":"v1","kind":"Event"}"#,
                "the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)",
            ),
            (
                deployment,
                r#"{"spec":{"replicas":"3"}}"#,
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                deployment,
                r#"{"spec":{"replicas":2147483648}}"#,
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                deployment,
                r#"{"spec":{"replicas":1.5}}"#,
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                pod(),
                r#"{"metadata":{"labels":{"a":1}}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels.a of type string",
            ),
            (
                pod(),
                r#"{"spec":{"containers":{}}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                pod(),
                r#"{"spec":{"containers":[{"env":[{"name":"a","value":1}]}]}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
            ),
            (
                pod(),
                r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                secret,
                r#"{"data":{"a":"a-b="}}"#,
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 1",
            ),
            (
                pod(),
                r#"{"metadata":{"creationTimestamp":"x"}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
            ),
        ] {
            let status = read(body, expected, FieldValidation::Ignore).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (400, message), "{body}");
        }
    }

    #[test]
    fn objects_are_made_what_the_schema_says() {
        let body = json!({"metadata": {"name": "a", "labels": {"x": null}, "creationTimestamp": null}, "spec": {
            "nodeName": null,
            "containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}, "args": [null], "ports": null}],
        }});
        let read = read(&body.to_string(), pod(), FieldValidation::Strict).unwrap();
        assert_eq!(
            read.object,
            json!({"metadata": {"name": "a", "labels": {"x": ""}}, "spec": {"containers": [
                {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "args": [""]}]},
                "apiVersion": "v1", "kind": "Pod"})
        );
    }

    #[test]
    fn null_times_in_maps_stay() {
        let budgets = Expected::built_in("policy", "v1", "PodDisruptionBudget");
        let read = read(
            r#"{"status":{"disruptedPods":{"a":null}}}"#,
            budgets,
            FieldValidation::Strict,
        )
        .unwrap();
        assert_eq!(read.object.pointer("/status/disruptedPods"), Some(&json!({"a": null})));
    }

    #[test]
    fn unknown_and_repeated_fields_are_refused_told_or_dropped() {
        let body = r#"{"metadata":{"name":"a"},"spec":{"foo":1,"containers":[{"name":"a","name":"b","bar":{"x":1}}]}}"#;
        let clean = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "b"}]}, "apiVersion": "v1", "kind": "Pod"});
        let faults = [
            "duplicate field \"spec.containers[0].name\"",
            "unknown field \"spec.foo\"",
            "unknown field \"spec.containers[0].bar\"",
        ];
        let strict = read(body, pod(), FieldValidation::Strict).unwrap_err();
        let message = format!(
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: {}",
            faults.join(", ")
        );
        assert_eq!((strict.code, strict.message), (400, message));
        let warned = read(body, pod(), FieldValidation::Warn).unwrap();
        assert_eq!(
            (warned.object, warned.warnings),
            (clean.clone(), faults.map(str::to_owned).to_vec())
        );
        let ignored = read(body, pod(), FieldValidation::Ignore).unwrap();
        assert_eq!((ignored.object, ignored.warnings), (clean, vec![]));
    }

    #[test]
    fn a_hundred_thousand_unknown_fields_are_dropped_in_good_time() {
        let fields: Map<String, Value> = (0..100_000).map(|n| (format!("x{n}"), Value::Null)).collect();
        let decoded = read(&Value::Object(fields).to_string(), pod(), FieldValidation::Warn).unwrap();
        assert_eq!(decoded.warnings.len(), tree::STRICT_FAULTS_MAX);
        assert_eq!(decoded.object, json!({"apiVersion": "v1", "kind": "Pod"}));
    }

    #[test]
    fn yaml_is_read_as_json_is() {
        let body = b"kind: ConfigMap\ndata:\n  a: b\n";
        let expected = Expected::built_in("", "v1", "ConfigMap");
        let read = object(body, Encoding::Yaml, expected, FieldValidation::Strict).unwrap();
        assert_eq!(
            read.object,
            json!({"kind": "ConfigMap", "data": {"a": "b"}, "apiVersion": "v1"})
        );
    }

    #[test]
    fn what_a_patch_makes_is_checked_too() {
        let current = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        for (kind, text, message) in [
            (
                patch::Kind::Merge,
                r#"{"spec":{"foo":1}}"#,
                " \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"Pod\\\",\\\"metadata\\\":{\\\"name\\\":\\\"a\\\"},\\\"spec\\\":{\\\"foo\\\":1}}\": strict decoding error: unknown field \"spec.foo\"",
            ),
            (
                patch::Kind::Strategic,
                r#"{"spec":{"foo":1}}"#,
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[foo:1]]\": strict decoding error: unknown field \"spec.foo\"",
            ),
            (
                patch::Kind::Strategic,
                r#"{"spec":{"nodeName":1}}"#,
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[nodeName:1]]\": json: cannot unmarshal number into Go struct field PodSpec.spec.nodeName of type string",
            ),
        ] {
            let patch = patch::read(kind, text.as_bytes()).unwrap();
            let status = patched(current.clone(), &patch, pod(), FieldValidation::Strict).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (422, message));
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in r#"\{"(kind|metadata|spec|data)":(\{"(name|labels|containers|nodeName)":(1|null|"a"|\[\{\}\]|\{"a":1\})\}|1|null)\}"#) {
            for encoding in [Encoding::Json, Encoding::Yaml] {
                let _ = object(&bytes, encoding, pod(), FieldValidation::Strict);
                let _ = object(text.as_bytes(), encoding, pod(), FieldValidation::Strict);
            }
        }
    }
}
