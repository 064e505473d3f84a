"""Whose replicas an autoscaler minds: those are left as they are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER, Cluster
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.placed import Placed, with_body
from modelferry.rollout.objects.field_managers import taken_over
from modelferry.rollout.objects.fields import with_value, without

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_VERSIONS = ("autoscaling/v2", "autoscaling/v1")
_KIND = "HorizontalPodAutoscaler"
_PATH = ("spec", "replicas")


def scaled(cluster: Cluster, objects: Sequence[Placed]) -> frozenset[str]:
    """Keys of the objects that an autoscaler of this very set or of the cluster targets."""
    able = [placed for placed in objects if "replicas" in (placed.body.get("spec") or {})]
    owned = [p for p in objects if p.resource.group == "apps" and p not in able]
    wanted = {_target(p.namespace, p.manifest.kind, p.manifest.name): p.key for p in able + owned}
    found = {_target_of(p.namespace, p.body) for p in objects if p.resource.kind == _KIND}
    for namespace in {placed.namespace for placed in able + owned}:
        found |= set(_in_cluster(cluster, namespace))
    return frozenset(wanted[target] for target in found if target in wanted)


def _in_cluster(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str, str]]:
    resource = next(filter(None, (cluster.resource(v, _KIND) for v in _VERSIONS)), None)
    if resource is None:
        return
    try:
        listed, _ = cluster.list(resource, namespace)
    except Refused as refused:  # who has scaled it can be seen in the object, too
        log.debug("autoscalers cannot be listed: %s", refused.message)
        return
    yield from (_target_of(namespace, body) for body in listed)


def _target_of(namespace: str | None, autoscaler: Object) -> tuple[str, str, str]:
    reference: Object = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return _target(namespace, str(reference.get("kind")), str(reference.get("name")))


def _target(namespace: str | None, kind: str, name: str) -> tuple[str, str, str]:
    return (namespace or "", kind, name)


def left_alone(placed: Placed, live: Object | None, keys: Collection[str]) -> Placed:
    """Without `replicas` where somebody else has set them; with those that it has where only we
    did: a field that its last owner no longer applies falls back to its default, 1. Pure."""
    if placed.key not in keys or live is None:
        return placed
    managed = live["metadata"].get("managedFields") or ()
    entries = taken_over(managed, live["apiVersion"]) or managed
    owners = {
        entry.get("manager")
        for entry in entries
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    }
    if owners == {FIELD_MANAGER}:
        return with_body(placed, with_value(placed.body, _PATH, live["spec"].get("replicas", 1)))
    if "replicas" in (placed.body.get("spec") or {}):
        return with_body(placed, without(placed.body, _PATH))
    return placed
