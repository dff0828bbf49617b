//! The cluster roles for people, components and add-ons. One rule a line; the order is upstream's.

use super::{DefaultRole, EVENTS, NONE, READ, READ_UPDATE, READ_WRITE, WRITE, named, rule, urls};

#[rustfmt::skip] // a line a rule
pub(super) const CLUSTER_ROLES: &[DefaultRole] = &[
    DefaultRole { name: "admin", gathers: "admin", ..NONE },
    DefaultRole { name: "cluster-admin", rules: &[
        rule("*", "*", "*"),
        urls("*", "*"),
    ], ..NONE },
    DefaultRole { name: "edit", joins: "admin", gathers: "edit", ..NONE },
    DefaultRole { name: "system:aggregate-to-admin", joins: "admin", rules: &[
        rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        rule(READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
    ], ..NONE },
    DefaultRole { name: "system:aggregate-to-edit", joins: "edit", rules: &[
        rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        rule("impersonate", "core", "serviceaccounts"),
        rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        rule("create", "core", "pods/eviction"),
        rule(WRITE, "core", "\
            configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
            serviceaccounts services services/proxy"),
        rule("create", "core", "serviceaccounts/token"),
        rule(WRITE, "core events.k8s.io", "events"),
        rule(WRITE, "apps", "\
            daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
            statefulsets statefulsets/scale"),
        rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
        rule(WRITE, "batch", "cronjobs jobs"),
        rule(WRITE, "extensions", "\
            daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies \
            replicasets replicasets/scale replicationcontrollers/scale"),
        rule(WRITE, "policy", "poddisruptionbudgets"),
        rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
        rule(READ_WRITE, "coordination.k8s.io", "leases"),
        rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
    ], ..NONE },
    DefaultRole { name: "system:aggregate-to-view", joins: "view", rules: &[
        rule(READ, "core", "\
            configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
            replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status"),
        rule(READ, "core", "\
            bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
            resourcequotas resourcequotas/status"),
        rule(READ, "core", "namespaces"),
        rule(READ, "core events.k8s.io", "events"),
        rule(READ, "discovery.k8s.io", "endpointslices"),
        rule(READ, "apps", "\
            controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
            replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale \
            statefulsets/status"),
        rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        rule(READ, "extensions", "\
            daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses \
            ingresses/status networkpolicies replicasets replicasets/scale replicasets/status \
            replicationcontrollers/scale"),
        rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
    ], ..NONE },
    DefaultRole { name: "system:auth-delegator", rules: &[
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ], ..NONE },
    DefaultRole { name: "system:basic-user", rules: &[
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient", rules: &[
        rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", rules: &[
        rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:kube-apiserver-client-approver", rules: &[
        named("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver", rules: &[
        named("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:kubelet-serving-approver", rules: &[
        named("approve", "certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving"),
    ], ..NONE },
    DefaultRole { name: "system:certificates.k8s.io:legacy-unknown-approver", rules: &[
        named("approve", "certificates.k8s.io", "signers", "kubernetes.io/legacy-unknown"),
    ], ..NONE },
    DefaultRole { name: "system:discovery", rules: &[
        urls("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
    ], ..NONE },
    DefaultRole { name: "system:heapster", rules: &[
        rule(READ, "core", "events namespaces nodes pods"),
        rule(READ, "extensions", "deployments"),
    ], ..NONE },
    DefaultRole { name: "system:kube-aggregator", rules: &[
        rule(READ, "core", "endpoints services"),
    ], ..NONE },
    DefaultRole { name: "system:kube-controller-manager", rules: &[
        EVENTS,
        rule("create", "coordination.k8s.io", "leases"),
        named("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        rule("create", "core", "secrets serviceaccounts"),
        rule("delete", "core", "secrets"),
        rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
        rule("update", "core", "secrets serviceaccounts"),
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        rule("list watch", "*", "*"),
        rule("create", "core", "serviceaccounts/token"),
    ], ..NONE },
    DefaultRole { name: "system:kube-dns", rules: &[
        rule("list watch", "core", "endpoints services"),
    ], ..NONE },
    DefaultRole { name: "system:kube-scheduler", rules: &[
        EVENTS,
        rule("create", "coordination.k8s.io", "leases"),
        named("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
        rule(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
        rule(READ, "core", "nodes"),
        rule("delete get list watch", "core", "pods"),
        rule("create", "core", "bindings pods/binding"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "core", "replicationcontrollers services"),
        rule(READ, "apps extensions", "replicasets"),
        rule(READ, "apps", "statefulsets"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        rule(READ, "storage.k8s.io", "csinodes"),
        rule(READ, "storage.k8s.io", "volumeattachments"),
        rule(READ, "core", "namespaces"),
        rule(READ, "storage.k8s.io", "csidrivers"),
        rule(READ, "storage.k8s.io", "csistoragecapacities"),
        rule(READ, "resource.k8s.io", "deviceclasses"),
        rule(READ_UPDATE, "resource.k8s.io", "resourceclaims"),
        rule(READ_UPDATE, "resource.k8s.io", "resourceclaims/status"),
        rule("update", "core", "pods/finalizers"),
        rule(READ, "resource.k8s.io", "resourceslices"),
        rule("create delete", "resource.k8s.io", "resourceclaims"),
        rule("patch update", "resource.k8s.io", "resourceclaims/binding"),
    ], ..NONE },
    DefaultRole { name: "system:kubelet-api-admin", rules: &[
        rule(READ, "core", "nodes"),
        rule("proxy", "core", "nodes"),
        rule("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        rule("*", "core", "nodes/configz nodes/healthz nodes/pods"),
    ], ..NONE },
    DefaultRole { name: "system:monitoring", rules: &[
        urls("get", "\
            /flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz"),
        rule("get", "core", "nodes/metrics"),
    ], ..NONE },
    DefaultRole { name: "system:node", rules: &[
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        rule(READ, "core", "services"),
        rule("create get list watch", "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("patch update", "core", "nodes"),
        EVENTS,
        rule(READ, "core", "pods"),
        rule("create delete", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule("create", "core", "pods/eviction"),
        rule(READ, "core", "configmaps secrets"),
        rule("get", "core", "persistentvolumeclaims persistentvolumes"),
        rule("get", "core", "endpoints"),
        rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        rule("create delete get patch update", "coordination.k8s.io", "leases"),
        rule("get", "storage.k8s.io", "volumeattachments"),
        rule("create", "core", "serviceaccounts/token"),
        rule("get patch update", "core", "persistentvolumeclaims/status"),
        rule(READ, "storage.k8s.io", "csidrivers"),
        rule("create delete get patch update", "storage.k8s.io", "csinodes"),
        rule(READ, "node.k8s.io", "runtimeclasses"),
        rule("get", "resource.k8s.io", "resourceclaims"),
        rule("deletecollection", "resource.k8s.io", "resourceslices"),
        rule("get", "core", "serviceaccounts"),
    ], ..NONE },
    DefaultRole { name: "system:node-bootstrapper", rules: &[
        rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ], ..NONE },
    DefaultRole { name: "system:node-problem-detector", rules: &[
        rule("get", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS,
    ], ..NONE },
    DefaultRole { name: "system:node-proxier", rules: &[
        rule("list watch", "core", "endpoints services"),
        rule(READ, "core", "nodes"),
        EVENTS,
        rule("list watch", "networking.k8s.io", "servicecidrs"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ], ..NONE },
    DefaultRole { name: "system:persistent-volume-provisioner", rules: &[
        rule("create delete get list watch", "core", "persistentvolumes"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ], ..NONE },
    DefaultRole { name: "system:public-info-viewer", rules: &[
        urls("get", "/healthz /livez /readyz /version /version/"),
    ], ..NONE },
    DefaultRole { name: "system:service-account-issuer-discovery", rules: &[
        urls("get", "\
            /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks \
            /openid/v1/jwks/"),
    ], ..NONE },
    DefaultRole { name: "system:volume-scheduler", rules: &[
        rule(READ_UPDATE, "core", "persistentvolumes"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule(READ_UPDATE, "core", "persistentvolumeclaims"),
    ], ..NONE },
    DefaultRole { name: "view", joins: "edit", gathers: "view", ..NONE },
];
