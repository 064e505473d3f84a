"""What a process costs, read from /proc while it runs and from the kernel when it has ended."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_WRITTEN = re.compile(r"^write_bytes: (\d+)", re.MULTILINE)
_EVERY_S = 0.02


class PeakPss:
    """Of one process alone, not of its children: the most seen while `watching`, every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._file, self.bytes = Path(f"/proc/{pid}/smaps_rollup"), 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY_S):
                self._look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._look()

    def _look(self) -> None:
        found = _PSS.search(_read(self._file))
        self.bytes = max(self.bytes, int(found[1]) * 1024 if found else 0)


class TreeWrites:
    """Bytes that a daemon and its descendants have written to disk since this was made. What a
    child had written is its parent's as soon as it has been waited for, so the living tell all."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._written()

    @property
    def bytes(self) -> int:
        return self._written() - self._before

    def _written(self) -> int:
        found = (_WRITTEN.search(_read(Path(f"/proc/{pid}/io"))) for pid in _tree(self._pid))
        return sum(int(match[1]) for match in found if match)


def _tree(top: int) -> set[int]:
    """`top` and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _read(entry / "stat")):
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    tree = {top}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _read(path: Path) -> str:
    """Empty when the process has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
