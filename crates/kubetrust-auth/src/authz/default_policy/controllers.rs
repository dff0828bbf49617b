//! The cluster roles of the controllers in the controller manager. Each is bound to the service account in `kube-system`
//! that is named as the role is after [`super::CONTROLLER_PREFIX`].

use super::{DefaultRole, EVENTS, NONE, READ, READ_UPDATE, named, rule};

pub(super) const CONTROLLER_ROLES: &[DefaultRole] = &[
    DefaultRole {
        name: "system:controller:attachdetach-controller",
        rules: &[
            rule(
                &["list", "watch"],
                &[""],
                &["persistentvolumeclaims", "persistentvolumes"],
            ),
            rule(READ, &[""], &["nodes"]),
            rule(&["patch", "update"], &[""], &["nodes/status"]),
            rule(&["list", "watch"], &[""], &["pods"]),
            EVENTS,
            rule(
                &["create", "delete", "get", "list", "watch"],
                &["storage.k8s.io"],
                &["volumeattachments"],
            ),
            rule(READ, &["storage.k8s.io"], &["csidrivers"]),
            rule(READ, &["storage.k8s.io"], &["csinodes"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:certificate-controller",
        rules: &[
            rule(
                &["delete", "get", "list", "watch"],
                &["certificates.k8s.io"],
                &["certificatesigningrequests"],
            ),
            rule(
                &["update"],
                &["certificates.k8s.io"],
                &[
                    "certificatesigningrequests/approval",
                    "certificatesigningrequests/status",
                ],
            ),
            named(
                &["approve"],
                &["certificates.k8s.io"],
                &["signers"],
                &["kubernetes.io/kube-apiserver-client-kubelet"],
            ),
            named(
                &["sign"],
                &["certificates.k8s.io"],
                &["signers"],
                &[
                    "kubernetes.io/kube-apiserver-client",
                    "kubernetes.io/kube-apiserver-client-kubelet",
                    "kubernetes.io/kubelet-serving",
                    "kubernetes.io/legacy-unknown",
                ],
            ),
            rule(&["create"], &["authorization.k8s.io"], &["subjectaccessreviews"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:clusterrole-aggregation-controller",
        rules: &[rule(
            &["escalate", "get", "list", "patch", "update", "watch"],
            &["rbac.authorization.k8s.io"],
            &["clusterroles"],
        )],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:cronjob-controller",
        rules: &[
            rule(&["get", "list", "update", "watch"], &["batch"], &["cronjobs"]),
            rule(
                &["create", "delete", "get", "list", "patch", "update", "watch"],
                &["batch"],
                &["jobs"],
            ),
            rule(&["update"], &["batch"], &["cronjobs/status"]),
            rule(&["update"], &["batch"], &["cronjobs/finalizers"]),
            rule(&["delete", "list", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:daemon-set-controller",
        rules: &[
            rule(READ, &["apps", "extensions"], &["daemonsets"]),
            rule(&["update"], &["apps", "extensions"], &["daemonsets/status"]),
            rule(&["update"], &["apps", "extensions"], &["daemonsets/finalizers"]),
            rule(&["list", "watch"], &[""], &["nodes"]),
            rule(&["create", "delete", "list", "patch", "watch"], &[""], &["pods"]),
            rule(&["create"], &[""], &["pods/binding"]),
            rule(
                &["create", "delete", "get", "list", "patch", "update", "watch"],
                &["apps"],
                &["controllerrevisions"],
            ),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:deployment-controller",
        rules: &[
            rule(
                &["get", "list", "update", "watch"],
                &["apps", "extensions"],
                &["deployments"],
            ),
            rule(&["update"], &["apps", "extensions"], &["deployments/status"]),
            rule(&["update"], &["apps", "extensions"], &["deployments/finalizers"]),
            rule(
                &["create", "delete", "get", "list", "patch", "update", "watch"],
                &["apps", "extensions"],
                &["replicasets"],
            ),
            rule(&["get", "list", "update", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:device-taint-eviction-controller",
        rules: &[
            rule(&["delete", "get", "list", "watch"], &[""], &["pods"]),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            rule(READ, &["resource.k8s.io"], &["resourceclaims"]),
            rule(READ, &["resource.k8s.io"], &["resourceslices"]),
            rule(READ, &["resource.k8s.io"], &["deviceclasses"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:disruption-controller",
        rules: &[
            rule(READ, &["apps", "extensions"], &["deployments"]),
            rule(READ, &["apps", "extensions"], &["replicasets"]),
            rule(READ, &[""], &["replicationcontrollers"]),
            rule(READ, &["policy"], &["poddisruptionbudgets"]),
            rule(READ, &["apps"], &["statefulsets"]),
            rule(&["update"], &["policy"], &["poddisruptionbudgets/status"]),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            rule(&["get"], &["*"], &["*/scale"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:endpoint-controller",
        rules: &[
            rule(READ, &[""], &["pods", "services"]),
            rule(
                &["create", "delete", "get", "list", "update", "watch"],
                &[""],
                &["endpoints"],
            ),
            rule(&["create"], &[""], &["endpoints/restricted"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:endpointslice-controller",
        rules: &[
            rule(READ, &[""], &["nodes", "pods", "services"]),
            rule(&["update"], &[""], &["services/finalizers"]),
            rule(
                &["create", "delete", "get", "list", "update", "watch"],
                &["discovery.k8s.io"],
                &["endpointslices"],
            ),
            rule(&["create"], &["discovery.k8s.io"], &["endpointslices/restricted"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:endpointslicemirroring-controller",
        rules: &[
            rule(READ, &[""], &["endpoints", "services"]),
            rule(&["update"], &[""], &["services/finalizers"]),
            rule(&["update"], &[""], &["endpoints/finalizers"]),
            rule(
                &["create", "delete", "get", "list", "update", "watch"],
                &["discovery.k8s.io"],
                &["endpointslices"],
            ),
            rule(&["create"], &["discovery.k8s.io"], &["endpointslices/restricted"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:ephemeral-volume-controller",
        rules: &[
            rule(READ, &[""], &["pods"]),
            rule(&["update"], &[""], &["pods/finalizers"]),
            rule(&["create", "get", "list", "watch"], &[""], &["persistentvolumeclaims"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:expand-controller",
        rules: &[
            rule(READ_UPDATE, &[""], &["persistentvolumes"]),
            rule(&["patch", "update"], &[""], &["persistentvolumeclaims/status"]),
            rule(READ, &[""], &["persistentvolumeclaims"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:generic-garbage-collector",
        rules: &[
            rule(&["delete", "get", "list", "patch", "update", "watch"], &["*"], &["*"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:horizontal-pod-autoscaler",
        rules: &[
            rule(READ, &["autoscaling"], &["horizontalpodautoscalers"]),
            rule(&["update"], &["autoscaling"], &["horizontalpodautoscalers/status"]),
            rule(&["get", "update"], &["*"], &["*/scale"]),
            rule(&["list", "watch"], &[""], &["pods"]),
            rule(&["list", "watch"], &["metrics.k8s.io"], &["pods"]),
            rule(READ, &["custom.metrics.k8s.io"], &["*"]),
            rule(READ, &["external.metrics.k8s.io"], &["*"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:job-controller",
        rules: &[
            rule(READ_UPDATE, &["batch"], &["jobs"]),
            rule(&["update"], &["batch"], &["jobs/status"]),
            rule(&["update"], &["batch"], &["jobs/finalizers"]),
            rule(&["create", "delete", "list", "patch", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:legacy-service-account-token-cleaner",
        rules: &[
            named(
                &["get"],
                &[""],
                &["configmaps"],
                &["kube-apiserver-legacy-service-account-token-tracking"],
            ),
            rule(&["delete", "patch"], &[""], &["secrets"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:namespace-controller",
        rules: &[
            rule(&["delete", "get", "list", "watch"], &[""], &["namespaces"]),
            rule(&["update"], &[""], &["namespaces/finalize", "namespaces/status"]),
            rule(&["delete", "deletecollection", "get", "list", "watch"], &["*"], &["*"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:node-controller",
        rules: &[
            rule(
                &["delete", "get", "list", "patch", "update", "watch"],
                &[""],
                &["nodes"],
            ),
            rule(&["patch", "update"], &[""], &["nodes/status"]),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            rule(&["delete", "get", "list", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:persistent-volume-binder",
        rules: &[
            rule(
                &["create", "delete", "get", "list", "update", "watch"],
                &[""],
                &["persistentvolumes"],
            ),
            rule(&["update"], &[""], &["persistentvolumes/status"]),
            rule(&["get", "list", "update", "watch"], &[""], &["persistentvolumeclaims"]),
            rule(&["update"], &[""], &["persistentvolumeclaims/status"]),
            rule(&["create", "delete", "get", "list", "watch"], &[""], &["pods"]),
            rule(READ, &["storage.k8s.io"], &["storageclasses"]),
            rule(&["list", "watch"], &[""], &["nodes"]),
            EVENTS,
            rule(&["watch"], &[""], &["events"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:pod-garbage-collector",
        rules: &[
            rule(&["delete", "list", "watch"], &[""], &["pods"]),
            rule(READ, &[""], &["nodes"]),
            rule(&["patch"], &[""], &["pods/status"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:pv-protection-controller",
        rules: &[
            rule(&["get", "list", "update", "watch"], &[""], &["persistentvolumes"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:pvc-protection-controller",
        rules: &[
            rule(&["get", "list", "update", "watch"], &[""], &["persistentvolumeclaims"]),
            rule(&["update"], &[""], &["persistentvolumeclaims/status"]),
            rule(READ, &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:replicaset-controller",
        rules: &[
            rule(
                &["get", "list", "update", "watch"],
                &["apps", "extensions"],
                &["replicasets"],
            ),
            rule(&["update"], &["apps", "extensions"], &["replicasets/status"]),
            rule(&["update"], &["apps", "extensions"], &["replicasets/finalizers"]),
            rule(&["create", "delete", "list", "patch", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:replication-controller",
        rules: &[
            rule(&["get", "list", "update", "watch"], &[""], &["replicationcontrollers"]),
            rule(&["update"], &[""], &["replicationcontrollers/status"]),
            rule(&["update"], &[""], &["replicationcontrollers/finalizers"]),
            rule(&["create", "delete", "list", "patch", "watch"], &[""], &["pods"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:resource-claim-controller",
        rules: &[
            rule(READ, &[""], &["pods"]),
            rule(&["update"], &[""], &["pods/finalizers"]),
            rule(
                &["create", "delete", "get", "list", "watch"],
                &["resource.k8s.io"],
                &["resourceclaims"],
            ),
            rule(
                &["patch", "update"],
                &["resource.k8s.io"],
                &["resourceclaims", "resourceclaims/status"],
            ),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            EVENTS,
            rule(&["patch", "update"], &["resource.k8s.io"], &["resourceclaims/binding"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:resourcequota-controller",
        rules: &[
            rule(&["list", "watch"], &["*"], &["*"]),
            rule(&["update"], &[""], &["resourcequotas/status"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:root-ca-cert-publisher",
        rules: &[rule(&["create", "update"], &[""], &["configmaps"]), EVENTS],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:route-controller",
        rules: &[
            rule(&["list", "watch"], &[""], &["nodes"]),
            rule(&["patch"], &[""], &["nodes/status"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:selinux-warning-controller",
        rules: &[
            EVENTS,
            rule(READ, &[""], &["persistentvolumes"]),
            rule(READ, &[""], &["persistentvolumeclaims"]),
            rule(READ, &[""], &["pods"]),
            rule(READ, &["storage.k8s.io"], &["csidrivers"]),
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:service-account-controller",
        rules: &[rule(&["create"], &[""], &["serviceaccounts"]), EVENTS],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:service-cidrs-controller",
        rules: &[
            rule(READ_UPDATE, &["networking.k8s.io"], &["servicecidrs"]),
            rule(
                &["patch", "update"],
                &["networking.k8s.io"],
                &["servicecidrs/finalizers"],
            ),
            rule(&["patch", "update"], &["networking.k8s.io"], &["servicecidrs/status"]),
            rule(READ, &["networking.k8s.io"], &["ipaddresses"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:service-controller",
        rules: &[
            rule(READ, &[""], &["services"]),
            rule(&["patch", "update"], &[""], &["services/status"]),
            rule(&["list", "watch"], &[""], &["nodes"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:statefulset-controller",
        rules: &[
            rule(&["list", "watch"], &[""], &["pods"]),
            rule(READ, &["apps"], &["statefulsets"]),
            rule(&["update"], &["apps"], &["statefulsets/status"]),
            rule(&["update"], &["apps"], &["statefulsets/finalizers"]),
            rule(&["create", "delete", "get", "patch", "update"], &[""], &["pods"]),
            rule(
                &["create", "delete", "get", "list", "patch", "update", "watch"],
                &["apps"],
                &["controllerrevisions"],
            ),
            rule(&["create", "get", "list", "watch"], &[""], &["persistentvolumeclaims"]),
            rule(&["delete", "update"], &[""], &["persistentvolumeclaims"]),
            rule(&["update"], &[""], &["pods/finalizers"]),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:ttl-after-finished-controller",
        rules: &[rule(&["delete", "get", "list", "watch"], &["batch"], &["jobs"]), EVENTS],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:ttl-controller",
        rules: &[rule(&["list", "patch", "update", "watch"], &[""], &["nodes"]), EVENTS],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:validatingadmissionpolicy-status-controller",
        rules: &[
            rule(
                READ,
                &["admissionregistration.k8s.io"],
                &["validatingadmissionpolicies"],
            ),
            rule(
                &["get", "patch", "update"],
                &["admissionregistration.k8s.io"],
                &["validatingadmissionpolicies/status"],
            ),
            EVENTS,
        ],
        ..NONE
    },
    DefaultRole {
        name: "system:controller:volumeattributesclass-protection-controller",
        rules: &[
            rule(READ, &[""], &["persistentvolumeclaims"]),
            rule(READ, &[""], &["persistentvolumes"]),
            rule(
                &["get", "list", "update", "watch"],
                &["storage.k8s.io"],
                &["volumeattributesclasses"],
            ),
            EVENTS,
        ],
        ..NONE
    },
];
