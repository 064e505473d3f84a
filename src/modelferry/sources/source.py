"""What every storage can do: list a folder, look at one object, read a pinned range of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from modelferry.artifacts import ModelFile
from modelferry.errors import ModelError
from modelferry.sources.spec import ModelLine

PIECE_BYTES = 1024 * 1024  # what a broken connection can lose, and what is handed on at once

ReadRange = Callable[[ModelFile, int, int], Iterable[bytes]]  # Source.read


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    key: str
    size_bytes: int
    etag: str | None  # as in the header, with its quotes
    version_id: str | None = None
    modified: datetime | None = None
    is_folder: bool = False  # an empty object that stands for a folder; only a HEAD tells
    refused: ModelError | None = None  # raised where this is chosen


class Source(Protocol):
    """Storage behind one line of `model`. Raises FerryErrors only; thread-safe."""

    @property
    def connections(self) -> int:
        """How many reads may run at once; 1 where the server only sends whole objects."""
        ...

    def list(self, folder: str) -> Iterable[StoredObject]:
        """Everything below `folder` ("" or ending in "/"), folder markers too; lazily."""
        ...

    def head(self, key: str) -> StoredObject: ...

    def read(self, file: ModelFile, start: int, stop: int) -> Iterable[bytes]:
        """Bytes [start, stop) of exactly the object that was resolved, in pieces as they come,
        or ModelChanged.

        One request, never repeated here: a fault ends it with a temporary error or simply early,
        the pieces before it are good, and sources/resume.py asks for the rest.
        """
        ...


def uri_of(line: ModelLine, key: str) -> str:
    return replace(line, key=key).uri


def key_of(line: ModelLine, file: ModelFile) -> str:
    return file.uri.removeprefix(uri_of(line, ""))
