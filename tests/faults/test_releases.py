"""Each case of `scripts/prove releases`, once; ten bare Pods in a row are in test_rollouts."""

from __future__ import annotations

from prove import releases
from prove.proof import Outcome

KILLED = next(proof for proof in releases.PROOFS if proof.name == "releases.killed")
CASES = [
    *((proof, 0) for proof in releases.PROOFS if proof is not KILLED and "pods" not in proof.name),
    *((KILLED, number) for number in (3, 8)),  # in the apply, and in the rollback
]


def test_once(outcome: Outcome) -> None:
    assert outcome.verdict != "wrong", outcome.detail
