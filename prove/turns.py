"""A run that is cut off or stopped while it writes, and one whose API server goes away."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from prove import kube_workloads as workloads
from prove.kube_passage import Passage
from prove.kube_spare import SpareApiServer
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.release_yard import Ground, Run, ground, release
from prove.releases import said

_CUT_OFF_S = 75.0  # longer than the lease lives
_AWAY_S = 25.0
_STOPS_S = 90.0
_POLL_S = 0.1
# Where the older run is: a write is on its way, or one was answered.
_POINTS = (("send", 1), ("send", 4), ("apply", 1), ("send", 2), ("send", 3), ("apply", 3))
_WAYS = ("silence", "stopped")


@contextmanager
def _partitioned(env: Mapping[str, str]) -> Iterator[Play]:
    """The older run stops at a point; then it hears nothing for a minute, or stands still for as
    long, while a newer one deploys."""

    def play(number: int) -> Outcome:
        way = _WAYS[number % len(_WAYS)]
        phase, at = _POINTS[number // len(_WAYS) % len(_POINTS)]
        with ground(env) as found, Passage(found.yard.cluster.server) as passage:
            first = found.deploy(release("good"), "100")
            if first.status:
                return wrong(f"the first release failed: {first.what}")
            older = _start(found, "101", passage.url, phase, at)
            if way == "silence":
                trouble = threading.Thread(target=passage.silence, args=(_CUT_OFF_S,))
                trouble.start()
                older.process.send_signal(signal.SIGCONT)
            else:
                go_on = (signal.SIGCONT,)
                trouble = threading.Timer(_CUT_OFF_S, older.process.send_signal, go_on)
                trouble.start()
            newer = found.deploy(release("newer"), "102")
            lost = older.answer()
            trouble.join()
            time.sleep(2)  # for what was held back on its way
            told = f"{way} at {phase} {at}: {said(found)}, older: {lost}, newer: {newer}"
            if newer.status or said(found) != "newer":
                return wrong(f"the newer run did not win: {told}")
            if lost is None or lost.status != 8 or "run 102" not in lost.what:
                return wrong(f"the older run was not told who won: {told}")
            if lost.writes and lost.writes[-1] > newer.writes[0]:
                return wrong(f"both wrote at once: {told}")
            return red(told)

    yield play


@contextmanager
def _api_away(env: Mapping[str, str]) -> Iterator[Play]:
    """Its API server is killed in the middle of an apply, or when a rollback begins."""

    def play(number: int) -> Outcome:
        phase, at = (("apply", 1), ("verdict", 1), ("apply", 2))[number % 3]
        is_bad = phase == "verdict"
        with ground(env) as found, SpareApiServer() as server:
            first = found.deploy(release("good"), "100")
            if first.status:
                return wrong(f"the first release failed: {first.what}")
            script = workloads.CRASH if is_bad else workloads.READY
            run = _start(found, "101", server.url, phase, at, script)
            server.kill()
            run.process.send_signal(signal.SIGCONT)
            time.sleep(_AWAY_S)
            server.start()
            answer = run.answer()
            told = f"away at {phase} {at}: {said(found)}, {answer}"
            if answer is None:
                return wrong(told)
            if is_bad:
                is_back = answer.status == 8 and answer.rolled_back and said(found) == "good"
                return red(told) if is_back else wrong(told)
            return right() if (answer.status, said(found)) == (0, "cut off") else wrong(told)

    yield play


def _start(
    found: Ground, number: str, url: str, phase: str, at: int, script: str = workloads.READY
) -> Run:
    """One that goes its way to the cluster by `url`, and has stopped at this point."""
    document = yaml.safe_load(found.yard.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = url
    kubeconfig = found.folder / f"kubeconfig-{number}"
    kubeconfig.write_text(json.dumps(document))
    orders: dict[str, Any] = {"kubeconfig": str(kubeconfig), "die": phase, "die_at": at}
    run = found.start(release("cut off", script), number, by="SIGSTOP", **orders)
    _wait(lambda: _is_stopped(run), f"run {number} to stop at {phase} {at}")
    return run


def _is_stopped(run: Run) -> bool:
    if run.process.poll() is not None:
        raise AssertionError(f"run {run.number} has ended: {run.answer()}")
    status = Path(f"/proc/{run.process.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


def _wait(is_so: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _STOPS_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(_POLL_S)


PROOFS = (
    Proof(name="turns.partitioned", open=_partitioned, rounds=12),
    Proof(name="turns.api-away", open=_api_away, rounds=6),
)
