"""Parallel ranged reads, handed on in order through a bounded window.

Whatever consumes the bytes (a file, a hash, an upload) sees them from first to last, while up
to 64 MiB are on their way. Leaving the iteration early, by an error too, stops all reads.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from modelferry.artifacts import ModelFile
from modelferry.errors import ModelError
from modelferry.retry import retry

log = logging.getLogger("modelferry.sources")

PART_BYTES = 8 * 1024 * 1024
WINDOW_BYTES = 64 * 1024 * 1024
_TRIES = 6
_LEAVE_S = 2.0  # how long stopped readers may take before they are left behind

ReadRange = Callable[[ModelFile, int, int], memoryview]
_Job = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    file: ModelFile
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


def parts_of(file: ModelFile, start: int = 0, stop: int | None = None) -> Iterator[Part]:
    """[start, stop) in parts that begin at multiples of PART_BYTES; none for an empty range."""
    stop = file.size_bytes if stop is None else stop
    while start < stop:
        end = min(stop, (start // PART_BYTES + 1) * PART_BYTES)
        yield Part(file=file, start=start, stop=end)
        start = end


def in_order(
    read: ReadRange,
    parts: Iterable[Part],
    *,
    connections: int,
    window_bytes: int = WINDOW_BYTES,
) -> Generator[tuple[Part, memoryview], None, None]:
    """Each part with its bytes, in the order given.

    Parts being read, waiting for their turn or in the consumer's hands count against the window.
    A part that fails for a temporary reason is asked for again, with growing pauses; any other
    failure is raised when its turn comes.
    """
    stopped = threading.Event()
    coming: deque[tuple[Part, Future[memoryview]]] = deque()
    remaining = iter(parts)
    under_way = 0
    ahead = next(remaining, None)
    with _readers(connections, stopped) as submit:
        while ahead or coming:
            while ahead and (not coming or under_way + ahead.size_bytes <= window_bytes):
                coming.append((ahead, submit(partial(_read_whole, read, ahead, stopped))))
                under_way += ahead.size_bytes
                ahead = next(remaining, None)
            part, future = coming.popleft()
            yield part, future.result()
            under_way -= part.size_bytes


class _Stopped(Exception):
    """Nobody waits for this part any more."""


def _read_whole(read: ReadRange, part: Part, stopped: threading.Event) -> memoryview:
    def attempt() -> memoryview:
        if stopped.is_set():
            raise _Stopped
        body = read(part.file, part.start, part.stop)
        if len(body) != part.size_bytes:
            raise ModelError(
                f"{part.file.uri}: a read ended early",
                seen=f"{len(body)} of {part.size_bytes} bytes from byte {part.start} on.",
                do="If this happens often, look at the proxy or firewall before the storage.",
                temporary=True,
            )
        return body

    return retry(attempt, tries=_TRIES, sleep=lambda seconds: _pause(stopped, seconds))


def _pause(stopped: threading.Event, seconds: float) -> None:
    stopped.wait(seconds)


@contextmanager
def _readers(
    count: int, stopped: threading.Event
) -> Iterator[Callable[[Callable[[], memoryview]], Future[memoryview]]]:
    """Threads that read. Daemons, not an executor's: a read stuck in a dead connection must not
    hold up the end of a cancelled run.
    """
    jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            job()

    def submit(call: Callable[[], memoryview]) -> Future[memoryview]:
        future: Future[memoryview] = Future()
        jobs.put(partial(_carry_out, call, future))
        return future

    threads = [
        threading.Thread(target=work, name=f"reader-{number}", daemon=True)
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield submit
    finally:
        stopped.set()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join(_LEAVE_S / count)


def _carry_out(call: Callable[[], memoryview], future: Future[memoryview]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again by future.result()
        future.set_exception(error)
