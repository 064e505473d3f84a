"""The only module that writes to a cluster: carries out Changes, and keeps our own records."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS, Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import RolloutError
from modelferry.progress import heartbeat
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.objects import stuck
from modelferry.rollout.objects.field_managers import taken_over
from modelferry.rollout.watching.board import Applied

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_POLL_S = 0.3
_SETTLE_S = 15.0
# What controllers make a moment after their cause: the account of a new namespace, a new kind.
_NOT_YET = re.compile(
    r"serviceaccount .* not found|namespaces .* not found|could not find the requested resource"
    r"|page not found",
    re.DOTALL,
)


def carry_out(
    cluster: Cluster,
    changes: Sequence[Change],
    *,
    timeout_s: float,
    check: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Applied, ...]:
    """In the order given. `timeout_s` is for what must go before its successor can come; `check`
    raises when it is no longer our turn to write."""
    deadline = clock() + timeout_s
    applied: list[Applied] = []
    for change in changes:
        check()
        if change.action is Action.REPLACE and change.live is not None:
            log.info("deleting %s to replace it", change.placed.label)
            remove(cluster, change.placed, change.live, deadline, sleep=sleep, clock=clock)
            check()
        elif change.live is not None:
            _take_over(cluster, change.placed)
        body = _apply(cluster, change, sleep, clock)
        log.info("applied: %s", change)
        applied.append(Applied(placed=change.placed, body=body))
    return tuple(applied)


def _apply(
    cluster: Cluster, change: Change, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Object:
    placed = change.placed
    until = clock() + _SETTLE_S
    while True:
        try:
            return cluster.apply(placed.resource, placed.body, placed.namespace, force=change.force)
        except Refused as refused:
            fresh = change.action in (Action.CREATE, Action.UNCHECKED, Action.REPLACE)
            if not fresh or not _NOT_YET.search(refused.message) or clock() > until:
                raise
            sleep(_POLL_S)


def _take_over(cluster: Cluster, placed: Placed) -> None:
    """Refused as a whole when somebody writes in between, and then tried on the new state."""
    for attempt in range(3):
        live = cluster.get(placed.resource, placed.manifest.name, placed.namespace)
        managed = live["metadata"].get("managedFields") if live else None
        ours = taken_over(managed or (), placed.manifest.api_version)
        if live is None or ours is None:
            return
        version = live["metadata"]["resourceVersion"]
        operations = [
            {"op": "replace", "path": "/metadata/managedFields", "value": ours},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ]
        try:
            cluster.patch(placed.resource, placed.manifest.name, placed.namespace, operations)
        except Refused as refused:
            if refused.code != 409 or attempt == 2:
                raise
        else:
            return


def remove(
    cluster: Cluster,
    placed: Placed,
    live: Object,
    deadline: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """This very object; returns when it is gone."""
    uid = live["metadata"]["uid"]
    name = placed.manifest.name
    cluster.delete(placed.resource, name, placed.namespace, uid=uid)
    with heartbeat(lambda: f"waiting for the old {placed.label} to be gone"):
        while True:
            found = cluster.get(placed.resource, name, placed.namespace)
            if found is None or found["metadata"]["uid"] != uid:
                return
            if clock() > deadline:
                raise _stays(placed, found)
            sleep(_POLL_S)


def unstick(
    cluster: Cluster,
    applied: Sequence[Applied],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Deletes the pods that a StatefulSet would wait for in vain before it replaces them."""
    until = clock() + _SETTLE_S
    for entry in applied:
        live: Object | None = entry.body
        while live and stuck.may_be(live) and not stuck.is_observed(live) and clock() < until:
            sleep(_POLL_S)
            live = cluster.get(entry.resource, entry.placed.manifest.name, entry.namespace)
        if not live or not stuck.may_be(live) or not stuck.is_observed(live):
            continue
        try:
            found, _ = cluster.list(PODS, entry.namespace)
            for pod in stuck.pods(live, found):
                name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
                log.info("deleting pod %s: %s waits for it in vain", name, entry.label)
                cluster.delete(PODS, name, entry.namespace, uid=uid)
        except Refused as refused:
            if refused.code != 403:
                raise
            log.warning("%s may wait in vain for its old pods: %s", entry.label, refused.message)


def _stays(placed: Placed, found: Object) -> RolloutError:
    finalizers = ", ".join(found["metadata"].get("finalizers") or ()) or "none"
    return RolloutError(
        f"{placed.label} was deleted, and is still there",
        seen=f"deletionTimestamp {found['metadata'].get('deletionTimestamp')},"
        f" finalizers: {finalizers}",
        do="Look at what holds it (a finalizer, a node that does not answer), or raise `timeout`.",
    )


# Our own bookkeeping: the history and the lease of a release


def make(cluster: Cluster, resource: Resource, body: Object, namespace: str) -> Object:
    """Refused with 409 when there is one: of several, one caller wins."""
    return cluster.create(resource, body, namespace)


def amend(
    cluster: Cluster,
    resource: Resource,
    name: str,
    namespace: str,
    operations: Sequence[Object],
) -> Object:
    """Refused with 422 when a `test` among them fails."""
    return cluster.patch(resource, name, namespace, operations)


def keep(cluster: Cluster, resource: Resource, body: Object, namespace: str) -> Object:
    """All of it; what it had before and `body` has not goes."""
    return cluster.apply(resource, body, namespace, force=True)
