"""Whose replicas an autoscaler minds: those are left as they are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER, Cluster
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.placed import Placed, with_body
from modelferry.rollout.objects.field_managers import is_yielding, taken_over
from modelferry.rollout.objects.fields import at, with_value, without

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_VERSIONS = ("autoscaling/v2", "autoscaling/v1")
_KIND = "HorizontalPodAutoscaler"
_PATH = ("spec", "replicas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaled:
    """Keys of objects."""

    targeted: frozenset[str]  # by an autoscaler of this very set or of the cluster
    unknown: frozenset[str]  # the autoscalers of the cluster may not be listed

    def may_be(self, key: str) -> bool:
        return key in self.targeted or key in self.unknown


def look(cluster: Cluster, objects: Sequence[Placed], going: Collection[str] = ()) -> Autoscaled:
    """`going`: uids of what will be gone when these objects are applied."""
    namespaces = {placed.namespace for placed in objects if _can_be_scaled(placed)}
    listed = {namespace: _in_cluster(cluster, namespace) for namespace in namespaces}
    return autoscaled(objects, listed, going)


def autoscaled(
    objects: Sequence[Placed],
    listed: Mapping[str | None, Sequence[Object] | None],
    going: Collection[str] = (),
) -> Autoscaled:
    """`listed`: the autoscalers by namespace; None where that was refused. Pure."""
    able = [placed for placed in objects if _can_be_scaled(placed)]
    wanted = {_target(p.namespace, p.manifest.kind, p.manifest.name): p.key for p in able}
    found = {_target_of(p.namespace, p.body) for p in objects if p.resource.kind == _KIND}
    for namespace, bodies in listed.items():
        staying = (body for body in bodies or () if body["metadata"]["uid"] not in going)
        found |= {_target_of(namespace, body) for body in staying}
    return Autoscaled(
        targeted=frozenset(wanted[target] for target in found if target in wanted),
        unknown=frozenset(placed.key for placed in able if listed.get(placed.namespace) is None),
    )


def _can_be_scaled(placed: Placed) -> bool:
    return placed.resource.group == "apps" or "replicas" in (placed.body.get("spec") or {})


def _in_cluster(cluster: Cluster, namespace: str | None) -> Sequence[Object] | None:
    resource = next(filter(None, (cluster.resource(v, _KIND) for v in _VERSIONS)), None)
    if resource is None:
        return ()
    try:
        return cluster.list(resource, namespace)[0]
    except Refused as refused:  # who has scaled it can be seen in the object, too
        log.debug("autoscalers cannot be listed: %s", refused.message)
        return None


def _target_of(namespace: str | None, autoscaler: Object) -> tuple[str, str, str]:
    reference: Object = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return _target(namespace, str(reference.get("kind")), str(reference.get("name")))


def _target(namespace: str | None, kind: str, name: str) -> tuple[str, str, str]:
    return (namespace or "", kind, name)


def left_alone(placed: Placed, live: Object | None, keys: Collection[str]) -> Placed:
    """Without `replicas` where somebody else has set them; with those that it has where only we
    did: a field that its last owner no longer applies falls back to its default, 1. With them,
    too, where nobody has yet, or they are ours to set: so a way back knows what to return to. Pure.
    """
    current = at(live, _PATH)
    if placed.key not in keys or live is None or current is None:
        return placed
    managed = live["metadata"].get("managedFields") or ()
    entries = taken_over(managed, live["apiVersion"]) or managed
    owners = {
        str(entry.get("manager"))
        for entry in entries
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    }
    others = owners - {FIELD_MANAGER}
    is_named = at(placed.body, _PATH) is not None
    if not others or (is_named and all(map(is_yielding, others))):
        return with_body(placed, with_value(placed.body, _PATH, current))
    return with_body(placed, without(placed.body, _PATH)) if is_named else placed
