"""Pods on their way out, and the grace of what waits for their room."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.watching.room import Room
from modelferry.rollout.watching.trouble import NEVER, Trouble

QUOTA = Trouble(cause="exceeded quota", grace_s=10, waits_for_room=True)
NODE = Trouble(cause="Insufficient gpu", grace_s=30, waits_for_room=True, is_unscheduled=True)
SELECTOR = Trouble(cause="no such node", grace_s=30, is_unscheduled=True)


def leaving(at: str = "1970-01-01T00:01:40Z", phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"deletionTimestamp": at}, "status": {"phase": phase}}


@pytest.mark.parametrize("trouble", [QUOTA, NODE, SELECTOR])
def test_without_pods_that_leave_a_grace_is_what_it_is(trouble: Trouble) -> None:
    room = Room()
    room.look([{"metadata": {}}, leaving(phase="Failed")], 0, 0)
    assert room.mind(trouble) == trouble


def test_the_grace_runs_from_when_they_are_gone() -> None:
    room = Room()
    room.look([leaving()], 10, 10)
    room.look([leaving()], 50, 50)
    assert room.is_awaited
    assert room.mind(NODE).grace_s == NEVER
    assert room.mind(QUOTA).grace_s == NEVER
    assert room.mind(SELECTOR) == SELECTOR
    room.look([], 55, 55)
    assert not room.is_awaited
    assert room.mind(NODE).grace_s == 30
    assert room.mind(QUOTA).grace_s == 50  # the controller backs off, as long again


def test_a_pod_that_should_have_gone_long_ago_is_not_waited_for() -> None:
    room = Room()
    room.look([leaving()], 0, 100 + 59)
    assert room.is_awaited
    room.look([leaving()], 2, 100 + 61)
    assert not room.is_awaited
