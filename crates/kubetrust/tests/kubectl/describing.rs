//! What the server says of itself and of its objects: versions, kinds, schemas, health, descriptions.

use crate::call::Says::{Has, Is, Nothing};
use crate::call::{BOTH, Kubectl, NEW, OLD, Row};

const API_VERSIONS: &str = "\
admissionregistration.k8s.io/v1
apiextensions.k8s.io/v1
apiregistration.k8s.io/v1
apps/v1
authentication.k8s.io/v1
authorization.k8s.io/v1
autoscaling/v1
autoscaling/v2
batch/v1
certificates.k8s.io/v1
coordination.k8s.io/v1
discovery.k8s.io/v1
events.k8s.io/v1
flowcontrol.apiserver.k8s.io/v1
networking.k8s.io/v1
node.k8s.io/v1
policy/v1
rbac.authorization.k8s.io/v1
resource.k8s.io/v1
scheduling.k8s.io/v1
storage.k8s.io/v1
v1";

#[rustfmt::skip]
const OF_THE_SERVER: &[Row] = &[
    (NEW, "version", 0, Has(&["Client Version: v1.37.1", "Server Version: v1.36.0+kubetrust."])),
    (OLD, "version --short", 0, Has(&["Client Version: v1.20.2", "Server Version: v1.36.0+kubetrust."])),
    (BOTH, "version -o json", 0, Has(&["\"serverVersion\": {", "\"major\": \"1\"", "\"minor\": \"36\"", "\"platform\": \"linux/"])),
    (BOTH, "api-versions", 0, Is(API_VERSIONS)),
    (BOTH, "api-resources", 0, Has(&[
        "NAME SHORTNAMES APIVERSION NAMESPACED KIND\n",
        "\nconfigmaps cm v1 true ConfigMap\n",
        "\nnamespaces ns v1 false Namespace\n",
        "\npods po v1 true Pod\n",
        "\ndeployments deploy apps/v1 true Deployment\n",
        "\nsubjectaccessreviews authorization.k8s.io/v1 false SubjectAccessReview\n",
        "\ncertificatesigningrequests csr certificates.k8s.io/v1 false CertificateSigningRequest\n",
        "\nclusterroles rbac.authorization.k8s.io/v1 false ClusterRole\n",
    ])),
    (BOTH, "api-resources --api-group=apps -o name", 0, Is("controllerrevisions.apps\ndaemonsets.apps\ndeployments.apps\nreplicasets.apps\nstatefulsets.apps")),
    (BOTH, "api-resources --namespaced=false --verbs=create --api-group=authentication.k8s.io -o name", 0, Is("selfsubjectreviews.authentication.k8s.io\ntokenreviews.authentication.k8s.io")),
    (BOTH, "cluster-info", 0, Has(&["Kubernetes control plane is running at {url}"])),
    (BOTH, "get --raw /healthz", 0, Is("ok")),
    (BOTH, "get --raw /livez", 0, Is("ok")),
    (BOTH, "get --raw /readyz?verbose", 0, Has(&["[+]ping ok\n[+]etcd ok\n[+]poststarthook/rbac/bootstrap-roles ok\n", "readyz check passed"])),
    (BOTH, "get --raw /readyz/etcd", 0, Is("ok")),
    (BOTH, "get --raw /nothing", 1, Is("Error from server (NotFound): the server could not find the requested resource")),
    (BOTH, "get nothings", 1, Is("error: the server doesn't have a resource type \"nothings\"")),
    (BOTH, "get componentstatuses", 0, Has(&["NAME STATUS MESSAGE ERROR\netcd-0 Healthy ok"])),
    (BOTH, "get componentstatuses etcd-0 -o jsonpath={.conditions[0].type}", 0, Has(&["Healthy"])),
    (BOTH, "get --raw /apis/apps/v1/namespaces/{ns}/deployments/web", 1, Is("Error from server (NotFound): deployments.apps \"web\" not found")),
    (BOTH, "explain pods.spec.containers.imagePullPolicy", 0, Has(&["KIND: Pod\nVERSION: v1\n", "FIELD: imagePullPolicy <string>", "DESCRIPTION:\nImage pull policy."])),
    (NEW, "explain deployments", 0, Has(&["GROUP: apps\nKIND: Deployment\nVERSION: v1", "DESCRIPTION:\nDeployment enables declarative updates for Pods and ReplicaSets."])),
    (OLD, "explain deployments", 0, Has(&["KIND: Deployment\nVERSION: apps/v1", "DESCRIPTION:\nDeployment enables declarative updates for Pods and ReplicaSets."])),
    (NEW, "explain deployment.spec.strategy --recursive", 0, Has(&["FIELD: strategy <DeploymentStrategy>", "rollingUpdate <RollingUpdateDeployment>\nmaxSurge <IntOrString>"])),
    (OLD, "explain deployment.spec.strategy --recursive", 0, Has(&["RESOURCE: strategy <Object>", "rollingUpdate <Object>\nmaxSurge <string>"])),
    (BOTH, "explain csr.spec", 0, Has(&["request <string> -required-", "signerName <string> -required-", "username <string>"])),
    (BOTH, "explain pods.spec.nothing", 1, Has(&["error: field \"nothing\" does not exist"])),
];

