"""Rollouts that must be green, and rollouts that must be red, with what surrounds them in life."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prove import kube_workloads as w
from prove.kube_workloads import CRASH, READY, Body, slowly

_SURGE = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`before` is rolled out first (and need not work: `before_works`), then `after` is judged."""

    name: str
    after: Callable[[str, random.Random], list[Body]]
    before: Callable[[str, random.Random], list[Body]] | None = None
    before_works: bool = True
    later: Callable[[], Body] | None = None  # comes some seconds after `after`
    red: str = ""  # a regular expression that the first line must hold; empty: green
    timeout_s: float = 90


def deployment(
    image: str, script: str, *, probe: bool = True, container: Body | None = None, **more: Any
) -> Body:
    spec = w.pod_spec(image, script, probe=probe, container=container or {})
    return w.workload("Deployment", spec, **more)


def _after(exits: int, script: str) -> str:
    """So many failures, then it runs: what it needs has come."""
    return f"echo x >> /shared/n; [ $(wc -l < /shared/n) -gt {exits} ] || exit 1; {script}"


def _remembering(image: str, script: str, **more: Any) -> Body:
    volume = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    spec = w.pod_spec(image, script, container=volume, **more)
    return {**spec, "volumes": [{"name": "shared", "emptyDir": {}}]}


def _deaf(image: str, runs: int) -> list[Body]:
    """So many runs answer no liveness probe."""
    hears = f"[ $(wc -l < /shared/n) -gt {runs} ] && touch /tmp/alive"
    spec = _remembering(image, f"echo x >> /shared/n; {hears}; {READY}")
    command = {"command": ["test", "-e", "/tmp/alive"]}
    spec["containers"][0]["livenessProbe"] = {"exec": command, "periodSeconds": 1}
    del spec["containers"][0]["readinessProbe"]
    return [w.workload("Deployment", spec)]


def _stateful(image: str, script: str) -> list[Body]:
    spec = w.pod_spec(image, script)
    return [w.workload("StatefulSet", spec, replicas=2, serviceName="score")]


def _pod_after_init(image: str, rng: random.Random) -> list[Body]:
    first = {"name": "first", "image": image, "command": ["sleep", f"{rng.uniform(2, 5):.1f}"]}
    return [w.pod(w.pod_spec(image, READY, initContainers=[first]))]


def _env_from(name: str) -> Body:
    return {"envFrom": [{"configMapRef": {"name": name}}]}


def _old_and_new(image: str, script: str, *around: Body, replicas: int | None = 2) -> list[Body]:
    count: Body = {} if replicas is None else {"replicas": replicas}
    return [*around, deployment(image, script, strategy=_SURGE, **count)]


_QUOTA_OF_ONE = w.of("v1", "ResourceQuota", "one", spec={"hard": {"pods": "1"}})
_NODE_PORT = 20_000 + os.getpid() % 10_000  # a node has one of each, for all that run beside us
_GRACEFULLY_S = 45  # to end with what it serves


def _in_place(image: str, script: str, *, port: int | None = None) -> Body:
    """One pod that has its room for itself; the next one comes when it has gone."""
    ports = [{"containerPort": port, "hostPort": port}] if port else []
    spec = w.pod_spec(
        image,
        script,
        terminationGracePeriodSeconds=_GRACEFULLY_S,
        container={"ports": ports},
    )
    strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return w.workload("Deployment", spec, strategy=strategy)


def _v1(image: str, _: random.Random) -> list[Body]:
    return _old_and_new(image, READY)


GOOD = (
    Case(name="slow start", after=lambda i, r: [deployment(i, slowly(r.uniform(4, 9)))]),
    Case(
        name="surge",
        before=lambda i, _: _old_and_new(i, READY, replicas=3),
        after=lambda i, r: _old_and_new(i, slowly(r.uniform(1, 3)), replicas=3),
    ),
    Case(
        name="first restarts",
        after=lambda i, _: [w.workload("Deployment", _remembering(i, _after(2, READY)))],
    ),
    Case(
        name="recreate",
        before=lambda i, _: [deployment(i, READY, strategy={"type": "Recreate"})],
        after=lambda i, _: [deployment(i, slowly(2), strategy={"type": "Recreate"})],
    ),
    Case(
        name="autoscaler",
        before=lambda i, _: _old_and_new(i, READY, w.autoscaler(2), replicas=None),
        after=lambda i, _: _old_and_new(i, slowly(2), w.autoscaler(2), replicas=None),
    ),
    Case(
        name="disruption budget",
        before=lambda i, _: _old_and_new(i, READY, w.disruption_budget(2)),
        after=lambda i, _: _old_and_new(i, slowly(2), w.disruption_budget(2)),
    ),
    Case(
        name="stateful set",
        before=lambda i, _: _stateful(i, READY),
        after=lambda i, _: _stateful(i, slowly(2)),
    ),
    Case(
        name="daemon set",
        before=lambda i, _: [w.workload("DaemonSet", w.pod_spec(i, READY))],
        after=lambda i, _: [w.workload("DaemonSet", w.pod_spec(i, slowly(2)))],
    ),
    Case(
        name="job that fails once",
        after=lambda i, _: [
            w.job(_remembering(i, _after(1, "exit 0"), probe=False, restartPolicy="OnFailure"))
        ],
    ),
    Case(name="pod after its init container", after=_pod_after_init),
    Case(
        name="fix of a broken release",
        before=lambda i, _: [deployment(i, CRASH)],
        before_works=False,
        after=lambda i, _: [deployment(i, slowly(2))],
    ),
    Case(
        name="configuration comes later",
        after=lambda i, _: [deployment(i, READY, container=_env_from("late"))],
        later=lambda: w.of("v1", "ConfigMap", "late", data={"A": "b"}),
    ),
    Case(
        name="back to a template after its successor's deadline has passed",
        before=lambda i, _: [
            deployment(i, "sleep inf", progressDeadlineSeconds=3, container={"env": []})
        ],
        before_works=False,
        after=lambda i, _: [deployment(i, slowly(1), progressDeadlineSeconds=30)],
    ),
    Case(
        name="full quota until the old pod has gone",
        before=lambda i, _: [_QUOTA_OF_ONE, _in_place(i, READY)],
        after=lambda i, _: [_QUOTA_OF_ONE, _in_place(i, slowly(1))],
        timeout_s=180,
    ),
    Case(
        name="full node until the old pod has gone",
        before=lambda i, _: [_in_place(i, READY, port=_NODE_PORT)],
        after=lambda i, _: [_in_place(i, slowly(1), port=_NODE_PORT)],
        timeout_s=120,
    ),
    Case(name="liveness probe that gives up a first run", after=lambda i, _: _deaf(i, 1)),
    Case(name="no probe", after=lambda i, _: [deployment(i, "exec sleep inf", probe=False)]),
)

