"""Everything seen of one rollout so far, and what it means now. Fed by watch.py, asks nobody.

Time is handed in, so that every verdict can be told again from a list of objects and moments.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from modelferry.cluster.resources import EVENTS, PODS, REPLICA_SETS, Resource
from modelferry.rollout.objects import ownership, stuck
from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.objects.podspec import images
from modelferry.rollout.watching import claims, condemned, trouble
from modelferry.rollout.watching.event_log import EventLog
from modelferry.rollout.watching.findings import Applied, Finding, Judgement
from modelferry.rollout.watching.inventory import Inventory
from modelferry.rollout.watching.readiness import has_succeeded, is_observed, state
from modelferry.rollout.watching.room import LOOK_AGAIN_S, Room
from modelferry.rollout.watching.running_image import Digests, container_statuses
from modelferry.rollout.watching.settling import Probed, Settling
from modelferry.rollout.watching.states import Done, Failed, State, Waiting
from modelferry.rollout.watching.trouble import Trouble

Object = Mapping[str, Any]

_BACK_OFF_S = 330.0  # a kubelet tries again after five minutes at the latest


@dataclass(slots=True)
class Board:
    targets: Sequence[Applied]
    by_tag: Mapping[str, str] = field(default_factory=dict)  # image → the digest it must be
    old_pods: AbstractSet[str] = frozenset()  # uids of those that were there before the apply
    checked: Collection[str] = ()  # keys of those whose pods `checks` will ask afterwards
    epoch_s: float = 0.0  # Unix time where the clock of `now` has its zero
    kills: int = condemned.TIMES  # by a probe, of one container, that end the wait
    _seen: Inventory = field(default_factory=Inventory)
    _events: EventLog = field(init=False)
    _judged: dict[str, Judgement] = field(default_factory=dict)  # by the target's key
    _stale: set[str] = field(default_factory=set)  # uids of which something was heard
    _all_stale: bool = True
    _old_troubles: dict[str, frozenset[str]] = field(default_factory=dict)
    _pulls: dict[str, dict[str, int]] = field(default_factory=dict)  # pod → container → refusals
    _rooms: dict[str | None, Room] = field(default_factory=dict)  # by namespace
    _settling: Settling = field(init=False)

    def __post_init__(self) -> None:
        self._settling = Settling(checked=self.checked, epoch_s=self.epoch_s)
        self._events = EventLog(old_pods=self.old_pods)

    # What is heard

    def replace(self, resource: Resource, namespace: str | None, listed: Iterable[Object]) -> None:
        self._all_stale = True
        if resource == EVENTS:
            self._events.replace(namespace, listed)
            return
        place, now_there = (resource, namespace), tuple(listed)
        gone = [body for body in self._seen.all(place) if has_succeeded(body)]
        for body in now_there:
            self._count_pulls(resource, body)
        self._seen.replace(place, (*gone, *now_there))

    def put(self, resource: Resource, namespace: str | None, kind: str, body: Object) -> None:
        """One watch event: ADDED, MODIFIED or DELETED."""
        if resource == EVENTS:
            self._hear(namespace, kind, body)
        elif kind != "DELETED":
            self._count_pulls(resource, body)
            self._seen.put((resource, namespace), body)
        elif not has_succeeded(body):
            self._seen.remove((resource, namespace), body)
        self._touch(namespace, body["metadata"].get("uid"))
        self._touch(namespace, ownership.owner_uid(body))

    def _hear(self, namespace: str | None, kind: str, event: Object) -> None:
        if kind == "DELETED":
            return  # it has only grown old
        known = len(self._events.pulled)
        self._events.put(event)
        about = event.get("involvedObject", {})
        is_claim = about.get("kind") == "PersistentVolumeClaim"
        self._all_stale |= is_claim or known < len(self._events.pulled)
        self._touch(namespace, about.get("uid"))
        if pod := self._seen.of_uid((PODS, namespace), about.get("uid", "")):
            self._touch(namespace, ownership.owner_uid(pod))

    def _touch(self, namespace: str | None, uid: str | None) -> None:
        """Something of this object was heard, which tells of those that own it, too."""
        if uid is None:
            return
        self._stale.add(uid)
        if replica_set := self._seen.of_uid((REPLICA_SETS, namespace), uid):
            self._touch(namespace, ownership.owner_uid(replica_set))

    def _count_pulls(self, resource: Resource, body: Object) -> None:
        if resource != PODS:
            return
        uid = body["metadata"]["uid"]
        before = self._seen.of_uid((PODS, body["metadata"].get("namespace")), uid) or {}
        asked = {status["name"] for status in container_statuses(before) if _is_refused(status)}
        for status in container_statuses(body):
            if _is_refused(status) and status["name"] not in asked:
                counts = self._pulls.setdefault(uid, {})
                counts[status["name"]] = counts.get(status["name"], 0) + 1

    # What it means

    def judge(self, now: float) -> tuple[tuple[Applied, Judgement], ...]:
        """Call it at every change and every second: graces run out without an event."""
        stale, self._stale = self._stale, set()
        everything, self._all_stale = self._all_stale, False
        for target in self.targets:
            known = self._judged.get(target.key)
            live = self.live(target)
            uid = live["metadata"]["uid"] if live else target.body["metadata"]["uid"]
            if everything or known is None or uid in stale or now >= known.until:
                self._judged[target.key] = self._judge(target, known, now)
        return tuple((target, self._judged[target.key]) for target in self.targets)

    def findings(self, now: float) -> tuple[Finding, ...]:
        """Every trouble that stands, of all targets."""
        return tuple(finding for _, found in self.judge(now) for finding in found.findings)

    def state(self, target: Applied, now: float) -> State:
        return next(found.state for judged, found in self.judge(now) if judged is target)

    def live(self, target: Applied) -> Object | None:
        return self._seen.named((target.resource, target.namespace), target.name)

    def pods(self, target: Applied) -> tuple[Object, ...]:
        """Those of the current template that are not going away."""
        live = self.live(target)
        if live is None or not target.runs_pods:
            return ()
        if target.resource == PODS:
            return ownership.current_pods(live, (live,), ())
        owners = self._owned(REPLICA_SETS, target, live) if live["kind"] == "Deployment" else ()
        pods = [pod for owner in (live, *owners) for pod in self._owned(PODS, target, owner)]
        return ownership.current_pods(live, pods, owners)

    def unready(self, target: Applied) -> tuple[tuple[Object, str], ...]:
        """Pods of the current template, with what their probes said last."""
        return tuple(
            (pod, self._events.probe_of(pod["metadata"]["uid"]))
            for pod in self.pods(target)
            if not is_true(pod, "Ready")
        )

    def _owned(self, resource: Resource, target: Applied, owner: Object) -> tuple[Object, ...]:
        return self._seen.owned_by((resource, target.namespace), owner["metadata"]["uid"])

    def _judge(self, target: Applied, known: Judgement | None, now: float) -> Judgement:
        if not target.is_watched:
            return Judgement(state=Done())
        if not self._seen.has_seen((target.resource, target.namespace)):
            return Judgement(state=Waiting(message="the cluster has not shown it yet"))
        pods = self.pods(target)
        digests = Digests(by_tag=self.by_tag, pulled=self._events.pulled, old_pods=self.old_pods)
        live = self.live(target)
        found = state(target.body, live, pods, digests, asked=target.placed.body)
        settles_at, why = now, ""
        if isinstance(found, Done) and any(self._condemned(pod) for pod in pods):
            found = Waiting(message="a probe has condemned what runs", figures=found.figures)
        elif isinstance(found, Done):
            probed = [self._probed(pod) for pod in pods]
            settles_at, why = self._settling.ends(target, live or {}, probed, now)
        if settles_at > now:
            found = Waiting(message=why, figures=found.figures)
        room = self._room(target, now)
        standing = tuple(
            replace(finding, trouble=room.mind(finding.trouble))
            for finding in self._standing(target, found, pods, digests)
        )
        if target.ran_before:
            standing = self._patiently(target, standing)
        before = known.first_seen if known else {}
        first_seen = {finding.key: before.get(finding.key, now) for finding in standing}
        look_again = now + LOOK_AGAIN_S if standing and room.is_awaited else math.inf
        ends = [first_seen[finding.key] + finding.trouble.grace_s for finding in standing]
        return Judgement(
            state=found,
            findings=tuple(
                replace(finding, is_final=now >= end)
                for finding, end in zip(standing, ends, strict=True)
            ),
            first_seen=first_seen,
            until=min(end for end in (settles_at, look_again, *ends) if end > now),
        )

    def _probed(self, pod: Object) -> Probed:
        uid = pod["metadata"]["uid"]
        return Probed(pod=pod, kills=self._events.kills_of(uid), doubts=self._events.doubts_of(uid))

    def _room(self, target: Applied, now: float) -> Room:
        found = self._rooms.setdefault(target.namespace, Room())
        found.look(self._seen.all((PODS, target.namespace)), now, now + self.epoch_s)
        return found

    def _patiently(self, target: Applied, standing: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Nothing of it was changed, so what troubled it at first sight may heal by what was."""
        causes = frozenset(found.cause for found in standing)
        old = self._old_troubles.setdefault(target.key, causes)
        return tuple(_with_time(found) if found.cause in old else found for found in standing)

    def _standing(
        self, target: Applied, found: State, pods: Sequence[Object], digests: Digests
    ) -> Iterator[Finding]:
        live = self.live(target)
        if isinstance(found, Failed):
            failed = Trouble(cause=found.reason, grace_s=0)
            yield Finding(target=target, trouble=failed, pod=None)
        if not isinstance(found, Waiting) or live is None or not is_observed(live):
            return  # not observed: its pods are still those of the template before
        for pod in pods:
            seen = self._of_pod(pod, live) or trouble.of_image(pod, images(live), digests)
            if seen:
                yield Finding(target=target, trouble=seen, pod=pod)
        for pod in self._stuck(target, live):
            held = trouble.of_stuck(pod, self._of_pod(pod, live))
            yield Finding(target=target, trouble=held, pod=pod)
        if owner := self._of_owner(target, live):
            yield Finding(target=target, trouble=owner, pod=None)

    def _stuck(self, target: Applied, live: Object) -> tuple[Object, ...]:
        return stuck.pods(live, self._owned(PODS, target, live)) if stuck.may_be(live) else ()

    def _of_pod(self, pod: Object, live: Object) -> Trouble | None:
        uid, is_job = pod["metadata"]["uid"], live["kind"] == "Job"
        pulls = self._pulls.get(uid, {})
        seen = trouble.of_pod(pod, pulls=pulls, restarts_are_counted_elsewhere=is_job)
        if seen and seen.crashed and self._events.has_failed_hook(uid):
            seen = replace(seen, cause=f"{seen.cause}: its postStart hook failed", crashed=False)
        killed = None if is_job else self._condemned(pod)
        if killed and (seen is None or killed.grace_s <= seen.grace_s):
            return killed
        if seen is None:
            if pod.get("status", {}).get("phase") != "Pending":
                return None
            return self._events.trouble_of(uid) or claims.refused(self._events.of_claims(pod))
        if seen.is_unscheduled:
            if self._events.is_autoscaled(uid):
                return replace(seen, grace_s=trouble.NEVER)
            return claims.unbound(pod, seen, self._events.of_claims(pod))
        return seen

    def _condemned(self, pod: Object) -> Trouble | None:
        uid = pod["metadata"]["uid"]
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return None  # that speaks for itself
        kills, said = self._events.kills_of(uid), self._events.probe_of(uid)
        found = (
            condemned.trouble_of(kill, status, said, times=self.kills)
            for status in container_statuses(pod)
            if (kill := kills.get(status["name"]))
        )
        return next(filter(None, found), None)

    def _of_owner(self, target: Applied, live: Object) -> Trouble | None:
        if live["kind"] == "Pod":
            return None
        if live["kind"] == "Deployment":
            sets = self._owned(REPLICA_SETS, target, live)
            told = map(trouble.of_owner, ownership.current_replica_sets(live, sets))
            return next(filter(None, told), None)
        return trouble.of_owner(live) or self._events.trouble_of(live["metadata"]["uid"])


def _with_time(finding: Finding) -> Finding:
    grace_s = max(finding.trouble.grace_s, _BACK_OFF_S)
    return replace(finding, trouble=replace(finding.trouble, grace_s=grace_s))


def _is_refused(status: Mapping[str, Any]) -> bool:
    return trouble.asks_for_image(status)
