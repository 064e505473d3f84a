"""Cases of `scripts/prove turns`: a run that is cut off, one that stands still, an API server that
goes away in the apply and at the verdict."""

from __future__ import annotations

import pytest

from prove import turns
from prove.proof import Proof

PARTITIONED, API_AWAY = turns.PROOFS
CASES = [(PARTITIONED, 0), (PARTITIONED, 3), (API_AWAY, 0), (API_AWAY, 1)]


@pytest.mark.parametrize(
    ("proof", "number"), CASES, ids=[f"{proof.name}-{number}" for proof, number in CASES]
)
def test_once(proof: Proof, number: int, testbed: dict[str, str]) -> None:
    with proof.open(testbed) as play:
        outcome = play(number)
    assert outcome.verdict != "wrong", outcome.detail
