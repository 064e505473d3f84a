"""A stretch of a file on disk, read like any other content of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    path: Path
    start: int
    size_bytes: int

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start + start)
            return file.read(min(stop, self.size_bytes) - start)

    def read_all(self) -> bytes:
        return self.read(0, self.size_bytes)
