"""Who is at work and for how long, as lines on a stream."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_HEARTBEAT_S = 10


class Progress:
    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._at_work: dict[str, float] = {}  # "part: phase" -> when it began

    @contextmanager
    def phase(self, part: str, phase: str) -> Iterator[None]:
        """A line at its beginning, and one at its end if that takes noticeable time."""
        key, began = f"{part}: {phase}", time.monotonic()
        with self._lock:
            self._at_work[key] = began
        self.line(key)
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            with self._lock:
                del self._at_work[key]
            self.line(f"{key} {outcome} in {time.monotonic() - began:.1f} s")

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """While inside, a line every ten seconds with what is at work."""
        ended = threading.Event()
        pulse = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        pulse.start()
        try:
            yield
        finally:
            ended.set()
            pulse.join()

    def line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")
            self._stream.flush()

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(_HEARTBEAT_S):
            now = time.monotonic()
            with self._lock:
                shown = [f"{key} ({now - since:.0f} s)" for key, since in self._at_work.items()]
            if shown:
                self.line(f"... {', '.join(shown)}")
