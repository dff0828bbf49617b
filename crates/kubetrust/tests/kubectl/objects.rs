//! Objects from their making to their end, by every verb that people use.

use crate::call::Says::{Has, Is, Nothing};
use crate::call::{BOTH, Kubectl, NEW, OLD, Row};

#[rustfmt::skip]
const OF_A_CONFIG_MAP: &[Row] = &[
    (BOTH, "get configmap settings", 1, Is(r#"Error from server (NotFound): configmaps "settings" not found"#)),
    (BOTH, "apply -f {dir}/settings.yaml", 0, Is("configmap/settings created")),
    (BOTH, "apply -f {dir}/settings.yaml", 0, Is("configmap/settings unchanged")),
    (BOTH, "create -f {dir}/settings.yaml", 1, Has(&[r#"Error from server (AlreadyExists): error when creating "{dir}/settings.yaml": configmaps "settings" already exists"#])),
    (BOTH, "get cm settings", 0, Is("NAME DATA AGE\nsettings 1 AGE")),
    (BOTH, "get cm settings -o wide", 0, Is("NAME DATA AGE\nsettings 1 AGE")),
    (BOTH, "get cm settings --show-labels", 0, Is("NAME DATA AGE LABELS\nsettings 1 AGE tier=one")),
    (BOTH, "get cm settings -L tier", 0, Is("NAME DATA AGE TIER\nsettings 1 AGE one")),
    (BOTH, "get cm settings -o name", 0, Is("configmap/settings")),
    (BOTH, "get cm settings -o jsonpath={.data}", 0, Is(r#"{"a":"1"}"#)),
    (BOTH, "get cm settings -o yaml", 0, Has(&["apiVersion: v1\ndata:\na: \"1\"\nkind: ConfigMap\nmetadata:\nannotations:\nkubectl.kubernetes.io/last-applied-configuration: |", "creationTimestamp: \"", "labels:\ntier: one\nname: settings\nnamespace: {ns}\nresourceVersion: \"", "uid: "])),
    (BOTH, "get cm settings -o json", 0, Has(&["\"apiVersion\": \"v1\",", "\"data\": {\n\"a\": \"1\"\n},", "\"kind\": \"ConfigMap\","])),
    (BOTH, "get cm settings -o custom-columns=N:.metadata.name,A:.data.a", 0, Is("N A\nsettings 1")),
    (BOTH, "get cm settings -o go-template={{.data.a}}", 0, Is("1")),
    (BOTH, "get cm -l tier=one -o name", 0, Is("configmap/settings")),
    (BOTH, "get cm -l tier!=one -o name", 0, Is("configmap/kube-root-ca.crt")),
    (BOTH, "get cm -l 'tier in (one,two)' -o name", 0, Is("configmap/settings")),
    (BOTH, "get cm --field-selector metadata.name=settings -o name", 0, Is("configmap/settings")),
    (BOTH, "get cm --field-selector metadata.nam=settings", 1, Has(&["Error from server (BadRequest):", "\"metadata.nam\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""])),
    (BOTH, "get cm -l 'a b'", 1, Has(&["Error from server (BadRequest):", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"])),
    (BOTH, "get cm --sort-by=.metadata.name -o name", 0, Is("configmap/kube-root-ca.crt\nconfigmap/settings")),
    (BOTH, "get cm --chunk-size=1 -o name", 0, Is("configmap/kube-root-ca.crt\nconfigmap/settings")),
    (BOTH, r#"patch cm settings -p {"data":{"b":"2"}}"#, 0, Is("configmap/settings patched")),
    (BOTH, r#"patch cm settings -p {"data":{"b":"2"}}"#, 0, Is("configmap/settings patched (no change)")),
    (BOTH, r#"patch cm settings --type=merge -p {"data":{"b":null,"c":"3"}}"#, 0, Is("configmap/settings patched")),
    (BOTH, r#"patch cm settings --type=json -p [{"op":"test","path":"/data/c","value":"3"},{"op":"replace","path":"/data/c","value":"4"}]"#, 0, Is("configmap/settings patched")),
    (NEW, r#"patch cm settings --type=json -p [{"op":"test","path":"/data/c","value":"3"}]"#, 1, Is("The request is invalid: the server rejected our request due to an error in our request")),
    (OLD, r#"patch cm settings --type=json -p [{"op":"test","path":"/data/c","value":"3"}]"#, 1, Is("The request is invalid")),
    (BOTH, "patch cm settings --type=json -p nonsense", 1, Is("Error from server (BadRequest): error decoding patch: json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp")),
    (BOTH, "get cm settings -o jsonpath={.data}", 0, Is(r#"{"a":"1","c":"4"}"#)),
    (BOTH, "edit cm settings", 0, Is("configmap/settings edited")),
    (BOTH, "edit cm settings", 0, Is("Edit cancelled, no changes made.")),
    (BOTH, "get cm settings -o jsonpath={.metadata.labels}", 0, Is(r#"{"tier":"edited"}"#)),
    (BOTH, "label cm settings tier=two", 1, Is("error: 'tier' already has a value (edited), and --overwrite is false")),
    (BOTH, "label cm settings tier=two --overwrite", 0, Is("configmap/settings labeled")),
    (BOTH, "label cm settings a=-b-", 1, Has(&["invalid", "-b-"])),
    (BOTH, "annotate cm settings note=a", 0, Is("configmap/settings annotated")),
    (BOTH, "annotate cm settings note-", 0, Is("configmap/settings annotated")),
    (BOTH, "get cm settings -o jsonpath={.metadata.annotations.note}", 0, Nothing),
    (BOTH, "apply -f {dir}/settings-2.yaml --dry-run=server", 0, Is("configmap/settings configured (server dry run)")),
    (BOTH, "apply -f {dir}/settings-2.yaml --dry-run=client", 0, Is("configmap/settings configured (dry run)")),
    (BOTH, "diff -f {dir}/settings-2.yaml", 1, Has(&["- a: \"1\"", "+ a: \"2\"", "+ b: x"])),
    (BOTH, "get cm settings -o jsonpath={.data}", 0, Is(r#"{"a":"1","c":"4"}"#)),
    (BOTH, "apply -f {dir}/settings-2.yaml", 0, Is("configmap/settings configured")),
    (BOTH, "get cm settings -o jsonpath={.data}", 0, Is(r#"{"a":"2","b":"x","c":"4"}"#)),
    (BOTH, "diff -f {dir}/settings-2.yaml", 0, Nothing),
    (BOTH, "replace -f {dir}/settings.yaml", 0, Is("configmap/settings replaced")),
    (BOTH, "get cm settings -o jsonpath={.data}", 0, Is(r#"{"a":"1"}"#)),
    (NEW, "apply --server-side -f {dir}/settings.yaml", 1, Has(&["error: Server-side apply not available on the server:"])),
    (OLD, "apply --server-side -f {dir}/settings.yaml", 1, Has(&["error: Server-side apply not available on the server:"])),
    (NEW, "delete cm settings", 0, Is(r#"configmap "settings" deleted from {ns} namespace"#)),
    (OLD, "delete cm settings", 0, Is(r#"configmap "settings" deleted"#)),
    (BOTH, "delete cm settings", 1, Is(r#"Error from server (NotFound): configmaps "settings" not found"#)),
    (BOTH, "delete cm settings --ignore-not-found", 0, Nothing),
];

#[test]
fn a_config_map_from_its_making_to_its_end() {
    Kubectl::start().play(OF_A_CONFIG_MAP);
}

#[rustfmt::skip]
const OF_A_DEPLOYMENT: &[Row] = &[
    (BOTH, "create -f {dir}/web.yaml --dry-run=server -o name", 0, Is("deployment.apps/web")),
    (BOTH, "get deployments", 0, Is("No resources found in {ns} namespace.")),
    (BOTH, "apply -f {dir}/web.yaml", 0, Is("deployment.apps/web created")),
    (BOTH, "get deploy", 0, Is("NAME READY UP-TO-DATE AVAILABLE AGE\nweb 0/1 0 0 AGE")),
    (BOTH, "get deploy -o wide", 0, Is("NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\nweb 0/1 0 0 AGE web nginx:1 app=web")),
    (BOTH, "get all", 0, Is("NAME READY UP-TO-DATE AVAILABLE AGE\ndeployment.apps/web 0/1 0 0 AGE")),
    (BOTH, "get deploy web -o jsonpath={.spec.strategy.type},{.spec.template.spec.containers[0].imagePullPolicy}", 0, Is("RollingUpdate,IfNotPresent")),
    (BOTH, "scale deploy web --replicas=3", 0, Is("deployment.apps/web scaled")),
    (BOTH, "scale deploy web --replicas=4 --current-replicas=2", 1, Has(&["error: Expected replicas to be 2, was 3"])),
    (NEW, "get deploy web --subresource=scale -o jsonpath={.spec.replicas},{.status.selector}", 0, Is("3,app=web")),
    (BOTH, "get deploy web -o jsonpath={.spec.replicas}", 0, Is("3")),
    (BOTH, "set image deploy/web web=nginx:9", 0, Is("deployment.apps/web image updated")),
    (BOTH, "apply -f {dir}/web-2.yaml", 0, Is("deployment.apps/web configured")),
    (BOTH, "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}", 0, Is("nginx:2 side:1")),
    // The list is merged by name: what the patch does not name stays.
    (BOTH, r#"patch deploy web -p {"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:2"}]}}}}"#, 0, Is("deployment.apps/web patched")),
    (BOTH, "get deploy web -o jsonpath={.spec.template.spec.containers[?(@.name==\"side\")].image}", 0, Is("side:2")),
    (BOTH, "apply -f {dir}/web.yaml", 0, Is("deployment.apps/web configured")),
    (BOTH, "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}", 0, Is("nginx:1")),
    (BOTH, r#"patch deploy web -p {"spec":{"selector":{"matchLabels":{"app":"other"}}}}"#, 1, Has(&[r#"The Deployment "web" is invalid:"#, "spec.selector: Invalid value:", "field is immutable"])),
    (BOTH, "expose deploy web --port=80", 0, Is("service/web exposed")),
    (BOTH, "get service web -o jsonpath={.spec.selector.app}", 0, Is("web")),
    (BOTH, "autoscale deploy web --max=3", 0, Is("horizontalpodautoscaler.autoscaling/web autoscaled")),
    (BOTH, "get hpa", 0, Is("NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE\nweb Deployment/web cpu: <unknown>/80% 1 3 0 AGE")),
    (BOTH, "apply -f {dir}/pod.yaml", 0, Is("pod/alone created")),
    (BOTH, "get pods", 0, Is("NAME READY STATUS RESTARTS AGE\nalone 0/1 Pending 0 AGE")),
    (BOTH, "get pods -o wide", 0, Is("NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES\nalone 0/1 Pending 0 AGE <none> <none> <none> <none>")),
    (BOTH, "get deploy,pods -o name", 0, Is("deployment.apps/web\npod/alone")),
    (BOTH, r#"patch pod alone -p {"spec":{"containers":[{"name":"main","image":"main:2"}]}}"#, 0, Is("pod/alone patched")),
    (BOTH, r#"patch pod alone -p {"spec":{"nodeName":"n"}}"#, 1, Has(&[r#"The Pod "alone" is invalid: spec: Forbidden: pod updates may not change fields other than"#])),
    (NEW, "delete pod/alone deploy/web", 0, Is("pod \"alone\" deleted from {ns} namespace\ndeployment.apps \"web\" deleted from {ns} namespace")),
    (OLD, "delete pod/alone deploy/web", 0, Is("pod \"alone\" deleted\ndeployment.apps \"web\" deleted")),
];

#[test]
fn a_deployment_and_a_pod_that_nobody_runs() {
    Kubectl::start().play(OF_A_DEPLOYMENT);
}

#[rustfmt::skip]
const MADE_BY_WORDS: &[Row] = &[
    (NEW, "create namespace {ns}-2", 0, Is("namespace/{ns}-2 created")),
    (OLD, "create namespace {ns}-2", 0, Is("namespace/{ns}-2 created")),
    (BOTH, "get ns {ns}-2", 0, Is("NAME STATUS AGE\n{ns}-2 Active AGE")),
    (BOTH, "create configmap words --from-literal=a=b", 0, Is("configmap/words created")),
    (BOTH, "create secret generic hidden --from-literal=p=q", 0, Is("secret/hidden created")),
    (BOTH, "get secret hidden -o jsonpath={.data.p},{.type}", 0, Is("cQ==,Opaque")),
    (BOTH, "create serviceaccount robot", 0, Is("serviceaccount/robot created")),
    (BOTH, "create role reader --verb=get,list --resource=pods", 0, Is("role.rbac.authorization.k8s.io/reader created")),
    (BOTH, "create rolebinding reads --role=reader --user=jane --serviceaccount={ns}:robot", 0, Is("rolebinding.rbac.authorization.k8s.io/reads created")),
    (BOTH, "create clusterrole {ns}-nodes --verb=get --resource=nodes", 0, Is("clusterrole.rbac.authorization.k8s.io/{ns}-nodes created")),
    (BOTH, "create clusterrolebinding {ns}-nodes --clusterrole={ns}-nodes --group=dev", 0, Is("clusterrolebinding.rbac.authorization.k8s.io/{ns}-nodes created")),
    (BOTH, "get rolebinding reads -o wide", 0, Is("NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS\nreads Role/reader AGE jane {ns}/robot")),
    (BOTH, "create quota small --hard=pods=1", 0, Is("resourcequota/small created")),
    (BOTH, "create service clusterip web --tcp=80:8080", 0, Is("service/web created")),
    (BOTH, "get service web -o jsonpath={.spec.type},{.spec.ports[0].targetPort},{.spec.sessionAffinity}", 0, Is("ClusterIP,8080,None")),
    (BOTH, "create deployment made --image=made:1", 0, Is("deployment.apps/made created")),
    (BOTH, "create job once --image=once:1", 0, Is("job.batch/once created")),
    (BOTH, "create ingress front --rule=example.org/=web:80", 0, Is("ingress.networking.k8s.io/front created")),
    (BOTH, "create priorityclass {ns}-high --value=1000", 0, Is("priorityclass.scheduling.k8s.io/{ns}-high created")),
    (BOTH, "run single --image=single:1", 0, Is("pod/single created")),
    (BOTH, "auth reconcile -f {dir}/role.yaml", 0, Has(&["role.rbac.authorization.k8s.io/reader reconciled", "reconciliation required update", "missing rules added:"])),
    (BOTH, "create -f {dir}/unknown-kind.yaml", 1, Has(&["no matches for kind \"Horse\" in version \"example.org/v1\""])),
    (NEW, "create -f {dir}/unknown-field.yaml", 1, Has(&["Error from server (BadRequest): error when creating \"{dir}/unknown-field.yaml\": ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dato\""])),
    (NEW, "create --validate=warn -f {dir}/unknown-field.yaml --dry-run=server", 0, Is("configmap/unknown created (server dry run)\nWarning: unknown field \"dato\"")),
    (NEW, "create --validate=ignore -f {dir}/unknown-field.yaml --dry-run=server", 0, Is("configmap/unknown created (server dry run)")),
    (OLD, "create -f {dir}/unknown-field.yaml", 1, Has(&["error validating data: ValidationError(ConfigMap): unknown field \"dato\" in io.k8s.api.core.v1.ConfigMap"])),
    (NEW, "create -f {dir}/wrong-type.yaml", 1, Has(&["Error from server (BadRequest): error when creating", "cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"])),
    (OLD, "create -f {dir}/wrong-type.yaml", 1, Has(&["error validating data: ValidationError(ConfigMap.data): invalid type for io.k8s.api.core.v1.ConfigMap.data: got \"array\", expected \"map\""])),
    (BOTH, "create -f {dir}/bad-name.yaml", 1, Has(&["The ConfigMap \"Not_A_Name\" is invalid:", "* metadata.name: Invalid value: \"Not_A_Name\": a lowercase RFC 1123 subdomain must consist of", "* data[a/b]: Invalid value: \"a/b\": a valid config key must consist of"])),
];

#[test]
fn objects_made_by_words_and_objects_refused() {
    Kubectl::start().play(MADE_BY_WORDS);
}

#[rustfmt::skip]
const OF_SERVICES: &[Row] = &[
    (BOTH, "get svc kubernetes -n default", 0, Is("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE\nkubernetes ClusterIP 10.96.0.1 <none> 443/TCP AGE")),
    (BOTH, "get endpointslices kubernetes -n default -o jsonpath={.ports[0].name},{.endpoints[0].conditions.ready}", 0, Is("https,true")),
    (BOTH, "get apiservices v1. v1.apps v2.autoscaling", 0, Is("NAME SERVICE AVAILABLE AGE\nv1. Local True AGE\nv1.apps Local True AGE\nv2.autoscaling Local True AGE")),
    (BOTH, "get apiservices v1.rbac.authorization.k8s.io -o jsonpath={.spec.groupPriorityMinimum},{.spec.versionPriority},{.status.conditions[0].reason}", 0, Is("17000,15,Local")),
    (BOTH, "create service clusterip web --tcp=80:8080 --clusterip=10.96.0.77", 0, Is("service/web created")),
    (BOTH, "get svc web", 0, Is("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE\nweb ClusterIP 10.96.0.77 <none> 80/TCP AGE")),
    (BOTH, "get ipaddress 10.96.0.77 -o jsonpath={.spec.parentRef.namespace}/{.spec.parentRef.name}", 0, Is("{ns}/web")),
    (BOTH, "create service clusterip twice --tcp=80 --clusterip=10.96.0.77", 1, Has(&["failed to allocate IP 10.96.0.77: provided IP is already allocated"])),
    (BOTH, "create service clusterip alone --tcp=80 --clusterip=None", 0, Is("service/alone created")),
    (BOTH, "create service nodeport open --tcp=80 --node-port=30123", 0, Is("service/open created")),
    (BOTH, "create service nodeport twice --tcp=80 --node-port=30123", 1, Has(&["provided port is already allocated"])),
    (BOTH, "expose service web --name=again --port=81 --type=NodePort", 0, Is("service/again exposed")),
    (BOTH, "get svc again -o jsonpath={.spec.ipFamilies[0]},{.spec.ipFamilyPolicy}", 0, Is("IPv4,SingleStack")),
    (NEW, "delete svc web open", 0, Is("service \"web\" deleted from {ns} namespace\nservice \"open\" deleted from {ns} namespace")),
    (OLD, "delete svc web open", 0, Is("service \"web\" deleted\nservice \"open\" deleted")),
    (BOTH, "create service clusterip next --tcp=80 --clusterip=10.96.0.77", 0, Is("service/next created")),
    (BOTH, "delete svc next alone again", 0, Has(&["\"again\" deleted"])),
];

#[test]
fn services_have_addresses_of_their_own() {
    Kubectl::start().play(OF_SERVICES);
}

#[rustfmt::skip]
const OF_A_NODE: &[Row] = &[
    (BOTH, "create -f {dir}/node.yaml", 0, Is("node/{ns}-node created")),
    (BOTH, "get node {ns}-node", 0, Is("NAME STATUS ROLES AGE VERSION\n{ns}-node Unknown <none> AGE")),
    (BOTH, "label node {ns}-node node-role.kubernetes.io/worker=", 0, Is("node/{ns}-node labeled")),
    (BOTH, "cordon {ns}-node", 0, Is("node/{ns}-node cordoned")),
    (BOTH, "get node {ns}-node", 0, Is("NAME STATUS ROLES AGE VERSION\n{ns}-node Unknown,SchedulingDisabled worker AGE")),
    (BOTH, "taint node {ns}-node a=b:NoSchedule", 0, Is("node/{ns}-node tainted")),
    (BOTH, "get node {ns}-node -o jsonpath={.spec.taints[?(@.key==\"a\")].effect}", 0, Is("NoSchedule")),
    (BOTH, "taint node {ns}-node a-", 0, Is("node/{ns}-node untainted")),
    (BOTH, "drain {ns}-node --timeout=10s", 0, Has(&["node/{ns}-node drained"])),
    (BOTH, "uncordon {ns}-node", 0, Is("node/{ns}-node uncordoned")),
    (BOTH, "describe node {ns}-node", 0, Has(&["Name: {ns}-node\n", "Roles: worker\n", "Unschedulable: false\n"])),
    (BOTH, "delete node {ns}-node", 0, Has(&["node \"{ns}-node\" deleted"])),
];

#[test]
fn a_node_is_closed_emptied_and_opened() {
    Kubectl::start().play(OF_A_NODE);
}

/// Namespaces whose objects go with them.
#[rustfmt::skip]
const OF_A_NAMESPACE: &[Row] = &[
    (BOTH, "apply -f {dir}/settings.yaml -f {dir}/pod.yaml", 0, Is("configmap/settings created\npod/alone created")),
    (BOTH, "delete namespace {ns} --timeout=30s", 0, Has(&["namespace \"{ns}\" deleted"])),
    (BOTH, "get ns {ns}", 1, Is("Error from server (NotFound): namespaces \"{ns}\" not found")),
    (BOTH, "get cm,pods", 0, Is("No resources found in {ns} namespace.")),
    (BOTH, "create -f {dir}/pod.yaml", 1, Has(&["Error from server (NotFound): error when creating \"{dir}/pod.yaml\": namespaces \"{ns}\" not found"])),
    (BOTH, "delete ns kube-system", 1, Has(&["Error from server (Forbidden): namespaces \"kube-system\" is forbidden: this namespace may not be deleted"])),
];

#[test]
fn a_namespace_takes_its_objects_with_it() {
    Kubectl::start().play(OF_A_NAMESPACE);
}
