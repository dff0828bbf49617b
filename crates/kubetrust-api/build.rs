//! Writes the schemas of all served kinds, from k8s-openapi's types and the facts that those lack, as one compressed
//! document. `src/schema` reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::{ListableResource, Resource, api, apiextensions_apiserver, kube_aggregator};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

#[path = "src/schema/facts.rs"]
mod facts;

use facts::{FIELDS, ListType, MAPS, Patch, REQUIRED, SHAPES};

/// Where schemas refer to each other, as `OpenAPI` v3 spells it.
const REFERENCE: &str = "#/components/schemas/";

/// Calls a method of the collector for each of the types.
macro_rules! each {
    ($collector:ident.$method:ident: $($module:path => $($kind:ident)+;)+) => {
        $({
            use $module as module;
            $($collector.$method::<module::$kind>();)+
        })+
    };
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/schema/facts.rs");

    let mut collector = Collector::default();
    each! { collector.listed:
        api::admissionregistration::v1 => MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
            MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            ValidatingWebhookConfiguration;
        api::apps::v1 => ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
        api::autoscaling::v1 => HorizontalPodAutoscaler;
        api::autoscaling::v2 => HorizontalPodAutoscaler;
        api::batch::v1 => CronJob Job;
        api::certificates::v1 => CertificateSigningRequest;
        api::coordination::v1 => Lease;
        api::core::v1 => ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume
            PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        api::discovery::v1 => EndpointSlice;
        api::events::v1 => Event;
        api::flowcontrol::v1 => FlowSchema PriorityLevelConfiguration;
        api::networking::v1 => IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
        api::node::v1 => RuntimeClass;
        api::policy::v1 => PodDisruptionBudget;
        api::rbac::v1 => ClusterRole ClusterRoleBinding Role RoleBinding;
        api::resource::v1 => DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
        api::scheduling::v1 => PriorityClass;
        api::storage::v1 => CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass;
        apiextensions_apiserver::pkg::apis::apiextensions::v1 => CustomResourceDefinition;
        kube_aggregator::pkg::apis::apiregistration::v1 => APIService;
    }
    each! { collector.kind:
        api::authentication::v1 => SelfSubjectReview TokenRequest TokenReview;
        api::authorization::v1 => LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview;
        api::autoscaling::v1 => Scale;
        api::core::v1 => Binding;
        api::policy::v1 => Eviction;
        meta => APIGroup APIGroupList APIResourceList APIVersions Status;
    }
    collector.in_every_group_version::<meta::DeleteOptions>("DeleteOptions");
    collector.in_every_group_version::<meta::WatchEvent<()>>("WatchEvent");
    collector.plain::<meta::Patch>();
    collector.plain::<Info>();

    let text = serde_json::to_vec(&collector.finish())?;
    let directory = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let file = File::create(Path::new(&directory).join("schemas.json.gz"))?;
    let mut encoder = GzEncoder::new(file, Compression::best());
    encoder.write_all(&text)?;
    encoder.finish()?;
    Ok(())
}

