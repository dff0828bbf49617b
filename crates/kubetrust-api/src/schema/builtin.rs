//! The schemas of the kinds of Kubernetes, unpacked on first use.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::REFERENCE;
use super::tree::{Format, Link, ListType, PatchStrategy, Schema, Type};
use crate::resource::Resource;

/// The document, as the build script wrote it.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schemas.json.gz"));

/// Most bytes that the document is unpacked to. A test shows that it is less.
const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

/// Text that may be written as a number.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// A time of which the format says no more than of other times.
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(Definitions::read);

struct Definitions {
    schemas: Vec<Schema>,
    /// Sorted, in the order of the schemas.
    names: Vec<Box<str>>,
    /// Group, version, kind and the number of its definition; sorted.
    kinds: Vec<(Kind, u16)>,
}

type Kind = (Box<str>, Box<str>, Box<str>);

/// All definitions with their descriptions, as JSON text: an object from name to schema. References begin with
/// [`REFERENCE`]; text that documents a reference stands beside it, as in `OpenAPI` v2.
///
/// It is unpacked at each call and belongs to the caller.
#[must_use]
pub fn document() -> String {
    let mut text = String::new();
    // What is compiled in is whole: the tests of this file read it.
    let read = GzDecoder::new(PACKED).take(MAX_DOCUMENT).read_to_string(&mut text);
    if read.is_err() {
        text.clear();
    }
    text
}

/// The schema of this name, as `io.k8s.api.core.v1.Pod`.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Schema> {
    let definitions = &*DEFINITIONS;
    let at = definitions
        .names
        .binary_search_by(|known| known.as_ref().cmp(name))
        .ok()?;
    definitions.schemas.get(at)
}

/// The schema of a kind.
#[must_use]
pub fn of_kind(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
    DEFINITIONS.schemas.get(number_of_kind(group, version, kind)?)
}

/// The name of a kind's schema.
#[must_use]
pub fn name_of_kind(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    DEFINITIONS
        .names
        .get(number_of_kind(group, version, kind)?)
        .map(AsRef::as_ref)
}

fn number_of_kind(group: &str, version: &str, kind: &str) -> Option<usize> {
    let kinds = &DEFINITIONS.kinds;
    let wanted = (group, version, kind);
    let at = kinds
        .binary_search_by(|((g, v, k), _)| (g.as_ref(), v.as_ref(), k.as_ref()).cmp(&wanted))
        .ok()?;
    kinds.get(at).map(|(_, number)| usize::from(*number))
}

/// The schema of a resource's objects.
#[must_use]
pub fn of_resource(resource: &Resource) -> Option<&'static Schema> {
    of_kind(resource.group, resource.version, resource.kind)
}

/// The names of all definitions, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.names.iter().map(AsRef::as_ref)
}

/// A definition by its number. Numbers come from [`Link`]s only, which name definitions that are there.
pub(super) fn definition(number: u16) -> &'static Schema {
    DEFINITIONS
        .schemas
        .get(usize::from(number))
        .unwrap_or_else(|| unnamed())
}

/// The schema of anything.
fn unnamed() -> &'static Schema {
    static ANY: LazyLock<Schema> = LazyLock::new(Schema::default);
    &ANY
}

/// A schema as the document has it, without what only people read.
#[derive(Deserialize, Default)]
struct Raw {
    #[serde(rename = "$ref")]
    reference: Option<Box<str>>,
    #[serde(rename = "type")]
    kind: Option<Box<str>>,
    format: Option<Box<str>>,
    #[serde(default)]
    properties: BTreeMap<Box<str>, Raw>,
    #[serde(default)]
    required: Vec<Box<str>>,
    items: Option<Box<Raw>>,
    #[serde(rename = "additionalProperties")]
    additional: Option<Box<Raw>>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-list-map-keys", default)]
    list_map_keys: Vec<Box<str>>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    patch_strategy: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    patch_merge_key: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-group-version-kind", default)]
    kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    group: Box<str>,
    version: Box<str>,
    kind: Box<str>,
}

impl Definitions {
    fn read() -> Self {
        let raw: BTreeMap<Box<str>, Raw> = serde_json::from_str(&document()).unwrap_or_default();
        let mut kinds: Vec<(Kind, u16)> = (0..)
            .zip(raw.values())
            .flat_map(|(number, definition)| definition.kinds.iter().map(move |kind| (kind, number)))
            .map(|(of, number)| ((of.group.clone(), of.version.clone(), of.kind.clone()), number))
            .collect();
        kinds.sort_unstable();
        let names: Vec<Box<str>> = raw.keys().cloned().collect();
        let reader = Reader {
            raw: &raw,
            names: &names,
        };
        let schemas = raw.iter().map(|(name, raw)| reader.definition(name, raw)).collect();
        Self { schemas, names, kinds }
    }
}

/// Makes trees of what was read.
struct Reader<'a> {
    raw: &'a BTreeMap<Box<str>, Raw>,
    names: &'a [Box<str>],
}

