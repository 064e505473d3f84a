"""Everything seen of one rollout so far, and what it means now. Fed by watch.py, asks nobody.

Time is handed in, so that every verdict can be told again from a list of objects and moments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modelferry.cluster.resources import EVENTS, PODS, REPLICA_SETS, Resource
from modelferry.rollout import ownership, trouble
from modelferry.rollout.changes import Placed
from modelferry.rollout.podspec import containers, images, pod_spec
from modelferry.rollout.readiness import is_complete, state, watched
from modelferry.rollout.running_image import Digests
from modelferry.rollout.states import Done, Failed, State, Waiting
from modelferry.rollout.trouble import Trouble

Object = Mapping[str, Any]

SETTLE_S = 10.0  # so long a container without a readiness probe must be seen running
_OLD_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An object that was applied, and what the API server made of it."""

    placed: Placed
    body: Object

    @property
    def label(self) -> str:
        return self.placed.label

    @property
    def key(self) -> str:
        """Tells apart what two namespaces call the same."""
        return f"{self.namespace}/{self.label}"

    @property
    def resource(self) -> Resource:
        return self.placed.resource

    @property
    def namespace(self) -> str | None:
        return self.placed.namespace

    @property
    def runs_pods(self) -> bool:
        return bool(pod_spec(self.body)) and self.resource.kind != "CronJob"

    @property
    def is_watched(self) -> bool:
        return watched(self.resource.api_version, self.resource.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A trouble and the object that has it."""

    target: Applied
    trouble: Trouble
    pod: Object | None  # None: it is the target's own
    is_final: bool = False  # it has stood for its grace

    @property
    def cause(self) -> str:
        if self.pod is None or self.target.resource == PODS:
            return f"{self.target.label}: {self.trouble.cause}"
        return f"pod {self.pod['metadata']['name']} ({self.target.label}): {self.trouble.cause}"


@dataclass(slots=True)
class Board:
    targets: Sequence[Applied]
    by_tag: Mapping[str, str] = field(default_factory=dict)  # image → the digest it must be
    old_pods: AbstractSet[str] = frozenset()  # uids of those that were there before the apply
    checked: Collection[str] = ()  # keys of those whose pods `checks` will ask afterwards
    epoch_s: float = 0.0  # Unix time where the clock of `now` has its zero
    _objects: dict[tuple[Resource, str | None], dict[str, Object]] = field(default_factory=dict)
    _events: dict[str, Object] = field(default_factory=dict)  # newest of each involved uid
    _pulled: set[tuple[str, str]] = field(default_factory=set)
    _autoscaled: set[str] = field(default_factory=set)
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict)
    _running_since: dict[str, float] = field(default_factory=dict)  # of container ids

    def replace(self, resource: Resource, namespace: str | None, listed: Iterable[Object]) -> None:
        if resource == EVENTS:
            for event in listed:  # they may be of an earlier rollout, but for those of new pods
                self._hear_of_pull(event)
        else:
            self._objects[resource, namespace] = {body["metadata"]["uid"]: body for body in listed}

    def put(self, resource: Resource, namespace: str | None, kind: str, body: Object) -> None:
        """One watch event: ADDED, MODIFIED or DELETED."""
        known = self._objects.setdefault((resource, namespace), {})
        if resource == EVENTS:
            self._hear(body)
        elif kind != "DELETED":
            known[body["metadata"]["uid"]] = body
        elif resource.kind != "Job" or not is_complete(body):  # it may be set to clear itself away
            known.pop(body["metadata"]["uid"], None)

    def _hear(self, event: Object) -> None:
        self._hear_of_pull(event)
        about = event.get("involvedObject", {}).get("uid", "")
        if trouble.is_autoscaled(event):
            self._autoscaled.add(about)
        elif trouble.of_event(event):
            self._events[about] = event
        elif trouble.is_healed_by(event):
            self._events.pop(about, None)

    def _hear_of_pull(self, event: Object) -> None:
        about = event.get("involvedObject", {}).get("uid", "")
        pulled = trouble.pulled_image(event)
        if pulled and about not in self.old_pods:
            self._pulled.add(pulled)

    @property
    def _digests(self) -> Digests:
        return Digests(by_tag=self.by_tag, pulled=self._pulled, old_pods=self.old_pods)

    def live(self, target: Applied) -> Object | None:
        name = target.body["metadata"]["name"]
        for body in self._all(target.resource, target.namespace):
            if body["metadata"]["name"] == name:
                return body
        return None

    def pods(self, target: Applied) -> tuple[Object, ...]:
        """Those of the current template that are not going away."""
        live = self.live(target)
        if live is None or not target.runs_pods:
            return ()
        pods = self._all(PODS, target.namespace)
        return ownership.current_pods(live, pods, self._all(REPLICA_SETS, target.namespace))

    def _all(self, resource: Resource, namespace: str | None) -> Collection[Object]:
        return self._objects.get((resource, namespace), {}).values()

    def state(self, target: Applied, now: float) -> State:
        if not target.is_watched:
            return Done()
        pods = self.pods(target)
        found = state(target.body, self.live(target), pods, self._digests)
        if isinstance(found, Done) and self._settles(target, pods, now):
            message = f"it has no readiness probe: watched running for {SETTLE_S:.0f} s"
            return Waiting(message=message, figures=found.figures)
        return found

    def _settles(self, target: Applied, pods: Sequence[Object], now: float) -> bool:
        """A pod without a readiness probe counts as ready before its program has done anything."""
        if target.key in self.checked or target.resource.kind == "Job":
            return False
        since = [now - SETTLE_S]
        for pod in pods:
            if pod["status"].get("phase") == "Succeeded":
                continue
            probed = {c.name for c in containers(pod) if "readinessProbe" in c.body}
            for status in pod["status"].get("containerStatuses") or ():
                running = status.get("state", {}).get("running")
                if status["name"] in probed or (running and self._is_old(running, now)):
                    continue
                known = self._running_since.setdefault(status.get("containerID", ""), now)
                since.append(known if running else now)
        return max(since) > now - SETTLE_S

    def _is_old(self, running: Mapping[str, Any], now: float) -> bool:
        """Started long ago by the node's clock, which may differ from ours by some seconds."""
        started = datetime.fromisoformat(running["startedAt"]).timestamp()
        return now + self.epoch_s - started > _OLD_S

    def findings(self, now: float) -> tuple[Finding, ...]:
        """Every trouble that stands. Call it at every change and every second: `is_final` tells
        how long each has been standing."""
        standing: dict[tuple[str, str], Finding] = {}
        for target in self.targets:
            found = self.state(target, now)
            if isinstance(found, Failed):
                failed = Trouble(cause=found.reason, grace_s=0)
                standing[target.key, ""] = Finding(target=target, trouble=failed, pod=None)
            elif isinstance(found, Waiting):
                standing |= self._troubles(target)
        self._first_seen = {key: self._first_seen.get(key, now) for key in standing}
        return tuple(
            replace(finding, is_final=now - self._first_seen[key] >= finding.trouble.grace_s)
            for key, finding in standing.items()
        )

    def _troubles(self, target: Applied) -> dict[tuple[str, str], Finding]:
        live = self.live(target)
        if live is None:
            return {}
        found: dict[tuple[str, str], Finding] = {}
        for pod in self.pods(target):
            uid = pod["metadata"]["uid"]
            seen = trouble.of_pod(pod, restarts_are_counted_elsewhere=live["kind"] == "Job")
            if seen is None and pod.get("status", {}).get("phase") == "Pending":
                seen = self._said_of(uid)
            seen = seen or trouble.of_image(pod, images(live), self._digests)
            if seen and not (uid in self._autoscaled and "fits no node" in seen.cause):
                key = (uid, seen.container or "pod")
                found[key] = Finding(target=target, trouble=seen, pod=pod)
        owner = trouble.of_owner(live)
        for uid in ownership.owner_uids(live, self._all(REPLICA_SETS, target.namespace)):
            owner = owner or (self._said_of(uid) if live["kind"] != "Pod" else None)
        if owner:
            found[target.key, "owner"] = Finding(target=target, trouble=owner, pod=None)
        return found

    def _said_of(self, uid: str) -> Trouble | None:
        event = self._events.get(uid)
        return trouble.of_event(event) if event else None
