"""A namespace that is being deleted is told at once: nothing new is made in it, no controller says
why, and what is in it stays until its pods have ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import NAMESPACES
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutFailed

log = logging.getLogger("modelferry.rollout")

_EVERY_S = 2.0


class NamespaceGoes(RolloutFailed):
    namespace: str = ""


class Grounds:
    """Asks for the namespaces beside the watch, and `tell`s of one that goes, once. Without the
    right to ask, what is watched is seen to go."""

    def __init__(
        self,
        cluster: Cluster,
        names: Collection[str],
        tell: Callable[[RolloutFailed], None],
        every_s: float = _EVERY_S,
    ) -> None:
        self._cluster, self._names, self._tell = cluster, names, tell
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="namespaces", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _work(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                going = next(filter(None, map(self._going, self._names)), None)
            except FerryError as error:
                if isinstance(error, Refused) and error.code == 403:
                    return
                log.debug("namespaces not seen: %s", error.what)
                continue
            if going:
                self._tell(going)
                return

    def _going(self, name: str) -> RolloutFailed | None:
        found = self._cluster.get(NAMESPACES, name, None)
        if found is None or "deletionTimestamp" not in found["metadata"]:
            return None  # of one that is gone the watches tell
        error = NamespaceGoes(
            f"namespace {name} is being deleted",
            seen=f"since {found['metadata']['deletionTimestamp']}; nothing new is made in it",
            do="Find who deletes it; wait until it is gone, make it anew, and run again.",
        )
        error.namespace = name
        return error
