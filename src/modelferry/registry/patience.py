"""How long a registry may be away: a restart in mid-upload is waited for, an address where nothing
ever answered is not."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from modelferry.errors import FerryError

log = logging.getLogger("modelferry.registry")

LASTING_S = 80.0  # a minute's restart, and the wait before the try that finds it over
FIRST_S = 5.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0


class Patience:
    """Waits between tries of one thing; each step forward starts it anew."""

    def __init__(
        self,
        lasts_s: float,
        pause: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lasts_s, self._pause, self._clock = lasts_s, pause, clock
        self.failures, self._since = 0, 0.0

    def renew(self) -> None:
        self.failures = 0

    def wait(self, error: FerryError, asked_s: float = 0.0) -> None:
        """Until the next try; raises `error` when that is of no use or patience is at its end.

        `asked_s`: the registry's Retry-After, kept to even where nothing ever answered well.
        """
        if self.failures == 0:
            self._since = self._clock()
        own_s = min(_FIRST_WAIT_S * 2**self.failures, _LONGEST_WAIT_S)
        wait_s = max(asked_s, own_s) + random.uniform(0, own_s / 10)  # noqa: S311 - no secret
        lasts_s = LASTING_S if asked_s else self._lasts_s
        if not error.temporary or self._clock() - self._since + wait_s > lasts_s:
            raise error
        self.failures += 1
        log.warning("%s; another try in %.1f s", error.what, wait_s)
        self._pause(wait_s)
