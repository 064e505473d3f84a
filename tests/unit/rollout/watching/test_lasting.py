"""Pods that were ready, and what became of them while they were asked."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import PODS
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.watching import lasting
from modelferry.rollout.watching.findings import Applied, Finding
from modelferry.rollout.watching.states import Done, Failed, Waiting
from modelferry.rollout.watching.trouble import Trouble

ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}
RUNS = {"running": {}}
WAITS = {"waiting": {"reason": "CrashLoopBackOff"}}


def pod(uid: str = "u", *, ready: bool = True, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": uid, "namespace": "n", "uid": uid},
        "spec": {"containers": [{"name": "main"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "main", **status}],
        },
    }


@pytest.fixture
def target() -> Applied:
    manifest = ManifestObject(body=pod(), file="a.yaml", line=1, lines={})
    return Applied(placed=Placed(manifest=manifest, resource=PODS, namespace="n"), body=pod())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"state": RUNS, "restartCount": 1}, ""),
        ({"state": RUNS, "restartCount": 2, "lastState": ENDED}, "crashed (exit 1) once"),
        ({"state": ENDED, "restartCount": 1}, "crashed (exit 1) once"),
        ({"state": WAITS, "restartCount": 3, "lastState": ENDED}, "crashed (exit 1) 3 times"),
    ],
)
def test_each_end_since_then_counts(target: Applied, status: dict[str, Any], said: str) -> None:
    before = lasting.ends([pod(state=RUNS, restartCount=1)])  # a first start that failed
    found = list(lasting.since(before, target, [pod(**status)]))
    assert [f.is_final for f in found] == [True] * bool(said)
    assert all(said in f.cause and "after it was ready" in f.cause for f in found)


def test_a_pod_that_came_later_has_its_first_starts(target: Applied) -> None:
    before = lasting.ends([pod(state=RUNS)])
    later = pod("v", state=RUNS, restartCount=2, lastState=ENDED)
    assert list(lasting.since(before, target, [later])) == []


@pytest.mark.parametrize(
    ("state", "pods", "lasts"),
    [
        (Done(), [], True),
        (Failed(reason="it was deleted"), [pod()], False),
        (Waiting(message="3 of 4"), [pod(), pod("v", ready=False)], True),  # scaled up meanwhile
        (Waiting(message="0 of 1"), [pod(ready=False)], False),
        (Waiting(message="0 of 1"), [pod("v", ready=False)], False),  # moved, and not there yet
    ],
)
def test_pods_that_were_ready_must_be(state: Any, pods: list[dict], *, lasts: bool) -> None:
    before = lasting.ends([pod(state=RUNS)])
    assert lasting.lasts(before, state, pods) is lasts


def test_a_pod_that_its_probe_condemned_does_not_last(target: Applied) -> None:
    """It is ready until it is killed."""
    before, waits = lasting.ends([pod(state=RUNS)]), Waiting(message="condemned")
    trouble = Trouble(cause="failed its liveness probe", grace_s=0, condemned=True)
    for uid, lasts in (("u", False), ("v", True)):
        found = Finding(target=target, trouble=trouble, pod=pod(uid))
        assert lasting.lasts(before, waits, [pod()], [found]) is lasts
