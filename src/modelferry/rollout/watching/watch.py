"""Follows a rollout to its end: one list+watch for each kind, all objects at once."""

from __future__ import annotations

import logging
import math
import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS, PODS, REPLICA_SETS
from modelferry.progress import heartbeat
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.feed import Feed, News
from modelferry.rollout.watching.findings import Applied, Finding
from modelferry.rollout.watching.inventory import Place
from modelferry.rollout.watching.states import Done, Failed, Figure, State

log = logging.getLogger("modelferry.rollout")

_TICK_S = 0.5  # graces run out without an event
_LAST_LOOK_S = 5.0  # beyond the time limit, for what the watches may have missed
_NAMED = 5  # of what is waited for
_SILENCE_S = 2.0  # a watch that breaks and goes on at once is nobody's business


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`ready`, or `findings` (something failed), or neither: the time was up."""

    ready: bool
    findings: tuple[Finding, ...]
    states: tuple[tuple[Applied, State], ...]
    unseen: str = ""  # the cluster did not answer in the end, and how


def follow(
    cluster: Cluster,
    board: Board,
    *,
    timeout_s: float,
    heed: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """`heed` is called all the time, and raises to end it: a newer run takes over.

    Green as soon as it is seen. Red only on a fresh look: what a broken connection has shown
    last is no evidence."""
    sight = _Sight(cluster, board, clock)
    deadline = clock() + timeout_s
    doubted_at = math.inf
    teller = _Teller()
    try:
        sight.open()
        with heartbeat(lambda: f"waiting for {teller.waiting_for}", every_s=15):
            while True:
                sight.take(wait_s=min(_TICK_S, max(0.05, deadline - clock())))
                heed()
                now = clock()
                teller.tell_silence(sight.silence(now))
                if not sight.covers(-math.inf) and now < deadline:
                    continue
                outcome = _judge(board, now)
                teller.tell(outcome)
                if outcome.ready:
                    return outcome
                if now < deadline and not any(found.is_final for found in outcome.findings):
                    doubted_at = math.inf
                elif doubted_at == math.inf:
                    doubted_at = now
                    sight.renew()
                elif sight.covers(doubted_at):
                    return outcome
                elif now >= max(deadline, doubted_at) + _LAST_LOOK_S:
                    return replace(outcome, unseen=sight.silence(math.inf))
    finally:
        sight.close()


def _judge(board: Board, now: float) -> Outcome:
    judged = board.judge(now)
    return Outcome(
        ready=all(isinstance(judgement.state, Done) for _, judgement in judged),
        findings=tuple(finding for _, judgement in judged for finding in judgement.findings),
        states=tuple((target, judgement.state) for target, judgement in judged),
    )


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


class _Sight:
    """All feeds of a rollout, and how old what they have shown is."""

    def __init__(self, cluster: Cluster, board: Board, clock: Callable[[], float]) -> None:
        self._board, self._clock = board, clock
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._feeds = [Feed(cluster, at, self._news, clock) for at in _places(board.targets)]
        self._listed_at: dict[Place, float] = {}

    def open(self) -> None:
        for feed in self._feeds:
            feed.start()

    def close(self) -> None:
        for feed in self._feeds:
            feed.stop()

    def renew(self) -> None:
        for feed in self._feeds:
            feed.look_again()

    def covers(self, moment: float) -> bool:
        """Everything has been listed since."""
        return all(
            feed.place in self._listed_at and self._listed_at[feed.place] >= moment
            for feed in self._feeds
        )

    def silence(self, now: float) -> str:
        """Why nothing is seen at present; empty when all goes well, or did until just now."""
        for feed in self._feeds:
            since = feed.broken_since
            if since is not None and now - since > _SILENCE_S:
                return feed.why_broken
        return ""

    def take(self, *, wait_s: float) -> None:
        """All there is, so that a state is judged once; waits for the first. Raises what the
        cluster refuses for good."""
        try:
            self._hear(self._news.get(timeout=wait_s))
            while True:
                self._hear(self._news.get_nowait())
        except queue.Empty:
            return

    def _hear(self, news: News) -> None:
        match news.kind:
            case "refused":
                raise news.content
            case "list":
                self._listed_at[news.place] = news.asked_at
                self._board.replace(*news.place, news.content)
            case "event":
                self._board.put(*news.place, news.event_type, news.content)


@dataclass(slots=True)
class _Teller:
    """Writes a line for each change, and none for what stayed as it was."""

    waiting_for: str = "the cluster's answer"
    _figures: dict[str, tuple[Figure, ...]] = field(default_factory=dict)
    _lines: dict[str, str] = field(default_factory=dict)
    _troubles: set[str] = field(default_factory=set)
    _silence: str = ""

    def tell_silence(self, why: str) -> None:
        if why and not self._silence:
            log.warning("%s; the rollout goes on, and is looked at again when it does", why)
        if self._silence and not why:
            log.info("the cluster answers again")
        self._silence = why

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
        more = f" and {len(waiting) - _NAMED} more" if waiting[_NAMED:] else ""
        self.waiting_for = ", ".join(waiting[:_NAMED]) + more
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
