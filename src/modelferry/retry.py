"""One retry: only for errors marked `temporary`, only at the outermost call that can repeat."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from modelferry.errors import FerryError

log = logging.getLogger("modelferry.retry")

T = TypeVar("T")


def retry(
    call: Callable[[], T],
    *,
    tries: int = 5,
    first_wait_s: float = 0.5,
    longest_wait_s: float = 15.0,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> T:
    """What `call` returns; its last error when that is not temporary or tries are spent."""
    for attempt in range(1, tries + 1):
        try:
            return call()
        except FerryError as error:
            if not error.temporary or attempt == tries:
                raise
            wait_s = min(longest_wait_s, first_wait_s * 2 ** (attempt - 1)) * (0.5 + jitter() / 2)
            log.warning("%s; try %d of %d in %.1f s", error.what, attempt + 1, tries, wait_s)
            sleep(wait_s)
    raise AssertionError("unreachable: the last try returns or raises")
