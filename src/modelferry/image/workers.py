"""Threads that move gigabytes, and end within moments when the run is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeVar

from modelferry.errors import Cancelled

T = TypeVar("T")
Check = Callable[[], None]  # raises where the work is no longer wanted; asked often

_LEAVE_S = 2.0  # how long stopped workers may take before they are left behind


class Stop:
    """Set once; long loops in workers ask it at each step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        if self._event.is_set():
            raise Cancelled("The run was stopped while it read layers")


def in_thread(call: Callable[[], T], name: str) -> Future[T]:
    """A daemon's, not an executor's: work that is stuck in a dead connection must not hold up
    the end of the run."""
    (future,) = in_threads((call,), name, most=1)
    return future


def in_threads(calls: Sequence[Callable[[], T]], name: str, *, most: int) -> tuple[Future[T], ...]:
    """All begun in their order, so many at once; by daemons, as `in_thread`."""
    futures = tuple(Future[T]() for _ in calls)
    todo, turn = iter(zip(calls, futures, strict=True)), threading.Lock()

    def work() -> None:
        while True:
            with turn:
                call, future = next(todo, (None, None))
            if call is None or future is None:
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again by future.result()
                future.set_exception(error)

    for _ in range(min(most, len(calls))):
        threading.Thread(target=work, name=name, daemon=True).start()
    return futures


def side_by_side(
    calls: Sequence[Callable[[], T]], name: str, stop: Stop, *, most: int
) -> tuple[T, ...]:
    """What they give. An exception, a cancel too, stops those that ask `stop`, and is kept waiting
    by none for longer than a moment: one may hang in a request."""

    def unless_stopped(call: Callable[[], T]) -> T:
        stop.check()
        return call()

    futures = in_threads([partial(unless_stopped, call) for call in calls], name, most=most)
    try:
        wait_for(futures, futures)
    except BaseException:
        stop.set()
        wait(futures, timeout=_LEAVE_S)
        raise
    return tuple(future.result() for future in futures)


def wait_for(needed: Collection[Future[Any]], watched: Collection[Future[Any]]) -> None:
    """Until all `needed` are done; raises what any of `watched`, which holds them, failed with."""
    pending = set(watched)
    while not all(future.done() for future in needed):
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        _raise_any(done)
    _raise_any(needed)


def raise_failed(futures: Iterable[Future[Any]]) -> None:
    """What one of them has failed with by now."""
    _raise_any([future for future in futures if future.done()])


def _raise_any(done: Collection[Future[Any]]) -> None:
    """What made the others stop comes before their having been stopped."""
    errors = [error for future in done if (error := future.exception())]
    errors.sort(key=lambda error: isinstance(error, Cancelled))
    if errors:
        raise errors[0]
