"""How objects were at work before the first write: ready, at their end, and from which images.

Fields alone do not bring that back: a tag may have moved, and a Job that is made anew runs again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS, REPLICA_SETS
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.objects import ownership, podspec
from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.watching.readiness import state
from modelferry.rollout.watching.running_image import Digests, container_statuses
from modelferry.rollout.watching.states import Done, Waiting
from modelferry.values import ImageRef

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_REPLACES_PODS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    ready: bool = True
    ended: bool = False  # a Job or Pod that has done its work, or failed at it
    digests: Mapping[str, str] = field(default_factory=dict)  # by container, where a tag is written


def look(cluster: Cluster, planned: Sequence[Change], repository: str) -> Mapping[str, AtWork]:
    """By key. `repository`: the one whose tags may be moved by a release (registry/repository)."""
    there = [(change.placed, change.live) for change in planned if change.live is not None]
    namespaces = {placed.namespace for placed, live in there if _by_tag(live, repository)}
    pods: list[Object] = []
    sets: list[Object] = []
    try:
        for namespace in namespaces:
            pods += cluster.list(PODS, namespace)[0]
            sets += cluster.list(REPLICA_SETS, namespace)[0]
    except Refused as refused:
        log.warning("what runs by tag cannot be looked at: %s", refused.message)
    return {
        placed.key: at_work(live, ownership.current_pods(live, pods, sets), repository)
        for placed, live in there
    }


def at_work(live: Object, pods: Iterable[Object], repository: str) -> AtWork:
    """`pods` are those of its current template. Pure."""
    ready = [pod for pod in pods if is_true(pod, "Ready")]
    digests: dict[str, str] = {}
    for name in _by_tag(live, repository):
        found = {_running(pod, name, repository) for pod in ready}
        if len(found) == 1 and (digest := found.pop()):
            digests[name] = digest
    return AtWork(ready=_is_ready(live), ended=_has_ended(live), digests=digests)


def _by_tag(live: Object, repository: str) -> list[str]:
    return [
        container.name
        for container in podspec.containers(live)
        if container.image and "@" not in container.image and _name(container.image) == repository
    ]


def _name(image: str) -> str:
    try:
        return ImageRef.parse(image).name
    except ValueError:
        return ""


def _running(pod: Object, container: str, repository: str) -> str:
    """Empty where the runtime does not say, or calls it by another repository's manifest."""
    for status in container_statuses(pod):
        name, _, digest = str(status.get("imageID", "")).rpartition("@")
        if status["name"] == container and _name(name) == repository:
            return digest
    return ""


def _is_ready(live: Object) -> bool:
    """As far as the object itself says."""
    found = state(live, live, (), Digests())
    if not isinstance(found, Waiting):
        return isinstance(found, Done)
    replaces = live["kind"] in _REPLACES_PODS
    figures = found.figures if replaces else found.figures[-1:]
    if replaces and live.get("status", {}).get("replicas", 0) > live["spec"].get("replicas", 1):
        return False  # it was in the midst of a rollout
    return bool(figures) and all(figure.value >= figure.of for figure in figures)


def _has_ended(live: Object) -> bool:
    if live["kind"] == "Job":
        return is_true(live, "Complete") or is_true(live, "Failed")
    phase = live.get("status", {}).get("phase")
    return live["kind"] == "Pod" and phase in ("Succeeded", "Failed")
