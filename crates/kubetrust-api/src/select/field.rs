//! Field selectors: `?fieldSelector=spec.nodeName=a,status.phase!=Failed`. Which fields there are is a table: clients
//! can't select by others.

use std::borrow::Cow;

use serde_json::Value;

use super::SELECTOR_MAX;
use crate::{resource::Resource, status::Status};

/// Conditions on fields: all hold. The empty one holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

/// `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Name of the field.
    pub field: String,
    /// Its value, as text.
    pub value: String,
    /// Whether it must be equal, or must not.
    pub equal: bool,
}

/// A field that can be selected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As selectors name it.
    pub name: &'static str,
    /// JSON pointers to it; the first that leads to something is it.
    pub pointers: &'static [&'static str],
    /// Its text where it is absent.
    pub absent: &'static str,
}

const fn field(name: &'static str, pointers: &'static [&'static str], absent: &'static str) -> Field {
    Field { name, pointers, absent }
}

const NAME: Field = field("metadata.name", &["/metadata/name"], "");
const NAMESPACE: Field = field("metadata.namespace", &["/metadata/namespace"], "");
const SIGNER: Field = field("spec.signerName", &["/spec/signerName"], "");
const SUCCEEDED: Field = field("status.successful", &["/status/succeeded"], "0");

/// What every resource can be selected by.
static COMMON: &[Field] = &[NAME, NAMESPACE];

static EVENT: &[Field] = &[
    NAME,
    NAMESPACE,
    field("involvedObject.kind", &["/involvedObject/kind", "/regarding/kind"], ""),
    field(
        "involvedObject.namespace",
        &["/involvedObject/namespace", "/regarding/namespace"],
        "",
    ),
    field("involvedObject.name", &["/involvedObject/name", "/regarding/name"], ""),
    field("involvedObject.uid", &["/involvedObject/uid", "/regarding/uid"], ""),
    field(
        "involvedObject.apiVersion",
        &["/involvedObject/apiVersion", "/regarding/apiVersion"],
        "",
    ),
    field(
        "involvedObject.resourceVersion",
        &["/involvedObject/resourceVersion", "/regarding/resourceVersion"],
        "",
    ),
    field(
        "involvedObject.fieldPath",
        &["/involvedObject/fieldPath", "/regarding/fieldPath"],
        "",
    ),
    field("reason", &["/reason"], ""),
    field(
        "reportingComponent",
        &["/reportingComponent", "/reportingController"],
        "",
    ),
    field(
        "source",
        &[
            "/source/component",
            "/deprecatedSource/component",
            "/reportingComponent",
            "/reportingController",
        ],
        "",
    ),
    field("type", &["/type"], ""),
];

/// `events.k8s.io` names some of them differently. Both tables look into both shapes: it is one storage.
static NEW_EVENT: &[Field] = &[
    NAME,
    NAMESPACE,
    field("regarding.kind", &["/regarding/kind", "/involvedObject/kind"], ""),
    field(
        "regarding.namespace",
        &["/regarding/namespace", "/involvedObject/namespace"],
        "",
    ),
    field("regarding.name", &["/regarding/name", "/involvedObject/name"], ""),
    field("regarding.uid", &["/regarding/uid", "/involvedObject/uid"], ""),
    field(
        "regarding.apiVersion",
        &["/regarding/apiVersion", "/involvedObject/apiVersion"],
        "",
    ),
    field(
        "regarding.resourceVersion",
        &["/regarding/resourceVersion", "/involvedObject/resourceVersion"],
        "",
    ),
    field(
        "regarding.fieldPath",
        &["/regarding/fieldPath", "/involvedObject/fieldPath"],
        "",
    ),
    field("reason", &["/reason"], ""),
    field(
        "reportingController",
        &["/reportingController", "/reportingComponent"],
        "",
    ),
    field("type", &["/type"], ""),
];

/// The fields of `(group, plural)` (`AddFieldLabelConversionFunc` and the registries' `SelectableFields`). Where no row
/// stands: [`COMMON`].
static TABLE: &[(&str, &str, &[Field])] = &[
    (
        "",
        "pods",
        &[
            NAME,
            NAMESPACE,
            field("spec.nodeName", &["/spec/nodeName"], ""),
            field("spec.restartPolicy", &["/spec/restartPolicy"], ""),
            field("spec.schedulerName", &["/spec/schedulerName"], ""),
            field("spec.serviceAccountName", &["/spec/serviceAccountName"], ""),
            field("spec.hostNetwork", &["/spec/hostNetwork"], "false"),
            field("status.phase", &["/status/phase"], ""),
            field("status.podIP", &["/status/podIP"], ""),
            field("status.podIPs", &["/status/podIP"], ""),
            field("status.nominatedNodeName", &["/status/nominatedNodeName"], ""),
            // As old clients call it.
            field("spec.host", &["/spec/nodeName"], ""),
        ],
    ),
    (
        "",
        "nodes",
        &[NAME, field("spec.unschedulable", &["/spec/unschedulable"], "false")],
    ),
    (
        "",
        "replicationcontrollers",
        &[NAME, NAMESPACE, field("status.replicas", &["/status/replicas"], "0")],
    ),
    ("", "events", EVENT),
    ("events.k8s.io", "events", NEW_EVENT),
    ("", "namespaces", &[NAME, field("status.phase", &["/status/phase"], "")]),
    ("", "secrets", &[NAME, NAMESPACE, field("type", &["/type"], "")]),
    (
        "",
        "services",
        &[
            NAME,
            NAMESPACE,
            field("spec.clusterIP", &["/spec/clusterIP"], ""),
            field("spec.type", &["/spec/type"], ""),
        ],
    ),
    ("batch", "jobs", &[NAME, NAMESPACE, SUCCEEDED]),
    ("certificates.k8s.io", "certificatesigningrequests", &[NAME, SIGNER]),
    ("certificates.k8s.io", "clustertrustbundles", &[NAME, SIGNER]),
    (
        "certificates.k8s.io",
        "podcertificaterequests",
        &[
            NAME,
            SIGNER,
            field("spec.podName", &["/spec/podName"], ""),
            field("spec.nodeName", &["/spec/nodeName"], ""),
        ],
    ),
    (
        "resource.k8s.io",
        "resourceslices",
        &[
            NAME,
            field("spec.nodeName", &["/spec/nodeName"], ""),
            field("spec.driver", &["/spec/driver"], ""),
        ],
    ),
];

/// What objects of this resource can be selected by.
#[must_use]
pub fn fields(resource: &Resource) -> &'static [Field] {
    let row = TABLE
        .iter()
        .find(|(group, plural, _)| (*group, *plural) == (resource.group, resource.plural));
    row.map_or(COMMON, |(_, _, fields)| fields)
}

