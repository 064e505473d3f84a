"""When a verdict is passed, and on what sight."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from modelferry.cluster.resources import EVENTS, PODS, Resource
from modelferry.errors import RolloutError
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.watching import feed as feed_module
from modelferry.rollout.watching import watch as module
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.states import Waiting

IMAGE = "reg/app@sha256:" + "a" * 64


def pod(phase: str, *, ready: bool = False) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE, "readinessProbe": {}}
    status = {"name": "main", "imageID": IMAGE, "state": {"running": {}}}
    condition = {"type": "Ready", "status": str(ready)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lone", "namespace": "n", "uid": "u"},
        "spec": {"containers": [container]},
        "status": {"phase": phase, "containerStatuses": [status], "conditions": [condition]},
    }


class Cluster:
    """Lists of pods come one after the other, the last again and again; watches say nothing."""

    def __init__(self, *lists: dict[str, Any] | RolloutError) -> None:
        self._lists = list(lists)

    def list(self, resource: Resource, *_: Any, **__: Any) -> tuple[tuple, str]:
        if resource == EVENTS:
            return (), "1"
        found = self._lists.pop(0) if self._lists[1:] else self._lists[0]
        if isinstance(found, RolloutError):
            raise found
        return (found,), "1"

    def watch(self, *_: Any) -> Stream:
        return Stream()


class Stream:
    version = "1"

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        self._stopped.wait(10)
        return iter(())


def follow(cluster: Cluster, timeout_s: float = 5) -> module.Outcome:
    manifest = ManifestObject(body=pod("Pending"), file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=PODS, namespace="n")
    board = Board(targets=[Applied(placed=placed, body=pod("Pending"))])
    return module.follow(cluster, board, timeout_s=timeout_s)  # pyright: ignore[reportArgumentType]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_LOOK_S", 0.3)
    monkeypatch.setattr(feed_module, "_PAUSE_S", 0.01)


def test_green_comes_as_soon_as_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 20)
    began = time.monotonic()
    assert follow(Cluster(pod("Running", ready=True)), timeout_s=20).ready
    assert time.monotonic() - began < 10


def test_red_is_passed_on_a_fresh_look_only() -> None:
    assert follow(Cluster(pod("Failed"), pod("Running", ready=True))).ready
    outcome = follow(Cluster(pod("Failed")))
    assert not outcome.ready
    assert outcome.findings[0].cause.startswith("pod/lone: it failed")


def test_what_a_silent_watch_missed_is_seen_when_the_time_is_up() -> None:
    outcome = follow(Cluster(pod("Pending"), pod("Running", ready=True)), timeout_s=0.3)
    assert outcome.ready


def test_the_time_limit_holds() -> None:
    began = time.monotonic()
    outcome = follow(Cluster(pod("Pending")), timeout_s=0.3)
    assert not outcome.ready
    assert not outcome.findings
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("seen", [(), (pod("Pending"),)])
def test_a_cluster_that_is_away_in_the_end_is_told_as_that(seen: tuple[dict, ...]) -> None:
    away = RolloutError("the cluster does not answer", temporary=True)
    began = time.monotonic()
    outcome = follow(Cluster(*seen, away), timeout_s=0.3)
    assert time.monotonic() - began < 15
    assert outcome.unseen == "the cluster does not answer"
    assert isinstance(outcome.states[0][1], Waiting)


def test_no_failure_is_told_while_nobody_can_look() -> None:
    """Only the time limit ends it: what was seen last may have healed."""
    away = RolloutError("the cluster does not answer", temporary=True)
    began = time.monotonic()
    seen = pod("Failed"), *[away] * 20, pod("Running", ready=True)
    outcome = follow(Cluster(*seen), timeout_s=60)
    assert outcome.ready
    assert time.monotonic() - began < 30
