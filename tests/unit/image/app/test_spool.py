import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.errors import Cancelled, RegistryError
from modelferry.image.app.spool import Spool
from modelferry.image.workers import Stop
from modelferry.values import Digest

DATA = os.urandom(9 << 20)  # more than two steps
Fetch = Callable[[int, int], bytes]


def spool(folder: Path, fetch: Fetch, data: bytes = DATA, stop: Stop | None = None) -> Spool:
    digest = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
    return Spool(folder / "blob", digest, len(data), fetch, stop or Stop())


def test_it_is_fetched_once_for_all_who_read(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return DATA[start:stop]

    made = spool(tmp_path, fetch)
    assert asked == []
    assert not made.is_whole
    assert made.read(5 << 20, 6 << 20) == DATA[5 << 20 : 6 << 20]
    assert made.read(0, len(DATA) + 99) == DATA
    assert made.is_whole
    assert asked == [(0, 4 << 20), (4 << 20, 8 << 20), (8 << 20, 9 << 20)]


def test_a_reader_gets_what_is_there_while_more_comes(tmp_path: Path) -> None:
    read = threading.Event()

    def fetch(start: int, stop: int) -> bytes:
        assert start == 0 or read.wait(10)
        return DATA[start:stop]

    made = spool(tmp_path, fetch)
    assert made.read(0, 1 << 20) == DATA[: 1 << 20]
    read.set()
    assert made.read(8 << 20, 9 << 20) == DATA[8 << 20 :]


def test_other_bytes_are_never_whole(tmp_path: Path) -> None:
    made = spool(tmp_path, lambda start, stop: bytes(stop - start))
    with pytest.raises(RegistryError, match="other bytes"):
        made.read(0, len(DATA))
    assert not made.is_whole


def test_who_reads_hears_of_a_registry_that_fails(tmp_path: Path) -> None:
    def fetch(start: int, stop: int) -> bytes:
        if start:
            raise RegistryError("gone")
        return DATA[start:stop]

    made = spool(tmp_path, fetch)
    with pytest.raises(RegistryError, match="gone"):
        made.read(0, len(DATA))


def test_a_cancel_does_not_wait_for_the_registry(tmp_path: Path) -> None:
    stop, never = Stop(), threading.Event()

    def fetch(_: int, __: int) -> bytes:
        stop.set()
        never.wait(10)
        return b""

    with pytest.raises(Cancelled):
        spool(tmp_path, fetch, stop=stop).read(0, 1)
    never.set()
