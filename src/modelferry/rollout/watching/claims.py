"""What the events of its claims say of a pod that waits for a volume. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from modelferry.rollout.watching.trouble import NEVER, Trouble

Object = Mapping[str, Any]

# A volume of the same manifests is bound when the controller looks again, after 15 s.
_GRACE_S = 20.0
_HOPELESS = re.compile(
    r"storageclass\S* \S+ not found|no storage class is set|no volume plugin matched", re.IGNORECASE
)
_REFUSED = ("FailedBinding", "ProvisioningFailed")


def names(pod: Object) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        if name := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield name


def refused(events: Mapping[str, Object]) -> Trouble | None:
    """`events`: the last one of each claim, by its name."""
    for name, event in events.items():
        if event.get("reason") in _REFUSED:
            said = _message(event)
            return Trouble(
                cause=f"claim {name} cannot be bound: {said}",
                grace_s=_GRACE_S if _HOPELESS.search(said) else NEVER,
            )
    return None


def unbound(pod: Object, unscheduled: Trouble, events: Mapping[str, Object]) -> Trouble:
    """A pod fits no node before its claims are bound, which takes a provisioner its time."""
    if "unbound" not in unscheduled.cause:
        return unscheduled
    if found := refused(events):
        return replace(found, grace_s=min(found.grace_s, unscheduled.grace_s))
    waiting = {name: event for name, event in events.items() if not _is_bound(event)}
    said = "; ".join(f"claim {name} is not bound: {_message(waiting[name])}" for name in waiting)
    told = said or f"claim {', '.join(names(pod))} is not bound, and nobody says why"
    return replace(unscheduled, cause=told, grace_s=NEVER)


def _is_bound(event: Object) -> bool:
    return event.get("reason") == "ProvisioningSucceeded"


def _message(event: Object) -> str:
    return " ".join(event.get("message", "").split())
