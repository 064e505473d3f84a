"""Parallel ranged reads, handed on in order through a bounded window.

Whatever consumes the bytes (a hash, an upload, a file) sees them from first to last, while up
to 64 MiB are on their way, in as many parts as bring them soonest. Leaving the iteration early, by
an error too, stops all reads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from modelferry.artifacts import ModelFile
from modelferry.sources.pace import PARTS_BYTES, Pace
from modelferry.sources.resume import Check, carry_on, resumed
from modelferry.sources.source import ReadRange

PART_BYTES = PARTS_BYTES[0]
WINDOW_BYTES = 64 * 1024 * 1024
_LEAVE_S = 2.0  # how long stopped readers may take before they are left behind
_LOOK_S = 0.1  # how often `check` is asked while nothing comes

_Came = SimpleQueue[bytes | BaseException]  # the pieces of one part, or what ended it
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
    pace: Pace | None = None,
    check: Check = carry_on,
) -> Generator[tuple[Part, memoryview], None, None]:
    """The parts' bytes in the order given, in pieces: each a stretch of a part, as it comes.

    `pace` says how finely the parts are cut, `connections` how many are read at once at most.
    Parts being read, waiting for their turn or in the consumer's hands count against the window.
    A part that breaks is taken up where it broke (sources/resume.py); what cannot be mended is
    raised when its turn comes, so that the same fault always ends at the same byte. `check` is
    asked while nothing comes, and may raise.
    """
    pace = pace or Pace()
    stopped = threading.Event()
    coming: deque[tuple[Part, _Came]] = deque()
    remaining = _cut(parts, pace)
    ahead = next(remaining, None)
    under_way = 0
    with _readers(connections, stopped) as submit:
        while ahead or coming:
            while ahead and (not under_way or under_way + ahead.size_bytes <= window_bytes):
                came = _Came()
                submit(partial(_fetch, read, ahead, came, stopped))
                coming.append((ahead, came))
                under_way += ahead.size_bytes
                ahead = next(remaining, None)
            part, came = coming[0]
            piece = _next(came, check)
            rest = Part(file=part.file, start=part.start + len(piece), stop=part.stop)
            if rest.size_bytes:
                coming[0] = rest, came
            else:
                coming.popleft()
            pace.taken(len(piece), time.monotonic())
            yield Part(file=part.file, start=part.start, stop=rest.start), memoryview(piece)
            under_way -= len(piece)


def _cut(parts: Iterable[Part], pace: Pace) -> Iterator[Part]:
    """Asked for one by one, so that what `pace` finds out counts from the next one on."""
    for part in parts:
        start = part.start
        while start < part.stop:
            stop = min(part.stop, start + pace.part_bytes)
            yield Part(file=part.file, start=start, stop=stop)
            start = stop


def _next(came: _Came, check: Check) -> bytes:
    while True:
        try:
            piece = came.get(timeout=_LOOK_S)
        except Empty:
            check()
            continue
        if isinstance(piece, BaseException):
            raise piece
        return piece


class _Stopped(Exception):
    """Nobody waits for this part any more."""


def _fetch(read: ReadRange, part: Part, came: _Came, stopped: threading.Event) -> None:
    def check() -> None:
        if stopped.is_set():
            raise _Stopped

    try:
        check()
        for piece in resumed(read, part.file, part.start, part.stop, check=check):
            came.put(piece)
    except _Stopped:
        return  # not kept: its traceback would keep the connection open
    except BaseException as error:  # noqa: BLE001 - raised again by whoever takes it
        came.put(error)


@contextmanager
def _readers(count: int, stopped: threading.Event) -> Iterator[Callable[[_Job], None]]:
    """Threads that read, as many as there is work for. Daemons, not an executor's: a read stuck in
    a dead connection must not hold up the end of a cancelled run.
    """
    threads: list[threading.Thread] = []
    jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            job()

    def submit(job: _Job) -> None:
        jobs.put(job)
        if len(threads) < count and not jobs.empty():
            name = f"reader-{len(threads)}"
            threads.append(threading.Thread(target=work, name=name, daemon=True))
            threads[-1].start()

    try:
        yield submit
    finally:
        stopped.set()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join(_LEAVE_S / len(threads))
