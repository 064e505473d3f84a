from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from modelferry.artifacts import ModelFile
from modelferry.errors import Cancelled, ModelChanged, ModelError
from modelferry.sources import ranges
from modelferry.sources.pace import PARTS_BYTES, Pace
from modelferry.sources.ranges import PART_BYTES, Part, in_order, parts_of
from modelferry.sources.signed_gets import CONNECTIONS

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def no_reader_is_left():
    yield
    deadline = time.monotonic() + 30
    while left := [each.name for each in threading.enumerate() if each.name.startswith("reader-")]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def file(size: int, name: str = "a") -> ModelFile:
    return ModelFile(
        uri=f"s3://bucket/{name}",
        image_path=PurePosixPath("/model", name),
        size_bytes=size,
        etag='"1"',
        version_id=None,
        modified=None,
        source_line=1,
    )


def small_parts(count: int, size: int = 10) -> list[Part]:
    model = file(count * size)
    return [Part(file=model, start=n * size, stop=(n + 1) * size) for n in range(count)]


def numbered(_: ModelFile, start: int, stop: int) -> list[bytes]:
    return [bytes([start // 10 % 256]) * (stop - start)]


@pytest.mark.parametrize(
    ("size", "start", "stop", "expected"),
    [
        (0, 0, None, []),
        (1, 0, None, [(0, 1)]),
        (PART_BYTES, 0, None, [(0, PART_BYTES)]),
        (PART_BYTES + 1, 0, None, [(0, PART_BYTES), (PART_BYTES, PART_BYTES + 1)]),
        (
            99 * MIB,
            PART_BYTES - 7,
            PART_BYTES + 3,
            [(PART_BYTES - 7, PART_BYTES), (PART_BYTES, PART_BYTES + 3)],
        ),
        (99 * MIB, 5, 5, []),
    ],
)
def test_cuts_a_range_into_aligned_parts(
    size: int, start: int, stop: int | None, expected: list[tuple[int, int]]
) -> None:
    assert [(part.start, part.stop) for part in parts_of(file(size), start, stop)] == expected


def test_parts_are_8_mib_at_most_and_the_window_64() -> None:
    assert PART_BYTES == max(PARTS_BYTES) <= 8 * MIB
    assert ranges.WINDOW_BYTES <= 64 * MIB
    assert ranges.WINDOW_BYTES // min(PARTS_BYTES) <= CONNECTIONS


def test_parts_are_cut_as_the_pace_says_from_the_next_one_on() -> None:
    class Quicker(Pace):
        part_bytes: Any = 8

    pace, asked = Quicker(), list[tuple[int, int]]()

    def read(model: ModelFile, start: int, stop: int) -> list[bytes]:
        asked.append((start, stop))
        if start >= 8:
            pace.part_bytes = 4
        return [bytes(stop - start)]

    whole = Part(file=file(30), start=0, stop=30)
    bodies = in_order(read, [whole], connections=1, window_bytes=8, pace=pace)
    assert sum(len(body) for _, body in bodies) == 30
    assert asked == [(0, 8), (8, 16), (16, 24), (24, 28), (28, 30)]


def test_no_more_threads_than_there_is_work_for() -> None:
    bodies = in_order(numbered, small_parts(2), connections=32)
    next(bodies)
    assert len([t for t in threading.enumerate() if t.name.startswith("reader-")]) <= 2
    bodies.close()


def test_order_is_kept_whichever_part_comes_first() -> None:
    def slow_at_first(model: ModelFile, start: int, stop: int) -> list[bytes]:
        time.sleep(0.02 if start % 40 == 0 else 0)
        return numbered(model, start, stop)

    parts = small_parts(40)
    got = list(in_order(slow_at_first, parts, connections=8))
    assert [part for part, _ in got] == parts
    assert [bytes(body) for _, body in got] == [bytes([n]) * 10 for n in range(40)]


def test_reads_run_side_by_side() -> None:
    meeting = threading.Barrier(6, timeout=30)

    def together(model: ModelFile, start: int, stop: int) -> list[bytes]:
        meeting.wait()
        return numbered(model, start, stop)

    assert len(list(in_order(together, small_parts(6), connections=6))) == 6


def test_one_connection_reads_one_after_the_other() -> None:
    busy = threading.Lock()
    starts: list[int] = []

    def alone(model: ModelFile, start: int, stop: int) -> list[bytes]:
        assert busy.acquire(blocking=False)
        starts.append(start)
        time.sleep(0.001)
        busy.release()
        return numbered(model, start, stop)

    list(in_order(alone, small_parts(20), connections=1))
    assert starts == [n * 10 for n in range(20)]


def test_the_window_bounds_what_is_held_even_when_nobody_takes_it() -> None:
    asked: list[int] = []

    def counting(model: ModelFile, start: int, stop: int) -> list[bytes]:
        asked.append(start)
        return numbered(model, start, stop)

    bodies = in_order(counting, small_parts(100), connections=8, window_bytes=50)
    next(bodies)
    time.sleep(0.05)
    assert len(asked) == 5, "the part in the consumer's hands counts too"
    next(bodies)
    time.sleep(0.05)
    assert len(asked) == 6
    bodies.close()


def test_a_part_larger_than_the_window_still_comes() -> None:
    assert (
        len(list(in_order(numbered, small_parts(3, size=100), connections=2, window_bytes=10))) == 3
    )


def test_pieces_come_before_their_part_is_whole() -> None:
    release = threading.Event()

    def slow_end(model: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        yield b"a" * 4
        release.wait(30)
        yield b"b" * 6

    (part,) = small_parts(1)
    bodies = in_order(slow_end, [part], connections=1)
    assert next(bodies) == (replace(part, stop=4), b"aaaa")
    release.set()
    assert next(bodies) == (replace(part, start=4), b"bbbbbb")
    assert list(bodies) == []


def test_the_window_opens_piece_by_piece() -> None:
    asked: list[int] = []

    def halves(model: ModelFile, start: int, stop: int) -> list[bytes]:
        asked.append(start)
        return [bytes(5), bytes(5)]

    bodies = in_order(halves, small_parts(4), connections=4, window_bytes=20)
    next(bodies)
    time.sleep(0.05)
    assert asked == [0, 10]
    for _ in range(2):  # the first part's second piece, and its return
        next(bodies)
    time.sleep(0.05)
    assert asked == [0, 10, 20]
    bodies.close()


def test_a_lasting_failure_is_raised_in_its_turn_and_the_rest_is_dropped() -> None:
    asked: list[int] = []

    def changed(model: ModelFile, start: int, stop: int) -> list[bytes]:
        asked.append(start)
        if start == 30:
            raise ModelChanged("changed")
        time.sleep(0.005)
        return numbered(model, start, stop)

    bodies = in_order(changed, small_parts(500), connections=2, window_bytes=100)
    assert [next(bodies)[0].start for _ in range(3)] == [0, 10, 20]
    with pytest.raises(ModelChanged):
        next(bodies)
    assert asked.count(30) == 1, "only temporary failures are tried again"
    time.sleep(0.05)
    assert len(asked) < 20


def test_a_consumer_that_stops_stops_the_readers() -> None:
    asked: list[int] = []

    def slow(model: ModelFile, start: int, stop: int) -> list[bytes]:
        asked.append(start)
        time.sleep(0.01)
        return numbered(model, start, stop)

    def consume() -> None:
        for number, _ in enumerate(in_order(slow, small_parts(1000), connections=4)):
            if number == 2:
                raise Cancelled("stop")

    with pytest.raises(Cancelled):
        consume()
    before = len(asked)
    time.sleep(0.1)
    assert len(asked) <= before + 4


def test_a_check_is_asked_while_nothing_comes() -> None:
    release, stop = threading.Event(), threading.Event()

    def stuck(model: ModelFile, start: int, stop: int) -> list[bytes]:
        release.wait(60)
        return numbered(model, start, stop)

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stop")

    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(in_order(stuck, small_parts(2), connections=1, check=check))
    release.set()
    assert time.monotonic() - started < 30


def test_a_stuck_read_does_not_hold_up_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_LEAVE_S", 0.1)
    release = threading.Event()

    def stuck(model: ModelFile, start: int, stop: int) -> list[bytes]:
        if start:
            release.wait(60)
        return numbered(model, start, stop)

    bodies = in_order(stuck, small_parts(8), connections=4)
    next(bodies)
    started = time.monotonic()
    bodies.close()
    assert time.monotonic() - started < 30
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("reader-"))
    release.set()


def test_waiting_for_another_try_ends_with_the_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real pauses

    def down(model: ModelFile, start: int, stop: int) -> list[bytes]:
        if start:
            raise ModelError("503", temporary=True)
        return numbered(model, start, stop)

    bodies = in_order(down, small_parts(4), connections=4)
    next(bodies)
    started = time.monotonic()
    bodies.close()
    assert time.monotonic() - started < 3  # all the pauses take longer


def test_several_files_share_one_window() -> None:
    files = [file(25, "a"), file(0, "b"), file(7, "c")]
    parts = [part for each in files for part in parts_of(each)]
    got = [(part.file.uri, len(body)) for part, body in in_order(numbered, parts, connections=3)]
    assert got == [("s3://bucket/a", 25), ("s3://bucket/c", 7)]
