"""Who runs when, and what is timed."""

from __future__ import annotations

import pytest

from bench.rounds import Contender, take_turns


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sync", lambda: None)


def test_contenders_take_turns_and_change_places() -> None:
    ran: list[str] = []

    def contender(name: str) -> Contender:
        return Contender(
            name=name, prepare=lambda: ran.append(f"make {name}"), run=lambda: ran.append(name)
        )

    taken = take_turns(3, (contender("a"), contender("b")))
    first, second = ["make a", "a"], ["make b", "b"]
    assert ran == [*first, *second, *second, *first, *first, *second]
    assert {name: len(samples) for name, samples in taken.items()} == {"a": 3, "b": 3}


def test_what_a_run_says_is_its_sample() -> None:
    figures = iter((3.0, 1.0))
    assert take_turns(2, (Contender(name="a", run=lambda: next(figures)),)) == {"a": (3.0, 1.0)}


def test_else_its_time_is_without_the_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def passing(seconds: float) -> None:
        clock[0] += seconds

    contender = Contender(name="a", prepare=lambda: passing(100), run=lambda: passing(2))
    assert take_turns(1, (contender,)) == {"a": (2.0,)}


def test_a_failure_is_not_a_sample() -> None:
    def fail() -> None:
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        take_turns(1, (Contender(name="a", run=fail),))
