"""The cases of `scripts/prove watching`, each once: green when good, red when broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from prove import kube_figures, kube_yard, watching
from prove.kube_yard import Yard
from prove.rollout_cases import BAD, GOOD, Case

# The others are failure classes, which test_failures.py has with their annotations.
_BROKEN_WHILE_OLD_PODS_SERVE = tuple(case for case in BAD if case.before)


@pytest.fixture(scope="session")
def yard(testbed: Mapping[str, str]) -> Iterator[Yard]:
    with kube_yard.opened(testbed) as found:
        yield found


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_rollout_is_green(yard: Yard, case: Case) -> None:
    outcome = watching.play(yard, case, 0)
    assert outcome.verdict == "right", outcome.detail


@pytest.mark.parametrize("case", _BROKEN_WHILE_OLD_PODS_SERVE, ids=lambda case: case.name)
def test_a_broken_rollout_is_red_with_its_cause(yard: Yard, case: Case) -> None:
    outcome = watching.play(yard, case, 0)
    assert outcome.verdict == "red", outcome.detail


@pytest.mark.parametrize("trouble", watching.TROUBLES)
def test_trouble_of_the_api_server_is_no_verdict(yard: Yard, trouble: str) -> None:
    number = watching.TROUBLES.index(trouble)
    outcome = watching.play_troubled(yard, trouble, number)
    assert outcome.verdict == "right", outcome.detail


def test_trouble_of_the_api_server_hides_no_failure(yard: Yard) -> None:
    outcome = watching.play_troubled(yard, "resets", len(watching.TROUBLES))
    assert outcome.verdict == "red", outcome.detail


def test_the_verdict_comes_with_kubectls(testbed: Mapping[str, str]) -> None:
    with kube_figures.PROOFS[0].open(testbed) as play:
        outcome = play(0)
    assert outcome.verdict == "right", outcome.detail


def test_many_workloads_are_ready_when_the_slowest_is(yard: Yard) -> None:
    outcome = kube_figures.many(yard, 0, count=15)
    assert outcome.verdict == "right", outcome.detail
