"""Each fault of `scripts/prove transfers`, once."""

from __future__ import annotations

import pytest

from prove import transfers
from prove.proof import Proof

TOO_LONG = ("transfers.gone",)  # its registry is waited for; test_registry_faults has it quicker


@pytest.mark.parametrize(
    "proof", [p for p in transfers.PROOFS if p.name not in TOO_LONG], ids=lambda proof: proof.name
)
def test_once(proof: Proof, testbed: dict[str, str]) -> None:
    with proof.open(testbed) as play:
        outcome = play(0)
    assert outcome.verdict != "wrong", outcome.detail
