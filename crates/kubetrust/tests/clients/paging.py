"""Lists 5,000 objects in pages while they change: the pages show one moment, and a watch from it shows the rest."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from kubernetes import client, config, watch

OBJECTS = 5000
PAGE = 500
NAMESPACE = "default"

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()


def made(name):
    metadata = client.V1ObjectMeta(name=name, labels={"paged": "yes"})
    return core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=metadata, data={"state": "first"}))


def listed(**options):
    return core.list_namespaced_config_map(NAMESPACE, label_selector="paged=yes", **options)


with ThreadPoolExecutor(16) as pool:
    before = {item.metadata.name: item for item in pool.map(made, (f"item-{n:05}" for n in range(OBJECTS)))}
assert len(before) == OBJECTS


class Changes(threading.Thread):
    """Changes, deletes and creates objects on both sides of wherever the pages are."""

    def __init__(self):
        super().__init__()
        self.ends = threading.Event()
        self.count = 0

    def run(self):
        while not self.ends.is_set():
            n = self.count % (OBJECTS // 2)
            low, high = f"item-{n:05}", f"item-{OBJECTS - 1 - n:05}"
            core.patch_namespaced_config_map(low, NAMESPACE, {"data": {"state": "later"}})
            core.delete_namespaced_config_map(high, NAMESPACE)
            made(f"item-{n:05}-new")
            self.count += 1


changes = Changes()
changes.start()
pages, token, revision, left = [], None, None, None
while True:
    page = listed(limit=PAGE, _continue=token)
    revision = revision or page.metadata.resource_version
    assert page.metadata.resource_version == revision, "every page is of the first one's moment"
    assert len(page.items) <= PAGE
    pages.append(page.items)
    # A selector makes the rest unknown, as upstream says.
    assert page.metadata.remaining_item_count is None
    token = page.metadata._continue
    if not token:
        break
changes.ends.set()
changes.join()
assert changes.count > 0, "nothing changed while the pages were read"
assert len(pages) >= OBJECTS // PAGE

names = [item.metadata.name for page in pages for item in page]
assert names == sorted(names) and len(names) == len(set(names)), "in order, and each once"
moment = int(revision)
assert all(int(item.metadata.resource_version) <= moment for page in pages for item in page)

# What the pages show and what happened since is what there is now.
state = {item.metadata.name: item.metadata.resource_version for page in pages for item in page}
now = {item.metadata.name: item.metadata.resource_version for item in listed().items}
seen = 0
stream = watch.Watch().stream(
    core.list_namespaced_config_map, NAMESPACE, label_selector="paged=yes", resource_version=revision, timeout_seconds=60
)
for event in stream:
    seen += 1
    metadata = event["object"].metadata
    assert int(metadata.resource_version) > moment, "in order, and nothing that the pages showed"
    moment = int(metadata.resource_version)
    if event["type"] == "DELETED":
        del state[metadata.name]
    else:
        assert event["type"] == ("MODIFIED" if metadata.name in state else "ADDED"), event["type"]
        state[metadata.name] = metadata.resource_version
    if state == now:
        break
assert state == now
assert seen > 0

# Without a selector the rest is counted.
page = core.list_namespaced_config_map(NAMESPACE, limit=10)
assert page.metadata.remaining_item_count == len(now) + 1 - 10, "the CA's config map is there too"

# A token that is none.
try:
    listed(limit=10, _continue="nonsense")
    raise AssertionError("a token of nonsense was taken")
except client.ApiException as refused:
    assert refused.status == 400 and "continue key is not valid" in refused.body, refused
print("done")
