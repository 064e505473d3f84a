"""The rows by id; some are taken together, since they share their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.figures import Row
from bench.session import Session

Measure = Callable[[Session], Iterator[Row]]


def measures() -> dict[tuple[str, ...], Measure]:
    """Ids -> what gives their rows, in the order of the table."""
    from bench.rows import cold, commits, cost, downloads, node, unchanged

    return {
        ("a", "a2", "b"): cold.delivered,
        ("c",): commits.code_changes,
        ("d",): commits.model_changes,
        ("e",): unchanged.delivered_again,
        ("f",): cost.memory,
        ("g",): cost.disk,
        ("h",): cost.on_the_wire,
        ("i",): downloads.alone,
        ("j",): node.pulls,
        ("k",): unchanged.start_up,
    }


IDS = ("a", "a2", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")
