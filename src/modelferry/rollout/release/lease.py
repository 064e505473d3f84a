"""One run at a time writes to a release: a Lease in its namespace, which lives on only by being
renewed. Of several runs that wait for it, the newest gets it, and the others are told.

Every step is a JSON Patch that tests what it replaces, so that of two runs one is refused. Whether
a holder still lives is judged by what changes before our eyes, never by comparing two clocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES
from modelferry.cluster.terms import WRITTEN_S
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError
from modelferry.rollout import apply
from modelferry.rollout.release import claim
from modelferry.rollout.release.claim import BEAT_S, LIFE_S, Claim
from modelferry.rollout.release.stale import Intent

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_RELEASE_S = 3.0  # after a cancel there are five seconds for everything
RENEWAL_S = 5.0  # one that takes longer is begun anew, and counts from then
# A write that begins within this time of a renewal is known to be done, or not to come, before
# anybody else may take the lease. Five seconds are for what we do not see.
WRITABLE_S = LIFE_S - WRITTEN_S - 5.0


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
        self._renewing = cluster.on(tries=1, write_s=RENEWAL_S)
        self._yields = yields
        self._renewed = time.monotonic()
        self._stop = threading.Event()
        self._lost = ""
        self._heard: tuple[Claim, str] | None = None  # who waits, and its last sign of life
        self._newer: Intent | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Before each write, and each try of it. Raises Superseded when the lease is another's by
        now, and an error that may heal while nobody can tell whose it is."""
        if self._stop.is_set():
            raise RolloutError("the lease of this release was given back: nothing more is written")
        if time.monotonic() - self._renewed > WRITABLE_S:
            self._renew()  # we were stopped, or the cluster was away
        if self._lost:
            raise _lost_to(self._mine.intent, self._lost)
        if time.monotonic() - self._renewed > WRITABLE_S:
            raise RolloutError(
                f"the lease {self._path[0]} is not renewed in time to write", temporary=True
            )

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
                lease = apply.amend(self._renewing, LEASES, *self._path, operations)
            except Refused as refused:
                lease = self._regained(refused)
            if lease is not None:
                self._renewed = asked_at
                self._hear(claim.waiting(lease), claim.beat(lease))

    def _regained(self, refused: Refused) -> Object | None:
        """The lease may be another's, or gone; an API server that starts may say so of one that is
        ours. None: it is lost, or the next renewal will tell."""
        if refused.code == 404:
            body = claim.lease(self._path, self._mine)
            try:
                return apply.make(self._renewing, LEASES, body, self._path[1])
            except Refused as second:
                if second.code != 409:
                    raise
                return None  # it is there
        if refused.code != 422:
            raise refused
        lease = self._renewing.get(LEASES, *self._path)
        if lease and claim.holder(lease) != self._mine:
            winner = claim.holder(lease)
            last = winner.intent if winner else claim.last(lease)
            self._lost = last.name if last else "somebody else"
        return None

    def _hear(self, waiting: Claim | None, beat: str) -> None:
        """One that waited and was killed does not count: it gives no sign of life any more."""
        before, self._heard = self._heard, (waiting, beat) if waiting else None
        if waiting and before and before[0] == waiting and before[1] != beat:
            if self._mine.intent.is_older_than(waiting.intent):
                self._newer = waiting.intent
        else:
            self._newer = None


def _lost_to(mine: Intent, holder: str) -> Superseded:
    return Superseded(
        f"{mine.name} lost its turn to {holder}: it could not renew its lease in time",
        seen=f"The lease lives {LIFE_S:.0f} s; this run was stopped or cut off for longer.",
        do="Look at what the other run deployed; run again if this one is still wanted.",
    )
