"""How fast verdicts come: beside kubectl, and on sixty workloads at once."""

import math
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from prove import kube_workloads as w
from prove import kube_yard, release_run
from prove.action import Run, run_action
from prove.kube_ready import WORKLOADS, Seen, spectator
from prove.kube_workloads import Body
from prove.kube_yard import Yard
from prove.proof import Outcome, Play, Proof, wrong
from testbed.kubernetes.programs import Program

KUBECTL = Program(name="kubectl")

_NAME = "Deployment/score"
_LATER_THAN_KUBECTL_S = 0.1
_COMES_S = 60.0
_WORKLOADS = 60
_OF_SLOWEST = 1.2


@contextmanager
def _beside_kubectl(env: Mapping[str, str]) -> Iterator[Play]:
    KUBECTL.build()
    with kube_yard.opened(env) as yard:
        yield lambda number: beside_kubectl(yard, number)


def beside_kubectl(yard: Yard, number: int) -> Outcome:
    """From the moment at which the Deployment is available to the ends of two processes: the whole
    action, and `kubectl rollout status`."""
    spec = w.pod_spec("$IMAGE", w.slowly(3 + number % 4))
    body = w.workload("Deployment", spec, replicas=1 + number % 2)
    ends: list[float] = []
    with (
        yard.namespace() as namespace,
        spectator(yard, namespace, [("apps/v1", "Deployment")]) as seen,
    ):
        kubectl = threading.Thread(
            target=lambda: ends.append(_rollout_status(yard, namespace, seen)), daemon=True
        )
        kubectl.start()
        run = _run(yard, namespace, body)
        ended = time.time()
        if run.status:
            return wrong(run.log)
        kubectl.join()
    available = seen.ready[_NAME]
    ours, theirs = ended - available, ends[0] - available
    told = f"available, and {1000 * ours:.0f} ms later our exit; kubectl's {1000 * theirs:.0f} ms"
    is_right = ours - theirs <= _LATER_THAN_KUBECTL_S
    return Outcome(verdict="right" if is_right else "wrong", detail=told)


def _run(yard: Yard, namespace: str, body: Body) -> Run:
    inputs = {
        "stages": "deploy",
        "image": yard.image,
        "manifests": "app.yaml",
        "namespace": namespace,
        "kubeconfig": str(yard.kubeconfig),
    }
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name, "workspace")
        workspace.mkdir()
        (workspace / "app.yaml").write_text(yaml.safe_dump(body))
        return run_action(Path(name), workspace, inputs, {})


def _rollout_status(yard: Yard, namespace: str, seen: Seen) -> float:
    """When it ended, as Unix time."""
    until = time.monotonic() + _COMES_S
    while _NAME not in seen.came:
        if time.monotonic() > until:
            return math.inf
        time.sleep(0.05)
    where = ["--kubeconfig", yard.kubeconfig, "--namespace", namespace]
    command = [KUBECTL.path(), *where, "rollout", "status", "deployment/score"]
    subprocess.run(command, check=True, capture_output=True)
    return time.time()


@contextmanager
def _many(env: Mapping[str, str]) -> Iterator[Play]:
    with kube_yard.opened(env) as yard:
        yield lambda number: many(yard, number)


def many(
    yard: Yard, number: int, count: int = _WORKLOADS, of_slowest: float = _OF_SLOWEST
) -> Outcome:
    """The whole stage, looks and records included, beside the slowest workload's own time; the
    watches are one a kind."""
    bodies = [_workload(WORKLOADS[n % len(WORKLOADS)][1], f"w{number}-{n}") for n in range(count)]
    names = [f"{body['kind']}/{body['metadata']['name']}" for body in bodies]
    with (
        yard.namespace() as namespace,
        tempfile.TemporaryDirectory() as folder,
        spectator(yard, namespace) as seen,
        _counted_watches() as watches,
    ):
        Path(folder, "app.yaml").write_text(yaml.safe_dump_all(bodies))
        began = time.time()
        release_run.deploy(
            release_run.Orders(
                kubeconfig=str(yard.kubeconfig),
                workspace=folder,
                namespace=namespace,
                image=yard.image,
                run="1",
                timeout_s=600,
            )
        )
        took = time.time() - began
    slowest = max(names, key=seen.took_s)
    least = seen.took_s(slowest)
    came, last = [seen.came[name] for name in names], max(seen.ready[name] for name in names)
    told = (
        f"{count} workloads of {len(WORKLOADS)} kinds: {took:.1f} s, {took / least:.2f} of the"
        f" {least:.1f} s of {slowest}, the slowest; looked for {min(came) - began:.1f} s, applied"
        f" in {max(came) - min(came):.1f} s, verdict {1000 * (began + took - last):.0f} ms after"
        f" the last was ready; {len(watches)} watches of {len(set(watches))} kinds"
    )
    one_a_kind = 0 < len(watches) == len(set(watches))
    is_right = one_a_kind and took <= of_slowest * least
    return Outcome(verdict="right" if is_right else "wrong", detail=told)


@contextmanager
def _counted_watches() -> Iterator[list[str]]:
    """The names of this process's, as they are when there are most."""
    most: list[str] = []
    over = threading.Event()

    def count() -> None:
        while not over.wait(0.2):
            names = [thread.name for thread in threading.enumerate()]
            found = [name for name in names if name.startswith("watch ")]
            if len(found) > len(most):
                most[:] = found

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _workload(kind: str, name: str) -> Body:
    spec = w.pod_spec("$IMAGE", w.READY)
    spec["containers"][0]["readinessProbe"]["periodSeconds"] = 5
    match kind:
        case "Job":
            return w.job(w.pod_spec("$IMAGE", "echo scored", probe=False), name=name)
        case "Pod":
            return w.pod(spec, name=name)
        case "StatefulSet":
            return w.workload(kind, spec, name=name, serviceName=name)
        case _:
            return w.workload(kind, spec, name=name)


PROOFS = (
    Proof(name="watching.beside-kubectl", open=_beside_kubectl, rounds=20),
    Proof(name="watching.sixty-workloads", open=_many, rounds=2),
)
