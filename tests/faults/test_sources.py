"""Each fault of `scripts/prove sources` once on each kind of storage."""

from __future__ import annotations

import pytest

from modelferry.sources import azure_sdk, connection, web
from prove import sources
from prove.proof import Proof


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (azure_sdk, connection, web):
        monkeypatch.setattr(module, "READ_TIMEOUT_S", 2.0)


@pytest.mark.parametrize("number", range(len(sources.KINDS)), ids=sources.KINDS)
@pytest.mark.parametrize("proof", sources.PROOFS, ids=lambda proof: proof.name)
def test_once(proof: Proof, number: int, testbed: dict[str, str]) -> None:
    with proof.open(testbed) as play:
        outcome = play(number)
    assert outcome.verdict != "wrong", outcome.detail
