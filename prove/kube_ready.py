"""When workloads came and when they were ready, as anybody sees it who watches the cluster."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from modelferry.cluster.resources import Resource
from modelferry.cluster.watch import Watch
from prove.kube_yard import Yard

WORKLOADS = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """By KIND/NAME, as Unix time; of the first time, since nothing here is deployed twice."""

    came: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)

    def took_s(self, name: str) -> float:
        return self.ready[name] - self.came[name]


@contextmanager
def spectator(
    yard: Yard, namespace: str, kinds: Sequence[tuple[str, str]] = WORKLOADS
) -> Iterator[Seen]:
    seen, over = Seen(), threading.Event()
    watches: dict[str, Watch] = {}

    def look(resource: Resource) -> None:
        _, version = yard.cluster.list(resource, namespace)
        while not over.is_set():
            watches[resource.kind] = watch = yard.cluster.watch(resource, namespace, version)
            if over.is_set():
                return
            for _, body in watch:
                name = f"{resource.kind}/{body['metadata']['name']}"
                seen.came.setdefault(name, time.time())
                if is_ready(resource.kind, body):
                    seen.ready.setdefault(name, time.time())
            version = watch.version

    found = [resource for kind in kinds if (resource := yard.cluster.resource(*kind))]
    threads = [threading.Thread(target=look, args=(resource,), daemon=True) for resource in found]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for watch in list(watches.values()):
            watch.stop()
        for thread in threads:
            thread.join()


def is_ready(kind: str, body: Mapping[str, Any]) -> bool:
    """Of one that is new."""
    status, spec = body.get("status", {}), body["spec"]
    true = {entry["type"] for entry in status.get("conditions", ()) if entry["status"] == "True"}
    match kind:
        case "Deployment":
            return "Available" in true
        case "StatefulSet":
            return status.get("availableReplicas") == spec["replicas"]
        case "DaemonSet":
            return 0 < status["desiredNumberScheduled"] == status.get("numberAvailable")
        case "Job":
            return "Complete" in true
        case _:
            return "Ready" in true
