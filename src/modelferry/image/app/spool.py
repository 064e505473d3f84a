"""A blob that is read once from where it is, into a file; who reads it here waits for the bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from modelferry.errors import RegistryError
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop, in_thread
from modelferry.values import Digest

_STEP = 4 << 20
_LOOK_S = 0.2  # between two looks at `stop`


class Spool:
    """Fetched when it is first read; thread-safe."""

    def __init__(
        self,
        file: Path,
        digest: Digest,
        size_bytes: int,
        fetch: Callable[[int, int], bytes],
        stop: Stop,
    ) -> None:
        self.digest, self.size_bytes = digest, size_bytes
        self._file, self._fetch, self._stop = file, fetch, stop
        self._news = threading.Condition()
        self._begun = False
        self._error: BaseException | None = None
        self.there_bytes = 0  # all of them only when their digest was right

    @property
    def is_whole(self) -> bool:
        return self.there_bytes == self.size_bytes

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size_bytes)
        with self._news:
            if not self._begun:
                self._begun = True
                in_thread(self._fill, "spool")
            while self.there_bytes < stop:
                if self._error:
                    raise self._error
                self._stop.check()
                self._news.wait(_LOOK_S)
        return FileRange(path=self._file, start=0, size_bytes=self.size_bytes).read(start, stop)

    def _fill(self) -> None:
        try:
            self._copy()
        except BaseException as error:  # noqa: BLE001 - raised again by `read`
            self._error = error
        with self._news:
            self._news.notify_all()

    def _copy(self) -> None:
        found = hashlib.sha256()
        with self._file.open("xb", buffering=0) as file:
            for start in range(0, self.size_bytes, _STEP):
                self._stop.check()
                stop = min(start + _STEP, self.size_bytes)
                data = self._fetch(start, stop)
                found.update(data)
                file.write(data)
                if stop == self.size_bytes:
                    self._check(f"sha256:{found.hexdigest()}")
                with self._news:
                    self.there_bytes = stop
                    self._news.notify_all()

    def _check(self, found: str) -> None:
        if found != self.digest:
            raise RegistryError(f"Blob {self.digest} came with other bytes", seen=found)
