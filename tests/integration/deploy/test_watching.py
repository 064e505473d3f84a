"""The cases of `scripts/prove watching`, each once: green when good, red when broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from prove import failures, kube_figures, kube_yard, watching
from prove.failure_classes import CLASSES
from prove.kube_yard import Yard
from prove.proof import Outcome
from prove.rollout_cases import BAD, GOOD

# The others are failure classes, which test_failures.py has with their annotations.
_BROKEN_WHILE_OLD_PODS_SERVE = tuple(case for case in BAD if case.before)


@pytest.fixture(scope="session")
def yard(testbed: Mapping[str, str]) -> Iterator[Yard]:
    with kube_yard.opened(testbed) as found:
        yield found


Played = Callable[[str], Outcome]


@pytest.fixture(scope="session")
def played(yard: Yard, request: pytest.FixtureRequest) -> Iterator[Played]:
    """By the case's name. Rollouts are waited for more than they work: some go side by side."""
    cases = (*GOOD, *_BROKEN_WHILE_OLD_PODS_SERVE)
    plays = {case.name: partial(watching.play, yard, case, 0) for case in cases}
    for number, trouble in enumerate(watching.TROUBLES):
        plays[trouble] = partial(watching.play_troubled, yard, trouble, number)
    asked = {item.name.partition("[")[2].removesuffix("]") for item in request.session.items}
    with ThreadPoolExecutor(3) as pool:
        futures = {name: pool.submit(plays[name]) for name in plays if name in asked}
        yield lambda name: futures[name].result()


@pytest.mark.parametrize("name", [case.name for case in GOOD])
def test_a_good_rollout_is_green(played: Played, name: str) -> None:
    outcome = played(name)
    assert outcome.verdict == "right", outcome.detail


@pytest.mark.parametrize("name", [case.name for case in _BROKEN_WHILE_OLD_PODS_SERVE])
def test_a_broken_rollout_is_red_with_its_cause(played: Played, name: str) -> None:
    outcome = played(name)
    assert outcome.verdict == "red", outcome.detail


@pytest.mark.parametrize("trouble", watching.TROUBLES)
def test_trouble_of_the_api_server_is_no_verdict(played: Played, trouble: str) -> None:
    outcome = played(trouble)
    assert outcome.verdict == "right", outcome.detail


def test_trouble_of_the_api_server_hides_no_failure(yard: Yard) -> None:
    outcome = watching.play_troubled(yard, "resets", len(watching.TROUBLES))
    assert outcome.verdict == "red", outcome.detail


def test_the_verdict_comes_with_kubectls(testbed: Mapping[str, str]) -> None:
    told: list[str] = []
    with kube_figures.PROOFS[0].open(testbed) as play:
        for number in range(3):  # a machine that others use may keep either of the two waiting
            outcome = play(number)
            if outcome.verdict == "right":
                return
            told.append(outcome.detail)
    pytest.fail("\n".join(told))


def test_many_workloads_are_ready_when_the_slowest_is(yard: Yard) -> None:
    """What is done once for a set weighs more on fewer; one after another would take ten times."""
    outcome = kube_figures.many(yard, 0, count=15, of_slowest=2.0)
    assert outcome.verdict == "right", outcome.detail


# Those that test_failures.py does not have, and some among good workloads.
_SETS = [f"{name} in a set of five" for name in ("crash loop", "quota", "job")]
_ALONE = [
    "admission",
    "claim",
    "stateful set that is stuck",
    "daemon set on some nodes",
    "webhook that does not answer",
]


@pytest.mark.parametrize("name", [*_ALONE, *_SETS])
def test_a_failure_is_told_at_its_line_and_undone(yard: Yard, name: str) -> None:
    names = [failure.name for failure in CLASSES]
    number = names.index(name.removesuffix(" in a set of five"))
    number += len(names) if name in _SETS else 0
    outcome = failures.play(yard, number)
    assert outcome.verdict == "red", outcome.detail