impl Selector {
    /// Reads `?fieldSelector=` for a resource that can be selected by these fields. 400 with upstream's words.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, Status> {
        if text.len() > SELECTOR_MAX {
            return Err(Status::bad_request(format!(
                "field selector is longer than {SELECTOR_MAX} bytes"
            )));
        }
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            let value = unescape(value).map_err(Status::bad_request)?;
            terms.push(Term {
                field: field.to_owned(),
                value,
                equal,
            });
        }
        for term in &mut terms {
            if !fields.iter().any(|field| field.name == term.field) {
                return Err(Status::bad_request(unsupported(&term.field, fields)));
            }
        }
        Ok(Self { terms })
    }

    /// Selects the object of this name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self {
            terms: vec![Term {
                field: NAME.name.to_owned(),
                value: name.to_owned(),
                equal: true,
            }],
        }
    }

    /// Whether it holds for the object. `fields` as it was parsed with.
    #[must_use]
    pub fn matches(&self, object: &Value, fields: &[Field]) -> bool {
        self.terms.iter().all(|term| {
            let field = fields.iter().find(|field| field.name == term.field);
            let text = field.map_or(Cow::Borrowed(""), |field| field.text(object));
            (text == term.value) == term.equal
        })
    }

    /// Whether it holds for all there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The conditions.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The one value that this field must have: with `metadata.name`, the name that authorization looks at.
    #[must_use]
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equal && term.field == field)
            .map(|term| term.value.as_str())
    }
}

