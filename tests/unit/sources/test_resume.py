from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import ModelFile
from modelferry.errors import Cancelled, FerryError, ModelChanged, ModelError
from modelferry.sources import resume
from modelferry.sources.refusal import Busy
from modelferry.sources.resume import read_range, resumed

BODY = bytes(range(100))
FILE = ModelFile(
    uri="s3://bucket/a",
    image_path=PurePosixPath("/model/a"),
    size_bytes=100,
    etag='"1"',
    version_id=None,
    modified=None,
    source_line=1,
)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Told instead of spent."""
    told: list[float] = []
    monkeypatch.setattr(resume, "_pause", lambda seconds, check: told.append(seconds))
    return told


class Server:
    """Gives ten bytes a piece, and at each place where a fault stands, that instead, once."""

    def __init__(self, faults: dict[int, FerryError | None], *, times: int = 1) -> None:
        self.faults = dict.fromkeys(faults, times)
        self.kinds = faults
        self.asked: list[int] = []

    def read(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        self.asked.append(start)
        for position in range(start, stop, 10):
            if self.faults.get(position, 0):
                self.faults[position] -= 1
                if error := self.kinds[position]:
                    raise error
                return
            yield BODY[position : min(position + 10, stop)]


def broken() -> ModelError:
    return ModelError("reset", temporary=True)


def test_what_came_before_a_fault_is_kept(waits: list[float]) -> None:
    server = Server({20: broken(), 30: None, 70: broken()})
    assert read_range(server.read, FILE, 0, 100) == BODY
    assert server.asked == [0, 20, 30, 70]
    assert len(waits) == 3


def test_only_what_is_asked_for_is_read(waits: list[float]) -> None:
    server = Server({})
    assert read_range(server.read, FILE, 40, 63) == BODY[40:63]
    assert read_range(server.read, FILE, 40, 40) == b""
    assert server.asked == [40]


def test_a_fault_that_stays_is_raised_after_seven_tries(waits: list[float]) -> None:
    server = Server({20: broken()}, times=99)
    pieces = resumed(server.read, FILE, 0, 100)
    assert [next(pieces), next(pieces)] == [BODY[:10], BODY[10:20]]
    with pytest.raises(ModelError, match="reset"):
        next(pieces)
    assert server.asked == [0] + [20] * 6
    assert 0.25 <= waits[0] <= 0.5
    assert waits[-1] > 5, "the pauses grow"


def test_each_piece_renews_the_tries(waits: list[float]) -> None:
    faults: dict[int, FerryError | None] = {place: broken() for place in range(0, 100, 10)}
    server = Server(faults, times=6)
    assert read_range(server.read, FILE, 0, 100) == BODY
    assert len(waits) == 60


@pytest.mark.parametrize("error", [ModelChanged("changed"), ModelError("refused")])
def test_what_another_try_cannot_mend_is_raised_at_once(
    waits: list[float], error: FerryError
) -> None:
    server = Server({20: error})
    with pytest.raises(type(error)):
        read_range(server.read, FILE, 0, 100)
    assert server.asked == [0]
    assert waits == []


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(0.0, 0.25, 0.5), (7.0, 7.0, 7.0), (9e9, 60.0, 60.0)]
)
def test_the_servers_own_word_on_when_is_kept(
    waits: list[float], asked: float, least: float, most: float
) -> None:
    server = Server({20: Busy("503", do="", retry_after_s=asked)})
    assert read_range(server.read, FILE, 0, 100) == BODY
    assert least <= waits[0] <= most


def test_more_than_was_asked_for_is_never_handed_on(waits: list[float]) -> None:
    with pytest.raises(ModelError, match="more than what was asked for"):
        read_range(lambda *_: [bytes(11)], FILE, 0, 10)
    assert len(waits) == 6


def test_a_body_that_always_ends_early_is_an_error(waits: list[float]) -> None:
    with pytest.raises(ModelError, match="less than what was asked for") as caught:
        read_range(lambda *_: [], FILE, 0, 10)
    assert "Bytes 0 to 9 were due" in caught.value.seen


def test_a_pause_ends_when_the_work_is_stopped() -> None:
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stop")

    threading.Timer(0.1, stop.set).start()
    server = Server({0: Busy("503", do="", retry_after_s=30)})
    started = time.monotonic()
    with pytest.raises(Cancelled):
        read_range(server.read, FILE, 0, 100, check=check)
    assert time.monotonic() - started < 15
