"""Runs of one release that meet, runs that are killed, and runs that follow one another."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

from modelferry.cluster.resources import PODS
from modelferry.rollout.release.claim import LIFE_S
from prove import kube_workloads as workloads
from prove import release_others
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.release_run import Answer
from prove.release_yard import Ground, ground, release

_SETTLE_S = 30.0  # more than the lease's life: two runs' starts and a busy machine


def said(found: Ground, name: str = "score") -> str:
    """What all three objects say; a mixture is told as one."""
    settings = (found.data(f"{name}-settings") or {}).get("said", "nothing")
    words = {settings}
    specs = (
        found.live(name).get("spec", {}).get("template", {}).get("spec", {}),
        found.pod(f"{name}-lone").get("spec", {}),
    )
    for spec in specs:
        for container in spec.get("containers", ()):
            words |= {entry["value"] for entry in container.get("env", ())}
    return "+".join(sorted(words))


@contextmanager
def _concurrent(env: Mapping[str, str], count: int) -> Iterator[Play]:
    def play(number: int) -> Outcome:
        with ground(env) as found:
            first = 1000 + 10 * number
            order = [first + (number + i) % count for i in range(count)]
            runs = []
            for which in order:
                runs.append(found.start(release(f"r{which}"), str(which)))
                time.sleep(0.4 * (number % 4))
            answers = {run.number: run.answer() for run in runs}
            return _judged(answers, str(first + count - 1), said(found))

    yield play


def _judged(answers: Mapping[str, Answer | None], newest: str, said: str) -> Outcome:
    ended = {number: answer for number, answer in answers.items() if answer}
    told = {number: (answer.status, answer.what) for number, answer in ended.items()}
    if len(ended) < len(answers) or ended[newest].status != 0:
        return wrong(f"the newest, {newest}, did not win: {told}")
    if said != f"r{newest}":
        return wrong(f"the cluster says {said}, not r{newest}: {told}")
    for number, answer in ended.items():
        if answer.status not in (0, 8) or (answer.status == 8 and "run " not in answer.what):
            return wrong(f"{number} was not told who won: {told}")
        winners = [n for n in ended if int(n) > int(number) and f"run {n} " in answer.what]
        if answer.status == 8 and not winners:
            return wrong(f"{number} was told another winner: {told}")
    spans = sorted((a.writes[0], a.writes[-1], n) for n, a in ended.items() if a.writes)
    for (_, end, one), (begin, _, other) in pairwise(spans):
        if begin < end:
            return wrong(f"{one} and {other} wrote at once: {spans}")
    losers = sum(answer.status == 8 for answer in ended.values())
    return red(f"{losers} gave way") if losers else right()


@contextmanager
def _two(env: Mapping[str, str]) -> Iterator[Play]:
    with _concurrent(env, 2) as play:
        yield play


@contextmanager
def _five(env: Mapping[str, str]) -> Iterator[Play]:
    with _concurrent(env, 5) as play:
        yield play


@contextmanager
def _two_releases(env: Mapping[str, str]) -> Iterator[Play]:
    def play(number: int) -> Outcome:
        with ground(env) as found:
            one = found.start(release("a", name="one"), str(900 + number), release="one")
            two = found.start(release("b", name="two"), str(500 + number), release="two")
            answers = [run.answer() for run in (one, two)]
            both = (said(found, "one"), said(found, "two"))
            if any(answer is None or answer.status for answer in answers) or both != ("a", "b"):
                return wrong(f"{both}: {answers}")
            return right()

    yield play


# What is killed: the phase, and after how many of its writes or looks.
_POINTS = (
    ("write", 1),
    ("write", 2),
    ("write", 3),
    ("write", 4),
    ("write", 5),
    ("write", 6),
    ("watch", 3),
    ("rollback", 1),
    ("rollback", 2),
    ("rollback", 4),
)


@contextmanager
def _killed(env: Mapping[str, str]) -> Iterator[Play]:
    """A good release, a run that is killed, and a next one: good in even rounds of ten, else bad,
    and then all must be as the good release had it."""

    def play(number: int) -> Outcome:
        phase, at = _POINTS[number % len(_POINTS)]
        next_is_bad = (number // len(_POINTS) + number) % 2 == 1
        with ground(env) as found:
            first = found.deploy(release("good"), "100")
            if first.status:
                return wrong(f"the first release failed: {first.what}")
            script = workloads.CRASH if phase == "rollback" else workloads.READY
            killed = found.start(release("killed", script), "101", die=phase, die_at=at)
            if (answer := killed.answer()) is not None:
                return wrong(f"it was not killed at {phase} {at}: {answer}")
            began = time.time()
            script = workloads.CRASH if next_is_bad else workloads.READY
            last = found.deploy(release("last", script), "102")
            waited_s = last.writes[0] - began if last.writes else 0.0
            told = f"killed at {phase} {at}; then {said(found)}, waited {waited_s:.0f} s, {last}"
            if waited_s > LIFE_S + _SETTLE_S:
                return wrong(f"it was blocked for too long: {told}")
            if next_is_bad:
                good = last.status == 8 and last.rolled_back and said(found) == "good"
                return red() if good else wrong(f"not back: {told}")
            good = last.status == 0 and said(found) == "last"
            return right() if good else wrong(f"no convergence: {told}")

    yield play


@contextmanager
def _ten_in_a_row(env: Mapping[str, str], kind: str) -> Iterator[Play]:
    def play(number: int) -> Outcome:
        with ground(env) as found:
            for turn in range(10):
                said = f"{number}-{turn}"
                env_of = {"env": [{"name": "SAID", "value": said}]}
                if kind == "Pod":
                    spec = workloads.pod_spec("$IMAGE", workloads.READY, container=env_of)
                    body = workloads.pod(spec)
                else:
                    script = "echo scored"
                    spec = workloads.pod_spec("$IMAGE", script, probe=False, container=env_of)
                    body = workloads.job(spec)
                answer = found.deploy([body], str(200 + turn))
                if answer.status:
                    return wrong(f"deploy {turn}: {answer.what}")
                if (seen := _ran(found)) != {said}:
                    return wrong(f"deploy {turn} was green, and {seen} had run, not {said}")
            return right()

    yield play


def _ran(found: Ground) -> set[str]:
    """What the containers that run or have run were told."""
    pods, _ = found.yard.cluster.list(PODS, found.namespace)
    return {
        entry["value"]
        for pod in pods
        if pod["status"].get("containerStatuses")
        and "deletionTimestamp" not in pod["metadata"]
        and "waiting" not in pod["status"]["containerStatuses"][0]["state"]
        for entry in pod["spec"]["containers"][0]["env"]
    }


@contextmanager
def _pods(env: Mapping[str, str]) -> Iterator[Play]:
    with _ten_in_a_row(env, "Pod") as play:
        yield play


@contextmanager
def _jobs(env: Mapping[str, str]) -> Iterator[Play]:
    with _ten_in_a_row(env, "Job") as play:
        yield play


PROOFS = (
    Proof(name="releases.two-at-once", open=_two, rounds=20),
    Proof(name="releases.five-at-once", open=_five, rounds=20),
    Proof(name="releases.two-in-one-namespace", open=_two_releases, rounds=10),
    Proof(name="releases.killed", open=_killed, rounds=20),
    Proof(name="releases.ten-pods-in-a-row", open=_pods, rounds=10),
    Proof(name="releases.ten-jobs-in-a-row", open=_jobs, rounds=10),
    *release_others.PROOFS,
)
