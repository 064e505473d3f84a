from __future__ import annotations

import threading
import time

import pytest

from modelferry.errors import Cancelled
from modelferry.side_by_side import side_by_side


def test_answers_are_in_the_order_of_what_was_asked() -> None:
    waits = [0.1, 0.0, 0.05]

    def act(number: int) -> int:
        time.sleep(waits[number])
        return number

    assert side_by_side(act, range(3)) == [0, 1, 2]


@pytest.mark.parametrize(("error", "waits"), [(Cancelled(), False), (ValueError(), True)])
def test_only_a_cancel_does_not_wait(error: BaseException, *, waits: bool) -> None:
    under_way, done = threading.Event(), threading.Event()

    def act(number: int) -> None:
        if number == 0:
            under_way.wait(30)
            raise error
        under_way.set()
        time.sleep(0.3)
        done.set()

    with pytest.raises(type(error)):
        side_by_side(act, range(2))
    assert done.is_set() is waits
    done.wait(30)


def test_what_was_not_begun_before_a_cancel_is_left_out() -> None:
    begun: list[int] = []

    def act(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise Cancelled
        time.sleep(0.2)

    with pytest.raises(Cancelled):
        side_by_side(act, range(50), threads=2)
    time.sleep(0.5)
    assert len(begun) < 10
