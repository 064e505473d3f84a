"""Each case of `scripts/prove releases`, once; ten bare Pods in a row are in test_rollouts."""

from __future__ import annotations

import pytest

from prove import releases
from prove.proof import Proof

KILLED = next(proof for proof in releases.PROOFS if proof.name == "releases.killed")
CASES = [
    *((proof, 0) for proof in releases.PROOFS if proof is not KILLED and "pods" not in proof.name),
    *((KILLED, number) for number in (3, 8)),  # in the apply, and in the rollback
]


@pytest.mark.parametrize(
    ("proof", "number"), CASES, ids=[f"{proof.name}-{number}" for proof, number in CASES]
)
def test_once(proof: Proof, number: int, testbed: dict[str, str]) -> None:
    with proof.open(testbed) as play:
        outcome = play(number)
    assert outcome.verdict != "wrong", outcome.detail
