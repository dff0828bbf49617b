"""Objects of several kinds by the typed client and by the dynamic one, and the refusals that scripts look for."""

import json
import sys

from kubernetes import client, config, dynamic

NAMESPACE = "default"

config.load_kube_config(sys.argv[1])
core, apps, rbac = client.CoreV1Api(), client.AppsV1Api(), client.RbacAuthorizationV1Api()
anybody = client.ApiClient()


def refused(status, reason, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except client.ApiException as error:
        body = json.loads(error.body)
        assert (error.status, body["reason"], body["kind"]) == (status, reason, "Status"), error
        return body
    raise AssertionError(f"{call.__name__} was not refused")


version = client.VersionApi().get_code()
assert (version.major, version.minor) == ("1", "36"), version
assert {"v1"} == set(client.CoreApi().get_api_versions().versions)
assert "apps" in {group.name for group in client.ApisApi().get_api_versions().groups}
me = client.AuthenticationV1Api().create_self_subject_review({}).status.user_info
assert me.username == "kubernetes-admin" and "system:masters" in me.groups, me

# A typed object, read, replaced with and without its version, and patched in every way.
settings = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"a": "1", "b": "2"})
first = core.create_namespaced_config_map(NAMESPACE, settings)
assert first.metadata.uid and first.metadata.creation_timestamp
assert refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, settings)["details"]["name"] == "settings"
second = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"a": None, "c": "3"}})
assert second.data == {"b": "2", "c": "3"}, second.data
third = core.patch_namespaced_config_map("settings", NAMESPACE, [{"op": "add", "path": "/data/d", "value": "4"}])
assert third.data == {"b": "2", "c": "3", "d": "4"}, third.data
refused(409, "Conflict", core.replace_namespaced_config_map, "settings", NAMESPACE, first)
third.data = {"e": "5"}
assert core.replace_namespaced_config_map("settings", NAMESPACE, third).data == {"e": "5"}
tried = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"e": "6"}}, dry_run="All")
assert tried.data == {"e": "6"}
assert core.read_namespaced_config_map("settings", NAMESPACE).data == {"e": "5"}

# Deletion with preconditions.
other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
refused(409, "Conflict", core.delete_namespaced_config_map, "settings", NAMESPACE, body=other)
assert core.delete_namespaced_config_map("settings", NAMESPACE).status == "Success"
refused(404, "NotFound", core.read_namespaced_config_map, "settings", NAMESPACE)

# Faults are told all at once, each with its field.
wrong = {"metadata": {"name": "Wrong_Name"}, "data": {"a/b": "c"}}
causes = refused(422, "Invalid", core.create_namespaced_config_map, NAMESPACE, wrong)["details"]["causes"]
assert {cause["field"] for cause in causes} == {"metadata.name", "data[a/b]"}, causes
strict = {"metadata": {"name": "strict"}, "dato": {}}
body = refused(400, "BadRequest", core.create_namespaced_config_map, NAMESPACE, strict, field_validation="Strict")
assert 'unknown field "dato"' in body["message"], body

# A deployment: its defaults, its scale, its status apart from its spec.
labels = {"app": "web"}
template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
web = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
made = apps.create_namespaced_deployment(NAMESPACE, web)
assert (made.spec.replicas, made.spec.strategy.type, made.metadata.generation) == (1, "RollingUpdate", 1), made
scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 5}})
assert (scale.spec.replicas, scale.status.selector) == (5, "app=web"), scale
made = apps.patch_namespaced_deployment_status("web", NAMESPACE, {"status": {"replicas": 2}, "spec": {"replicas": 9}})
assert (made.spec.replicas, made.status.replicas, made.metadata.generation) == (5, 2, 2), made
apps.delete_collection_namespaced_deployment(NAMESPACE, label_selector="app!=web")
assert not apps.list_namespaced_deployment(NAMESPACE, label_selector="app").items, "its own labels are none"
apps.delete_collection_namespaced_deployment(NAMESPACE)
assert not apps.list_namespaced_deployment(NAMESPACE).items

# Rights: a token of an account, and what it may.
core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "robot"}})
rules = [client.V1PolicyRule(api_groups=[""], resources=["secrets"], verbs=["list"])]
rbac.create_namespaced_role(NAMESPACE, client.V1Role(metadata=client.V1ObjectMeta(name="lists"), rules=rules))
subject = client.RbacV1Subject(kind="ServiceAccount", name="robot", namespace=NAMESPACE)
binding = client.V1RoleBinding(
    metadata=client.V1ObjectMeta(name="lists"),
    role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="lists"),
    subjects=[subject],
)
rbac.create_namespaced_role_binding(NAMESPACE, binding)
request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
token = core.create_namespaced_service_account_token("robot", NAMESPACE, request).status.token
known = client.Configuration.get_default_copy()
robot = client.Configuration(host=known.host)
robot.ssl_ca_cert = known.ssl_ca_cert
robot.api_key = {"authorization": f"Bearer {token}"}
as_robot = client.CoreV1Api(client.ApiClient(robot))
as_robot.list_namespaced_secret(NAMESPACE)
message = refused(403, "Forbidden", as_robot.list_namespaced_config_map, NAMESPACE)["message"]
assert message.startswith('configmaps is forbidden: User "system:serviceaccount:default:robot" cannot list resource'), message
robot.api_key = {"authorization": "Bearer nonsense"}
refused(401, "Unauthorized", client.CoreV1Api(client.ApiClient(robot)).list_namespaced_secret, NAMESPACE)
review = client.V1SubjectAccessReview(
    spec=client.V1SubjectAccessReviewSpec(
        user="system:serviceaccount:default:robot",
        resource_attributes=client.V1ResourceAttributes(namespace=NAMESPACE, verb="list", resource="secrets"),
    )
)
assert client.AuthorizationV1Api().create_subject_access_review(review).status.allowed

# Every kind there is, by discovery alone: each can be listed as it says.
everything = dynamic.DynamicClient(anybody)
found = [kind for kind in everything.resources.search() if not isinstance(kind, dynamic.resource.ResourceList)]
kinds = [kind for kind in found if "list" in kind.verbs and "/" not in kind.name]
assert len({(kind.group, kind.name) for kind in kinds}) > 50, len(kinds)
for kind in kinds:
    answer = kind.get() if not kind.namespaced else kind.get(namespace=NAMESPACE)
    assert answer.kind.endswith("List"), answer
print("done")
