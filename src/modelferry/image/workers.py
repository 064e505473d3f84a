"""Threads that read gigabytes, and end within moments when the run is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from modelferry.errors import Cancelled


class Stop:
    """Set once; long loops in workers ask it at each step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        if self._event.is_set():
            raise Cancelled("The run was stopped while it read layers")


@contextmanager
def workers(count: int, name: str, stop: Stop) -> Iterator[Executor]:
    """Whatever leaves the block as an exception stops the workers before it waits for them."""
    with ThreadPoolExecutor(count, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