/// A group, a version and a kind.
type GroupVersionKind = (&'static str, &'static str, &'static str);

#[derive(Default)]
struct Collector {
    generator: SchemaGenerator,
    /// The kinds that a definition is the schema of.
    kinds: BTreeMap<String, Vec<GroupVersionKind>>,
    /// Definitions that k8s-openapi has no schema for: lists.
    lists: Vec<(String, Value)>,
}

impl Collector {
    /// A type that is part of no object.
    fn plain<T: JsonSchema>(&mut self) {
        self.generator.subschema_for::<T>();
    }

    /// A kind.
    fn kind<T: JsonSchema + Resource>(&mut self) {
        self.plain::<T>();
        self.kinds
            .entry(T::schema_name().into_owned())
            .or_default()
            .push((T::GROUP, T::VERSION, T::KIND));
    }

    /// A kind, and the kind that is a list of it.
    fn listed<T: JsonSchema + ListableResource>(&mut self) {
        self.kind::<T>();
        let item = T::schema_name();
        let name = item.strip_suffix(T::KIND).unwrap_or_default().to_owned() + T::LIST_KIND;
        let schema = list_schema(&item, T::KIND, T::LIST_KIND);
        self.kinds
            .insert(name.clone(), vec![(T::GROUP, T::VERSION, T::LIST_KIND)]);
        self.lists.push((name, schema));
    }

    /// A kind that each group version has, as bodies and answers may carry the group version that they are sent to.
    fn in_every_group_version<T: JsonSchema>(&mut self, kind: &'static str) {
        self.plain::<T>();
        let mut all: Vec<GroupVersionKind> = self
            .kinds
            .values()
            .flatten()
            .map(|(group, version, _)| (*group, *version, kind))
            .collect();
        all.sort_unstable();
        all.dedup();
        self.kinds.insert(T::schema_name().into_owned(), all);
    }

    /// All definitions, by name, with every fact.
    fn finish(mut self) -> Value {
        let mut definitions: BTreeMap<String, Value> = self.generator.take_definitions(true).into_iter().collect();
        definitions.extend(self.lists);
        for (name, definition) in &mut definitions {
            normalise(definition);
            require(name, definition);
            if let Some(shape) = SHAPES.iter().find(|shape| shape.definition == name) {
                reshape(definition, shape.is, shape.format);
            }
            add_list_types(definition);
            if MAPS.contains(&name.as_str()) {
                definition["x-kubernetes-map-type"] = "atomic".into();
            }
            if let Some(kinds) = self.kinds.get(name) {
                definition["x-kubernetes-group-version-kind"] = kinds
                    .iter()
                    .map(|(group, version, kind)| json!({"group": group, "kind": kind, "version": version}))
                    .collect();
            }
        }
        for row in FIELDS {
            if let Some(field) = definitions
                .get_mut(row.definition)
                .and_then(|it| it["properties"].get_mut(row.name))
            {
                add_facts(field, row.list, row.patch);
            }
        }
        definitions.into_iter().collect::<Map<String, Value>>().into()
    }
}

fn list_schema(item: &str, kind: &str, list_kind: &str) -> Value {
    json!({
        "description": format!("{list_kind} is a list of {kind} objects."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {
                "description": "APIVersion defines the versioned schema of this representation of an object.",
                "type": "string",
            },
            "items": {
                "description": format!("items is the list of {kind} objects."),
                "type": "array",
                "items": {"$ref": format!("{REFERENCE}{item}")},
            },
            "kind": {
                "description": "Kind is a string value representing the REST resource this object represents.",
                "type": "string",
            },
            "metadata": {
                "description": "Standard list metadata.",
                "$ref": format!("{REFERENCE}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"),
            },
        },
    })
}

/// Lets every reference within the schema point to where `OpenAPI` has its schemas.
fn normalise(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("{REFERENCE}{name}");
            }
            fields.values_mut().for_each(normalise);
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// Corrects which fields must be there.
fn require(name: &str, definition: &mut Value) {
    let Some(fields) = definition.as_object_mut() else {
        return;
    };
    let mut required: Vec<Value> = match fields.remove("required") {
        Some(Value::Array(required)) => required,
        _ => Vec::new(),
    };
    required.retain(|field| field != "metadata");
    if let Some((_, exactly)) = REQUIRED.iter().find(|(definition, _)| *definition == name) {
        required = exactly.iter().map(|field| Value::from(*field)).collect();
    }
    if !required.is_empty() {
        fields.insert("required".into(), required.into());
    }
}

/// Replaces all but the description.
fn reshape(definition: &mut Value, is: &str, format: &str) {
    let mut fields = Map::new();
    if let Some(description) = definition.get("description") {
        fields.insert("description".into(), description.clone());
    }
    for (field, value) in [("type", is), ("format", format)] {
        if !value.is_empty() {
            fields.insert(field.into(), value.into());
        }
    }
    *definition = Value::Object(fields);
}

/// A list is atomic unless a row says otherwise. Upstream leaves out the items of lists of objects.
fn add_list_types(definition: &mut Value) {
    let is_list = definition["properties"].get("metadata").is_some_and(|metadata| {
        metadata["$ref"]
            .as_str()
            .is_some_and(|reference| reference.ends_with(".meta.v1.ListMeta"))
    });
    let Some(properties) = definition.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (_, field) in properties.iter_mut().filter(|(name, _)| !is_list || *name != "items") {
        if field["type"] == "array" {
            field["x-kubernetes-list-type"] = "atomic".into();
        }
    }
}

fn add_facts(field: &mut Value, list: ListType, patch: Patch) {
    match list {
        ListType::Undeclared => {}
        ListType::Set => field["x-kubernetes-list-type"] = "set".into(),
        ListType::Map(keys) => {
            field["x-kubernetes-list-type"] = "map".into();
            field["x-kubernetes-list-map-keys"] = json!(keys);
        }
        ListType::AtomicMap => field["x-kubernetes-map-type"] = "atomic".into(),
        ListType::GranularMap => field["x-kubernetes-map-type"] = "granular".into(),
    }
    let (strategy, key) = match patch {
        Patch::Undeclared => return,
        Patch::Replace => ("replace", ""),
        Patch::RetainKeys => ("retainKeys", ""),
        Patch::MergeValues => ("merge", ""),
        Patch::Merge(key) => ("merge", key),
        Patch::MergeRetainKeys(key) => ("merge,retainKeys", key),
    };
    field["x-kubernetes-patch-strategy"] = strategy.into();
    if !key.is_empty() {
        field["x-kubernetes-patch-merge-key"] = key.into();
    }
}
