"""Each fault of `scripts/prove deliveries`, once; a reset on the way from each kind of storage."""

from __future__ import annotations

import pytest

from prove import deliveries
from prove.proof import Proof

CASES = [
    *((proof, 0) for proof in deliveries.PROOFS),
    *((proof, n) for proof in deliveries.PROOFS if proof.name.endswith("e-reset") for n in (1, 2)),
]


@pytest.mark.parametrize(
    ("proof", "number"), CASES, ids=[f"{proof.name}-{number}" for proof, number in CASES]
)
def test_once(proof: Proof, number: int, testbed: dict[str, str]) -> None:
    with proof.open(testbed) as play:
        outcome = play(number)
    assert outcome.verdict != "wrong", outcome.detail
