"""What the C library does with memory that is free again."""

from __future__ import annotations

import ctypes
from functools import cache

_MIB = 1024 * 1024
# glibc's mallopt(3) and our values. A window of pieces comes and goes all the time.
_SETTINGS = (
    (-3, 4 * _MIB),  # M_MMAP_THRESHOLD: pieces are below
    (-1, 16 * _MIB),  # M_TRIM_THRESHOLD: more keeps more, and the peak creeps up with the model
    (-8, 2),  # M_ARENA_MAX: what is kept is kept once, not for each reader
)


@cache
def keep_freed_memory() -> None:
    """Else glibc gives each piece back to the kernel, and the next one is faulted in page by page:
    up to a third of the processor time of a download. Other C libraries have no such call.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for name, value in _SETTINGS:
            mallopt(name, value)
