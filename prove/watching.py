"""Rollouts and what is said of them: never green when broken, never red when good."""

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from modelferry.cluster.client import Cluster
from prove import failures, kube_figures, kube_gate, kube_passage, kube_yard
from prove.kube_gate import Gate
from prove.kube_passage import Passage
from prove.kube_spare import SpareApiServer, killed
from prove.kube_yard import Verdict, Yard
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.rollout_cases import BAD, GOOD, Case

Disturb = Callable[[random.Random, threading.Event], None]

_LATER_S = 4.0
_BEFORE_S = 60.0


def _rollouts(cases: Sequence[Case]) -> Callable[[Mapping[str, str]], Iterator[Play]]:
    def open_(env: Mapping[str, str]) -> Iterator[Play]:
        with kube_yard.opened(env) as yard:
            yield lambda number: play(yard, cases[number % len(cases)], number)

    return open_


def play(yard: Yard, case: Case, number: int) -> Outcome:
    return _told(case, roll_out(yard, case, number))


def roll_out(
    yard: Yard,
    case: Case,
    number: int,
    through: Cluster | None = None,
    disturb: Disturb | None = None,
) -> Verdict:
    """`through` is the way by which the rollout is watched while `disturb` is at work."""
    rng = random.Random(number)
    with yard.namespace() as namespace:
        if case.before:
            applied = yard.apply(namespace, case.before(yard.image, rng))
            first = kube_yard.follow(yard.cluster, applied, _BEFORE_S)
            if (first.failure is None) is not case.before_works:
                raise AssertionError(f"before {case.name}: {first}")
        applied = yard.apply(namespace, case.after(yard.image, rng))
        over = threading.Event()
        threads: list[threading.Thread] = []
        if later := case.later:
            come = threading.Timer(_LATER_S, lambda: yard.apply(namespace, [later()]))
            threads.append(come)
        if disturb:
            threads.append(threading.Thread(target=disturb, args=(rng, over), daemon=True))
        for thread in threads:
            thread.start()
        try:
            return kube_yard.follow(through or yard.cluster, applied, case.timeout_s)
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _told(case: Case, verdict: Verdict) -> Outcome:
    if not case.red:
        return wrong(f"{case.name}: {verdict}") if verdict.failure else right()
    if verdict.failure is None or not re.search(case.red, verdict.failure.what):
        return wrong(f"{case.name}: {verdict}\n{verdict.failure or ''}")
    return red(f"{case.name}: {verdict}")


# Trouble of the API server


PASSAGE_TROUBLES = ("resets", "half-open", "silence", "away")
GATE_TROUBLES = ("410", "429", "starting")
TROUBLES = (*PASSAGE_TROUBLES, *GATE_TROUBLES, "killed")
_TROUBLED = (
    Case(name="slow surge", before=GOOD[1].before, after=GOOD[1].after, timeout_s=120),
    BAD[0],
    GOOD[2],
    BAD[5],
)


@contextmanager
def _troubled(env: Mapping[str, str]) -> Iterator[Play]:
    with kube_yard.opened(env) as yard:
        yield lambda number: play_troubled(yard, TROUBLES[number % len(TROUBLES)], number)


def play_troubled(yard: Yard, trouble: str, number: int) -> Outcome:
    case = _TROUBLED[number // len(TROUBLES) % len(_TROUBLED)]
    with _disturbed(yard, trouble) as (through, disturb):
        outcome = _told(case, roll_out(yard, case, number, through, disturb))
    return wrong(f"{trouble}: {outcome.detail}") if outcome.verdict == "wrong" else outcome


@contextmanager
def _disturbed(yard: Yard, trouble: str) -> Iterator[tuple[Cluster, Disturb]]:
    if trouble in PASSAGE_TROUBLES:
        with Passage(yard.cluster.server) as passage:
            yield (
                yard.through(passage.url),
                lambda rng, over: kube_passage.trouble(passage, rng, trouble, over),
            )
    elif trouble == "killed":
        with SpareApiServer() as server:
            yield yard.through(server.url), lambda rng, over: killed(server, rng, over)
    else:
        with Gate(str(yard.kubeconfig)) as gate:
            yield (
                yard.through(gate.url),
                lambda rng, over: kube_gate.refusing(gate, rng, trouble, over),
            )


PROOFS = (
    Proof(name="watching.good", open=contextmanager(_rollouts(GOOD)), rounds=100),
    Proof(name="watching.bad", open=contextmanager(_rollouts(BAD)), rounds=100),
    Proof(name="watching.api-trouble", open=_troubled, rounds=30),
    *failures.PROOFS,
    *kube_figures.PROOFS,
)