#[test]
fn the_server_says_what_it_is_and_what_it_has() {
    Kubectl::start().play(OF_THE_SERVER);
}

#[rustfmt::skip]
const OF_OBJECTS: &[Row] = &[
    (BOTH, "apply -f {dir}/settings.yaml -f {dir}/web.yaml -f {dir}/pod.yaml -f {dir}/role.yaml", 0, Has(&["role.rbac.authorization.k8s.io/reader created"])),
    (BOTH, "describe cm settings", 0, Has(&["Name: settings\nNamespace: {ns}\nLabels: tier=one\n", "a:\n----\n1"])),
    (BOTH, "describe deploy web", 0, Has(&["Name: web\nNamespace: {ns}\n", "Selector: app=web\nReplicas: 1 desired | 0 updated | 0 total | 0 available | 0 unavailable\nStrategyType: RollingUpdate\n", "RollingUpdateStrategy: 25% max unavailable, 25% max surge\n", "Image: nginx:1\nPort: 80/TCP\n", "Events: <none>"])),
    (BOTH, "describe pod alone", 0, Has(&["Name: alone\nNamespace: {ns}\n", "Status: Pending\n", "main:\nImage: main:1\n", "Mounts:\n/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-", "QoS Class: BestEffort\n", "node.kubernetes.io/not-ready:NoExecute op=Exists for AGE", "Events: <none>"])),
    (BOTH, "describe role reader", 0, Has(&["Name: reader\n", "Resources Non-Resource URLs Resource Names Verbs\n--------- ----------------- -------------- -----\nconfigmaps [] [] [get list]\npods [] [] [get list]"])),
    (BOTH, "describe ns {ns}", 0, Has(&["Name: {ns}\nLabels: kubernetes.io/metadata.name={ns}\nAnnotations: <none>\nStatus: Active\n"])),
    (BOTH, "describe sa default", 0, Has(&["Name: default\nNamespace: {ns}\n", "Events: <none>"])),
    (BOTH, "describe clusterrole view", 0, Has(&["Name: view\nLabels: kubernetes.io/bootstrapping=rbac-defaults\n", "Annotations: rbac.authorization.kubernetes.io/autoupdate: true\n", "pods/log [] [] [get list watch]"])),
    (NEW, "events", 0, Is("No events found in {ns} namespace.")),
    (BOTH, "get events", 0, Is("No resources found in {ns} namespace.")),
    (BOTH, "describe pods nothing", 1, Is("Error from server (NotFound): pods \"nothing\" not found")),
    (BOTH, "logs alone", 0, Nothing),
    (BOTH, "exec alone -- ls", 1, Has(&["pod alone does not have a host assigned"])),
    (BOTH, "delete -f {dir}/role.yaml --wait=false", 0, Has(&["role.rbac.authorization.k8s.io \"reader\" deleted"])),
    (BOTH, "get roles -o name", 0, Nothing),
];

#[test]
fn objects_are_described() {
    Kubectl::start().play(OF_OBJECTS);
}
