from __future__ import annotations

import pytest

from modelferry.rollout.release.stale import Intent, newer


@pytest.mark.parametrize(
    ("mine", "other", "is_older"),
    [
        ("19999999999/1", "20000000001/1", True),
        ("20000000001/1", "19999999999/1", False),
        ("9999999999/1", "10000000000/1", True),  # by number, not by text
        ("100/1", "100/2", True),
        ("100/2", "100/1", False),
        ("100/2", "105/1", False),  # run again: wanted now
        ("103/1", "100/2", False),
        ("100/1", "100/1", False),
        ("20000000001/1", "20261122195316/1", False),  # a runner's and a local one
        ("20261122195316/1", "99999999999/1", False),
        ("20261122195316/1", "20261122195317/1", True),
        ("20261122195316/1", "20000000001/1", False),
        ("nightly-a/1", "nightly-b/1", False),
        ("nightly/1", "nightly/2", True),
        ("100/1", "nightly/1", False),
    ],
)
def test_order(mine: str, other: str, *, is_older: bool) -> None:
    assert Intent.parse(mine).is_older_than(Intent.parse(other)) is is_older


@pytest.mark.parametrize(
    ("mine", "other", "is_older"),
    [
        ("100/2//T1", "105/1//T2", True),  # run again, and then came a newer run
        ("100/2//T2", "105/1//T1", False),
        ("105/1//T1", "100/2//T2", True),  # the other way round
        ("105/1//T2", "100/2//T1", False),
        ("105/1//T1", "106/1//T0", True),  # first attempts go by their number
        ("100/2//T2", "100/3//T1", True),
        ("100/2", "105/1//T2", False),  # not known
        ("7/1/aaaa", "900/1/bbbb", False),  # two servers, two counts
        ("900/1/bbbb", "7/1/aaaa", False),
        ("7/1/aaaa", "7/2/bbbb", False),
        ("7/1/aaaa", "900/1/aaaa", True),
        ("7/1", "900/1/bbbb", True),
    ],
)
def test_order_by_the_moment_and_the_server(mine: str, other: str, *, is_older: bool) -> None:
    assert Intent.parse(mine).is_older_than(Intent.parse(other)) is is_older


def test_a_server_is_known_by_its_address() -> None:
    url = "https://github.com"
    mine = Intent.of("7", 2, url, "2026-11-22T20:00:00Z")
    assert mine.server == Intent.of("8", 1, f"{url}/", "").server
    assert mine.server != Intent.of("8", 1, "https://git.example.org", "").server
    assert Intent.of("8", 1, None, "").server == ""
    assert Intent.parse(str(mine)) == mine
    assert "github" not in str(mine)
    assert " " not in str(mine)


def test_the_winner_is_named() -> None:
    deployed = [Intent("100", 1), Intent("105", 1)]
    assert newer(Intent("103", 1), deployed) == Intent("105", 1)
    assert newer(Intent("106", 1), deployed) is None


def test_names() -> None:
    assert Intent.parse("7/2").name == "run 7, attempt 2"
    assert Intent.parse("7/1").name == "run 7"
    assert str(Intent.parse("7")) == "7/1"
    assert Intent.parse("7/2/ab/T1").label == "7/2"
