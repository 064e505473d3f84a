"""Which of two runs is the newer one, so that an older one never overwrites it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_LOCAL = re.compile(r"20[0-9]{12}")  # plan/context.py: the moment of its start, in UTC


@dataclass(frozen=True, slots=True)
class Intent:
    """One attempt of one run: what a person or a commit wanted."""

    run_id: str
    attempt: int
    server: str = ""  # of the CI, as a short hash; empty: not known
    formed: str = ""  # when the attempt began, ISO 8601 in UTC; empty: not known

    @classmethod
    def of(cls, run_id: str, attempt: int, server_url: str | None, formed: str) -> Intent:
        server = hashlib.sha256((server_url or "").rstrip("/").lower().encode()).hexdigest()[:8]
        return cls(run_id, attempt, server if server_url else "", formed)

    @classmethod
    def parse(cls, text: str) -> Intent:
        run_id, attempt, server, formed = (*text.split("/", 3), "", "", "")[:4]
        return cls(run_id, int(attempt) if attempt.isdigit() else 1, server, formed)

    def __str__(self) -> str:
        return f"{self.label}/{self.server}/{self.formed}".rstrip("/")

    @property
    def label(self) -> str:
        """For people."""
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
        says nothing of the other. Whoever runs a job again wanted it when that began."""
        if self.server and other.server and self.server != other.server:
            return False
        if self.run_id == other.run_id:
            return self.attempt < other.attempt
        if self._kind != other._kind or self._kind == "named":
            return False
        if self.attempt > 1 or other.attempt > 1:
            return bool(self.formed and other.formed) and self.formed < other.formed
        return int(self.run_id) < int(other.run_id)


def newer(mine: Intent, deployed: Iterable[Intent]) -> Intent | None:
    """The first of those that came after `mine`."""
    return next((other for other in deployed if mine.is_older_than(other)), None)
