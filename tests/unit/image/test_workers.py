import signal
import threading
import time
from functools import partial

import pytest

from modelferry.errors import BuildError, Cancelled
from modelferry.image.workers import Stop, side_by_side


def test_all_work_is_done_and_told_in_its_order() -> None:
    calls = [partial(pow, number, 2) for number in range(5)]
    assert side_by_side(calls, "test", Stop(), most=2) == (0, 1, 4, 9, 16)


def test_an_error_ends_workers_that_are_far_from_done() -> None:
    stop, started = Stop(), threading.Event()
    ended: list[type[BaseException]] = []

    def work() -> None:
        started.set()
        try:
            for _ in range(3000):
                stop.check()
                time.sleep(0.01)
        except Cancelled as error:
            ended.append(type(error))
            raise

    def fail() -> None:
        started.wait()
        raise BuildError("no")

    began = time.monotonic()
    with pytest.raises(BuildError):
        side_by_side([work, fail, work], "test", stop, most=2)
    assert time.monotonic() - began < 20
    assert set(ended) == {Cancelled}


def test_a_cancel_does_not_wait_for_who_hangs_in_a_request() -> None:
    """As a registry does that stalls: nothing in there asks whether the run goes on."""

    def cancel(*_: object) -> None:
        raise Cancelled("by a signal")

    before = signal.signal(signal.SIGALRM, cancel)
    hanging = threading.Event()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.monotonic()
        with pytest.raises(Cancelled, match="by a signal"):
            side_by_side([partial(hanging.wait, 30)], "test", Stop(), most=1)
        assert time.monotonic() - began < 20
    finally:
        hanging.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
