"""One run at a time writes to a release: a Lease in its namespace, which lives on only by being
renewed. Of several runs that wait for it, the newest gets it, and the others are told.

Every step is a JSON Patch that tests what it replaces, so that of two runs one is refused. Whether
a holder still lives is judged by what changes before our eyes, never by comparing two clocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError
from modelferry.rollout import apply
from modelferry.rollout.release import claim
from modelferry.rollout.release.claim import BEAT_S, LIFE_S, Claim
from modelferry.rollout.release.stale import Intent

log = logging.getLogger("modelferry.rollout")


_RELEASE_S = 3.0  # after a cancel there are five seconds for everything


def within(limit_s: float, act: Callable[[], None]) -> None:
    """Waits no longer than that for something that need not come to its end."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(limit_s)


class Superseded(RolloutError):
    """A newer run of the same release is here: the cluster is its to change."""


class Hold:
    """The lease, held. `check` before every write; `release` at the end, whatever happens."""

    def __init__(
        self, cluster: Cluster, path: tuple[str, str], mine: Claim, *, yields: bool
    ) -> None:
        self._cluster, self._path, self._mine = cluster, path, mine
        self._yields = yields
        self._renewed = time.monotonic()
        self._stop = threading.Event()
        self._lost = ""
        self._heard: tuple[Claim, str] | None = None  # who waits, and its last sign of life
        self._newer: Intent | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        return bool(self._lost)

    def check(self) -> None:
        """Raises Superseded when the lease is another's by now."""
        if time.monotonic() - self._renewed > LIFE_S / 2:
            self._renew()  # we were stopped, or the cluster was away
        if self._lost:
            raise _lost_to(self._mine.intent, self._lost)

    def heed(self) -> None:
        """To be called while nothing is written. Raises Superseded, also when a newer run waits."""
        if self._lost:
            raise _lost_to(self._mine.intent, self._lost)
        if self._newer and self._yields:
            raise Superseded(
                f"{self._newer.name} is newer than {self._mine.intent.name} and goes on from here",
                seen="Both deploy the same release; the newer one waits for this one.",
                do="Nothing: what the newer run deploys is what was wanted last.",
            )

    def release(self) -> None:
        self._stop.set()
        if self._lost:
            return
        operations = [
            {"op": "test", "path": "/spec/holderIdentity", "value": str(self._mine)},
            {"op": "replace", "path": "/spec/holderIdentity", "value": ""},
        ]

        def let_go() -> None:
            try:
                apply.amend(self._cluster, LEASES, *self._path, operations)
            except FerryError as error:
                log.warning("the lease %s is left to run out: %s", self._path[0], error.what)

        within(_RELEASE_S, let_go)

    def _keep_alive(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                self._renew()
            except FerryError as error:
                log.debug("lease not renewed: %s", error.what)

    def _renew(self) -> None:
        with self._lock:
            if self._stop.is_set() or self._lost:
                return
            operations = [
                {"op": "test", "path": "/spec/holderIdentity", "value": str(self._mine)},
                {"op": "replace", "path": "/spec/renewTime", "value": claim.now()},
            ]
            asked_at = time.monotonic()
            try:
                lease = apply.amend(self._cluster, LEASES, *self._path, operations)
            except Refused as refused:
                if refused.code not in (404, 422):
                    raise
                # an API server that starts says for a moment that there is none
                if refused.code == 422 or asked_at - self._renewed > LIFE_S / 2:
                    self._lost = self._holder()
                return
            self._renewed = asked_at
            self._hear(claim.waiting(lease), claim.beat(lease))

    def _hear(self, waiting: Claim | None, beat: str) -> None:
        """One that waited and was killed does not count: it gives no sign of life any more."""
        before, self._heard = self._heard, (waiting, beat) if waiting else None
        if waiting and before and before[0] == waiting and before[1] != beat:
            if self._mine.intent.is_older_than(waiting.intent):
                self._newer = waiting.intent
        else:
            self._newer = None

    def _holder(self) -> str:
        lease = self._cluster.get(LEASES, *self._path)
        holder = claim.holder(lease) if lease else None
        return holder.intent.name if holder else "somebody who deleted it"


def _lost_to(mine: Intent, holder: str) -> Superseded:
    return Superseded(
        f"{mine.name} lost its turn to {holder}: it could not renew its lease in time",
        seen=f"The lease lives {LIFE_S:.0f} s; this run was stopped or cut off for longer.",
        do="Look at what the other run deployed; run again if this one is still wanted.",
    )