impl Reader<'_> {
    fn definition(&self, name: &str, raw: &Raw) -> Schema {
        let mut schema = self.schema(raw);
        if name == QUANTITY {
            schema.kind = Type::Quantity;
        } else if name == MICRO_TIME {
            schema.format = Format::MicroTime;
        }
        schema
    }

    fn schema(&self, raw: &Raw) -> Schema {
        let format = raw.format.as_deref().unwrap_or_default();
        let mut required = raw.required.clone();
        required.sort_unstable();
        Schema {
            kind: type_of(raw.kind.as_deref().unwrap_or_default(), format),
            format: format_of(format),
            properties: raw
                .properties
                .iter()
                .map(|(name, raw)| (name.clone(), self.link(raw)))
                .collect(),
            required: required.into(),
            items: raw.items.as_deref().map(|raw| self.link(raw)),
            additional: raw.additional.as_deref().map(|raw| self.link(raw)),
            list_type: list_type_of(raw),
            patch: patch_strategy_of(raw),
            ..Schema::default()
        }
    }

    fn link(&self, raw: &Raw) -> Link {
        let target = raw
            .reference
            .as_deref()
            .and_then(|reference| reference.strip_prefix(REFERENCE));
        let Some(name) = target else {
            return Link::Inline(Box::new(self.schema(raw)));
        };
        let own = (list_type_of(raw), patch_strategy_of(raw));
        if own == (ListType::default(), PatchStrategy::default()) {
            let at = self.names.binary_search_by(|known| known.as_ref().cmp(name)).ok();
            return at
                .and_then(|at| u16::try_from(at).ok())
                .map_or_else(Link::default, Link::Definition);
        }
        // A reference with facts of its own: a copy of the definition that carries them.
        let mut schema = self
            .raw
            .get(name)
            .map(|raw| self.definition(name, raw))
            .unwrap_or_default();
        (schema.list_type, schema.patch) = own;
        Link::Inline(Box::new(schema))
    }
}

fn type_of(kind: &str, format: &str) -> Type {
    match kind {
        "object" => Type::Object,
        "array" => Type::Array,
        "string" if format == "int-or-string" => Type::IntOrString,
        "string" => Type::String,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        _ => Type::Any,
    }
}

fn format_of(format: &str) -> Format {
    match format {
        "int32" => Format::Int32,
        "int64" => Format::Int64,
        "double" => Format::Double,
        "byte" => Format::Byte,
        "date-time" => Format::DateTime,
        _ => Format::None,
    }
}

fn list_type_of(raw: &Raw) -> ListType {
    match (raw.list_type.as_deref(), raw.map_type.as_deref()) {
        (Some("set"), _) => ListType::Set,
        (Some("map"), _) => ListType::Map(raw.list_map_keys.clone().into()),
        (Some("atomic"), _) | (_, Some("atomic")) => ListType::Atomic,
        _ => ListType::Undeclared,
    }
}

