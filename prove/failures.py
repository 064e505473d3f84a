"""Deploys that fail: each must be red, with the right object and cause in the first annotation,
alone and among good workloads, and leave what was there before."""

import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelferry.errors import Annotation, FerryError
from modelferry.rollout.release import undo
from prove import kube_workloads as w
from prove import kube_yard, release_run
from prove.failure_classes import CLASSES, FailureClass
from prove.kube_workloads import READY, Body
from prove.kube_yard import Yard
from prove.proof import Outcome, Play, Proof, red, wrong

_RESTORED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "ConfigMap"))


def play(yard: Yard, number: int) -> Outcome:
    failure = CLASSES[number % len(CLASSES)]
    others = 4 if number // len(CLASSES) % 2 else 0
    with yard.namespace() as namespace, tempfile.TemporaryDirectory() as folder:
        settings = w.of("v1", "ConfigMap", "settings", data={"version": "1"})
        good = [_named(f"good-{n}") for n in range(others)]
        first = _deploy(yard, namespace, Path(folder), "1", [settings, _named("base"), *good], {})
        if first.error:
            return wrong(f"the release before: {first.error}")
        changed = {**settings, "data": {"version": "2"}}
        with failure.around(yard, namespace):
            before = _templates(yard, namespace)
            bodies = [changed, _named("base", "2"), *good, *failure.bodies]
            with _spectator(yard, namespace, failure) as lost_at:
                second = _deploy(yard, namespace, Path(folder), "2", bodies, failure.orders)
        late_s = second.verdict_at - min(lost_at, default=second.verdict_at)
        told = _faults(failure, second, late_s)
        if not told and _templates(yard, namespace) != before:
            told = f"not as before: {_templates(yard, namespace)} instead of {before}"
    name = failure.name + (" in a set of five" if others else "")
    shown = f"{name}: {second} {late_s:.1f} s after it was lost"
    return wrong(f"{shown}: {told}\n{second.error}") if told else red(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    error: FerryError | None
    verdict_at: float  # on the clock of time.monotonic()
    text: str  # the manifest

    def __str__(self) -> str:
        return self.error.what.splitlines()[0] if self.error else "ready"


def _deploy(
    yard: Yard,
    namespace: str,
    folder: Path,
    run: str,
    bodies: list[Body],
    orders: Mapping[str, Any],
) -> _Answer:
    text = yaml.safe_dump_all(bodies)
    (folder / "app.yaml").write_text(text)
    given = {"namespace": namespace, "timeout_s": 120.0, **orders}
    error = None
    with _verdicts() as moments:
        try:
            release_run.deploy(
                release_run.Orders(
                    kubeconfig=str(yard.kubeconfig),
                    workspace=str(folder),
                    image=yard.image,
                    run=run,
                    **given,
                )
            )
        except FerryError as raised:
            error = raised
    verdict = moments[0] if moments else time.monotonic()
    return _Answer(error=error, verdict_at=verdict, text=text)


@contextmanager
def _verdicts() -> Iterator[list[float]]:
    """The moments at which rollbacks began: a run's time to its verdict ends there."""
    moments: list[float] = []
    after = undo.after

    def timed(*arguments: Any, **named: Any) -> Any:
        moments.append(time.monotonic())
        return after(*arguments, **named)

    undo.after = timed
    try:
        yield moments
    finally:
        undo.after = after


@contextmanager
def _spectator(yard: Yard, namespace: str, failure: FailureClass) -> Iterator[list[float]]:
    """The moment from which nothing could save the deploy, by what the cluster shows anybody."""
    over, moments = threading.Event(), list[float]()
    kinds = (("v1", "Pod"), ("apps/v1", "ReplicaSet"), ("batch/v1", "Job"))
    resources = [found for kind in kinds if (found := yard.cluster.resource(*kind))]

    def look() -> None:
        while not moments and not over.wait(0.3):
            found = [body for kind in resources for body in yard.cluster.list(kind, namespace)[0]]
            if failure.is_lost(found):
                moments.append(time.monotonic())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield moments
    finally:
        over.set()
        thread.join()


def _faults(failure: FailureClass, answer: _Answer, late_s: float) -> str:
    error = answer.error
    if error is None or error.status != 8:
        return "it was green" if error is None else f"status {error.status}"
    if late_s > failure.within_s:
        return "that is late"
    if not failure.label:
        return "" if re.search(failure.cause, error.what) else "another cause"
    first = error.annotations[0]
    if not re.search(failure.cause, first.message):
        return f"the first annotation says: {first.message}"
    return "" if _stands_at(first, failure, answer.text) else f"it stands at line {first.line}"


def _stands_at(annotation: Annotation, failure: FailureClass, text: str) -> bool:
    line = 1
    for part in text.split("---\n"):
        body = yaml.safe_load(part)
        count = part.count("\n")
        if body and f"{body['kind'].lower()}/{body['metadata']['name']}" == failure.label:
            return annotation.file == "app.yaml" and line <= (annotation.line or 0) <= line + count
        line += count + 1
    return False


def _named(name: str, said: str = "1") -> Body:
    spec = w.pod_spec("$IMAGE", READY, container={"env": [{"name": "SAID", "value": said}]})
    return w.workload("Deployment", spec, name=name)


def _templates(yard: Yard, namespace: str) -> Mapping[str, Any]:
    """What a rollback restores, and nothing that was new."""
    found: dict[str, Any] = {}
    for api_version, kind in _RESTORED:
        resource = yard.cluster.resource(api_version, kind)
        for body in yard.cluster.list(resource, namespace)[0] if resource else ():
            name = f"{kind}/{body['metadata']['name']}"
            found[name] = body["data"] if kind == "ConfigMap" else body["spec"]["template"]
    return found


@contextmanager
def _open(env: Mapping[str, str]) -> Iterator[Play]:
    with kube_yard.opened(env) as yard:
        yield lambda number: play(yard, number)


PROOFS = (Proof(name="watching.failure-classes", open=_open, rounds=2 * len(CLASSES)),)
