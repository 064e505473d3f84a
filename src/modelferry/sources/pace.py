"""Into how many parts a window of memory is cut, and so how many connections read at once: found by
trying. Far storage gives each connection little, so more of them bring more; near storage fills
the machine with a few, and more only cost requests and turns of the processor. Pure but its lock.
"""

from __future__ import annotations

import threading

MIB = 1024 * 1024
PARTS_BYTES = (8 * MIB, 4 * MIB, 2 * MIB)  # each next one is twice the connections
_SETTLES_BYTES = 48 * MIB  # read at the old size after a change, or not yet at speed
_MEASURED_BYTES = 64 * MIB
_WORTH = 1.1  # how much quicker twice the connections must be


class Pace:
    """Shared by readings that run side by side: what counts is what they give together."""

    def __init__(self) -> None:
        self._size = self._taken = 0
        self._found = False
        self._began = self._before = 0.0  # when measuring began; bytes a second one size ago
        self._lock = threading.Lock()

    @property
    def part_bytes(self) -> int:
        return PARTS_BYTES[self._size]

    def taken(self, count: int, now: float) -> None:
        """So many bytes were handed on at `now`, in seconds."""
        if self._found:
            return
        with self._lock:
            was, self._taken = self._taken, self._taken + count
            if was < _SETTLES_BYTES <= self._taken:
                self._began, self._taken = now, _SETTLES_BYTES
            elif self._taken >= _SETTLES_BYTES + _MEASURED_BYTES:
                self._judge(_MEASURED_BYTES / max(now - self._began, 1e-6))

    def _judge(self, rate: float) -> None:
        if rate < self._before * _WORTH:
            self._size -= 1
            self._found = True
        elif self._size + 1 == len(PARTS_BYTES):
            self._found = True
        else:
            self._size += 1
            self._taken, self._before = 0, rate
