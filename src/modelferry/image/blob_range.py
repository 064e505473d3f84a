"""A blob in the registry, read like any other content of a layer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelferry.values import Digest

ReadRange = Callable[[str, Digest, int, int], bytes]  # Registry.read_range: repository, blob, range

_BLOCK = 4 << 20  # a request's worth; readers ask for less, one stretch after the other


class BlobRange:
    """Keeps the last block that it read; thread-safe."""

    def __init__(
        self, read_range: ReadRange, repository: str, digest: Digest, size_bytes: int
    ) -> None:
        self.size_bytes = size_bytes
        self._read_range, self._repository, self._digest = read_range, repository, digest
        self._lock = threading.Lock()
        self._block: tuple[int, bytes] = (-1, b"")

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size_bytes)
        parts: list[bytes] = []
        while start < stop:
            number, offset = divmod(start, _BLOCK)
            part = self._get(number)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _get(self, number: int) -> bytes:
        with self._lock:
            if self._block[0] != number:
                first = number * _BLOCK
                last = min(first + _BLOCK, self.size_bytes)
                data = self._read_range(self._repository, self._digest, first, last)
                self._block = (number, data)
            return self._block[1]