fn patch_strategy_of(raw: &Raw) -> PatchStrategy {
    let merge_key = raw.patch_merge_key.clone().unwrap_or_default();
    let mut patch = PatchStrategy {
        merge_key,
        ..PatchStrategy::default()
    };
    for word in raw.patch_strategy.as_deref().unwrap_or_default().split(',') {
        match word {
            "merge" => patch.merge = true,
            "retainKeys" => patch.retain_keys = true,
            "replace" => patch.replace = true,
            _ => {}
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::facts::{self, FIELDS, MAPS, REQUIRED, SHAPES};

    fn pod() -> &'static Schema {
        of_kind("", "v1", "Pod").unwrap()
    }

    #[test]
    fn the_document_is_whole() {
        let text = document();
        assert!((text.len() as u64) < MAX_DOCUMENT, "{}", text.len());
        let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(all.len(), names().count());
        for part in text.split("\"$ref\":\"").skip(1) {
            let target = part.split('"').next().unwrap().strip_prefix(REFERENCE).unwrap();
            assert!(all.contains_key(target), "{target}");
        }
    }

    #[test]
    fn each_fact_is_about_a_field_that_exists() {
        for row in FIELDS {
            let schema = lookup(row.definition).unwrap_or_else(|| panic!("no {}", row.definition));
            let field = schema
                .property(row.name)
                .unwrap_or_else(|| panic!("no {}.{}", row.definition, row.name));
            let keys: Vec<&str> = match (row.list, row.patch) {
                (facts::ListType::Map(keys), _) => keys.to_vec(),
                (_, facts::Patch::Merge(key) | facts::Patch::MergeRetainKeys(key)) => vec![key],
                _ => continue,
            };
            let item = field.items().unwrap();
            for key in keys {
                assert!(
                    item.property(key).is_some(),
                    "{}.{}: no {key}",
                    row.definition,
                    row.name
                );
            }
        }
        for (name, fields) in REQUIRED {
            let schema = lookup(name).unwrap();
            let mut fields = fields.to_vec();
            fields.sort_unstable();
            assert!(fields.iter().all(|field| schema.property(field).is_some()), "{name}");
            assert_eq!(
                schema.required.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
                fields,
                "{name}"
            );
        }
        for name in MAPS {
            assert_eq!(lookup(name).unwrap().list_type, ListType::Atomic, "{name}");
        }
        for shape in SHAPES {
            let schema = lookup(shape.definition).unwrap();
            let text = matches!(schema.kind, Type::IntOrString | Type::Quantity);
            assert_eq!(shape.is == "string", text, "{}", shape.definition);
            assert_eq!(
                shape.format == "int-or-string",
                schema.kind == Type::IntOrString,
                "{}",
                shape.definition
            );
            assert!(schema.properties.is_empty());
        }
    }

    /// `api/openapi-spec/swagger.json` of v1.36, without the group versions that are off by default. Of atomic
    /// lists, `verbs` of `APIResource` is one that upstream doesn't declare, and `caBundle` of `APIServiceSpec` none: it
    /// is a text.
    #[test]
    fn there_are_as_many_facts_as_upstream_has() {
        let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&document()).unwrap();
        let count = |fact: &str, value: &str| {
            let fields = all
                .values()
                .filter_map(|definition| definition["properties"].as_object())
                .flatten();
            fields
                .filter(|(_, field)| {
                    field[fact]
                        .as_str()
                        .is_some_and(|fact| value.is_empty() || fact == value)
                })
                .count()
        };
        for (fact, value, want) in [
            ("x-kubernetes-patch-strategy", "merge", 53),
            ("x-kubernetes-patch-strategy", "merge,retainKeys", 3),
            ("x-kubernetes-patch-strategy", "retainKeys", 1),
            ("x-kubernetes-patch-strategy", "replace", 1),
            ("x-kubernetes-patch-merge-key", "", 54),
            ("x-kubernetes-list-type", "map", 59),
            ("x-kubernetes-list-type", "set", 16),
            ("x-kubernetes-list-type", "atomic", 228),
        ] {
            assert_eq!(count(fact, value), want, "{fact} {value}");
        }
    }

    #[test]
    fn facts_reach_the_tree() {
        let spec = pod().property("spec").unwrap();
        let containers = spec.property("containers").unwrap();
        assert_eq!(containers.list_type, ListType::Map(["name".into()].into()));
        assert!(containers.patch.merge && containers.patch.merge_key.as_ref() == "name");
        let volumes = spec.property("volumes").unwrap();
        assert!(volumes.patch.merge && volumes.patch.retain_keys);
        assert_eq!(
            containers.items().unwrap().property("command").unwrap().list_type,
            ListType::Atomic
        );
        assert_eq!(spec.property("nodeSelector").unwrap().list_type, ListType::Atomic);
        let strategy = of_kind("apps", "v1", "Deployment")
            .unwrap()
            .property("spec")
            .unwrap()
            .property("strategy")
            .unwrap();
        assert!(strategy.patch.retain_keys && strategy.property("rollingUpdate").is_some());
        assert_eq!(
            lookup("io.k8s.api.core.v1.PodList")
                .unwrap()
                .property("items")
                .unwrap()
                .list_type,
            ListType::Undeclared
        );
    }

    #[test]
    fn values_have_the_types_that_go_reads() {
        let container = pod()
            .property("spec")
            .unwrap()
            .property("containers")
            .unwrap()
            .items()
            .unwrap();
        let limits = container.property("resources").unwrap().property("limits").unwrap();
        assert_eq!(limits.values_of_map().unwrap().kind, Type::Quantity);
        let port = container
            .property("livenessProbe")
            .unwrap()
            .property("httpGet")
            .unwrap()
            .property("port")
            .unwrap();
        assert_eq!(port.kind, Type::IntOrString);
        let metadata = pod().property("metadata").unwrap();
        assert_eq!(metadata.property("creationTimestamp").unwrap().format, Format::DateTime);
        assert!(
            metadata
                .property("managedFields")
                .unwrap()
                .items()
                .unwrap()
                .property("fieldsV1")
                .unwrap()
                .is_open()
        );
        let lease = of_kind("coordination.k8s.io", "v1", "Lease")
            .unwrap()
            .property("spec")
            .unwrap();
        assert_eq!(lease.property("renewTime").unwrap().format, Format::MicroTime);
        let secret = of_kind("", "v1", "Secret").unwrap();
        assert_eq!(
            secret.property("data").unwrap().values_of_map().unwrap().format,
            Format::Byte
        );
        let crd = of_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
        assert!(!crd.is_open() && crd.property("spec").is_some());
        let props = lookup("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").unwrap();
        assert!(props.property("default").unwrap().is_open() && props.property("items").unwrap().is_open());
    }

    #[test]
    fn every_kind_of_the_table_of_resources_has_a_schema() {
        for resource in crate::resource::TABLE {
            let schema = of_resource(resource)
                .unwrap_or_else(|| panic!("no schema of {} {}", resource.api_version(), resource.kind));
            assert!(schema.property("kind").is_some() && schema.property("apiVersion").is_some());
            for subresource in resource.subresources {
                let (group, version) = subresource
                    .kind_group_version
                    .unwrap_or((resource.group, resource.version));
                if !subresource.kind.ends_with("Options") {
                    assert!(
                        of_kind(group, version, subresource.kind).is_some(),
                        "{}/{}",
                        resource.plural,
                        subresource.name
                    );
                }
            }
        }
    }
}
