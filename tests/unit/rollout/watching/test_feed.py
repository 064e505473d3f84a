"""What a feed makes of an API server's answers, told from a list of them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelferry.cluster.resources import EVENTS, PODS, Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, IdentityError, RolloutError
from modelferry.rollout.watching import feed as module
from modelferry.rollout.watching.feed import Feed, News

AWAY = RolloutError("the cluster does not answer", temporary=True)


def refused(code: int, *, retry_after_s: float = 0.0) -> Refused:
    return Refused("no", code=code, status={}, retry_after_s=retry_after_s)


class Answers:
    """A cluster that gives these answers to lists and watches, one after the other; a watch
    without an answer stays open until it is stopped."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def list(self, *_: Any, **__: Any) -> tuple[tuple, str]:
        self.asked.append("list")
        answer = self._answers.pop(0) if self._answers else ()
        if isinstance(answer, FerryError):
            raise answer
        return answer, "7"

    def watch(self, _: Resource, __: str, version: str) -> Stream:
        self.asked.append(f"watch {version}")
        return Stream(self._answers.pop(0) if self._answers else None)


class Stream:
    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._stopped = threading.Event()
        self.version = "8"

    def stop(self) -> None:
        self._stopped.set()

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        if isinstance(self._answer, FerryError):
            raise self._answer
        if self._answer is None:
            self._stopped.wait(10)
            return
        yield from self._answer


Play = Callable[..., tuple[Feed, Answers, "queue.SimpleQueue[News]"]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    feeds: list[Feed] = []

    def begin(*answers: Any, resource: Resource = PODS, **more: Any) -> Any:
        cluster, news = Answers(*answers), queue.SimpleQueue()
        feed = Feed(cluster, (resource, "n"), news, **more)  # pyright: ignore[reportArgumentType]
        feeds.append(feed)
        feed.start()
        return feed, cluster, news

    yield begin
    for feed in feeds:
        feed.stop()


def kinds(news: queue.SimpleQueue[News], count: int) -> list[str]:
    return [news.get(timeout=30).kind for _ in range(count)]


def test_a_list_then_a_watch_from_there_then_one_from_where_it_ended(play: Play) -> None:
    _, cluster, news = play((), [("ADDED", {})])
    assert kinds(news, 2) == ["list", "event"]
    until = time.monotonic() + 5
    while len(cluster.asked) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert cluster.asked == ["list", "watch 7", "watch 8"]


@pytest.mark.parametrize("answer", [AWAY, refused(410), refused(429), refused(403), refused(500)])
def test_what_breaks_is_begun_anew_with_a_list(play: Play, answer: FerryError) -> None:
    _, cluster, news = play((), answer, ())
    assert kinds(news, 2) == ["list", "list"]
    assert cluster.asked[:3] == ["list", "watch 7", "list"]


def test_a_server_that_asks_for_time_gets_it(play: Play) -> None:
    feed, cluster, news = play(refused(429, retry_after_s=60))
    with pytest.raises(queue.Empty):
        news.get(timeout=0.2)
    assert cluster.asked == ["list"]
    assert feed.broken_since is not None
    assert feed.why_broken == "no"


@pytest.mark.parametrize("answer", [refused(403), refused(404), IdentityError("a 401")])
def test_a_refusal_that_stands_ends_it(play: Play, answer: FerryError) -> None:
    """A server that starts refuses what it will grant; half a minute later it means it."""
    times = iter((0.0, 0.0, 0.0, 0.0, 29.0, 29.0, 31.0, 31.0, 31.0))
    _, cluster, news = play(*[answer] * 9, clock=lambda: next(times, 99.0))
    entry = news.get(timeout=30)
    assert (entry.kind, entry.content) == ("refused", answer)
    assert len(cluster.asked) > 2


def test_a_refusal_of_another_kind_ends_it_at_once(play: Play) -> None:
    _, cluster, news = play(refused(400))
    assert kinds(news, 1) == ["refused"]
    assert cluster.asked == ["list"]


def test_a_bug_of_ours_ends_the_run(play: Play) -> None:
    """A thread that is gone must not leave the others waiting."""
    _, _, news = play((), [None])
    assert kinds(news, 2) == ["list", "refused"]


def test_without_the_right_to_events_it_goes_on_without_them(play: Play) -> None:
    _, cluster, news = play(refused(403), resource=EVENTS)
    entry = news.get(timeout=30)
    assert (entry.kind, entry.content, entry.asked_at) == ("list", (), float("inf"))
    assert cluster.asked == ["list"]


def test_a_second_look_ends_the_watch(play: Play) -> None:
    feed, cluster, news = play(())
    assert kinds(news, 1) == ["list"]
    feed.look_again()
    assert kinds(news, 1) == ["list"]
    assert cluster.asked.count("list") == 2


def test_a_watch_that_ends_at_once_is_begun_anew_after_a_pause(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may close each stream as soon as it is open."""
    monkeypatch.setattr(module, "_PAUSE_S", 60.0)
    _, cluster, _ = play((), *[()] * 50)
    time.sleep(0.2)
    assert cluster.asked == ["list", "watch 7"]


def test_one_that_lasted_is_begun_anew_at_once(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 60.0)
    moments = iter(range(0, 10_000, 100))
    _, cluster, _ = play((), (), clock=lambda: float(next(moments)))
    until = time.monotonic() + 5
    while len(cluster.asked) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert cluster.asked == ["list", "watch 7", "watch 8"]


def test_a_list_that_is_asked_for_does_not_wait_for_the_pause(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 60.0)
    feed, _, news = play((), ())
    assert kinds(news, 1) == ["list"]
    time.sleep(0.1)
    feed.look_again()
    assert kinds(news, 1) == ["list"]
