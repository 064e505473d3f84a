"""Which of two runs is the newer one, so that an older one never overwrites it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LOCAL = re.compile(r"20[0-9]{12}")  # plan/context.py: the moment of its start, in UTC


@dataclass(frozen=True, slots=True)
class Intent:
    """One attempt of one run: what a person or a commit wanted."""

    run_id: str
    attempt: int

    @classmethod
    def parse(cls, text: str) -> Intent:
        run_id, _, attempt = text.partition("/")
        return cls(run_id, int(attempt) if attempt.isdigit() else 1)

    def __str__(self) -> str:
        return f"{self.run_id}/{self.attempt}"

    @property
    def name(self) -> str:
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"run {self.run_id}{again}"

    @property
    def _kind(self) -> str:
        if _LOCAL.fullmatch(self.run_id):
            return "local"
        return "runner" if self.run_id.isdigit() else "named"

    def is_older_than(self, other: Intent) -> bool:
        """Runs are counted by the server that starts them, local ones by their time: one count
        says nothing of the other. Whoever runs a job again wants it now, whatever came between."""
        if self.run_id == other.run_id:
            return self.attempt < other.attempt
        if self._kind != other._kind or self._kind == "named" or self.attempt > 1:
            return False
        return int(self.run_id) < int(other.run_id)


def newer(mine: Intent, deployed: Iterable[Intent]) -> Intent | None:
    """The first of those that came after `mine`."""
    return next((other for other in deployed if mine.is_older_than(other)), None)
