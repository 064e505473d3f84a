from __future__ import annotations

import pytest

from modelferry.errors import FerryError, ModelError
from modelferry.retry import retry


class Call:
    def __init__(self, *results: object) -> None:
        self.results = list(results)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


TEMPORARY = ModelError("busy", temporary=True)


def test_a_temporary_error_is_tried_again() -> None:
    call, waits = Call(TEMPORARY, TEMPORARY, "bytes"), []
    assert retry(call, sleep=waits.append, jitter=lambda: 1.0) == "bytes"
    assert waits == [0.5, 1.0]


def test_waits_grow_to_a_limit_and_never_vanish() -> None:
    waits: list[float] = []
    with pytest.raises(ModelError):
        retry(Call(*[TEMPORARY] * 9), tries=9, sleep=waits.append, jitter=lambda: 0.0)
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 7.5, 7.5, 7.5]


@pytest.mark.parametrize("error", [ModelError("no such blob"), ValueError("a bug")])
def test_any_other_error_is_raised_at_once(error: Exception) -> None:
    call = Call(error, "never")
    with pytest.raises(type(error)):
        retry(call, sleep=lambda _: None)
    assert call.calls == 1


def test_the_last_error_is_the_one_raised() -> None:
    last = FerryError("last", temporary=True)
    with pytest.raises(FerryError, match="last"):
        retry(Call(TEMPORARY, last), tries=2, sleep=lambda _: None)


def test_until_a_moment_it_is_tried_however_often() -> None:
    waits: list[float] = []
    call = Call(*[TEMPORARY] * 20)
    with pytest.raises(ModelError):
        retry(
            call,
            tries=2,
            until=10.0,
            longest_wait_s=2.0,
            sleep=waits.append,
            jitter=lambda: 1.0,
            clock=lambda: sum(waits),
        )
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_a_moment_that_has_passed_takes_no_try_away() -> None:
    call, waits = Call(TEMPORARY, "bytes"), []
    assert retry(call, tries=2, until=0.0, sleep=waits.append, clock=lambda: 9.0) == "bytes"
