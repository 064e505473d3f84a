"""Kinds that we know nothing of: many have a controller of their own, and tell by a condition
whether they are ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.rollout.objects.conditions import condition, observed_generation, text
from modelferry.rollout.watching.states import Done, State, Waiting

Object = Mapping[str, Any]

# Kinds of these groups have no Ready or Available condition to wait for (workloads aside).
_STATIC_GROUPS = frozenset(
    (
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "autoscaling",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "gateway.networking.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    )
)
_READY = ("Ready", "Available")


def may_tell(group: str) -> bool:
    return group not in _STATIC_GROUPS


def state(live: Object) -> State:
    for said in _told(live):
        if is_behind(live.get("status", {}), live) or is_behind(said, live):
            return Waiting(message="its controller has not seen the change yet")
        if said.get("status") != "True":
            return Waiting(message=f"{said['type']} is {said.get('status')}: {text(said)}")
    return Done()


def has_spoken(applied: Object, live: Object) -> bool:
    """Its controller has said since the apply whether it is ready. A condition that counts no
    generations may be of before, unless the status was written since."""
    told = _told(live)
    counts = any(observed_generation(said) is not None for said in (*told, live.get("status", {})))
    return bool(told) and (counts or live.get("status") != applied.get("status"))


def _told(live: Object) -> tuple[Object, ...]:
    return tuple(found for name in _READY if (found := condition(live, name)))


def is_behind(said: Object, live: Object) -> bool:
    """`said` is a condition or a status."""
    seen = observed_generation(said)
    return seen is not None and seen < live["metadata"].get("generation", 0)
