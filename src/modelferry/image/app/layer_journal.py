"""What is in the layers of an image that the classic store has, without reading them: the store
keeps each layer's tar headers apart from the files (layer_store.py), some hundred kilobytes."""

from __future__ import annotations

import base64
import json
import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from modelferry.engine import Engine
from modelferry.image.app.engine_files import UNEXPECTED, engine_files
from modelferry.image.app.layer_store import CONTENT, HEADERS, chain_ids, folders, read_journal
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")


class JournalTar:
    """A layer's tar, in which every file's content is zeros."""

    def __init__(self, journal: bytes) -> None:
        self._parts: list[bytes | int] = []  # headers, or how many zeros
        self._starts: list[int] = []
        self.size_bytes = 0
        for line in journal.splitlines():
            found: dict[str, Any] = json.loads(line)
            if found["type"] == HEADERS:
                self._add(base64.b64decode(found["payload"]))
            elif found["type"] == CONTENT and found.get("size"):
                self._add(int(found["size"]))

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size_bytes)
        read: list[bytes] = []
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            part, offset = self._parts[number], start - self._starts[number]
            if isinstance(part, bytes):
                chunk = part[offset : offset + stop - start]
            else:
                chunk = bytes(min(part - offset, stop - start))
            read.append(chunk)
            start += len(chunk)
        return b"".join(read)

    def _add(self, part: bytes | int) -> None:
        self._parts.append(part)
        self._starts.append(self.size_bytes)
        self.size_bytes += part if isinstance(part, int) else len(part)


def read_journals(
    engine: Engine, image_id: str, diff_ids: Sequence[Digest], *, run_label: str
) -> Mapping[Digest, JournalTar]:
    """By diff id; none where this engine's store cannot be read so."""
    if engine.facts.store != "classic" or engine.facts.driver != "overlay2":
        return {}
    from docker.errors import DockerException

    try:
        with engine_files(engine, image_id, folders(engine), run_label) as store:
            return {
                diff_id: JournalTar(read_journal(store, chain))
                for diff_id, chain in zip(diff_ids, chain_ids(diff_ids), strict=True)
            }
    except (DockerException, *UNEXPECTED) as error:
        log.info("The engine's store is not read directly: %s", error)
        return {}
