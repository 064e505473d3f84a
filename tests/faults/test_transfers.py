"""Each fault of `scripts/prove transfers`, once."""

from __future__ import annotations

from prove import transfers
from prove.proof import Outcome

# The registry of `gone` is waited for; test_registry_faults has it quicker.
CASES = [(proof, 0) for proof in transfers.PROOFS if proof.name != "transfers.gone"]


def test_once(outcome: Outcome) -> None:
    assert outcome.verdict != "wrong", outcome.detail