impl Field {
    /// The object's value, as text.
    #[must_use]
    pub fn text<'a>(&self, object: &'a Value) -> Cow<'a, str> {
        let found = self.pointers.iter().find_map(|pointer| match object.pointer(pointer)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Bool(value) => Some(Cow::Owned(value.to_string())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        found.unwrap_or(Cow::Borrowed(self.absent))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            write!(to, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

fn unsupported(name: &str, fields: &[Field]) -> String {
    if fields == COMMON {
        let name = crate::validate::field::go_quoted(name);
        return format!("{name} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    }
    format!("field label not supported: {name}")
}

/// At commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.extend(text.get(start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.extend(text.get(start..));
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.match_indices(['=', '!']).map(|(at, _)| at).find(|&at| {
        let rest = term.get(at..).unwrap_or_default();
        rest.starts_with('=') || rest.starts_with("!=")
    })?;
    let (field, rest) = term.split_at_checked(at)?;
    [("!=", false), ("==", true), ("=", true)]
        .into_iter()
        .find_map(|(operator, equal)| Some((field, equal, rest.strip_prefix(operator)?)))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            // Upstream prints the character's number.
            ',' | '=' => {
                let code = u32::from(character);
                return Err(format!("invalid field selector: unescaped character in value: {code}"));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pods() -> &'static [Field] {
        TABLE.iter().find(|row| row.1 == "pods").unwrap().2
    }

    #[test]
    fn selectors_read_and_select_as_upstreams_do() {
        let pod = json!({"metadata": {"name": "a,b=c", "namespace": "n"}, "spec": {"hostNetwork": true}, "status": {"phase": "Running"}});
        for (text, canonical, selects) in [
            ("", "", true),
            (",,", "", true),
            ("status.phase=Running", "status.phase=Running", true),
            ("status.phase==Running", "status.phase=Running", true),
            ("status.phase!=Running", "status.phase!=Running", false),
            ("spec.nodeName=", "spec.nodeName=", true),
            ("spec.hostNetwork=true", "spec.hostNetwork=true", true),
            ("metadata.name=a\\,b\\=c", "metadata.name=a\\,b\\=c", true),
            (
                "status.phase=x,metadata.namespace=n",
                "metadata.namespace=n,status.phase=x",
                false,
            ),
        ] {
            let selector = Selector::parse(text, pods()).unwrap();
            assert_eq!(selector.to_string(), canonical, "{text}");
            assert_eq!(selector.matches(&pod, pods()), selects, "{text}");
        }
        let absent = Selector::parse("spec.hostNetwork=false", pods()).unwrap();
        assert!(absent.matches(&json!({}), pods()));
    }

    #[test]
    fn what_is_no_selector_is_refused_in_upstreams_words() {
        for (text, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (
                "metadata.name=a,!b",
                "invalid selector: 'metadata.name=a,!b'; can't understand '!b'",
            ),
            (
                "metadata.name=a=b",
                "invalid field selector: unescaped character in value: 61",
            ),
            (
                "metadata.name=a\\b",
                "invalid field selector: invalid escape sequence: \\b",
            ),
            (
                "metadata.name=a\\",
                "invalid field selector: invalid escape sequence: \\",
            ),
            ("spec.x=a", "field label not supported: spec.x"),
        ] {
            let status = Selector::parse(text, pods()).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (400, message), "{text}");
        }
        let status = Selector::parse("spec.x=a", COMMON).unwrap_err();
        assert_eq!(
            status.message,
            "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }

    #[test]
    fn the_name_that_authorization_sees_is_the_one_selected() {
        for (text, name) in [
            ("metadata.name=x", Some("x")),
            ("metadata.name==x,status.phase=y", Some("x")),
            ("metadata.name!=x", None),
            ("status.phase=y", None),
        ] {
            assert_eq!(
                Selector::parse(text, pods())
                    .unwrap()
                    .requires_exact_match("metadata.name"),
                name
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a=!,\\\\é.]{0,30}", value in ".{0,20}") {
            let any = [field("a", &["/a"], ""), NAME];
            let _ = Selector::parse(&text, &any);
            let selector = Selector::name(&value);
            prop_assert_eq!(Selector::parse(&selector.to_string(), &any), Ok(selector));
        }
    }
}
