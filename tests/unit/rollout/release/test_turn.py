"""What a cancel leaves on record, and what it is told as."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.rollout.release import history
from modelferry.rollout.release.book import Book
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.release.turn import Turn, left


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (history.PENDING, history.CANCELLED),
        (history.SUCCEEDED, history.SUCCEEDED),
        (history.ROLLED_BACK, history.ROLLED_BACK),
    ],
)
def test_a_cancel_changes_no_verdict(before: str, after: str) -> None:
    written: list[str] = []

    def write(record: Record) -> Record:
        written.append(record.verdict)
        return record

    Turn(
        cluster=cast("Cluster", None),
        release="app",
        namespace="n",
        intent=Intent("2", 1),
        hold=None,
        records=(),
        book=cast("Book", SimpleNamespace(write=write)),
        record=Record(number=1, verdict=before, image="r/a:1", digest="", run="1/1", started=""),
    ).cut_off()
    assert written == [after]


@pytest.mark.parametrize(
    ("verdict", "is_on_record", "told"),
    [
        (history.PENDING, True, "if that fails, it returns to what was there before this one"),
        (history.PENDING, False, "if that fails, it goes by what is there then"),
        (history.SUCCEEDED, True, "after the verdict of this release: succeeded"),
    ],
)
def test_what_a_cancel_leaves_is_told(verdict: str, told: str, *, is_on_record: bool) -> None:
    assert told in left(verdict, is_on_record=is_on_record)
