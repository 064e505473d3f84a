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
_LONGEST_WAIT_S = 30.0
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
        ends = max((self._is_alive(probed, now) for probed in pods), default=now)
        if ends > now:
            return ends, "what its liveness probe says is waited for"
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

    def _is_alive(self, probed: Probed, now: float) -> float:
        """Kubernetes kills what a readiness probe calls ready, if its liveness probe asks in the
        wrong place. One that asks elsewhere must have had its turn, and after one that failed, as
        that of a program that starts slowly does, the next."""
        ends = now
        specs = {container.name: container.body for container in containers(probed.pod)}
        for status in container_statuses(probed.pod):
            spec, run = specs.get(status["name"], {}), status.get("containerID", "")
            probe, running = spec.get("livenessProbe"), status.get("state", {}).get("running")
            if not probe or not running:
                continue
            period_s = probe.get("periodSeconds") or _PERIOD_S
            if asks_elsewhere(spec) and not self._is_old(running, now):
                first_s = min(period_s + (probe.get("initialDelaySeconds") or 0), _LONGEST_WAIT_S)
                since = self._running_since.setdefault(run, now)
                ends = max(ends, since + first_s + _PROBE_S)
            failed = probed.doubts.get(status["name"])
            if failed and failed.timestamp() >= max(_unix(running), now + self.epoch_s - _OLD_S):
                seen = self._failed_at.setdefault((run, failed), now)
                ends = max(ends, seen + min(period_s, _LONGEST_WAIT_S) + _PROBE_S)
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


def asks_elsewhere(container: Object) -> bool:
    """Whether its liveness probe asks another port or runs another command than its readiness
    probe does; of one without a readiness probe nothing is said."""
    readiness, liveness = (container.get(f"{kind}Probe") for kind in ("readiness", "liveness"))
    if not readiness or not liveness:
        return False
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
    return _asked_of(readiness, ports) != _asked_of(liveness, ports)


def _asked_of(probe: Object, ports: Mapping[Any, int]) -> object:
    """A port, or a command."""
    for way in ("httpGet", "tcpSocket", "grpc"):
        if asked := probe.get(way):
            return ports.get(asked.get("port"), asked.get("port"))
    return (probe.get("exec") or {}).get("command")


def _unix(running: Object) -> float:
    return datetime.fromisoformat(running["startedAt"]).timestamp()
