"""Progress of long work: a line every few seconds in a job log, bars on a terminal."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from modelferry.values import format_bytes, format_duration

log = logging.getLogger("modelferry.progress")

HEARTBEAT_S = 5.0


class Meter(Protocol):
    def add(self, count: int) -> None:
        """Count bytes; safe from several threads."""
        ...


class LogMeter:
    """Writes bytes, rate and time left every five seconds, and nothing for short work."""

    def __init__(self, label: str, total_bytes: int | None) -> None:
        self._label, self._total = label, total_bytes
        self._done = 0
        self._lock = threading.Lock()
        self._started = self._written = time.monotonic()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._written < HEARTBEAT_S:
                return
            self._written = now
            line = self._line(now - self._started)
        log.info(line)

    def _line(self, elapsed_s: float) -> str:
        rate = self._done / elapsed_s
        if not self._total:
            return f"{self._label}: {format_bytes(self._done)}, {format_bytes(rate)}/s"
        left = max(0.0, self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._label}: {format_bytes(self._done)} of {format_bytes(self._total)}"
            f" ({min(100, 100 * self._done / self._total):.0f} %), {format_bytes(rate)}/s,"
            f" {format_duration(left)} left"
        )


@contextmanager
def log_meter(label: str, total_bytes: int | None) -> Iterator[Meter]:
    yield LogMeter(label, total_bytes)


Show = Callable[[str, int | None], AbstractContextManager[Meter]]

_shown_by: list[Show] = [log_meter]  # of the whole process, as logging's handlers are


def metered(label: str, total_bytes: int | None) -> AbstractContextManager[Meter]:
    """Count the bytes of one piece of work, for whoever watches."""
    return _shown_by[-1](label, total_bytes)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Within the block `metered` shows its work this way: bars, where a person watches."""
    _shown_by.append(show)
    try:
        yield
    finally:
        _shown_by.pop()


@contextmanager
def heartbeat(waiting_for: Callable[[], str], every_s: float = HEARTBEAT_S) -> Iterator[None]:
    """Say every few seconds what the block is waiting for."""
    ended = threading.Event()
    started = time.monotonic()

    def beat() -> None:
        while not ended.wait(every_s):
            log.info("%s (%s)", waiting_for(), format_duration(time.monotonic() - started))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
