//! The columns of each kind (`pkg/printers/internalversion/printers.go`, and the table converters of the registries that
//! have their own).

use serde_json::Value;

use super::cells::{certificates, events, hpa, network, nodes, others, pod, rbac, storage, workloads};
use super::view::{View, plain};

/// A column of a table.
pub(super) struct Column {
    pub name: &'static str,
    /// Type of its cells, as `OpenAPI` has it.
    pub kind: &'static str,
    /// Format of its cells.
    pub format: &'static str,
    /// 0 for those that are always shown, 1 for wide ones.
    pub priority: u8,
    pub cell: Cell,
}

/// How a cell is made.
pub(super) enum Cell {
    /// What stands at a path, as text; else this.
    Text(&'static str, &'static str),
    /// The number at a path; else this.
    Number(&'static str, i64),
    /// Whether it is true at a path; else this.
    Bool(&'static str, bool),
    /// The number of items, or of fields, at a path.
    Count(&'static str),
    /// How long ago the time at a path was.
    Since(&'static str),
    /// What takes more.
    Of(fn(&View<'_>) -> Value),
}

impl Cell {
    pub(super) fn value(&self, view: &View<'_>) -> Value {
        match self {
            Self::Text(path, otherwise) => match plain(view.at(path)) {
                text if text.is_empty() => (*otherwise).into(),
                text => text.into(),
            },
            Self::Number(path, otherwise) => view.at(path).as_i64().unwrap_or(*otherwise).into(),
            Self::Bool(path, otherwise) => view.at(path).as_bool().unwrap_or(*otherwise).into(),
            Self::Count(path) => match view.at(path) {
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                _ => 0.into(),
            },
            Self::Since(path) => view.since(path).into(),
            Self::Of(make) => make(view),
        }
    }
}

impl Column {
    /// What it shows, for clients that ask.
    pub(super) fn description(&self) -> &'static str {
        match self.name {
            "Name" => "Name must be unique within a namespace.",
            "Age" | "Created At" => {
                "CreationTimestamp is a timestamp representing the server time when this object was created."
            }
            _ => "",
        }
    }

    const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    const fn format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }
}

const fn column(name: &'static str, kind: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind,
        format: "",
        priority: 0,
        cell,
    }
}

const fn text(name: &'static str, path: &'static str, otherwise: &'static str) -> Column {
    column(name, "string", Cell::Text(path, otherwise))
}

const fn number(name: &'static str, path: &'static str) -> Column {
    column(name, "integer", Cell::Number(path, 0))
}

const fn boolean(name: &'static str, path: &'static str, otherwise: bool) -> Column {
    column(name, "boolean", Cell::Bool(path, otherwise))
}

const fn count(name: &'static str, kind: &'static str, path: &'static str) -> Column {
    column(name, kind, Cell::Count(path))
}

const fn of(name: &'static str, make: fn(&View<'_>) -> Value) -> Column {
    column(name, "string", Cell::Of(make))
}

const NAME: Column = text("Name", "metadata.name", "").format("name");
const AGE: Column = column("Age", "string", Cell::Since("metadata.creationTimestamp"));
const CONTAINERS: Column = of("Containers", workloads::containers).wide();
const IMAGES: Column = of("Images", workloads::images).wide();
const SELECTOR: Column = of("Selector", workloads::selector).wide();
const USERS: Column = of("Users", rbac::users).wide();
const GROUPS: Column = of("Groups", rbac::groups).wide();
const SERVICE_ACCOUNTS: Column = of("ServiceAccounts", rbac::service_accounts).wide();
const PARAM_KIND: Column = of("ParamKind", others::param_kind);
const PARAM_REF: Column = of("ParamRef", others::param_ref);

/// Kinds without columns of their own.
static DEFAULT: &[Column] = &[
    NAME,
    column("Created At", "date", Cell::Text("metadata.creationTimestamp", "")),
];

static BINDING: &[Column] = &[NAME, of("Role", rbac::role), AGE, USERS, GROUPS, SERVICE_ACCOUNTS];
static EVENT: &[Column] = &[
    of("Last Seen", events::last_seen),
    text("Type", "type", ""),
    text("Reason", "reason", ""),
    of("Object", events::object),
    of("Subobject", events::subobject).wide(),
    of("Source", events::source).wide(),
    of("Message", events::message),
    of("First Seen", events::first_seen).wide(),
    of("Count", events::count).wide(),
    NAME.wide(),
];
static HPA: &[Column] = &[
    NAME,
    of("Reference", hpa::reference),
    of("Targets", hpa::targets),
    text("MinPods", "spec.minReplicas", "<unset>"),
    column("MaxPods", "string", Cell::Number("spec.maxReplicas", 0)),
    column("Replicas", "string", Cell::Number("status.currentReplicas", 0)),
    AGE,
];
static WEBHOOKS: &[Column] = &[NAME, count("Webhooks", "integer", "webhooks"), AGE];

/// Group, kind and columns.
#[rustfmt::skip]
static TABLES: &[(&str, &str, &[Column])] = &[
    ("", "ComponentStatus", &[
        NAME,
        of("Status", others::component_status),
        of("Message", others::component_message),
        of("Error", others::component_error),
    ]),
    ("", "ConfigMap", &[NAME, of("Data", others::config_map_data), AGE]),
    ("", "Endpoints", &[NAME, of("Endpoints", network::endpoints), AGE]),
    ("", "Event", EVENT),
    ("", "Namespace", &[NAME, text("Status", "status.phase", ""), AGE]),
    ("", "Node", &[
        NAME,
        of("Status", nodes::status),
        of("Roles", nodes::roles),
        AGE,
        text("Version", "status.nodeInfo.kubeletVersion", ""),
        of("Internal-IP", nodes::internal_ip).wide(),
        of("External-IP", nodes::external_ip).wide(),
        text("OS-Image", "status.nodeInfo.osImage", "<unknown>").wide(),
        of("Kernel-Version", nodes::kernel).wide(),
        text("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", "<unknown>").wide(),
    ]),
    ("", "PersistentVolume", &[
        NAME,
        text("Capacity", "spec.capacity.storage", "0"),
        of("Access Modes", storage::access_modes),
        text("Reclaim Policy", "spec.persistentVolumeReclaimPolicy", ""),
        of("Status", storage::phase),
        of("Claim", storage::claim),
        of("StorageClass", storage::class),
        text("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        text("Reason", "status.reason", ""),
        AGE,
        text("VolumeMode", "spec.volumeMode", "<unset>").wide(),
    ]),
    ("", "PersistentVolumeClaim", &[
        NAME,
        of("Status", storage::phase),
        text("Volume", "spec.volumeName", ""),
        of("Capacity", storage::bound_capacity),
        of("Access Modes", storage::bound_access_modes),
        of("StorageClass", storage::class),
        text("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        AGE,
        text("VolumeMode", "spec.volumeMode", "<unset>").wide(),
    ]),
    ("", "Pod", &[
        NAME,
        of("Ready", pod::ready),
        of("Status", pod::status),
        of("Restarts", pod::restarts),
        AGE,
        of("IP", pod::ip).wide(),
        text("Node", "spec.nodeName", "<none>").wide(),
        text("Nominated Node", "status.nominatedNodeName", "<none>").wide(),
        of("Readiness Gates", pod::readiness_gates).wide(),
    ]),
    ("", "PodTemplate", &[
        NAME,
        of("Containers", workloads::containers),
        of("Images", workloads::images),
        of("Pod Labels", workloads::pod_labels),
    ]),
    ("", "ReplicationController", &[
        NAME,
        column("Desired", "integer", Cell::Number("spec.replicas", 1)),
        number("Current", "status.replicas"),
        number("Ready", "status.readyReplicas"),
        AGE, CONTAINERS, IMAGES,
        of("Selector", workloads::plain_selector).wide(),
    ]),
    ("", "ResourceQuota", &[NAME, of("Request", others::quota_requests), of("Limit", others::quota_limits), AGE]),
    ("", "Secret", &[NAME, text("Type", "type", ""), count("Data", "string", "data"), AGE]),
    ("", "Service", &[
        NAME,
        text("Type", "spec.type", "ClusterIP"),
        of("Cluster-IP", network::cluster_ip),
        of("External-IP", network::external_ip),
        of("Port(s)", network::ports),
        AGE,
        of("Selector", workloads::plain_selector).wide(),
    ]),
    ("", "ServiceAccount", &[NAME, AGE]),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", &[
        NAME, count("Mutations", "integer", "spec.mutations"), PARAM_KIND, AGE,
    ]),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", &[
        NAME, text("PolicyName", "spec.policyName", ""), PARAM_REF, AGE,
    ]),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", WEBHOOKS),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", &[
        NAME, count("Validations", "integer", "spec.validations"), PARAM_KIND, AGE,
    ]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", &[
        NAME, text("PolicyName", "spec.policyName", ""), PARAM_REF, AGE,
    ]),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", WEBHOOKS),
    ("apiregistration.k8s.io", "APIService", &[
        NAME, of("Service", others::api_service), of("Available", others::api_service_available), AGE,
    ]),
    ("apps", "ControllerRevision", &[
        NAME,
        of("Controller", workloads::controller),
        column("Revision", "string", Cell::Number("revision", 0)),
        AGE,
    ]),
    ("apps", "DaemonSet", &[
        NAME,
        number("Desired", "status.desiredNumberScheduled"),
        number("Current", "status.currentNumberScheduled"),
        number("Ready", "status.numberReady"),
        number("Up-to-date", "status.updatedNumberScheduled"),
        number("Available", "status.numberAvailable"),
        of("Node Selector", workloads::node_selector),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ]),
    ("apps", "Deployment", &[
        NAME,
        of("Ready", workloads::ready),
        column("Up-to-date", "string", Cell::Number("status.updatedReplicas", 0)),
        column("Available", "string", Cell::Number("status.availableReplicas", 0)),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ]),
    ("apps", "ReplicaSet", &[
        NAME,
        column("Desired", "integer", Cell::Number("spec.replicas", 1)),
        number("Current", "status.replicas"),
        number("Ready", "status.readyReplicas"),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ]),
    ("apps", "StatefulSet", &[NAME, of("Ready", workloads::ready), AGE, CONTAINERS, IMAGES]),
    ("autoscaling", "HorizontalPodAutoscaler", HPA),
    ("autoscaling", "Scale", &[
        NAME, number("Desired", "spec.replicas"), number("Available", "status.replicas"), AGE,
    ]),
    ("batch", "CronJob", &[
        NAME,
        text("Schedule", "spec.schedule", ""),
        text("Timezone", "spec.timeZone", "<none>"),
        column("Suspend", "boolean", Cell::Of(workloads::suspend)),
        count("Active", "integer", "status.active"),
        of("Last Schedule", workloads::last_schedule),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ]),
    ("batch", "Job", &[
        NAME,
        of("Status", workloads::job_status),
        of("Completions", workloads::job_completions),
        of("Duration", workloads::job_duration),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ]),
    ("certificates.k8s.io", "CertificateSigningRequest", &[
        NAME,
        AGE,
        text("SignerName", "spec.signerName", "<none>"),
        text("Requestor", "spec.username", ""),
        of("RequestedDuration", certificates::duration),
        of("Condition", certificates::condition),
    ]),
    ("coordination.k8s.io", "Lease", &[NAME, text("Holder", "spec.holderIdentity", ""), AGE]),
    ("discovery.k8s.io", "EndpointSlice", &[
        NAME,
        text("AddressType", "addressType", ""),
        of("Ports", network::slice_ports),
        of("Endpoints", network::slice_endpoints),
        AGE,
    ]),
    ("events.k8s.io", "Event", EVENT),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", &[
        NAME,
        text("PriorityLevel", "spec.priorityLevelConfiguration.name", ""),
        column("MatchingPrecedence", "string", Cell::Number("spec.matchingPrecedence", 0)),
        text("DistinguisherMethod", "spec.distinguisherMethod.type", "<none>"),
        AGE,
        of("MissingPL", others::missing_priority_level),
    ]),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", &[
        NAME,
        text("Type", "spec.type", ""),
        text("NominalConcurrencyShares", "spec.limited.nominalConcurrencyShares", "<none>"),
        text("Queues", "spec.limited.limitResponse.queuing.queues", "<none>"),
        text("HandSize", "spec.limited.limitResponse.queuing.handSize", "<none>"),
        text("QueueLengthLimit", "spec.limited.limitResponse.queuing.queueLengthLimit", "<none>"),
        AGE,
    ]),
    ("networking.k8s.io", "IPAddress", &[NAME, of("ParentRef", network::parent), AGE]),
    ("networking.k8s.io", "Ingress", &[
        NAME,
        text("Class", "spec.ingressClassName", "<none>"),
        of("Hosts", network::hosts),
        of("Address", network::load_balancer),
        of("Ports", network::ingress_ports),
        AGE,
    ]),
    ("networking.k8s.io", "IngressClass", &[
        of("Name", network::ingress_class_name).format("name"),
        text("Controller", "spec.controller", ""),
        of("Parameters", network::ingress_class_parameters),
        AGE,
    ]),
    ("networking.k8s.io", "NetworkPolicy", &[NAME, of("Pod-Selector", network::pod_selector), AGE]),
    ("networking.k8s.io", "ServiceCIDR", &[NAME, of("CIDRs", network::cidrs), AGE]),
    ("node.k8s.io", "RuntimeClass", &[NAME, text("Handler", "handler", ""), AGE]),
    ("policy", "PodDisruptionBudget", &[
        NAME,
        text("Min Available", "spec.minAvailable", "N/A"),
        text("Max Unavailable", "spec.maxUnavailable", "N/A"),
        number("Allowed Disruptions", "status.disruptionsAllowed"),
        AGE,
    ]),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", BINDING),
    ("rbac.authorization.k8s.io", "RoleBinding", BINDING),
    ("resource.k8s.io", "DeviceClass", &[NAME, AGE]),
    ("resource.k8s.io", "ResourceClaim", &[NAME, of("State", others::claim_state), AGE]),
    ("resource.k8s.io", "ResourceClaimTemplate", &[NAME, AGE]),
    ("resource.k8s.io", "ResourceSlice", &[
        NAME,
        text("Node", "spec.nodeName", ""),
        text("Driver", "spec.driver", ""),
        text("Pool", "spec.pool.name", ""),
        AGE,
    ]),
    ("scheduling.k8s.io", "PriorityClass", &[
        NAME,
        number("Value", "value"),
        boolean("Global-Default", "globalDefault", false),
        AGE,
        text("PreemptionPolicy", "preemptionPolicy", ""),
    ]),
    ("storage.k8s.io", "CSIDriver", &[
        NAME,
        boolean("AttachRequired", "spec.attachRequired", true),
        boolean("PodInfoOnMount", "spec.podInfoOnMount", false),
        boolean("StorageCapacity", "spec.storageCapacity", false),
        of("TokenRequests", storage::token_requests),
        boolean("RequiresRepublish", "spec.requiresRepublish", false),
        of("Modes", storage::lifecycle_modes),
        AGE,
    ]),
    ("storage.k8s.io", "CSINode", &[NAME, count("Drivers", "integer", "spec.drivers"), AGE]),
    ("storage.k8s.io", "StorageClass", &[
        of("Name", storage::class_name).format("name"),
        text("Provisioner", "provisioner", ""),
        text("ReclaimPolicy", "reclaimPolicy", "Delete"),
        text("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        column("AllowVolumeExpansion", "string", Cell::Bool("allowVolumeExpansion", false)),
        AGE,
    ]),
    ("storage.k8s.io", "VolumeAttachment", &[
        NAME,
        text("Attacher", "spec.attacher", "").format("name"),
        text("PV", "spec.source.persistentVolumeName", ""),
        text("Node", "spec.nodeName", ""),
        boolean("Attached", "status.attached", false),
        AGE,
    ]),
    ("storage.k8s.io", "VolumeAttributesClass", &[NAME, text("DriverName", "driverName", ""), AGE]),
];

/// The columns of a kind; those that any object has, if it has none of its own.
pub(super) fn of_kind(group: &str, kind: &str) -> &'static [Column] {
    TABLES
        .iter()
        .find(|(of, name, _)| *of == group && *name == kind)
        .map_or(DEFAULT, |(_, _, columns)| columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::TABLE;

    #[test]
    fn each_table_is_about_a_kind_that_is_served() {
        for (index, (group, kind, columns)) in TABLES.iter().enumerate() {
            let served = TABLE.iter().any(|row| {
                row.group == *group && row.kind == *kind
                    || row
                        .subresources
                        .iter()
                        .any(|sub| sub.kind == *kind && sub.kind_group_version == Some((group, "v1")))
            });
            assert!(served, "{group} {kind}");
            assert!(columns.iter().any(|column| column.format == "name"), "{group} {kind}");
            let rest = TABLES.get(index + 1..).unwrap_or_default();
            assert!(
                rest.iter().all(|(other, name, _)| (other, name) != (group, kind)),
                "{group} {kind} stands twice"
            );
        }
    }
}
