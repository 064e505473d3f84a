"""One retry: only for errors marked `temporary`, only at the outermost call that can repeat."""

from __future__ import annotations

import itertools
import logging
import math
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
    until: float = -math.inf,
    first_wait_s: float = 0.5,
    longest_wait_s: float = 15.0,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """What `call` returns; its last error when that is not temporary, or when the tries are spent
    and `until` has come."""
    for attempt in itertools.count(1):
        try:
            return call()
        except FerryError as error:
            wait_s = min(longest_wait_s, first_wait_s * 2 ** min(attempt - 1, 10))
            wait_s *= 0.5 + jitter() / 2
            left_s = until - clock()
            if not error.temporary or (attempt >= tries and wait_s > left_s):
                raise
            of = f"{attempt + 1} of {tries}" if attempt < tries else f"for {left_s:.0f} s more"
            log.warning("%s; try %s in %.1f s", error.what, of, wait_s)
            sleep(wait_s)
    raise AssertionError("unreachable: a try returns or raises")
