"""Watches: from a version on, broken off and resumed, with bookmarks, and of a version that is none."""

import sys
import threading

from kubernetes import client, config, watch

NAMESPACE = "default"
WRITES = 300

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()


def write():
    """Creates, changes and deletes, and remembers each version that came of it."""
    for turn in range(WRITES):
        name = f"watched-{turn}"
        made = core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name, "labels": {"watched": "yes"}}})
        changed = core.patch_namespaced_config_map(name, NAMESPACE, {"data": {"turn": str(turn)}})
        core.delete_namespaced_config_map(name, NAMESPACE)
        written.append((name, made.metadata.resource_version, changed.metadata.resource_version))


written = []
start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
writer = threading.Thread(target=write)
writer.start()

# The watch is broken off every few events and resumed from the last one seen.
events, last = [], start
while len(events) < 3 * WRITES:
    stream = watch.Watch()
    count = 0
    for event in stream.stream(
        core.list_namespaced_config_map, NAMESPACE, label_selector="watched=yes", resource_version=last, timeout_seconds=5
    ):
        metadata = event["object"].metadata
        assert int(metadata.resource_version) > int(last), (metadata.resource_version, last)
        last = metadata.resource_version
        events.append((event["type"], metadata.name, last))
        count += 1
        if count == 37:
            stream.stop()
writer.join()
wanted = []
for number, (name, made, changed) in enumerate(written):
    wanted += [("ADDED", name, made), ("MODIFIED", name, changed), ("DELETED", name, events[3 * number + 2][2])]
assert events == wanted

# Without a version, a watch begins with what there is.
core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "there", "labels": {"watched": "yes"}}})
stream = watch.Watch()
for event in stream.stream(core.list_namespaced_config_map, NAMESPACE, label_selector="watched=yes", timeout_seconds=5):
    assert (event["type"], event["object"].metadata.name) == ("ADDED", "there"), event
    stream.stop()

# A watch ends by itself when its time is over.
for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, label_selector="none=such", timeout_seconds=1):
    raise AssertionError(event)

# A version that nobody gave.
try:
    for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version="x", timeout_seconds=1):
        raise AssertionError(event)
    raise AssertionError("a version of nonsense was taken")
except client.ApiException as refused:
    assert refused.status == 422 and 'parsing \\"x\\": invalid syntax' in refused.body, refused
print("done")
