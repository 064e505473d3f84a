"""The pods of a workload's new template as they are now, and a way to each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.pod_proxy import PodProxy
from modelferry.cluster.resources import PODS, REPLICA_SETS
from modelferry.cluster.tunnel import Tunnel, TunnelError
from modelferry.errors import FerryError
from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.objects.ownership import current_pods
from modelferry.rollout.watching.findings import Applied

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]
Way = Tunnel | PodProxy

LOOPBACK = "127.0.0.1"
_SUCCESSOR_S = 60.0
_POLL_S = 0.5


def visit(
    cluster: Cluster,
    target: Applied,
    port: int,
    act: Callable[[Object, Way], None],
    *,
    most: int,
    heed: Callable[[], None] = lambda: None,
    listen_on: str = LOOPBACK,
) -> int:
    """`act` on up to `most` pods, one after another; how many there were. What it raises counts
    only while its pod is there: one that goes meanwhile (a scale-down, an eviction) proves
    nothing, and another is asked in its place. Raises TunnelError where no way leads to a pod, and
    what `heed` does, which is called before each."""
    asked: set[str] = set()
    good = 0
    gone: FerryError | None = None
    while good < most:
        heed()
        pod = _next(cluster, target, asked, wait_s=_SUCCESSOR_S if gone and not good else 0.0)
        if pod is None:
            break
        asked.add(_uid(pod))
        try:
            with way(cluster, pod, port, listen_on) as found:
                act(pod, found)
            good += 1
        except FerryError as error:
            if now(cluster, pod) is not None:
                raise
            log.warning("pod %s went away while it was asked", pod["metadata"]["name"])
            gone = error
    if gone and not good:
        raise gone
    return good


def _next(
    cluster: Cluster, target: Applied, asked: Collection[str], *, wait_s: float
) -> Object | None:
    until = time.monotonic() + wait_s
    while True:
        for pod in find(cluster, target):
            if _uid(pod) not in asked:
                return pod
        if time.monotonic() >= until or target.resource == PODS:
            return None
        time.sleep(_POLL_S)


def find(cluster: Cluster, target: Applied) -> tuple[Object, ...]:
    """The ready ones; where none is ready, those that run."""
    live = cluster.get(target.resource, target.body["metadata"]["name"], target.namespace)
    if live is None:
        return ()
    pods, _ = cluster.list(PODS, target.namespace)
    sets = ()
    if target.resource.kind == "Deployment":
        sets, _ = cluster.list(REPLICA_SETS, target.namespace)
    found = current_pods(live, pods, sets)
    running = tuple(pod for pod in found if pod.get("status", {}).get("phase") == "Running")
    return tuple(pod for pod in running if is_true(pod, "Ready")) or running


def now(cluster: Cluster, pod: Object) -> Object | None:
    """The same pod as it is now; None when it has gone, or is about to."""
    live = cluster.get(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
    if live is None or _uid(live) != _uid(pod) or "deletionTimestamp" in live["metadata"]:
        return None
    return None if live.get("status", {}).get("reason") in _TAKEN_AWAY else live


_TAKEN_AWAY = ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown")


@contextmanager
def way(cluster: Cluster, pod: Object, port: int, listen_on: str = LOOPBACK) -> Iterator[Way]:
    """Raises TunnelError where port-forward is closed, and the pod proxy, too."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    try:
        tunnel = cluster.tunnel(name, namespace, port, listen_on=listen_on)
    except TunnelError as error:
        log.warning("%s; asking through the API server's pod proxy", error.what)
        with cluster.pod_proxy(name, namespace, port, after=error, listen_on=listen_on) as proxy:
            yield proxy
        return
    with tunnel:
        yield tunnel


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])
