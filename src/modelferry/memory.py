"""What glibc does with memory that is free again, in a process that moves gigabytes.

Each busy thread has an arena of its own there. Pieces of a megabyte, made in one thread and freed
in another, leave holes in all of them: seen to grow by 100 MiB within a few GiB of download. And
what is free goes back to the kernel at once, so that the next piece is faulted in page by page: up
to a third of the processor time of a download.
"""

from __future__ import annotations

import ctypes

_MIB = 1024 * 1024
# mallopt(3) and our values. A window of pieces comes and goes all the time.
_SETTINGS = (
    (-3, 4 * _MIB),  # M_MMAP_THRESHOLD: pieces are below
    (-1, 16 * _MIB),  # M_TRIM_THRESHOLD: more keeps more, and the peak creeps up with the model
    (-8, 1),  # M_ARENA_MAX: what is kept is kept once, not for each reader
)


def keep_freed_memory() -> None:
    """To be called first thing, before any thread starts. Other C libraries have no such call."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for name, value in _SETTINGS:
            mallopt(name, value)
