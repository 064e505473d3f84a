"""One stretch of a file to its last byte: what came before a fault stands, the rest is asked for
again. The only place where reads are repeated.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator

from modelferry.artifacts import ModelFile
from modelferry.errors import FerryError, ModelError
from modelferry.sources.refusal import Busy
from modelferry.sources.source import ReadRange

log = logging.getLogger("modelferry.sources")

Check = Callable[[], None]  # raises when the work is no longer wanted; asked often

_TRIES = 7  # without a byte between them: some 30 s of pauses
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0
_LONGEST_ASKED_S = 60.0  # whatever Retry-After says
_LOOK_S = 0.1


def carry_on() -> None:
    """The check of work that nobody stops."""


def read_range(
    read: ReadRange, file: ModelFile, start: int, stop: int, *, check: Check = carry_on
) -> bytes:
    """Bytes [start, stop), all of them. For short reads out of order; see `ranges.in_order`."""
    return b"".join(resumed(read, file, start, stop, check=check))


def resumed(
    read: ReadRange, file: ModelFile, start: int, stop: int, *, check: Check = carry_on
) -> Iterator[bytes]:
    """Bytes [start, stop) in pieces. Each piece that comes renews the tries."""
    position, failures = start, 0
    while position < stop:
        try:
            for piece in read(file, position, stop):
                check()
                if len(piece) > stop - position:
                    raise _wrong_length(file, position, stop, "more than")
                position, failures = position + len(piece), 0
                yield piece
            if position < stop:
                raise _wrong_length(file, position, stop, "less than")
        except FerryError as error:
            failures += 1
            if not error.temporary or failures == _TRIES:
                raise
            wait_s = _wait_s(error, failures)
            log.warning("%s; going on from byte %d in %.1f s", error.what, position, wait_s)
            _pause(wait_s, check)


def _wait_s(error: FerryError, failures: int) -> float:
    """Growing, unlike for any two readers, and never less than what the server asked for."""
    own_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failures - 1))
    own_s *= random.uniform(0.5, 1)  # noqa: S311 - no secret
    asked_s = error.retry_after_s if isinstance(error, Busy) else 0.0
    return max(own_s, min(asked_s, _LONGEST_ASKED_S))


def _pause(seconds: float, check: Check) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, _LOOK_S))


def _wrong_length(file: ModelFile, position: int, stop: int, how: str) -> ModelError:
    return ModelError(
        f"{file.uri}: a read gave {how} what was asked for",
        seen=f"Bytes {position} to {stop - 1} were due.",
        do="If this happens often, look at the proxy or firewall before the storage.",
        temporary=True,
    )
