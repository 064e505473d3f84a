"""A round of a proof of `scripts/prove` as a test: for each pair of a module's CASES."""

from __future__ import annotations

import pytest

from prove.proof import Outcome


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "outcome" in metafunc.fixturenames:
        cases = metafunc.module.CASES
        ids = [f"{proof.name}-{number}" for proof, number in cases]
        metafunc.parametrize("outcome", cases, ids=ids, indirect=True)


@pytest.fixture
def outcome(testbed: dict[str, str], request: pytest.FixtureRequest) -> Outcome:
    proof, number = request.param
    with proof.open(testbed) as play:
        return play(number)
