"""Blobs on their way while the image that they belong to is still being made. What does not get
through here is sent by the push, which looks first: nothing here is an error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial

from modelferry.errors import Cancelled, FerryError
from modelferry.image.workers import Stop, in_thread
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

_AT_ONCE = 3  # beside the model's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """As the registry's client takes it."""

    digest: Digest
    size_bytes: int
    read: Callable[[int, int], bytes]


Send = Callable[[Blob, Callable[[int], None]], object]  # counts what goes over the wire


class Sending:
    """Ends with `finish` or `abandon`; until then blobs may be added by any thread."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.stop = Stop()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._begun: dict[Digest, Future[bool]] = {}

    def begin(self, blob: Blob, send: Send) -> Future[bool]:
        """Once a blob; the answer is whether it got there."""
        with self._lock:
            if blob.digest not in self._begun:
                self._begun[blob.digest] = in_thread(partial(self._send, blob, send), "send")
            return self._begun[blob.digest]

    def finish(self) -> None:
        """Once nothing is under way any more."""
        wait(self._begun.values())

    def abandon(self) -> None:
        """What is under way ends soon; it is not waited for."""
        self.stop.set()

    def _send(self, blob: Blob, send: Send) -> bool:
        try:
            with self._turns:
                send(replace(blob, read=partial(self._read, blob)), self._count)
        except (FerryError, Cancelled) as error:
            log.info("%s is left to the push: %s", blob.digest, error)
            return False
        return True

    def _read(self, blob: Blob, start: int, stop: int) -> bytes:
        self.stop.check()
        return blob.read(start, stop)

    def _count(self, sent: int) -> None:
        with self._lock:
            self.sent_bytes += sent
