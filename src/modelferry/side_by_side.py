"""Several calls at once, in threads; a cancel waits for none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(act: Callable[[T], R], items: Iterable[T], *, threads: int = 8) -> list[R]:
    """What `act` gives for each, in their order, or the first error once none is under way. After
    a cancel those that are under way go on until the process ends, which is soon."""
    pool = ThreadPoolExecutor(threads)
    waits = False
    try:
        found = list(pool.map(act, items))
        waits = True
    except Exception:
        waits = True
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)
    return found
