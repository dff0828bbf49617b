//! THE table of resources: every built-in type that Kubernetes v1.36 serves by default, one row each
//! (`pkg/controlplane/instance.go`; names and verbs as `api/discovery` has them, paths of storage as
//! `default_storage_factory_builder.go` and each registry's storage have them).

use super::Resource;
use super::build::{GroupVersion, ask, finalize, log, of, part, proxy, scale, status, stream};

const ADMISSION: GroupVersion = GroupVersion("admissionregistration.k8s.io", "v1");
const API_EXTENSIONS: GroupVersion = GroupVersion("apiextensions.k8s.io", "v1");
const API_REGISTRATION: GroupVersion = GroupVersion("apiregistration.k8s.io", "v1");
const APPS: GroupVersion = GroupVersion("apps", "v1");
const AUTHENTICATION: GroupVersion = GroupVersion("authentication.k8s.io", "v1");
const AUTHORIZATION: GroupVersion = GroupVersion("authorization.k8s.io", "v1");
const AUTOSCALING_V1: GroupVersion = GroupVersion("autoscaling", "v1");
const AUTOSCALING_V2: GroupVersion = GroupVersion("autoscaling", "v2");
const BATCH: GroupVersion = GroupVersion("batch", "v1");
const CERTIFICATES: GroupVersion = GroupVersion("certificates.k8s.io", "v1");
const COORDINATION: GroupVersion = GroupVersion("coordination.k8s.io", "v1");
const CORE: GroupVersion = GroupVersion("", "v1");
const DISCOVERY: GroupVersion = GroupVersion("discovery.k8s.io", "v1");
const EVENTS: GroupVersion = GroupVersion("events.k8s.io", "v1");
const FLOW_CONTROL: GroupVersion = GroupVersion("flowcontrol.apiserver.k8s.io", "v1");
const NETWORKING: GroupVersion = GroupVersion("networking.k8s.io", "v1");
const NODE: GroupVersion = GroupVersion("node.k8s.io", "v1");
const POLICY: GroupVersion = GroupVersion("policy", "v1");
const RBAC: GroupVersion = GroupVersion("rbac.authorization.k8s.io", "v1");
const RESOURCE: GroupVersion = GroupVersion("resource.k8s.io", "v1");
const SCHEDULING: GroupVersion = GroupVersion("scheduling.k8s.io", "v1");
const STORAGE: GroupVersion = GroupVersion("storage.k8s.io", "v1");

const ALL: &[&str] = &["all"];
const EXTENDS: &[&str] = &["api-extensions"];

