"""Pods that keep a StatefulSet from ever replacing them: it waits for each to be ready first, and
one of a template that was wrong never will be ("forced rollback" in the manual). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.objects.ownership import owner_uid

Object = Mapping[str, Any]


def may_be(live: Object) -> bool:
    """Of those that go in order and replace their pods themselves."""
    spec = live.get("spec") or {}
    return (
        (live["apiVersion"], live["kind"]) == ("apps/v1", "StatefulSet")
        and spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        and spec.get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
    )


def is_observed(live: Object) -> bool:
    """Its status tells which revision its template is."""
    generation = live["metadata"].get("generation", 0)
    return live.get("status", {}).get("observedGeneration", -1) >= generation


def pods(live: Object, found: Iterable[Object]) -> tuple[Object, ...]:
    """Those of another revision that are not ready, as far as the update reaches."""
    revision = live["status"].get("updateRevision")
    rolling: Object = live["spec"].get("updateStrategy", {}).get("rollingUpdate") or {}
    return tuple(
        pod
        for pod in found
        if owner_uid(pod) == live["metadata"]["uid"]
        and pod["metadata"].get("labels", {}).get("controller-revision-hash") != revision
        and "deletionTimestamp" not in pod["metadata"]
        and _ordinal(pod) >= rolling.get("partition", 0)
        and not is_true(pod, "Ready")
    )


def _ordinal(pod: Object) -> int:
    number = pod["metadata"]["name"].rpartition("-")[2]
    return int(number) if number.isdigit() else 0
