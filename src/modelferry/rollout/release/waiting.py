"""Waiting for the Lease of a release: the newest of those that wait gets it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError
from modelferry.progress import heartbeat
from modelferry.rollout import apply
from modelferry.rollout.release import claim
from modelferry.rollout.release.claim import BEAT_S, LIFE_S, NEXT, RUN, Claim
from modelferry.rollout.release.lease import Hold, Superseded
from modelferry.rollout.release.stale import Intent

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_POLL_S = 0.5
_LONG_AGO = timedelta(hours=1)  # no two clocks that TLS and tokens work with are so far apart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Somebody's last sign of life."""

    who: Claim
    stamp: str
    since: float
    has_changed: bool


def take(
    cluster: Cluster,
    release: str,
    namespace: str,
    intent: Intent,
    *,
    wait_s: float,
    allow_older: bool = False,
) -> Hold | None:
    """Waits for its turn. None, with a word in the log, where there is no right to leases or no
    namespace yet. Raises Superseded when a newer run holds it or waits for it."""
    path = (lease_name(release), namespace)
    waiter = _Waiter(cluster, path, Claim.of(intent), allow_older)
    try:
        return waiter.wait(wait_s)
    except Refused as refused:
        if refused.code == 404:
            log.info("namespace %s is not there yet: nothing keeps two runs apart", namespace)
            return None
        if refused.code != 403:
            raise
        log.warning("nothing keeps two runs of one release apart: %s", refused.message)
        return None


def lease_name(release: str) -> str:
    return f"modelferry.{release}"


class _Waiter:
    def __init__(
        self, cluster: Cluster, path: tuple[str, str], mine: Claim, allow_older: bool
    ) -> None:
        self._cluster, self._path, self._mine = cluster, path, mine
        self._allow_older = allow_older
        self._seen: dict[str, _Seen] = {}  # the holder and the one that waits
        self._beat_at: float | None = None  # when we last said that we wait
        self._holder = ""

    def wait(self, wait_s: float) -> Hold:
        try:
            with heartbeat(lambda: f"waiting for {self._holder} to be done with this release"):
                self._wait(time.monotonic() + wait_s, wait_s)
        except BaseException:
            self._step_back()
            raise
        return Hold(self._cluster, self._path, self._mine, yields=not self._allow_older)

    def _wait(self, deadline: float, wait_s: float) -> None:
        while True:
            lease = self._cluster.get(LEASES, *self._path)
            if self._try(lease):
                return
            holder = claim.holder(lease) if lease else None
            self._holder = holder.intent.name if holder else "another run"
            if time.monotonic() > deadline:
                raise _still_held(self._holder, self._path, wait_s)
            time.sleep(_POLL_S)

    def _try(self, lease: Object | None) -> bool:
        if lease is None:
            return self._create()
        holder, waiting = claim.holder(lease), claim.waiting(lease)
        if holder and not self._lives("holder", holder, claim.renewed(lease)):
            holder = None
        if waiting == self._mine or (
            waiting and not self._lives("next", waiting, claim.beat(lease))
        ):
            waiting = None
        if holder and self._is_newer(holder):
            if self._seen["holder"].has_changed:
                raise _won(holder.intent, self._mine.intent)
            return False  # it shows in a moment that it lives, or it does not
        if waiting and self._is_newer(waiting):
            if self._seen["next"].has_changed:
                raise _won(waiting.intent, self._mine.intent)
            return False  # it takes the lease in a moment, or it is no more
        if holder:
            self._stand_by(lease, waiting)
            return False
        return self._replace(lease)

    def _is_newer(self, other: Claim) -> bool:
        return not self._allow_older and self._mine.intent.is_older_than(other.intent)

    def _lives(self, role: str, who: Claim, stamp: str) -> bool:
        """Its sign of life changes within its life."""
        now = time.monotonic()
        seen = self._seen.get(role)
        if seen is None or seen.who != who:
            seen = _Seen(who=who, stamp=stamp, since=now, has_changed=False)
        elif seen.stamp != stamp:
            seen = _Seen(who=who, stamp=stamp, since=now, has_changed=True)
        self._seen[role] = seen
        return now - seen.since < LIFE_S and (seen.has_changed or claim.age(stamp) < _LONG_AGO)

    def _create(self) -> bool:
        body = claim.lease(self._path, self._mine)
        try:
            apply.make(self._cluster, LEASES, body, self._path[1])
        except Refused as refused:
            if refused.code != 409:
                raise
            # also when the first answer to our own creation got lost
            lease = self._cluster.get(LEASES, *self._path)
            return lease is not None and claim.holder(lease) == self._mine
        return True

    def _replace(self, lease: Object) -> bool:
        annotations = lease["metadata"].get("annotations") or {}
        mine = (annotations.get(NEXT) or "").startswith(str(self._mine))
        kept = {key: value for key, value in annotations.items() if key != NEXT or not mine}
        operations = [
            {"op": "test", "path": "/spec", "value": lease.get("spec") or {}},
            {"op": "add", "path": "/spec", "value": claim.spec(self._mine)},
            {
                "op": "add",
                "path": "/metadata/annotations",
                "value": kept | {RUN: str(self._mine.intent)},
            },
        ]
        return self._amend(operations)

    def _stand_by(self, lease: Object, waiting: Claim | None) -> None:
        """Says that we wait, unless one does whom we cannot call older."""
        if waiting and not waiting.intent.is_older_than(self._mine.intent):
            return
        if self._beat_at is not None and time.monotonic() - self._beat_at < BEAT_S:
            return
        annotations = lease["metadata"].get("annotations") or {}
        said = self._amend(
            [
                {"op": "test", "path": "/metadata/annotations", "value": annotations},
                {
                    "op": "add",
                    "path": "/metadata/annotations",
                    "value": {**annotations, NEXT: f"{self._mine} {claim.now()}"},
                },
            ]
        )
        if said:
            self._beat_at = time.monotonic()

    def _step_back(self) -> None:
        """Whoever comes later shall not wait for us."""
        if self._beat_at is None:
            return
        try:
            lease = self._cluster.get(LEASES, *self._path)
            annotations = (lease or {"metadata": {}})["metadata"].get("annotations") or {}
            if annotations.get(NEXT, "").startswith(str(self._mine)):
                path = "/metadata/annotations/" + NEXT.replace("/", "~1")
                self._amend(
                    [
                        {"op": "test", "path": path, "value": annotations[NEXT]},
                        {"op": "remove", "path": path},
                    ]
                )
        except FerryError as error:
            log.debug("still named as waiting: %s", error.what)

    def _amend(self, operations: Sequence[Object]) -> bool:
        try:
            apply.amend(self._cluster, LEASES, *self._path, operations)
        except Refused as refused:
            if refused.code not in (404, 409, 422):
                raise
            lease = self._cluster.get(LEASES, *self._path)
            return lease is not None and claim.holder(lease) == self._mine
        return True


def _won(winner: Intent, mine: Intent) -> Superseded:
    return Superseded(
        f"{winner.name} is newer than {mine.name} and deploys the same release: it goes first",
        seen="Nothing was written by this run.",
        do="Nothing, or set `allow-older: true` if it is this one that you want.",
    )


def _still_held(holder: str, path: tuple[str, str], wait_s: float) -> RolloutError:
    return RolloutError(
        f"{holder} still deploys this release after {wait_s:.0f} s",
        seen=f"It holds the lease {path[0]} in namespace {path[1]} and renews it.",
        do="Wait for it to end, or cancel it, and run again.",
    )