_OF_SCORE = r"^(pod score\S* \(\w+/score\)|\w+/score): "

BAD = (
    Case(
        name="crash",
        after=lambda i, _: [deployment(i, CRASH)],
        red=_OF_SCORE + r"container score crashed \(exit 1\) \d times: ImportError",
    ),
    Case(
        name="never ready while the old pods serve",
        before=_v1,
        after=lambda i, _: _old_and_new(i, "sleep inf"),
        red=_OF_SCORE + r"not ready after 25\.0 s: Readiness probe failed",
        timeout_s=25,
    ),
    Case(
        name="crash while the old pods serve, an autoscaler around",
        before=lambda i, _: _old_and_new(i, READY, w.autoscaler(2), replicas=None),
        after=lambda i, _: _old_and_new(i, CRASH, w.autoscaler(2), replicas=None),
        red=_OF_SCORE + r"container score crashed",
    ),
    Case(
        name="crash after it looked healthy",
        after=lambda i, r: [deployment(i, f"sleep {r.uniform(1, 4):.1f}; {CRASH}", probe=False)],
        red=_OF_SCORE + r"container score crashed",
    ),
    Case(
        name="liveness probe that gives up each run",
        after=lambda i, _: _deaf(i, 99),
        red=_OF_SCORE + r"container score failed its liveness probe and is killed",
    ),
    Case(
        name="stateful set whose new pod crashes",
        before=lambda i, _: _stateful(i, READY),
        after=lambda i, _: _stateful(i, CRASH),
        red=r"^pod score-1 \(statefulset/score\): container score crashed",
    ),
    Case(
        name="daemon set without its configuration",
        before=lambda i, _: [w.workload("DaemonSet", w.pod_spec(i, READY))],
        after=lambda i, _: [
            w.workload("DaemonSet", w.pod_spec(i, READY, container=_env_from("absent")))
        ],
        red=_OF_SCORE + r'container score cannot be created: configmap "absent" not found',
    ),
    Case(
        name="job",
        after=lambda i, _: [w.job(w.pod_spec(i, CRASH, probe=False), backoffLimit=0)],
        red=r"^job/score: the job failed: BackoffLimitExceeded",
    ),
    Case(
        name="bare pod",
        after=lambda i, _: [w.pod(w.pod_spec(i, CRASH, probe=False, restartPolicy="Never"))],
        red=r"^pod/score: it failed: container score ended with exit code 1",
    ),
    Case(
        name="image that is not there, a disruption budget around",
        before=lambda i, _: _old_and_new(i, READY, w.disruption_budget(2)),
        after=lambda i, _: _old_and_new(
            i.partition("@")[0] + "@sha256:" + "1" * 64, READY, w.disruption_budget(2)
        ),
        red=_OF_SCORE + r"container score: the image .* cannot be pulled: .*not found",
    ),
    Case(
        name="deadline",
        before=_v1,
        after=lambda i, _: [
            deployment(i, "sleep inf", replicas=2, strategy=_SURGE, progressDeadlineSeconds=4)
        ],
        red=r"^deployment/score: no progress within progressDeadlineSeconds",
    ),
    Case(
        name="quota",
        before=lambda i, _: [
            w.of("v1", "ResourceQuota", "two", spec={"hard": {"pods": "2"}}),
            *_old_and_new(i, READY),
        ],
        after=lambda i, _: _old_and_new(i, slowly(1)),
        red=r"^deployment/score: its pods are refused: .*exceeded quota: two",
    ),
    Case(
        name="broken release that is applied again",
        before=lambda i, _: [deployment(i, CRASH)],
        before_works=False,
        after=lambda i, _: [deployment(i, CRASH)],
        red=_OF_SCORE + r"container score crashed \(exit 1\) \d+ times",
        timeout_s=60,
    ),
)
