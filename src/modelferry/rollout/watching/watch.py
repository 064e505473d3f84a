"""Follows a rollout to its end: one list+watch for each kind, all objects at once."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS, NAMESPACES, PODS, REPLICA_SETS
from modelferry.errors import RolloutFailed
from modelferry.progress import heartbeat
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.feed import Feed, News
from modelferry.rollout.watching.findings import Applied, Outcome
from modelferry.rollout.watching.grounds import Grounds
from modelferry.rollout.watching.inventory import Place
from modelferry.rollout.watching.states import Done
from modelferry.rollout.watching.telling import LastLines, Teller

_TICK_S = 0.5  # graces run out without an event
_LAST_LOOK_S = 5.0  # beyond the time limit, for what the watches may have missed
_SILENCE_S = 2.0  # a watch that breaks and goes on at once is nobody's business


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
    teller = Teller(LastLines(cluster))
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
                teller.tell(outcome, board, now)
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
        names = {name for _, name in _places(board.targets) if name}
        self._grounds = Grounds(cluster, names, self._refuse)

    def _refuse(self, error: RolloutFailed) -> None:
        self._news.put(News(place=(NAMESPACES, None), kind="refused", content=error))

    def open(self) -> None:
        self._grounds.start()
        for feed in self._feeds:
            feed.start()

    def close(self) -> None:
        self._grounds.stop()
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
