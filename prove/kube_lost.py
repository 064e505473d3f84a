"""From when on nothing can save a deploy, by what the cluster shows of pods and their makers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelferry.rollout.watching.running_image import container_statuses

IsLost = Callable[[Sequence[Mapping[str, Any]]], bool]


def waits(reason: str) -> IsLost:
    return lambda found: any(
        status.get("state", {}).get("waiting", {}).get("reason") == reason
        for body in found
        for status in container_statuses(body)
    )


def exited(times: int) -> IsLost:
    return lambda found: any(
        status["restartCount"] + 1 >= times
        and "running" not in status["state"]
        and ("terminated" in status["state"] or status.get("lastState"))
        for body in found
        for status in container_statuses(body)
    )


def has(condition: str, status: str = "True") -> IsLost:
    return lambda found: any(
        entry["type"] == condition and entry["status"] == status
        for body in found
        for entry in body.get("status", {}).get("conditions") or ()
    )


def runs(found: Sequence[Mapping[str, Any]]) -> bool:
    return any(body.get("status", {}).get("phase") == "Running" for body in found)


def never(_: Sequence[Mapping[str, Any]]) -> bool:
    """Refused before anything is written."""
    return False
