"""Each fault of `scripts/prove deliveries`, once; a reset on the way from each kind of storage."""

from __future__ import annotations

from prove import deliveries
from prove.proof import Outcome

CASES = [
    *((proof, 0) for proof in deliveries.PROOFS),
    *((proof, n) for proof in deliveries.PROOFS if proof.name.endswith("e-reset") for n in (1, 2)),
]


def test_once(outcome: Outcome) -> None:
    assert outcome.verdict != "wrong", outcome.detail
