import threading
import time

import pytest

from modelferry.errors import Cancelled
from modelferry.image.workers import Stop, workers


def test_an_exception_ends_workers_that_are_far_from_done() -> None:
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

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), workers(1, "test", stop) as pool:  # noqa: PT012
        running = pool.submit(work)
        waiting = pool.submit(work)
        started.wait()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 5
    assert ended == [Cancelled]
    assert isinstance(running.exception(), Cancelled)
    assert waiting.cancelled()


def test_without_one_all_work_is_done() -> None:
    stop = Stop()
    with workers(2, "test", stop) as pool:
        assert list(pool.map(lambda number: number * 2, range(5))) == [0, 2, 4, 6, 8]
    stop.check()
