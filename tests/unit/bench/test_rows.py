"""Each row of the table has something that measures it."""

from __future__ import annotations

from bench.rows import IDS, measures


def test_every_id_is_measured_once_and_in_order() -> None:
    assert tuple(name for names in measures() for name in names) == IDS
