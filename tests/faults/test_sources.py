"""Each fault of `scripts/prove sources` once on each kind of storage."""

from __future__ import annotations

import pytest

from modelferry.sources import azure_sdk, connection, web
from prove import sources
from prove.proof import Outcome

CASES = [(proof, number) for proof in sources.PROOFS for number in range(len(sources.KINDS))]


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (azure_sdk, connection, web):
        monkeypatch.setattr(module, "READ_TIMEOUT_S", 2.0)


def test_once(outcome: Outcome) -> None:
    assert outcome.verdict != "wrong", outcome.detail
