"""What looks done may only look so: when it may be believed. Pure; time is handed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from modelferry.rollout.objects.podspec import containers
from modelferry.rollout.watching import condemned
from modelferry.rollout.watching.condemned import Kill
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.other_kinds import has_spoken
from modelferry.rollout.watching.readiness import is_known
from modelferry.rollout.watching.running_image import container_statuses

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A pod, and what its liveness and startup probes did, by the container's name."""

    pod: Object
    kills: Mapping[str, Kill] = field(default_factory=dict)
    doubts: Mapping[str, datetime] = field(default_factory=dict)  # the last failure


# So long a container without a readiness probe must be seen running, and a controller may be
# silent that has something to say.
SETTLE_S = 10.0
_PERIOD_S = 10  # of a probe that names none
_LONGEST_PERIOD_S = 30.0
_PROBE_S = 3.0  # for the probe itself, and the word of it
_OLD_S = 60.0
_LONG_RUN = timedelta(minutes=5)  # what went well for so long has not failed at its start


@dataclass(slots=True)
class Settling:
    checked: Collection[str]  # keys of those whose pods `checks` will ask afterwards
    epoch_s: float  # Unix time where the clock of `now` has its zero
    _running_since: dict[str, float] = field(default_factory=dict)  # of container ids
    _failed_at: dict[tuple[str, datetime], float] = field(default_factory=dict)  # as we saw it
    _silent_since: dict[str, float] = field(default_factory=dict)  # by the target's key

    def ends(
        self, target: Applied, live: Object, pods: Sequence[Probed], now: float
    ) -> tuple[float, str]:
        """When, and what is waited for until then."""
        if not is_known(live):
            if has_spoken(target.body, live) or not target.is_changed:
                return now, ""
            since = self._silent_since.setdefault(target.key, now)
            return since + SETTLE_S, "its controller has said nothing of it yet"
        if target.resource.kind == "Job":
            return now, ""
        ends = max((self._outlives(probed, now) for probed in pods), default=now)
        if ends > now:
            return ends, "a probe had one of its containers killed: it is to last longer this time"
        ends = max((self._is_probed_again(probed, now) for probed in pods), default=now)
        if ends > now:
            return ends, "a liveness probe has failed: what the next one says is waited for"
        asked = target.key in self.checked
        ends = max((self._has_run(probed.pod, now, asked=asked) for probed in pods), default=now)
        return ends, f"it has no readiness probe: watched running for {SETTLE_S:.0f} s"

    def _outlives(self, probed: Probed, now: float) -> float:
        """After a restart all looks well for as long as it did before it."""
        ends = now
        for status in container_statuses(probed.pod):
            name, running = status["name"], status.get("state", {}).get("running")
            kill = probed.kills.get(name)
            if not kill or not running:
                continue
            if timedelta() < (well := condemned.lived(kill, status)) < _LONG_RUN:
                since = self._running_since.setdefault(status.get("containerID", ""), now)
                if self._is_old(running, now):
                    since = _unix(running) - self.epoch_s
                ends = max(ends, since + well.total_seconds() + SETTLE_S)
        return ends

    def _is_probed_again(self, probed: Probed, now: float) -> float:
        """A program that starts slowly fails its first one; where it asks in the wrong place, each
        fails, and Kubernetes kills what a readiness probe calls ready."""
        ends = now
        specs = {container.name: container.body for container in containers(probed.pod)}
        for status in container_statuses(probed.pod):
            name, running = status["name"], status.get("state", {}).get("running")
            failed = probed.doubts.get(name)
            if not failed or not running or failed < datetime.fromisoformat(running["startedAt"]):
                continue
            if now + self.epoch_s - failed.timestamp() > _OLD_S:
                continue
            probe = specs.get(name, {}).get("livenessProbe") or {}
            period_s = min(probe.get("periodSeconds") or _PERIOD_S, _LONGEST_PERIOD_S)
            seen = self._failed_at.setdefault((status.get("containerID", ""), failed), now)
            ends = max(ends, seen + period_s + _PROBE_S)
        return ends

    def _has_run(self, pod: Object, now: float, *, asked: bool) -> float:
        """Without a readiness probe it counts as ready before its program has done anything. A
        check (`asked`) sees that it has, and not what a liveness probe may make of it."""
        if pod["status"].get("phase") == "Succeeded":
            return now
        ends = now
        proven = {
            c.name
            for c in containers(pod)
            if "readinessProbe" in c.body or (asked and "livenessProbe" not in c.body)
        }
        for status in pod["status"].get("containerStatuses") or ():
            running = status.get("state", {}).get("running")
            if status["name"] in proven or (running and self._is_old(running, now)):
                continue
            known = self._running_since.setdefault(status.get("containerID", ""), now)
            ends = max(ends, (known if running else now) + SETTLE_S)
        return ends

    def _is_old(self, running: Object, now: float) -> bool:
        """Started long ago by the node's clock, which may differ from ours by some seconds."""
        return now + self.epoch_s - _unix(running) > _OLD_S


def _unix(running: Object) -> float:
    return datetime.fromisoformat(running["startedAt"]).timestamp()
