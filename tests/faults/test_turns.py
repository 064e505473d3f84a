"""Cases of `scripts/prove turns`: a run that is cut off, one that stands still, an API server that
goes away in the apply and at the verdict."""

from __future__ import annotations

from prove import turns
from prove.proof import Outcome

PARTITIONED, API_AWAY = turns.PROOFS
CASES = [(PARTITIONED, 0), (PARTITIONED, 3), (API_AWAY, 0), (API_AWAY, 1)]


def test_once(outcome: Outcome) -> None:
    assert outcome.verdict != "wrong", outcome.detail
