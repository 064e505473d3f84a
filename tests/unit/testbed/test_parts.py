"""Which parts a command is about."""

import pytest

from testbed.part import TestbedError
from testbed.parts import EVERY, USUAL, chosen


def names(*wanted: str) -> list[str]:
    return [entry.name for entry in chosen(wanted)]


def test_a_part_comes_with_what_it_needs_in_order() -> None:
    assert names("buildx") == ["mirror", "engine", "buildx"]


def test_newer_engines_come_up_only_when_named() -> None:
    assert "newer-engines" not in names(*USUAL)
    assert "newer-engines" in names(*USUAL, "newer-engines")
    assert names(*EVERY)[-1] == "newer-engines"


def test_an_unknown_part_is_told_with_those_there_are() -> None:
    with pytest.raises(TestbedError, match=r"'engin'; there are: mirror, .*engine"):
        chosen(["engin"])
