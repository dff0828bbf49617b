//! What Kubernetes' types say in struct tags and comment markers (`patchStrategy`, `patchMergeKey`, `+listType`,
//! `+listMapKey`, `+mapType`, `+structType`; `staging/src/k8s.io/*/types.go` of v1.36), and k8s-openapi's do not.
//!
//! The build script writes these facts into the schemas.

use ListType::{AtomicMap, GranularMap, Map, Set};
use Patch::{Merge, MergeRetainKeys, MergeValues, Replace, RetainKeys};

/// How a list or a map is merged by server-side apply.
#[derive(Clone, Copy)]
pub enum ListType {
    /// As if it were not said: a list is atomic, a map granular.
    Undeclared,
    /// A list of scalars without duplicates.
    Set,
    /// A list of objects that these fields tell apart.
    Map(&'static [&'static str]),
    /// A map or an object that is replaced as a whole.
    AtomicMap,
    /// A map that is merged key by key.
    GranularMap,
}

/// How a strategic merge patch merges a field.
#[derive(Clone, Copy)]
pub enum Patch {
    /// Objects are merged, all else is replaced.
    Undeclared,
    /// Replaced as a whole.
    Replace,
    /// An object: fields that the patch does not name in `$retainKeys` go away.
    RetainKeys,
    /// A list of scalars: the union.
    MergeValues,
    /// A list of objects: those with the same value of this field are merged.
    Merge(&'static str),
    /// Both of the last but one.
    MergeRetainKeys(&'static str),
}

/// The facts of one field.
pub struct Field {
    /// The definition that has the field.
    pub definition: &'static str,
    /// The field.
    pub name: &'static str,
    /// How it is merged by server-side apply.
    pub list: ListType,
    /// How it is merged by a strategic merge patch.
    pub patch: Patch,
}

/// A type that writes itself otherwise than its fields would say.
pub struct Shape {
    /// Its definition.
    pub definition: &'static str,
    /// Its JSON type; empty for any.
    pub is: &'static str,
    /// Its format; empty for none.
    pub format: &'static str,
}

const fn field(definition: &'static str, name: &'static str, list: ListType, patch: Patch) -> Field {
    Field {
        definition,
        name,
        list,
        patch,
    }
}

const fn shape(definition: &'static str, is: &'static str, format: &'static str) -> Shape {
    Shape { definition, is, format }
}

/// Types with an `OpenAPISchemaType` of their own.
#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    shape("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "", ""),
    shape("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "", ""),
    shape("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "", ""),
    shape("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "", ""),
    shape("io.k8s.apimachinery.pkg.api.resource.Quantity", "string", ""),
    shape("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "string", "int-or-string"),
];

/// The required fields of types of which k8s-openapi says otherwise: what it has no `Option` for, it calls required.
/// Besides these, `metadata` is never required.
#[rustfmt::skip]
pub const REQUIRED: &[(&str, &[&str])] = &[
    ("io.k8s.api.core.v1.ConfigMapEnvSource", &[]),
    ("io.k8s.api.core.v1.ConfigMapKeySelector", &["key"]),
    ("io.k8s.api.core.v1.ConfigMapProjection", &[]),
    ("io.k8s.api.core.v1.ConfigMapVolumeSource", &[]),
    ("io.k8s.api.core.v1.Event", &["metadata", "involvedObject"]),
    ("io.k8s.api.core.v1.LocalObjectReference", &[]),
    ("io.k8s.api.core.v1.SecretEnvSource", &[]),
    ("io.k8s.api.core.v1.SecretKeySelector", &["key"]),
    ("io.k8s.api.core.v1.SecretProjection", &[]),
    ("io.k8s.api.events.v1.Event", &["eventTime"]),
];

/// Objects that server-side apply replaces as a whole.
#[rustfmt::skip]
pub const MAPS: &[&str] = &[
    "io.k8s.api.admissionregistration.v1.MatchResources",
    "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations",
    "io.k8s.api.admissionregistration.v1.ParamKind",
    "io.k8s.api.admissionregistration.v1.ParamRef",
    "io.k8s.api.admissionregistration.v1.Variable",
    "io.k8s.api.autoscaling.v1.CrossVersionObjectReference",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.EndpointAddress",
    "io.k8s.api.core.v1.EndpointPort",
    "io.k8s.api.core.v1.FileKeySelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.ScopeSelector",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.TopologySelectorTerm",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.api.networking.v1.ServiceBackendPort",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// Fields that are merged otherwise than lists, maps and objects are by default.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    field("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", "matchConditions", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.MutatingWebhook", "matchConditions", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration", "webhooks", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions", Set, Patch::Undeclared),
    field("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "matchConditions", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "variables", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions", Map(&["type"]), Patch::Undeclared),
    field("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "matchConditions", Map(&["name"]), Merge("name")),
    field("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks", Map(&["name"]), Merge("name")),
    field("io.k8s.api.apps.v1.DaemonSetStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.apps.v1.DeploymentSpec", "strategy", ListType::Undeclared, RetainKeys),
    field("io.k8s.api.apps.v1.DeploymentStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.apps.v1.ReplicaSetStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.apps.v1.StatefulSetStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.batch.v1.JobStatus", "conditions", ListType::Undeclared, Merge("type")),
    field("io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement", "values", Set, Patch::Undeclared),
    field("io.k8s.api.batch.v1.UncountedTerminatedPods", "failed", Set, Patch::Undeclared),
    field("io.k8s.api.batch.v1.UncountedTerminatedPods", "succeeded", Set, Patch::Undeclared),
    field("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions", Map(&["type"]), Patch::Undeclared),
    field("io.k8s.api.core.v1.ComponentStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.Container", "env", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.Container", "ports", Map(&["containerPort", "protocol"]), Merge("containerPort")),
    field("io.k8s.api.core.v1.Container", "volumeDevices", Map(&["devicePath"]), Merge("devicePath")),
    field("io.k8s.api.core.v1.Container", "volumeMounts", Map(&["mountPath"]), Merge("mountPath")),
    field("io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes", "values", Set, Patch::Undeclared),
    field("io.k8s.api.core.v1.ContainerStatus", "allocatedResourcesStatus", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.ContainerStatus", "volumeMounts", Map(&["mountPath"]), Merge("mountPath")),
    field("io.k8s.api.core.v1.EphemeralContainer", "env", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.EphemeralContainer", "ports", Map(&["containerPort", "protocol"]), Merge("containerPort")),
    field("io.k8s.api.core.v1.EphemeralContainer", "volumeDevices", Map(&["devicePath"]), Merge("devicePath")),
    field("io.k8s.api.core.v1.EphemeralContainer", "volumeMounts", Map(&["mountPath"]), Merge("mountPath")),
    field("io.k8s.api.core.v1.NamespaceStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus", "containers", Set, Patch::Undeclared),
    field("io.k8s.api.core.v1.NodeSpec", "podCIDRs", Set, MergeValues),
    field("io.k8s.api.core.v1.NodeStatus", "addresses", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.NodeStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "allocatedResourceStatuses", GranularMap, Patch::Undeclared),
    field("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef", GranularMap, Patch::Undeclared),
    field("io.k8s.api.core.v1.PodSpec", "containers", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.PodSpec", "ephemeralContainers", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.PodSpec", "hostAliases", Map(&["ip"]), Merge("ip")),
    field("io.k8s.api.core.v1.PodSpec", "imagePullSecrets", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.PodSpec", "initContainers", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.PodSpec", "nodeSelector", AtomicMap, Patch::Undeclared),
    field("io.k8s.api.core.v1.PodSpec", "resourceClaims", Map(&["name"]), MergeRetainKeys("name")),
    field("io.k8s.api.core.v1.PodSpec", "schedulingGates", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.PodSpec", "topologySpreadConstraints", Map(&["topologyKey", "whenUnsatisfiable"]), Merge("topologyKey")),
    field("io.k8s.api.core.v1.PodSpec", "volumes", Map(&["name"]), MergeRetainKeys("name")),
    field("io.k8s.api.core.v1.PodStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.PodStatus", "hostIPs", ListType::Undeclared, Merge("ip")),
    field("io.k8s.api.core.v1.PodStatus", "podIPs", Map(&["ip"]), Merge("ip")),
    field("io.k8s.api.core.v1.PodStatus", "resourceClaimStatuses", Map(&["name"]), MergeRetainKeys("name")),
    field("io.k8s.api.core.v1.ReplicationControllerSpec", "selector", AtomicMap, Patch::Undeclared),
    field("io.k8s.api.core.v1.ReplicationControllerStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.core.v1.ResourceRequirements", "claims", Map(&["name"]), Patch::Undeclared),
    field("io.k8s.api.core.v1.ResourceStatus", "resources", Map(&["resourceID"]), Patch::Undeclared),
    field("io.k8s.api.core.v1.ServiceAccount", "secrets", Map(&["name"]), Merge("name")),
    field("io.k8s.api.core.v1.ServiceSpec", "ports", Map(&["port", "protocol"]), Merge("port")),
    field("io.k8s.api.core.v1.ServiceSpec", "selector", AtomicMap, Patch::Undeclared),
    field("io.k8s.api.core.v1.ServiceStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.discovery.v1.Endpoint", "addresses", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.FlowSchemaStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.flowcontrol.v1.NonResourcePolicyRule", "nonResourceURLs", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.NonResourcePolicyRule", "verbs", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "apiGroups", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "namespaces", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "resources", Set, Patch::Undeclared),
    field("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "verbs", Set, Patch::Undeclared),
    field("io.k8s.api.networking.v1.ServiceCIDRStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.node.v1.Scheduling", "nodeSelector", AtomicMap, Patch::Undeclared),
    field("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector", ListType::Undeclared, Replace),
    field("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", "conditions", Map(&["type"]), Merge("type")),
    field("io.k8s.api.resource.v1.AllocatedDeviceStatus", "conditions", Map(&["type"]), Patch::Undeclared),
    field("io.k8s.api.resource.v1.ResourceClaimStatus", "devices", Map(&["driver", "device", "pool", "shareID"]), Patch::Undeclared),
    field("io.k8s.api.resource.v1.ResourceClaimStatus", "reservedFor", Map(&["uid"]), Merge("uid")),
    field("io.k8s.api.storage.v1.CSIDriverSpec", "volumeLifecycleModes", Set, Patch::Undeclared),
    field("io.k8s.api.storage.v1.CSINodeSpec", "drivers", Map(&["name"]), Merge("name")),
    field("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions", Map(&["type"]), Patch::Undeclared),
    field("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", Map(&["rule"]), Merge("rule")),
    field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", Set, MergeValues),
    field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", Map(&["uid"]), Merge("uid")),
    field("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus", "conditions", Map(&["type"]), Merge("type")),
];
