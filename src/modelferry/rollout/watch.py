"""Follows a rollout to its end: one list+watch for each kind, all objects at once."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS, PODS, REPLICA_SETS, Resource
from modelferry.cluster.transport import Refused
from modelferry.cluster.watch import Watch
from modelferry.errors import FerryError
from modelferry.progress import heartbeat
from modelferry.rollout.board import Applied, Board, Finding
from modelferry.rollout.states import Done, Failed, Figure, State

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]
Place = tuple[Resource, str | None]

_TICK_S = 0.5  # graces run out without an event
_PAUSE_S = 1.0  # before a watch that broke is begun anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`ready`, or `findings` (something failed), or neither: the time was up."""

    ready: bool
    findings: tuple[Finding, ...]
    states: tuple[tuple[Applied, State], ...]


def follow(
    cluster: Cluster,
    board: Board,
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    deadline = clock() + timeout_s
    news: queue.Queue[_News] = queue.Queue()
    feeds = [_Feed(cluster, place, news) for place in _places(board.targets)]
    teller = _Teller()
    try:
        for feed in feeds:
            feed.start()
        with heartbeat(lambda: f"waiting for {teller.waiting_for}", every_s=15):
            while True:
                _take(news, board, wait_s=min(_TICK_S, max(0.0, deadline - clock())))
                now = clock()
                if all(feed.has_listed.is_set() for feed in feeds):
                    outcome = _judge(board, now)
                    teller.tell(outcome)
                    if outcome.ready or any(f.is_final for f in outcome.findings):
                        return outcome
                if now >= deadline:
                    return _judge(board, now)
    finally:
        for feed in feeds:
            feed.stop()


def _places(targets: Iterable[Applied]) -> list[Place]:
    places: dict[Place, None] = {}
    for target in targets:
        if not target.is_watched:
            continue
        places[target.resource, target.namespace] = None
        if target.runs_pods:
            places |= dict.fromkeys(((PODS, target.namespace), (EVENTS, target.namespace)))
        if target.resource.kind == "Deployment":
            places[REPLICA_SETS, target.namespace] = None
    return list(places)


def _judge(board: Board, now: float) -> Outcome:
    states = tuple((target, board.state(target, now)) for target in board.targets)
    return Outcome(
        ready=all(isinstance(state, Done) for _, state in states),
        findings=board.findings(now),
        states=states,
    )


@dataclass(frozen=True, slots=True)
class _News:
    place: Place
    kind: str  # LIST, or a watch event's type
    content: Any
    error: FerryError | None = None


def _take(news: queue.Queue[_News], board: Board, *, wait_s: float) -> None:
    """All there is, so that a state is judged once; waits for the first."""
    try:
        entry = news.get(timeout=wait_s) if wait_s > 0 else news.get_nowait()
        while True:
            if entry.error:
                raise entry.error
            if entry.kind == "LIST":
                board.replace(*entry.place, entry.content)
            else:
                board.put(*entry.place, entry.kind, entry.content)
            entry = news.get_nowait()
    except queue.Empty:
        return


class _Feed:
    """One thread for one kind in one namespace. A broken watch is no verdict: it lists anew."""

    def __init__(self, cluster: Cluster, place: Place, news: queue.Queue[_News]) -> None:
        self._cluster, self._place, self._news = cluster, place, news
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self.has_listed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {place[0].plural}")
        self._thread.daemon = True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if watch := self._watch:
            watch.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._list_and_watch()
            except FerryError as error:
                if self._place[0] == EVENTS and isinstance(error, Refused) and error.code == 403:
                    self.has_listed.set()  # preflight has said what is lost without them
                    return
                gone = isinstance(error, Refused) and error.code == 410
                if not (gone or error.temporary):
                    self._news.put(_News(self._place, "ERROR", None, error))
                    return
                log.warning("watch of %s: %s; beginning anew", self._place[0].plural, error.what)
                self._stopped.wait(_PAUSE_S)

    def _list_and_watch(self) -> None:
        resource, namespace = self._place
        listed, version = self._cluster.list(resource, namespace)
        self._news.put(_News(self._place, "LIST", listed))
        self.has_listed.set()
        while not self._stopped.is_set():
            self._watch = watch = self._cluster.watch(resource, namespace, version)
            for kind, body in watch:
                self._news.put(_News(self._place, kind, body))
            version = watch.version


class _Teller:
    """Writes a line for each change, and none for what stayed as it was."""

    def __init__(self) -> None:
        self._figures: dict[str, tuple[Figure, ...]] = {}
        self._lines: dict[str, str] = {}
        self._troubles: set[str] = set()
        self.waiting_for = "the cluster's answer"

    def tell(self, outcome: Outcome) -> None:
        waiting: list[str] = []
        for target, state in outcome.states:
            if not target.is_watched:
                continue
            line = _line(state, self._figures.get(target.key, ()))
            plain = _line(state, state.figures)
            if plain != self._lines.get(target.key):
                log.info("%s: %s", target.label, line)
            self._lines[target.key] = plain
            self._figures[target.key] = state.figures
            if not isinstance(state, Done):
                waiting.append(f"{target.label} ({plain})")
        self.waiting_for = ", ".join(waiting)
        for finding in outcome.findings:
            if not finding.is_final and finding.cause not in self._troubles:
                self._troubles.add(finding.cause)
                log.warning("%s", finding.cause)


def _line(state: State, before: Sequence[Figure]) -> str:
    earlier = {figure.name: figure.value for figure in before}
    figures = ", ".join(_figure(figure, earlier) for figure in state.figures)
    match state:
        case Done():
            return "ready" + "".join(f", {part}" for part in (figures, state.notice) if part)
        case Failed():
            return f"failed: {state.reason}"
        case _:
            return ", ".join(filter(None, (figures, state.message)))


def _figure(figure: Figure, earlier: Mapping[str, int]) -> str:
    before = earlier.get(figure.name, figure.value)
    value = f"{before}→{figure.value}" if before != figure.value else str(figure.value)
    return f"{figure.name} {value} of {figure.of}"