/// Every resource that is served: the groups in the order of discovery, the resources of a group by name.
#[rustfmt::skip]
pub static TABLE: &[Resource] = &[
    CORE.namespaced("Binding", "bindings").answered(),
    CORE.cluster("ComponentStatus", "componentstatuses").observed().short(&["cs"]),
    CORE.namespaced("ConfigMap", "configmaps").short(&["cm"]),
    CORE.namespaced("Endpoints", "endpoints").short(&["ep"]).at("services/endpoints"),
    CORE.namespaced("Event", "events").short(&["ev"]),
    CORE.namespaced("LimitRange", "limitranges").short(&["limits"]),
    CORE.cluster("Namespace", "namespaces").one_by_one().short(&["ns"])
        .sub(&[finalize("Namespace"), status("Namespace")]),
    CORE.cluster("Node", "nodes").short(&["no"]).at("minions").sub(&[proxy("NodeProxyOptions"), status("Node")]),
    CORE.namespaced("PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"])
        .sub(&[status("PersistentVolumeClaim")]),
    CORE.cluster("PersistentVolume", "persistentvolumes").short(&["pv"]).sub(&[status("PersistentVolume")]),
    CORE.namespaced("Pod", "pods").short(&["po"]).categories(ALL).generation().sub(&[
        stream("attach", "PodAttachOptions"),
        ask("binding", "Binding"),
        part("ephemeralcontainers", "Pod"),
        of("policy", ask("eviction", "Eviction")),
        stream("exec", "PodExecOptions"),
        log("Pod"),
        stream("portforward", "PodPortForwardOptions"),
        proxy("PodProxyOptions"),
        part("resize", "Pod"),
        status("Pod"),
    ]),
    CORE.namespaced("PodTemplate", "podtemplates").generation(),
    CORE.namespaced("ReplicationController", "replicationcontrollers").short(&["rc"]).categories(ALL).generation()
        .at("controllers").sub(&[scale(), status("ReplicationController")]),
    CORE.namespaced("ResourceQuota", "resourcequotas").short(&["quota"]).sub(&[status("ResourceQuota")]),
    CORE.namespaced("Secret", "secrets"),
    CORE.namespaced("ServiceAccount", "serviceaccounts").short(&["sa"])
        .sub(&[of("authentication.k8s.io", ask("token", "TokenRequest"))]),
    CORE.namespaced("Service", "services").short(&["svc"]).categories(ALL).at("services/specs")
        .sub(&[proxy("ServiceProxyOptions"), status("Service")]),

    API_REGISTRATION.cluster("APIService", "apiservices").categories(EXTENDS)
        .at("apiregistration.k8s.io/apiservices").sub(&[status("APIService")]),

    APPS.namespaced("ControllerRevision", "controllerrevisions"),
    APPS.namespaced("DaemonSet", "daemonsets").short(&["ds"]).categories(ALL).generation().sub(&[status("DaemonSet")]),
    APPS.namespaced("Deployment", "deployments").short(&["deploy"]).categories(ALL).generation()
        .sub(&[scale(), status("Deployment")]),
    APPS.namespaced("ReplicaSet", "replicasets").short(&["rs"]).categories(ALL).generation()
        .sub(&[scale(), status("ReplicaSet")]),
    APPS.namespaced("StatefulSet", "statefulsets").short(&["sts"]).categories(ALL).generation()
        .sub(&[scale(), status("StatefulSet")]),

    EVENTS.namespaced("Event", "events").short(&["ev"]).stored_as(&CORE),

    AUTHENTICATION.cluster("SelfSubjectReview", "selfsubjectreviews").answered(),
    AUTHENTICATION.cluster("TokenReview", "tokenreviews").answered(),

    AUTHORIZATION.namespaced("LocalSubjectAccessReview", "localsubjectaccessreviews").answered(),
    AUTHORIZATION.cluster("SelfSubjectAccessReview", "selfsubjectaccessreviews").answered(),
    AUTHORIZATION.cluster("SelfSubjectRulesReview", "selfsubjectrulesreviews").answered(),
    AUTHORIZATION.cluster("SubjectAccessReview", "subjectaccessreviews").answered(),

    AUTOSCALING_V2.namespaced("HorizontalPodAutoscaler", "horizontalpodautoscalers").short(&["hpa"]).categories(ALL)
        .sub(&[status("HorizontalPodAutoscaler")]),
    AUTOSCALING_V1.namespaced("HorizontalPodAutoscaler", "horizontalpodautoscalers").short(&["hpa"]).categories(ALL)
        .stored_as(&AUTOSCALING_V2).sub(&[status("HorizontalPodAutoscaler")]),

    BATCH.namespaced("CronJob", "cronjobs").short(&["cj"]).categories(ALL).generation().sub(&[status("CronJob")]),
    BATCH.namespaced("Job", "jobs").categories(ALL).generation().sub(&[status("Job")]),

    CERTIFICATES.cluster("CertificateSigningRequest", "certificatesigningrequests").short(&["csr"])
        .sub(&[part("approval", "CertificateSigningRequest"), status("CertificateSigningRequest")]),

    NETWORKING.cluster("IngressClass", "ingressclasses").generation(),
    NETWORKING.namespaced("Ingress", "ingresses").short(&["ing"]).generation().at("ingress").sub(&[status("Ingress")]),
    NETWORKING.cluster("IPAddress", "ipaddresses").short(&["ip"]),
    NETWORKING.namespaced("NetworkPolicy", "networkpolicies").short(&["netpol"]).generation(),
    NETWORKING.cluster("ServiceCIDR", "servicecidrs").sub(&[status("ServiceCIDR")]),

    POLICY.namespaced("PodDisruptionBudget", "poddisruptionbudgets").short(&["pdb"]).generation()
        .sub(&[status("PodDisruptionBudget")]),

    RBAC.cluster("ClusterRoleBinding", "clusterrolebindings"),
    RBAC.cluster("ClusterRole", "clusterroles"),
    RBAC.namespaced("RoleBinding", "rolebindings"),
    RBAC.namespaced("Role", "roles"),

    STORAGE.cluster("CSIDriver", "csidrivers"),
    STORAGE.cluster("CSINode", "csinodes"),
    STORAGE.namespaced("CSIStorageCapacity", "csistoragecapacities"),
    STORAGE.cluster("StorageClass", "storageclasses").short(&["sc"]),
    STORAGE.cluster("VolumeAttachment", "volumeattachments").sub(&[status("VolumeAttachment")]),
    STORAGE.cluster("VolumeAttributesClass", "volumeattributesclasses").short(&["vac"]),

    ADMISSION.cluster("MutatingAdmissionPolicy", "mutatingadmissionpolicies").categories(EXTENDS).generation(),
    ADMISSION.cluster("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings").categories(EXTENDS)
        .generation(),
    ADMISSION.cluster("MutatingWebhookConfiguration", "mutatingwebhookconfigurations").categories(EXTENDS).generation(),
    ADMISSION.cluster("ValidatingAdmissionPolicy", "validatingadmissionpolicies").categories(EXTENDS).generation()
        .sub(&[status("ValidatingAdmissionPolicy")]),
    ADMISSION.cluster("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings").categories(EXTENDS)
        .generation(),
    ADMISSION.cluster("ValidatingWebhookConfiguration", "validatingwebhookconfigurations").categories(EXTENDS)
        .generation(),

    API_EXTENSIONS.cluster("CustomResourceDefinition", "customresourcedefinitions").short(&["crd", "crds"])
        .categories(EXTENDS).generation().at("apiextensions.k8s.io/customresourcedefinitions")
        .sub(&[status("CustomResourceDefinition")]),

    SCHEDULING.cluster("PriorityClass", "priorityclasses").short(&["pc"]).generation(),

    COORDINATION.namespaced("Lease", "leases"),

    NODE.cluster("RuntimeClass", "runtimeclasses"),

    DISCOVERY.namespaced("EndpointSlice", "endpointslices").generation(),

    RESOURCE.cluster("DeviceClass", "deviceclasses").generation(),
    RESOURCE.namespaced("ResourceClaim", "resourceclaims").sub(&[status("ResourceClaim")]),
    RESOURCE.namespaced("ResourceClaimTemplate", "resourceclaimtemplates"),
    RESOURCE.cluster("ResourceSlice", "resourceslices").generation(),

    FLOW_CONTROL.cluster("FlowSchema", "flowschemas").generation().sub(&[status("FlowSchema")]),
    FLOW_CONTROL.cluster("PriorityLevelConfiguration", "prioritylevelconfigurations").generation()
        .sub(&[status("PriorityLevelConfiguration")]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::resource::{self, GROUPS, Kept, groups};

    #[test]
    fn every_row_is_found_by_its_names_and_no_other_is() {
        for row in TABLE {
            assert!(std::ptr::eq(
                resource::lookup(row.group, row.version, row.plural).unwrap(),
                row
            ));
            assert!(std::ptr::eq(
                resource::of_kind(row.group, row.version, row.kind).unwrap(),
                row
            ));
            let group = groups::lookup(row.group).unwrap();
            assert!(
                group.versions.iter().any(|(version, _)| *version == row.version),
                "{}",
                row.qualified()
            );
        }
        for (group, version, plural) in [
            ("", "v1", "Pods"),
            ("", "v2", "pods"),
            ("apps", "v1", "pods"),
            ("", "v1", ""),
        ] {
            assert!(
                resource::lookup(group, version, plural).is_none(),
                "{group}/{version}/{plural}"
            );
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_discovery() {
        let groups: Vec<(&str, &str)> = GROUPS
            .iter()
            .flat_map(|group| group.versions.iter().map(|(version, _)| (group.name, *version)))
            .collect();
        let mut seen: Vec<(&str, &str)> = TABLE.iter().map(|row| (row.group, row.version)).collect();
        seen.dedup();
        assert_eq!(seen, groups);
        for (one, next) in TABLE.iter().zip(TABLE.iter().skip(1)) {
            if (one.group, one.version) == (next.group, next.version) {
                assert!(one.plural < next.plural, "{} stands before {}", one.plural, next.plural);
            }
        }
        for row in TABLE {
            assert!(
                row.subresources.is_sorted_by_key(|subresource| subresource.name),
                "{}",
                row.qualified()
            );
            assert!(row.verbs.is_sorted() && row.subresources.iter().all(|sub| sub.verbs.is_sorted()));
        }
        let others = GROUPS.get(1..).unwrap();
        assert!(others.is_sorted_by_key(|group| (std::cmp::Reverse(group.priority), group.name)));
    }

    #[test]
    fn two_resources_share_a_place_only_if_they_share_their_objects() {
        let mut places = HashSet::new();
        for row in TABLE
            .iter()
            .filter(|row| row.kept == Kept::Stored && row.stored_as.is_none())
        {
            assert!(places.insert(row.storage), "{}", row.storage);
        }
        for row in TABLE {
            if let Some((group, version)) = row.stored_as {
                let original = resource::lookup(group, version, row.plural).unwrap();
                assert_eq!((original.storage, original.kind), (row.storage, row.kind));
            }
        }
    }

    #[test]
    fn objects_stand_where_other_api_servers_look_for_them() {
        for (group, plural, storage) in [
            ("", "nodes", "minions"),
            ("", "services", "services/specs"),
            ("", "endpoints", "services/endpoints"),
            ("", "replicationcontrollers", "controllers"),
            ("", "pods", "pods"),
            ("networking.k8s.io", "ingresses", "ingress"),
            (
                "apiregistration.k8s.io",
                "apiservices",
                "apiregistration.k8s.io/apiservices",
            ),
            ("rbac.authorization.k8s.io", "clusterroles", "clusterroles"),
            ("events.k8s.io", "events", "events"),
        ] {
            assert_eq!(resource::lookup(group, "v1", plural).unwrap().storage, storage);
        }
    }
}
