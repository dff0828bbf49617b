//! The kinds that are checked, a row each. Of all others, the metadata is.

use serde_json::Value;

use super::{
    certificates::{self, Door},
    core,
    meta::{self, NameRule},
    network, pod, rbac, registration, reviews, storage, workloads,
};
use crate::status::Cause;

type Check = fn(&Value, &mut Vec<Cause>);
type Change = fn(&Value, &Value, &mut Vec<Cause>);

/// How the objects of one kind are checked.
pub struct Rules {
    /// API group.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Whether its objects have names; reviews don't.
    pub named: bool,
    /// How they are named.
    pub name: NameRule,
    /// What is wrong with an object, new or changed.
    pub object: Check,
    /// What is wrong with a new object only.
    pub creation: Check,
    /// What must not have changed.
    pub update: Change,
    /// What is wrong with a changed status.
    pub status: Change,
}

const CORE: &str = "";
const APPS: &str = "apps";
const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

const fn kind(group: &'static str, kind: &'static str, object: Check) -> Rules {
    Rules {
        group,
        kind,
        named: true,
        name: meta::SUBDOMAIN,
        object,
        creation: |_, _| {},
        update: |_, _, _| {},
        status: |_, _, _| {},
    }
}

impl Rules {
    const fn name(self, name: NameRule) -> Self {
        Self { name, ..self }
    }

    const fn unnamed(self) -> Self {
        Self { named: false, ..self }
    }

    const fn creation(self, creation: Check) -> Self {
        Self { creation, ..self }
    }

    const fn update(self, update: Change) -> Self {
        Self { update, ..self }
    }

    const fn status(self, status: Change) -> Self {
        Self { status, ..self }
    }
}

/// Names of certificate requests may be anything that fits into a path, as may those of events and budgets.
const ANY: NameRule = meta::PATH_SEGMENT;

/// All of them.
#[rustfmt::skip]
pub static TABLE: &[Rules] = &[
    kind(CORE, "ConfigMap", core::config_map).update(core::config_map_update),
    kind(CORE, "Event", core::event).name(ANY),
    kind(CORE, "LimitRange", core::limit_range),
    kind(CORE, "Namespace", core::namespace).name(meta::LABEL).status(core::namespace_status),
    kind(CORE, "Node", core::node).update(core::node_update).status(core::node_update),
    kind(CORE, "PersistentVolume", storage::volume).update(storage::volume_update),
    kind(CORE, "PersistentVolumeClaim", storage::claim).update(storage::claim_update),
    kind(CORE, "Pod", pod::pod).update(pod::pod_update),
    kind(CORE, "ReplicationController", workloads::replication_controller),
    kind(CORE, "ResourceQuota", core::resource_quota).update(core::resource_quota_update),
    kind(CORE, "Secret", core::secret).update(core::secret_update),
    kind(CORE, "Service", network::service).name(meta::LABEL_1035).update(network::service_update),
    kind(APPS, "DaemonSet", workloads::daemon_set).update(workloads::selector_update),
    kind(APPS, "Deployment", workloads::deployment).update(workloads::selector_update),
    kind(APPS, "ReplicaSet", workloads::replica_set).update(workloads::selector_update),
    kind(APPS, "StatefulSet", workloads::stateful_set).update(workloads::stateful_set_update),
    kind("batch", "CronJob", workloads::cron_job).creation(workloads::cron_job_name),
    kind("batch", "Job", workloads::job).update(workloads::job_update),
    kind("autoscaling", "HorizontalPodAutoscaler", storage::autoscaler),
    kind("policy", "PodDisruptionBudget", storage::disruption_budget).name(ANY),
    kind("coordination.k8s.io", "Lease", core::lease),
    kind("events.k8s.io", "Event", core::new_event).update(core::new_event_update),
    kind("networking.k8s.io", "Ingress", network::ingress),
    kind("networking.k8s.io", "NetworkPolicy", network::network_policy),
    kind("scheduling.k8s.io", "PriorityClass", storage::priority_class).update(storage::priority_class_update),
    kind("storage.k8s.io", "StorageClass", storage::storage_class).update(storage::storage_class_update),
    kind(RBAC, "ClusterRole", rbac::cluster_role).name(ANY),
    kind(RBAC, "ClusterRoleBinding", rbac::cluster_role_binding).name(ANY).update(rbac::binding_update),
    kind(RBAC, "Role", rbac::role).name(ANY),
    kind(RBAC, "RoleBinding", rbac::role_binding).name(ANY).update(rbac::binding_update),
    kind("certificates.k8s.io", "CertificateSigningRequest", |_, _| {}).name(ANY)
        .creation(|object, faults| certificates::request(object, None, faults))
        .update(|new, old, faults| {
            certificates::request(new, Some(old), faults);
            certificates::update(new, old, Door::Main, faults);
        })
        .status(|new, old, faults| {
            certificates::request(new, Some(old), faults);
            certificates::update(new, old, Door::Status, faults);
        }),
    kind("apiregistration.k8s.io", "APIService", registration::api_service).name(ANY)
        .status(registration::api_service_status),
    kind(AUTHORIZATION, "LocalSubjectAccessReview", reviews::local_subject_access).unnamed(),
    kind(AUTHORIZATION, "SelfSubjectAccessReview", reviews::self_subject_access).unnamed(),
    kind(AUTHORIZATION, "SelfSubjectRulesReview", |_, _| {}).unnamed(),
    kind(AUTHORIZATION, "SubjectAccessReview", reviews::subject_access).unnamed(),
    kind("authentication.k8s.io", "SelfSubjectReview", |_, _| {}).unnamed(),
    kind("authentication.k8s.io", "TokenRequest", reviews::token_request).unnamed(),
    kind("authentication.k8s.io", "TokenReview", |_, _| {}).unnamed(),
];
