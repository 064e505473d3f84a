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
from modelferry.rollout.changes import autoscaling
from modelferry.rollout.changes.decide import Action, Change, settled
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.refusals import when_it_counted
from modelferry.rollout.objects import stuck
from modelferry.rollout.objects.field_managers import conflicts, is_made_by_us, taken_over
from modelferry.rollout.objects.fields import with_value
from modelferry.rollout.objects.leftovers import leftover
from modelferry.rollout.watching.findings import Applied
from modelferry.values import format_names

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
    deadline: float,
    made: set[str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Applied, ...]:
    """In the order given. `made` learns the uid of each object that was not there before. Until
    `deadline` (of `clock`) an API server that is away is waited for, and what must go before its
    successor can come."""
    cluster = cluster.on(until=deadline)
    applied: list[Applied] = []
    for change in changes:
        try:
            if change.action is Action.REPLACE and change.live is not None:
                log.info("deleting %s to replace it", change.placed.label)
                remove(cluster, change.placed, change.live, deadline, sleep=sleep, clock=clock)
            body = _apply(cluster, change, sleep, clock)
        except Refused as refused:
            cluster.terms.permit()  # it may be a newer run's object by now
            raise when_it_counted(change.placed, refused) from refused
        is_new = change.live is None or change.action is Action.REPLACE
        if made is not None and is_new and is_made_by_us(body):  # somebody may have come before us
            made.add(body["metadata"]["uid"])
        is_changed = change.action is not Action.UNCHANGED
        if is_changed:
            log.info("applied: %s", change)
        applied.append(Applied(placed=change.placed, body=body, is_changed=is_changed))
    if kept := [entry.label for entry in applied if not entry.is_changed]:
        log.info("applied: leave %s", format_names(kept))
    return tuple(applied)


def _apply(
    cluster: Cluster, change: Change, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Object:
    until = clock() + _SETTLE_S
    fresh = change.action in (Action.CREATE, Action.UNCHECKED, Action.REPLACE)
    while True:
        try:
            return _write(cluster, change)
        except Refused as refused:
            passes = _has_moved(refused) or (fresh and _NOT_YET.search(refused.message))
            if not passes or clock() > until:
                raise
            sleep(_POLL_S)


def _write(cluster: Cluster, change: Change) -> Object:
    """On the very version that was read, where there is one: what was held back on its way, and
    comes after a newer run has written, is refused."""
    placed = change.placed
    live = None
    if change.live is not None and change.action is not Action.REPLACE:
        live = _taken_over(cluster, placed)
    try:
        return cluster.apply(
            placed.resource, _on(placed.body, live), placed.namespace, force=change.force
        )
    except Refused as refused:
        if live is None or not conflicts(refused):
            raise
        # an autoscaler may have come after the dry run
        is_autoscaled = autoscaling.look(cluster, [placed]).may_be(placed.key)
        placed, force = settled(placed, live, refused, is_autoscaled=is_autoscaled)
    return cluster.apply(placed.resource, _on(placed.body, live), placed.namespace, force=force)


def _on(body: Object, live: Object | None) -> Object:
    if live is None:
        return body
    return with_value(body, ("metadata", "resourceVersion"), live["metadata"]["resourceVersion"])


def _has_moved(refused: Refused) -> bool:
    """Somebody has written since we read it."""
    return refused.code == 409 and refused.reason == "Conflict" and not conflicts(refused)


def _taken_over(cluster: Cluster, placed: Placed) -> Object | None:
    """What is there, with the fields of the tools before us among ours."""
    live = cluster.get(placed.resource, placed.manifest.name, placed.namespace)
    managed = live["metadata"].get("managedFields") if live else None
    unfit = leftover(placed.body, live) if live else None  # ours, it goes with the apply
    ours = taken_over(managed or (), placed.manifest.api_version, unfit)
    if live is None or ours is None:
        return live
    version = live["metadata"]["resourceVersion"]
    operations = [
        {"op": "replace", "path": "/metadata/managedFields", "value": ours},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]
    return cluster.patch(placed.resource, placed.manifest.name, placed.namespace, operations)


def begin_to_remove(cluster: Cluster, placed: Placed, live: Object) -> None:
    uid = live["metadata"]["uid"]
    cluster.delete(placed.resource, placed.manifest.name, placed.namespace, uid=uid)


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
    begin_to_remove(cluster, placed, live)
    name, uid = placed.manifest.name, live["metadata"]["uid"]
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
