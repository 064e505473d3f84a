"""Room that pods on their way out still hold: in a quota, on a node, of ports. What is to take it
has its grace from when they are gone. Pure; time is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from modelferry.rollout.watching.trouble import NEVER, Trouble

Object = Mapping[str, Any]

LOOK_AGAIN_S = 1.0
_STAYS_S = 60.0  # so long after its time a pod is stuck, and nobody waits for it
_RETRY_S = 5.0


@dataclass(slots=True)
class Room:
    """Of one namespace."""

    _began: float | None = None
    _ended: float | None = None

    def look(self, pods: Iterable[Object], now: float, unix_s: float) -> None:
        if any(_is_leaving(pod, unix_s) for pod in pods):
            if self._began is None or self._ended is not None:
                self._began, self._ended = now, None
        elif self._began is not None and self._ended is None:
            self._ended = now

    def mind(self, trouble: Trouble) -> Trouble:
        """With the grace that it has as long as there will be more room by itself."""
        if self._began is None or not trouble.waits_for_room or trouble.grace_s == NEVER:
            return trouble
        if self._ended is None:
            return replace(trouble, grace_s=NEVER)
        if trouble.is_unscheduled:
            return trouble  # the scheduler tries again at once
        # a controller pauses as long again as it has been refused, before it tries once more
        grace_s = max(trouble.grace_s, self._ended - self._began + _RETRY_S)
        return replace(trouble, grace_s=grace_s)

    @property
    def is_awaited(self) -> bool:
        return self._began is not None and self._ended is None


def _is_leaving(pod: Object, unix_s: float) -> bool:
    leaves_at = pod["metadata"].get("deletionTimestamp")  # its time to end is in it
    if leaves_at is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    return unix_s < datetime.fromisoformat(leaves_at).timestamp() + _STAYS_S
