"""One pass over a layer: its bytes are read once, in order, hashed, and handed to taps.

A tap is what one consumer (the registry's upload, the engine's load) reads the layer through. Who
goes forward is fed by the pass. Who goes back, to send something again, leaves the pass and reads
from the source by itself, so the others go on: nothing is kept on disk, and little in memory.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from modelferry.artifacts import ModelFile
from modelferry.image.layer import LayerView, Piece
from modelferry.image.workers import Stop
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

STALL_S = 30.0  # a consumer that keeps the pass waiting for longer goes on without it
_POLL_S = 0.2  # how soon a wait notices that the run was stopped

Buffer = bytes | memoryview
Coming = Generator[Buffer, None, None]  # closed, it ends its requests
Stretch = tuple[ModelFile, int, int]  # of its content, [start, stop)
# The contents of the stretches, in order; no buffer holds bytes of two.
ReadInOrder = Callable[[Iterable[Stretch]], Iterator[Buffer]]
OpenAt = Callable[[int], Coming]  # from that byte to the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    layer: Digest
    files: tuple[str, ...]  # sha256 of each of the view's files, 64 hex digits


def read_layer(
    view: LayerView, read: ReadInOrder, start: int = 0
) -> Generator[tuple[ModelFile | None, Buffer], None, None]:
    """From byte `start` on, by one ordered read over all the files; None stands by tar's own."""
    contents = read(
        (piece.file, piece.start, piece.stop) for piece in view.pieces(start) if piece.file
    )
    for piece in view.pieces(start):
        if piece.file is None:
            yield None, piece.computed
        else:
            yield from _content(piece, contents)


def _content(piece: Piece, contents: Iterator[Buffer]) -> Iterator[tuple[ModelFile | None, Buffer]]:
    left = piece.stop - piece.start
    while left:
        body = next(contents)
        left -= len(body)
        yield piece.file, body


def open_layer(view: LayerView, read: ReadInOrder, start: int) -> Coming:
    return (chunk for _, chunk in read_layer(view, read, start))


class Reading:
    """`read(start, stop)` over bytes that come in order: to go on is cheap, any other place is
    opened anew. For one thread at a time."""

    def __init__(self, open_at: OpenAt, size_bytes: int, first: Coming | None = None) -> None:
        """`first`: bytes from 0 on that are coming already."""
        self._open_at, self._size = open_at, size_bytes
        self._coming = first
        self._at = 0
        self._rest = memoryview(b"")

    def read(self, start: int, stop: int) -> bytes:
        if start != self._at or self._coming is None:
            self.close()
            self._coming, self._at = self._open_at(start), start
        parts: list[memoryview] = []
        while self._at < stop:
            if not self._rest:
                self._rest = memoryview(next(self._coming))
            taken = self._rest[: stop - self._at]
            self._rest = self._rest[len(taken) :]
            self._at += len(taken)
            parts.append(taken)
        if self._at == self._size:
            self.close()
        return b"".join(parts)

    def close(self) -> None:
        if self._coming:
            self._coming.close()
        self._coming, self._rest = None, memoryview(b"")


class Tap:
    """One consumer's way to a layer while the pass runs. The bytes that wait for it, and those in
    its hands, are `backlog_bytes` at most; or one chunk, if that is larger."""

    def __init__(self, open_at: OpenAt, *, size_bytes: int, backlog_bytes: int, stop: Stop) -> None:
        self._open_at, self._size, self._stop = open_at, size_bytes, stop
        self._backlog = backlog_bytes
        self._waiting: deque[Buffer] = deque()
        self._held = 0
        self._begun = self._ended = self._left = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._reading = Reading(open_at, size_bytes, self._fed())

    def read(self, start: int, stop: int) -> bytes:
        return self._reading.read(start, stop)

    def wait_for_first(self) -> None:
        """Until the pass has come to this layer, however it goes on."""
        with self._changed:
            while not (self._begun or self._ended):
                self._stop.check()
                self._changed.wait(_POLL_S)

    def leave(self) -> None:
        """Let the pass go on without this consumer, which may read on by itself."""
        with self._changed:
            self._left = True
            self._waiting.clear()
            self._held = 0
            self._changed.notify_all()

    def close(self) -> None:
        """By the consumer, who is done."""
        self.leave()
        self._reading.close()

    def feed(self, chunk: Buffer) -> None:
        """By the pass. Waits while the consumer is too far behind."""
        patience_ends = time.monotonic() + STALL_S
        with self._changed:
            self._begun = True
            while self._held and self._held + len(chunk) > self._backlog and not self._left:
                self._stop.check()
                if time.monotonic() > patience_ends:
                    log.info("A transfer stands still; the others go on without it")
                    self.leave()
                self._changed.wait(_POLL_S)
            if not self._left:
                self._waiting.append(chunk)
                self._held += len(chunk)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """By the pass: nothing more comes. `error` is what the consumer's next read raises."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _fed(self) -> Coming:
        position = 0
        try:
            while (chunk := self._next()) is not None:
                yield chunk
                position += len(chunk)
                self._done_with(chunk)
        finally:
            self.leave()
        if position < self._size:
            yield from self._open_at(position)

    def _next(self) -> Buffer | None:
        """None when the pass has ended, or goes on without us."""
        with self._changed:
            while True:
                if self._error:
                    raise self._error
                if self._waiting:
                    return self._waiting.popleft()
                if self._left or self._ended:
                    return None
                self._stop.check()
                self._changed.wait(_POLL_S)

    def _done_with(self, chunk: Buffer) -> None:
        with self._changed:
            self._held = max(0, self._held - len(chunk))
            self._changed.notify_all()


def pass_over(view: LayerView, read: ReadInOrder, taps: tuple[Tap, ...], stop: Stop) -> Sums:
    """Whatever ends the pass ends what the taps wait for."""
    layer = hashlib.sha256()
    files = {each.file: hashlib.sha256() for each in view.files}
    try:
        with closing(read_layer(view, read)) as coming:
            for file, chunk in coming:
                stop.check()
                for tap in taps:
                    tap.feed(chunk)
                layer.update(chunk)  # while the consumers send it: hashing lets other threads run
                if file:
                    files[file].update(chunk)
    except BaseException as error:
        for tap in taps:
            tap.end(error)
        raise
    for tap in taps:
        tap.end()
    return Sums(
        layer=Digest(f"sha256:{layer.hexdigest()}"),
        files=tuple(files[each.file].hexdigest() for each in view.files),
    )
