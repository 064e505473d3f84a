"""What is written while a rollout is followed, and how often."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from modelferry.cluster.resources import PODS
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.watching.findings import Applied, Outcome
from modelferry.rollout.watching.states import Waiting
from modelferry.rollout.watching.telling import Teller

BODY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "lone", "namespace": "n", "uid": "u"},
    "spec": {"containers": [{"name": "main"}]},
    "status": {"containerStatuses": [{"name": "main", "ready": False, "state": {"running": {}}}]},
}
TARGET = Applied(
    placed=Placed(
        manifest=ManifestObject(body=BODY, file="a.yaml", line=1, lines={}),
        resource=PODS,
        namespace="n",
    ),
    body=BODY,
)
WAITING = Outcome(ready=False, findings=(), states=((TARGET, Waiting(message="running")),))


class Board:
    def __init__(self, *said: str) -> None:
        self.said = said

    def unready(self, _: Applied) -> tuple[tuple[dict[str, Any], str], ...]:
        return tuple((BODY, said) for said in self.said)


class LastLines:
    def __init__(self) -> None:
        self.asked: list[float] = []

    def show(self, _: object, __: str, now: float) -> None:
        self.asked.append(now)


@pytest.fixture
def lines() -> LastLines:
    return LastLines()


@pytest.fixture
def teller(lines: LastLines) -> Teller:
    return Teller(lines)  # pyright: ignore[reportArgumentType]


def told(teller: Teller, caplog: pytest.LogCaptureFixture, now: float, *said: str) -> list[str]:
    caplog.clear()
    caplog.set_level(logging.INFO)
    teller.tell(WAITING, Board(*said), now)  # pyright: ignore[reportArgumentType]
    return caplog.messages


def test_probes_are_told_when_nothing_moves_and_each_once(
    teller: Teller, caplog: pytest.LogCaptureFixture
) -> None:
    refused = "Readiness probe failed: dial tcp 10.0.0.{}:80: connection refused"
    assert told(teller, caplog, 0, refused.format(1)) == ["pod/lone: running"]
    assert told(teller, caplog, 9, refused.format(1)) == []
    once = [f"pod lone (pod/lone): {refused.format(1)}"]
    assert told(teller, caplog, 10, refused.format(1), refused.format(2)) == once
    assert told(teller, caplog, 11, refused.format(3)) == []
    assert told(teller, caplog, 12, "statuscode: 503")


def test_the_program_is_heard_after_half_a_minute(
    teller: Teller, lines: LastLines, caplog: pytest.LogCaptureFixture
) -> None:
    for now in (0, 29, 30, 31):
        told(teller, caplog, now, "probe failed")
    assert lines.asked == [30, 31]
