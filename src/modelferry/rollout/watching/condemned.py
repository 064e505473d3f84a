"""A container that its own liveness or startup probe has given up. Kubernetes calls it running, and
ready, until its grace period is over; only an event says that it is about to be killed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from modelferry.rollout.watching.trouble import NEVER, Trouble

Object = Mapping[str, Any]

TIMES = 2  # a first one may only have started too slowly for its probe
_DOUBT = re.compile(r"Liveness probe (failed|errored)")
_FIELD = re.compile(r"spec\.\w+\{(.+)\}")
_CONDEMNED = re.compile(r"Container (\S+) failed (liveness|startup) probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The last one of a container, by its node's clock, which dates its runs as well."""

    container: str
    probe: str
    times: int
    at: datetime

    def is_meant_for(self, run: Object | None) -> bool:
        """It began before: what began later is the next one."""
        began = (run or {}).get("startedAt")
        return bool(began) and datetime.fromisoformat(began) < self.at


def kill_of(event: Object, moment: str) -> Kill | None:
    found = _CONDEMNED.match(event.get("message", "")) if event.get("reason") == "Killing" else None
    if found is None or not moment:
        return None
    return Kill(
        container=found[1],
        probe=found[2],
        times=event.get("count") or 1,
        at=datetime.fromisoformat(moment),
    )


def doubted(event: Object) -> str:
    """The container whose liveness probe has failed just now; else empty."""
    is_failure = event.get("reason") == "Unhealthy" and _DOUBT.match(event.get("message", ""))
    about = _FIELD.fullmatch(event.get("involvedObject", {}).get("fieldPath", ""))
    return about[1] if is_failure and about else ""


def trouble_of(kill: Kill, status: Object, said: str, *, times: int = TIMES) -> Trouble | None:
    """None once the run after it has begun. `said`: by the pod's probes, last."""
    state = status.get("state", {})
    run = state.get("running") or state.get("terminated")
    if not kill.is_meant_for(run or status.get("lastState", {}).get("terminated")):
        return None
    often = "" if kill.times == 1 else f" for the {_nth(kill.times)} time"
    words = f": {said}" if said else ""
    return Trouble(
        cause=f"container {kill.container} failed its {kill.probe} probe and is killed{often}"
        + words,
        grace_s=0 if kill.times >= times else NEVER,
        container=kill.container,
        condemned=True,
    )


def lived(kill: Kill, status: Object) -> timedelta:
    """How long the run before this one went well; the next one has to go well for longer."""
    before = status.get("lastState", {}).get("terminated") or {}
    if not kill.is_meant_for(before):
        return timedelta()
    return kill.at - datetime.fromisoformat(before["startedAt"])


def _nth(times: int) -> str:
    return {2: "second", 3: "third"}.get(times, f"{times}th")
