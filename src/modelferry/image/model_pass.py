"""All layers of a model on their way: each is read once, for whoever needs it.

With a load the layers follow one another, as the engine's archive has them; without one, several
go side by side. However many there are, they share one window of memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from modelferry.image.layer import MIB, LayerView
from modelferry.image.stream import ReadInOrder, Sums, Tap, open_layer, pass_over
from modelferry.image.workers import Stop, in_thread, in_threads, raise_failed, wait_for
from modelferry.values import Digest

WINDOW_BYTES = 48 * MIB  # being read, or waiting for their turn
ALONE_BYTES = 8 * MIB  # of a consumer that left the pass and reads by itself: all may at once
BACKLOG_BYTES = 16 * MIB  # read, and not yet taken by every consumer
SIDE_BY_SIDE = 3  # a window shared by 1, 2 or 3 is whole parts (sources/ranges.py): no byte idle
UPLOADS = 16  # more than layers are read: a registry may take long to close one


class StreamedBlob:
    """A layer on its way, as the clients of the registry and the engine take a blob."""

    def __init__(self, leg: Leg, tap: Tap) -> None:
        self._leg, self._tap = leg, tap
        self.size_bytes = leg.view.size_bytes
        self.read, self.wait_for_first = tap.read, tap.wait_for_first
        self.leave, self.close = tap.leave, tap.close

    @property
    def digest(self) -> Digest:
        """Waits for the end of the pass, and does not keep it waiting: a registry that wants the
        digest before the bytes gets these from the source, once it is known."""
        self._tap.leave()
        return self._leg.sums.result().layer


class Leg:
    """One layer of the pass."""

    def __init__(
        self,
        view: LayerView,
        read: ReadInOrder,
        *,
        read_alone: ReadInOrder,
        backlog_bytes: int,
        stop: Stop,
    ) -> None:
        """`read_alone`: for a consumer that leaves the pass."""
        self.view, self._read, self._read_alone = view, read, read_alone
        self._backlog, self._stop = backlog_bytes, stop
        self._taps: tuple[Tap, ...] = ()
        self.sums: Future[Sums] = Future()
        self.ended_s = 0.0  # by the monotonic clock

    def tapped(self) -> StreamedBlob:
        """For one more consumer, before the pass begins."""
        size = self.view.size_bytes
        open_at = partial(open_layer, self.view, self._read_alone)
        tap = Tap(open_at, size_bytes=size, backlog_bytes=self._backlog, stop=self._stop)
        self._taps += (tap,)
        return StreamedBlob(self, tap)

    def run(self) -> None:
        try:
            sums = pass_over(self.view, self._read, self._taps, self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again by sums.result()
            self.sums.set_exception(error)
        else:
            self.ended_s = time.monotonic()
            self.sums.set_result(sums)


class ModelPass:
    """Runs from when it is made until `finish` or `abandon`."""

    def __init__(
        self,
        views: Sequence[LayerView],
        reader: Callable[[int], ReadInOrder],
        *,
        upload: Callable[[StreamedBlob], None] | None = None,
        load: Callable[[Sequence[StreamedBlob]], Any] | None = None,
    ) -> None:
        """`reader`: within so many bytes of memory."""
        self._stop = Stop()
        side_by_side = 1 if load else max(1, min(SIDE_BY_SIDE, len(views)))
        window, backlog = WINDOW_BYTES // side_by_side, BACKLOG_BYTES // side_by_side
        self._legs = tuple(
            Leg(
                view,
                reader(window),
                read_alone=reader(ALONE_BYTES),
                backlog_bytes=backlog,
                stop=self._stop,
            )
            for view in views
        )
        self._todo, self._turn = iter(self._legs), threading.Lock()
        loaded, sent = ([leg.tapped() for leg in self._legs if it] for it in (load, upload))
        self._load = in_thread(partial(_load, load, loaded), "load") if load else None
        self._uploads = in_threads(
            [partial(_upload, upload, blob) for blob in sent if upload], "upload", most=UPLOADS
        )
        for number in range(side_by_side):
            in_thread(self._run_legs, f"pass-{number}")

    def check(self) -> None:
        """Raises what a pass or a consumer has failed with by now."""
        raise_failed([*(leg.sums for leg in self._legs), *self._consumers()])

    def sums(self) -> tuple[Sums, ...]:
        """Once all is read. Raises at once what a pass or a consumer failed with."""
        passed = [leg.sums for leg in self._legs]
        wait_for(passed, [*passed, *self._consumers()])
        return tuple(each.result() for each in passed)

    @property
    def ended_s(self) -> float:
        """When the last byte was read, by the monotonic clock; 0 where there was none to read."""
        return max((leg.ended_s for leg in self._legs), default=0.0)

    def finish(self) -> Any:
        """What `load` gave, once every consumer has all it wants."""
        wait_for(self._consumers(), self._consumers())
        return self._load.result() if self._load else None

    def abandon(self) -> None:
        """All that is under way ends soon; nobody waits for it."""
        self._stop.set()

    def _consumers(self) -> list[Future[Any]]:
        return [*self._uploads, *([self._load] if self._load else [])]

    def _run_legs(self) -> None:
        while True:
            with self._turn:
                leg = next(self._todo, None)
            if leg is None:
                return
            leg.run()


def _upload(upload: Callable[[StreamedBlob], None], blob: StreamedBlob) -> None:
    blob.wait_for_first()  # else its session would grow old before its turn
    try:
        upload(blob)
    finally:
        blob.close()


def _load(load: Callable[[Sequence[StreamedBlob]], Any], blobs: Sequence[StreamedBlob]) -> Any:
    try:
        return load(blobs)
    finally:
        for blob in blobs:
            blob.close()
