from __future__ import annotations

from collections.abc import Callable

import pytest

from modelferry.sources.pace import PARTS_BYTES, Pace

MIB = 1024 * 1024


def after(rate: Callable[[int], float], gibibytes: int = 2) -> Pace:
    """Read by MiB at `rate` bytes a second, which the size of the parts decides."""
    pace, now = Pace(), 0.0
    for _ in range(gibibytes * 1024):
        now += MIB / rate(pace.part_bytes)
        pace.taken(MIB, now)
    return pace


@pytest.mark.parametrize(
    ("name", "rates", "found"),
    [
        ("each doubling brings more: far", (300, 550, 900), 2),
        ("the second one brings nothing more", (300, 550, 560), 4),
        ("none brings more: near, or a slow line", (900, 880, 990), 8),
        ("more connections are slower", (900, 500, 2000), 8),
    ],
)
def test_finds_the_largest_parts_that_are_quickest(
    name: str, rates: tuple[int, int, int], found: int
) -> None:
    by_size: dict[int, int] = dict(zip(PARTS_BYTES, rates, strict=True))
    assert after(lambda size: by_size[size] * MIB).part_bytes == found * MIB, name


def test_what_was_read_at_the_old_size_does_not_count() -> None:
    pace, now, since_change, size = Pace(), 0.0, 0, PARTS_BYTES[0]
    for _ in range(1024):
        if pace.part_bytes != size:
            since_change, size = 0, pace.part_bytes
        since_change += 1
        slow = since_change <= 40  # a window of the old parts, and new connections
        now += 0.1 if slow else size / PARTS_BYTES[0] / 100
        pace.taken(MIB, now)
    assert pace.part_bytes == PARTS_BYTES[-1]


def test_a_small_model_is_read_in_large_parts() -> None:
    assert after(lambda size: 1e9 / size, gibibytes=0).part_bytes == PARTS_BYTES[0]
    pace = Pace()
    pace.taken(100 * MIB, 1.0)
    assert pace.part_bytes == PARTS_BYTES[0]


def test_once_found_it_stays() -> None:
    pace = after(lambda _: 900.0 * MIB)
    for step in range(4096):
        pace.taken(MIB, 1000.0 + step / 1e6)
    assert pace.part_bytes == PARTS_BYTES[0]
