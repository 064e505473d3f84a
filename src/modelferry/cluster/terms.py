"""How long and how often a call is tried, and what of an answer may change by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from modelferry.cluster.transport import Refused
from modelferry.errors import IdentityError

TRIES = 6  # an API server that restarts is away for a dozen seconds
LONGEST_WAIT_S = 4.0
# An API server that starts refuses what it will grant: its own caches are not filled yet.
DOUBT_S = 15.0
# Of a write we hear within this time, or it is not done any more: the server gives up on it, too.
# The most that it gives a write: an admission webhook may take 30 s of it.
WRITE_CONNECT_S = 3.0
WRITE_S = 34.0
WRITTEN_S = WRITE_CONNECT_S + WRITE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which calls are made. `permit` is asked before each try of a write, and raises; until
    `until` (time.monotonic) what may heal is tried again, however often."""

    permit: Callable[[], None] = lambda: None
    until: float = -math.inf
    tries: int = TRIES
    write_s: float = WRITE_S


def is_doubtful(error: Refused | IdentityError) -> bool:
    """A server that starts may say so; that there is no such object it knows."""
    if isinstance(error, IdentityError) or error.code == 403:
        return True
    path_is_unknown = error.reason != "NotFound" or "the requested resource" in error.message
    return error.code == 404 and path_is_unknown
