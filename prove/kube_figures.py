"""How fast verdicts come: beside kubectl, and on sixty workloads at once."""

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from modelferry.cluster.resources import Resource
from prove import kube_workloads as w
from prove import kube_yard
from prove.kube_yard import Yard
from prove.proof import Outcome, Play, Proof, wrong
from testbed.kubernetes.programs import Program

KUBECTL = Program(name="kubectl")
DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)

_LATER_THAN_KUBECTL_S = 0.1
_WORKLOADS = 60
_OF_SLOWEST = 1.2


@contextmanager
def _beside_kubectl(env: Mapping[str, str]) -> Iterator[Play]:
    KUBECTL.build()
    with kube_yard.opened(env) as yard:
        yield lambda number: beside_kubectl(yard, number)


def beside_kubectl(yard: Yard, number: int) -> Outcome:
    spec = w.pod_spec(yard.image, w.slowly(3 + number % 4))
    with yard.namespace() as namespace:
        applied = yard.apply(namespace, [w.workload("Deployment", spec, replicas=1 + number % 2)])
        theirs: list[float] = []
        kubectl = threading.Thread(target=lambda: theirs.append(_rollout_status(yard, namespace)))
        kubectl.start()
        ours = kube_yard.follow(yard.cluster, applied, 90)
        kubectl.join()
    if ours.failure:
        return wrong(str(ours))
    later = ours.at - theirs[0]
    told = f"our verdict {1000 * later:+.0f} ms after kubectl's"
    return Outcome(verdict="right" if later <= _LATER_THAN_KUBECTL_S else "wrong", detail=told)


def _rollout_status(yard: Yard, namespace: str) -> float:
    """When it ended, as Unix time."""
    where = ["--kubeconfig", yard.kubeconfig, "--namespace", namespace]
    command = [KUBECTL.path(), *where, "rollout", "status", "deployment/score"]
    subprocess.run(command, check=True, capture_output=True)
    return time.time()


@contextmanager
def _many(env: Mapping[str, str]) -> Iterator[Play]:
    with kube_yard.opened(env) as yard:
        yield lambda number: many(yard, number)


def many(yard: Yard, number: int, count: int = _WORKLOADS) -> Outcome:
    """Our verdict comes when the slowest workload is there, and the watches are one a kind."""
    spec = w.pod_spec(yard.image, w.READY)
    spec["containers"][0]["readinessProbe"]["periodSeconds"] = 5
    bodies = [
        w.workload("StatefulSet", spec, name=f"s{number}-{n}", serviceName="s")
        if n % 6 == 0
        else w.workload("Deployment", spec, name=f"d{number}-{n}")
        for n in range(count)
    ]
    with yard.namespace() as namespace:
        began = time.time()
        applied = yard.apply(namespace, bodies)
        began_watching, cpu = time.time(), time.thread_time()
        watches: list[str] = []
        threading.Timer(2, lambda: watches.extend(_watches())).start()
        verdict = kube_yard.follow(yard.cluster, applied, 600)
        cpu = time.thread_time() - cpu
        slowest = max(map(_became_available, yard.cluster.list(DEPLOYMENTS, namespace)[0]))
    if verdict.failure:
        return wrong(f"{verdict}\n{verdict.failure}")
    took, least = verdict.at - began, slowest - began
    told = (
        f"{count} workloads: {took:.1f} s, the slowest Deployment {least:.1f} s (by its own clock),"
        f" applied in {began_watching - began:.1f} s, judged with {cpu:.2f} s of CPU,"
        f" {len(watches)} watches of {len(set(watches))} kinds"
    )
    one_a_kind = len(watches) == len(set(watches))
    is_right = one_a_kind and took <= _OF_SLOWEST * least + 1
    return Outcome(verdict="right" if is_right else "wrong", detail=told)


def _watches() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("watch ")]


def _became_available(deployment: Mapping[str, Any]) -> float:
    """To the second, as conditions are dated."""
    for condition in deployment["status"]["conditions"]:
        if condition["type"] == "Available":
            return datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()
    raise AssertionError(f"{deployment['metadata']['name']} is not available")


PROOFS = (
    Proof(name="watching.beside-kubectl", open=_beside_kubectl, rounds=20),
    Proof(name="watching.sixty-workloads", open=_many, rounds=2),
)
