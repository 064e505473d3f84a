"""In a process of its own: the settings are the process's."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PIECES = """
import resource
from modelferry.memory import keep_freed_memory
keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def read(rounds):
    for _ in range(rounds):
        pieces = [bytearray(b"x" * 2**20) for _ in range(12)]
        del pieces
read(2)
before = faults()
read(8)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries are left alone")
def test_pieces_that_come_and_go_are_not_faulted_in_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PIECES], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 8 * 12 * 16, "a MiB has 256 pages"
