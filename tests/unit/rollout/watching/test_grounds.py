"""What is asked of a namespace while a rollout is watched, and when it is told."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError, RolloutFailed
from modelferry.rollout.watching.grounds import Grounds

STAYS = {"metadata": {"name": "n"}}
GOES = {"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
AWAY = RolloutError("the cluster does not answer", temporary=True)
FORBIDDEN = Refused("no", code=403, status={})


class Answers:
    """The last one is given again and again."""

    def __init__(self, *answers: Mapping[str, Any] | FerryError | None) -> None:
        self._answers = list(answers)

    def get(self, *_: Any) -> Mapping[str, Any] | None:
        found = self._answers.pop(0) if self._answers[1:] else self._answers[0]
        if isinstance(found, FerryError):
            raise found
        return found


def told(*answers: Mapping[str, Any] | FerryError | None) -> RolloutFailed | None:
    heard: queue.SimpleQueue[RolloutFailed] = queue.SimpleQueue()
    grounds = Grounds(cast("Cluster", Answers(*answers)), ["n"], heard.put, every_s=0.01)
    grounds.start()
    try:
        return heard.get(timeout=0.3)
    except queue.Empty:
        return None
    finally:
        grounds.stop()


def test_a_namespace_that_goes_is_told() -> None:
    found = told(STAYS, GOES)
    assert found
    assert found.what == "namespace n is being deleted"
    assert "2026-01-01" in found.seen


def test_an_api_server_that_is_away_is_asked_again() -> None:
    assert told(AWAY, GOES)


@pytest.mark.parametrize("answer", [STAYS, None])
def test_one_that_stays_is_not_nor_one_that_is_gone_as_the_watches_tell(
    answer: Mapping[str, Any] | None,
) -> None:
    assert told(answer) is None


def test_without_the_right_to_ask_it_is_not_asked_again() -> None:
    assert told(FORBIDDEN, GOES) is None
