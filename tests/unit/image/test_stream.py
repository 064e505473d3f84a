"""Passes over layers made in memory: who reads what, how often, and with how much held."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator

import pytest

from modelferry.errors import Cancelled, ModelChanged
from modelferry.image import stream
from modelferry.image.layer import LayerView
from modelferry.image.stream import Reading, Sums, Tap, open_layer, pass_over, read_layer
from modelferry.image.workers import Stop, in_thread
from tests.unit.image.made_storage import CHUNK, Storage


def tap_on(storage: Storage, view: LayerView, stop: Stop, backlog: int = 4 * CHUNK) -> Tap:
    def open_at(start: int):
        return open_layer(view, storage.read, start)

    return Tap(open_at, size_bytes=view.size_bytes, backlog_bytes=backlog, stop=stop)


def read_all(tap: Tap, size: int, step: int = 300) -> bytes:
    return b"".join(tap.read(at, min(at + step, size)) for at in range(0, size, step))


@pytest.fixture
def stop() -> Generator[Stop]:
    made = Stop()
    yield made
    made.set()


@pytest.fixture
def storage() -> Storage:
    return Storage(a=10_500, b=0, c=3_000)


def run(storage: Storage, taps: tuple[Tap, ...], stop: Stop):
    return in_thread(lambda: pass_over(storage.view(), storage.read, taps, stop), "pass")


def check_sums(sums: Sums, storage: Storage) -> None:
    whole = storage.whole(storage.view())
    assert sums.layer == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    found = [hashlib.sha256(storage.data[name]).hexdigest() for name in sorted(storage.data)]
    assert list(sums.files) == found


def test_one_ordered_read_gives_hashes_and_every_consumer_the_bytes(
    storage: Storage, stop: Stop
) -> None:
    view = storage.view()
    taps = tuple(tap_on(storage, view, stop) for _ in range(3))
    passing = run(storage, taps, stop)
    got = [
        in_thread(lambda tap=tap, step=step: read_all(tap, view.size_bytes, step), "consumer")
        for tap, step in zip(taps, (7, 512, 100_000), strict=True)
    ]
    check_sums(passing.result(5), storage)
    assert {future.result(5) for future in got} == {storage.whole(view)}
    assert storage.readings == [[("a", 0, 10_500), ("c", 0, 3_000)]]


def test_without_a_consumer_there_are_still_sums(storage: Storage, stop: Stop) -> None:
    check_sums(pass_over(storage.view(), storage.read, (), stop), storage)


def test_only_files_of_nothing(stop: Stop) -> None:
    storage = Storage(empty=0)
    sums = pass_over(storage.view(), storage.read, (), stop)
    assert sums.files == (hashlib.sha256(b"").hexdigest(),)
    check_sums(sums, storage)


def test_a_slow_consumer_is_waited_for_within_its_backlog(storage: Storage, stop: Stop) -> None:
    view = storage.view()
    slow, fast = tap_on(storage, view, stop), tap_on(storage, view, stop)
    passing = run(storage, (slow, fast), stop)
    behind: list[int] = []

    def consume_slowly() -> bytes:
        parts: list[bytes] = []
        for at in range(0, view.size_bytes, 500):
            parts.append(slow.read(at, min(at + 500, view.size_bytes)))
            time.sleep(0.002)
            behind.append(storage.handed_out - at)
        return b"".join(parts)

    slowly = in_thread(consume_slowly, "slow")
    assert read_all(fast, view.size_bytes) == slowly.result(5) == storage.whole(view)
    passing.result(5)
    assert max(behind) <= 4 * CHUNK + 2 * CHUNK  # and one in the pass's hand, one just handed over
    assert len(storage.readings) == 1


def test_a_consumer_that_goes_back_is_on_its_own_and_nobody_else_notices(
    storage: Storage, stop: Stop
) -> None:
    view = storage.view()
    back, other = tap_on(storage, view, stop), tap_on(storage, view, stop)
    passing = run(storage, (back, other), stop)
    others = in_thread(lambda: read_all(other, view.size_bytes), "other")
    whole = storage.whole(view)
    start = view.segments[1].start
    assert back.read(0, start + 5_000) == whole[: start + 5_000]
    assert back.read(start + 2_000, start + 2_500) == whole[start + 2_000 : start + 2_500]
    assert others.result(5) == whole
    check_sums(passing.result(5), storage)
    rest = back.read(start + 2_500, view.size_bytes)
    assert rest == whole[start + 2_500 :]
    assert storage.readings[1:] == [[("a", 2_000, 10_500), ("c", 0, 3_000)]]


def test_a_consumer_that_starts_again_reads_all_again_alone(storage: Storage, stop: Stop) -> None:
    view = storage.view()
    tap = tap_on(storage, view, stop)
    passing = run(storage, (tap,), stop)
    tap.read(0, 4_000)
    assert read_all(tap, view.size_bytes) == storage.whole(view)
    check_sums(passing.result(5), storage)
    assert len(storage.readings) == 2
    assert storage.open_readings == 0


def test_a_consumer_that_fails_does_not_keep_the_pass(storage: Storage, stop: Stop) -> None:
    view = storage.view()
    tap = tap_on(storage, view, stop)
    passing = run(storage, (tap,), stop)
    tap.read(0, 100)
    tap.leave()
    check_sums(passing.result(5), storage)


def test_a_consumer_that_stands_still_goes_on_without_the_pass(
    storage: Storage, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALL_S", 0.1)
    view = storage.view()
    tap = tap_on(storage, view, stop)
    passing = run(storage, (tap,), stop)
    first = tap.read(0, 100)
    check_sums(passing.result(5), storage)
    assert first + tap.read(100, view.size_bytes) == storage.whole(view)
    assert len(storage.readings) == 2


def test_an_error_of_the_source_reaches_everyone(storage: Storage, stop: Stop) -> None:
    storage.error_at = ("a", 5_000)
    view = storage.view()
    taps = tuple(tap_on(storage, view, stop) for _ in range(2))
    passing = run(storage, taps, stop)
    consumers = [in_thread(lambda tap=tap: read_all(tap, view.size_bytes), "c") for tap in taps]
    errors = {future.exception(5) for future in (passing, *consumers)}
    assert errors == {storage.error}
    assert storage.open_readings == 0


def test_an_error_reaches_who_reads_alone(storage: Storage, stop: Stop) -> None:
    view = storage.view()
    tap = tap_on(storage, view, stop)
    passing = run(storage, (tap,), stop)
    tap.read(0, 2_000)
    tap.leave()
    passing.result(5)
    storage.error_at = ("a", 1_000)
    with pytest.raises(ModelChanged):
        tap.read(0, view.size_bytes)


@pytest.mark.parametrize("waiting", ["the pass", "a consumer"])
def test_a_cancel_ends_who_waits(storage: Storage, stop: Stop, waiting: str) -> None:
    view = storage.view()
    tap = tap_on(storage, view, stop)
    if waiting == "the pass":  # for a consumer that reads nothing
        future = run(storage, (tap,), stop)
    else:  # for a pass that never begins
        future = in_thread(lambda: tap.read(0, 10), "consumer")
    time.sleep(0.05)
    stop.set()
    assert isinstance(future.exception(5), Cancelled)


def test_what_the_taps_hold_is_bounded(stop: Stop) -> None:
    storage = Storage(a=200_000)
    view = storage.view()
    taps = tuple(tap_on(storage, view, stop, backlog=5 * CHUNK) for _ in range(2))
    passing = run(storage, taps, stop)
    time.sleep(0.2)
    assert storage.handed_out <= 6 * CHUNK  # nobody has read: the backlog, and one in hand
    consumed = [in_thread(lambda tap=tap: read_all(tap, view.size_bytes), "c") for tap in taps]
    passing.result(5)
    assert [len(each.result(5)) for each in consumed] == [view.size_bytes] * 2


def test_a_chunk_larger_than_the_backlog_passes(storage: Storage, stop: Stop) -> None:
    view = storage.view()
    tap = tap_on(storage, view, stop, backlog=CHUNK // 10)
    passing = run(storage, (tap,), stop)
    assert read_all(tap, view.size_bytes) == storage.whole(view)
    passing.result(5)


def test_the_layer_from_any_byte_on(storage: Storage) -> None:
    view = storage.view()
    whole = storage.whole(view)
    for start in (0, 1, 511, 512, 1_500, 5_555, 11_100, view.size_bytes - 1):
        assert b"".join(bytes(c) for c in open_layer(view, storage.read, start)) == whole[start:]
    files = {file.image_path.name for file, _ in read_layer(view, storage.read) if file}
    assert files == {"a", "c"}


def test_a_reading_goes_on_without_opening_anew(storage: Storage) -> None:
    view = storage.view()
    reading = Reading(lambda start: open_layer(view, storage.read, start), view.size_bytes)
    whole = storage.whole(view)
    assert reading.read(0, 700) + reading.read(700, 9_000) == whole[:9_000]
    assert len(storage.readings) == 1
    assert reading.read(2_000, 2_100) == whole[2_000:2_100]
    assert storage.open_readings == 1, "the reading that was left is closed"


def test_a_pass_that_fails_and_a_consumer_that_is_done_end_their_requests(
    storage: Storage, stop: Stop
) -> None:
    view = storage.view()
    alone = tap_on(storage, view, stop)
    alone.leave()
    alone.read(0, 2_000)
    stop.set()
    with pytest.raises(Cancelled) as kept:  # and its traceback: what reads is not merely dropped
        pass_over(view, storage.read, (), stop)
    assert storage.open_readings == 1
    alone.close()
    assert storage.open_readings == 0
    assert kept.value.__traceback__


def test_waiting_for_the_first_byte(storage: Storage, stop: Stop) -> None:
    tap = tap_on(storage, storage.view(), stop)
    began = threading.Event()

    def wait() -> None:
        tap.wait_for_first()
        began.set()

    waiting = in_thread(wait, "waiting")
    assert not began.wait(0.05)
    tap.feed(b"x")
    waiting.result(5)
