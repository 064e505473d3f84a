"""One kind in one namespace, kept in sight: a list, a watch from there, and a list anew after
whatever breaks. Trouble of the connection is no verdict on what is watched."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS
from modelferry.cluster.transport import Refused
from modelferry.cluster.watch import Watch
from modelferry.errors import FerryError, IdentityError
from modelferry.rollout.watching.inventory import Place

log = logging.getLogger("modelferry.rollout")

_PAUSE_S = 1.0  # before what broke is begun anew
_LONGEST_PAUSE_S = 15.0  # whatever Retry-After says
_LIST_S = 10.0
# An API server that starts refuses what it will grant: its own caches are not filled yet.
_DOUBT_S = 30.0
_DOUBTFUL = (403, 404)
_GONE = 410  # the version to go on from is too old


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """`list` brings all there is as of a moment after `asked_at`; `event` brings one change."""

    place: Place
    kind: Literal["list", "event", "refused"]
    content: Any = None
    event_type: str = ""
    asked_at: float = 0.0


class Feed:
    def __init__(
        self,
        cluster: Cluster,
        place: Place,
        news: queue.SimpleQueue[News],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self.broken_since: float | None = None
        self.why_broken = ""
        self._cluster, self._news, self._clock = cluster, news, clock
        self._stopped = threading.Event()
        self._asked = threading.Event()  # for a list
        self._watch: Watch | None = None
        self._listed_at = -math.inf
        name = f"watch {place[0].plural}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self.look_again()

    def look_again(self) -> None:
        """A list follows, whatever the watch believes."""
        self._asked.set()
        if watch := self._watch:
            watch.stop()

    def _work(self) -> None:
        try:
            self._run()
        except Exception as bug:  # noqa: BLE001 - else the run would wait for a thread that is gone
            self._news.put(News(place=self.place, kind="refused", content=bug))

    def _run(self) -> None:
        version = ""
        while not self._stopped.is_set():
            try:
                if not version or self._asked.is_set():
                    version = self._list()
                else:
                    version = self._follow(version)
                self.broken_since = None
            except FerryError as error:
                version = ""
                if not self._bear(error):
                    return
                self._stopped.wait(self._pause(error))

    def _list(self) -> str:
        self._asked.clear()
        asked_at = self._clock()
        listed, version = self._cluster.list(*self.place, tries=1, read_s=_LIST_S)
        self._news.put(News(place=self.place, kind="list", content=listed, asked_at=asked_at))
        self._listed_at = asked_at
        return version

    def _follow(self, version: str) -> str:
        began = self._clock()
        self._watch = watch = self._cluster.watch(*self.place, version)
        if not self._asked.is_set():  # else its stop may have come too early for this watch
            for event_type, body in watch:
                self._news.put(
                    News(place=self.place, kind="event", event_type=event_type, content=body)
                )
        if self._clock() - began < _PAUSE_S:  # something closes each stream that is opened
            self._asked.wait(_PAUSE_S)
        return watch.version

    def _bear(self, error: FerryError) -> bool:
        """False when there is no use in going on; the queue has been told then."""
        code = error.code if isinstance(error, Refused) else None
        if code == _GONE:
            return True
        if code == 403 and self.place[0] == EVENTS:  # preflight has said what is lost without
            self._news.put(News(place=self.place, kind="list", content=(), asked_at=math.inf))
            return False
        if self.broken_since is None:
            self.why_broken, self.broken_since = error.what, self._clock()
            log.debug("watch of %s: %s; beginning anew", self.place[0].plural, error)
        is_doubtful = code in _DOUBTFUL or isinstance(error, IdentityError)
        if error.temporary or (is_doubtful and self._clock() - self.broken_since < _DOUBT_S):
            return True
        self._news.put(News(place=self.place, kind="refused", content=error))
        return False

    def _pause(self, error: FerryError) -> float:
        if not isinstance(error, Refused):
            return _PAUSE_S
        if error.code == _GONE and self._clock() - self._listed_at > _PAUSE_S:
            return 0.0
        return min(max(error.retry_after_s, _PAUSE_S), _LONGEST_PAUSE_S)
