"""The table of docs/exit-statuses.md, row by row: objects as the API server gives them."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.watching.readiness import state, watched
from modelferry.rollout.watching.running_image import Digests
from modelferry.rollout.watching.states import Done, Failed, State, Waiting

NEW = "reg/app@sha256:" + "a" * 64
NONE = Digests()
OLD_ID = "reg/app@sha256:" + "b" * 64


def workload(kind: str, status: dict[str, Any], *, generation: int = 2, **spec: Any) -> dict:
    template = {"spec": {"containers": [{"name": "main", "image": NEW}]}}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": "n", "uid": "u", "generation": generation},
        "spec": {"template": template, **spec},
        "status": dict(status),
    }


def pod(image_id: str = NEW, *, image: str = NEW, phase: str = "Running", **status: Any) -> dict:
    container = {"name": "main", "imageID": image_id, "state": {"running": {}}}
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x-1", "namespace": "n", "uid": "p", "generation": 1},
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {
            "phase": phase,
            "conditions": [ready],
            "containerStatuses": [container],
            **status,
        },
    }


def judge(live: dict, *pods: dict, digests: Digests = NONE) -> State:
    return state(live, live, pods, digests)


DONE = {
    "observedGeneration": 2,
    "replicas": 2,
    "updatedReplicas": 2,
    "availableReplicas": 2,
}


def test_deployment_done() -> None:
    assert judge(workload("Deployment", DONE, replicas=2), pod(), pod()) == Done(
        figures=judge(workload("Deployment", DONE, replicas=2), pod(), pod()).figures
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"observedGeneration": 1},
        {"updatedReplicas": 1},
        {"replicas": 3},
        {"availableReplicas": 1},
        {"availableReplicas": None},
    ],
)
def test_deployment_waits_for_each_count(wrong: dict[str, Any]) -> None:
    status = {key: v for key, v in {**DONE, **wrong}.items() if v is not None}
    assert isinstance(judge(workload("Deployment", status, replicas=2), pod(), pod()), Waiting)


def test_deployment_waits_until_its_pods_are_seen() -> None:
    assert isinstance(judge(workload("Deployment", DONE, replicas=2), pod()), Waiting)


def test_deployment_paused_or_scaled_to_nothing_is_done_with_a_notice() -> None:
    paused = judge(workload("Deployment", {"observedGeneration": 2}, paused=True))
    assert isinstance(paused, Done)
    assert "paused" in paused.notice
    nothing = judge(workload("Deployment", {"observedGeneration": 2}, replicas=0))
    assert isinstance(nothing, Done)
    assert "scaled to 0" in nothing.notice


def test_progress_deadline_counts_for_this_generation_only() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {"observedGeneration": 2, "conditions": [condition]}
    exceeded = workload("Deployment", status, replicas=2)
    fresh = workload("Deployment", {"observedGeneration": 1}, replicas=2)
    assert isinstance(state(fresh, exceeded, (), NONE), Failed)
    stale = workload("Deployment", status, generation=3, replicas=2)
    assert isinstance(state(fresh, stale, (), NONE), Waiting)


def test_a_deadline_that_passed_before_the_apply_says_nothing_of_it() -> None:
    """The controller leaves the condition as it is until the first pod comes of the change."""
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    before = condition | {"lastUpdateTime": "2026-01-01T00:00:00Z"}
    applied = workload("Deployment", {"observedGeneration": 1, "conditions": [before]}, replicas=2)
    seen = workload("Deployment", {"observedGeneration": 2, "conditions": [before]}, replicas=2)
    assert isinstance(state(applied, seen, (), NONE), Waiting)
    again = condition | {"lastUpdateTime": "2026-01-01T00:10:00Z"}
    later = workload("Deployment", {"observedGeneration": 2, "conditions": [again]}, replicas=2)
    assert isinstance(state(applied, later, (), NONE), Failed)


STATEFUL = {**DONE, "currentRevision": "r2", "updateRevision": "r2"}


def test_stateful_set() -> None:
    assert isinstance(judge(workload("StatefulSet", STATEFUL, replicas=2), pod(), pod()), Done)
    late = {**STATEFUL, "currentRevision": "r1"}
    assert isinstance(judge(workload("StatefulSet", late, replicas=2), pod(), pod()), Waiting)
    few = {**STATEFUL, "updatedReplicas": 1}
    assert isinstance(judge(workload("StatefulSet", few, replicas=2), pod()), Waiting)


def test_stateful_set_up_to_its_partition() -> None:
    status = {**STATEFUL, "currentRevision": "r1", "updatedReplicas": 1}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    found = judge(workload("StatefulSet", status, replicas=2, updateStrategy=strategy), pod())
    assert isinstance(found, Done)
    assert "keeps 1 of 2" in found.notice
    none = workload("StatefulSet", {**status, "updatedReplicas": 0}, replicas=2)
    none["spec"]["updateStrategy"] = strategy
    assert isinstance(judge(none), Waiting)


def test_on_delete_is_done_with_a_notice_once_its_pods_are_available() -> None:
    status = {**STATEFUL, "currentRevision": "r1", "updatedReplicas": 0}
    strategy = {"type": "OnDelete"}
    found = judge(workload("StatefulSet", status, replicas=2, updateStrategy=strategy))
    assert isinstance(found, Done)
    assert "2 pods are not replaced" in found.notice
    down = {**status, "availableReplicas": 0}
    assert isinstance(
        judge(workload("StatefulSet", down, replicas=2, updateStrategy=strategy)), Waiting
    )


NODES = {
    "observedGeneration": 2,
    "desiredNumberScheduled": 2,
    "currentNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberAvailable": 2,
}


def test_daemon_set() -> None:
    assert isinstance(judge(workload("DaemonSet", NODES), pod(), pod()), Done)
    for field in ("updatedNumberScheduled", "numberAvailable", "currentNumberScheduled"):
        assert isinstance(judge(workload("DaemonSet", {**NODES, field: 1}), pod(), pod()), Waiting)


def test_daemon_set_without_nodes_is_done_with_a_notice_once_it_was_looked_at() -> None:
    found = judge(workload("DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 0}))
    assert isinstance(found, Done)
    assert found.notice
    assert isinstance(judge(workload("DaemonSet", {})), Waiting)


def test_replica_set_does_not_replace_its_pods() -> None:
    live = workload("ReplicaSet", DONE, replicas=1)
    live["status"] |= {"replicas": 1, "availableReplicas": 1}
    assert isinstance(judge(live, pod()), Done)
    found = judge(live, pod(OLD_ID, image=OLD_ID))
    assert isinstance(found, Failed)


def test_bare_pod() -> None:
    assert isinstance(judge(pod()), Done)
    assert isinstance(judge(pod(phase="Succeeded")), Done)
    assert isinstance(judge(pod(phase="Pending")), Waiting)
    assert isinstance(judge(pod("")), Waiting)


def test_bare_pod_failed_says_how_it_ended() -> None:
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    status = [{"name": "main", "imageID": NEW, "state": ended}]
    found = judge(pod(phase="Failed", containerStatuses=status))
    assert found == Failed(reason="it failed: container main ended with exit code 3 (Error)")
    evicted = judge(pod(phase="Failed", containerStatuses=[], reason="Evicted", message="disk"))
    assert evicted == Failed(reason="it failed: Evicted disk")


def test_job() -> None:
    def job(kind: str | None, **spec: Any) -> State:
        conditions = [{"type": kind, "status": "True", "reason": "R"}] if kind else []
        return judge(workload("Job", {"conditions": conditions}, **spec))

    assert isinstance(job("Complete"), Done)
    assert isinstance(job("Failed"), Failed)
    assert isinstance(job("FailureTarget"), Failed)
    assert isinstance(job(None), Waiting)
    suspended = job(None, suspend=True)
    assert isinstance(suspended, Done)
    assert "suspended" in suspended.notice


def other(status: dict[str, Any], kind: str = "Certificate") -> dict:
    metadata = {"name": "x", "uid": "u", "generation": 2}
    return {"apiVersion": "x.io/v1", "kind": kind, "metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, Done),
        ({"phase": "Bound"}, Done),
        ({"conditions": [{"type": "Issuing", "status": "False"}]}, Done),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, Done),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, Waiting),
        ({"conditions": [{"type": "Available", "status": "Unknown"}]}, Waiting),
        (
            {"conditions": [{"type": "Ready", "status": "True"}], "observedGeneration": 1},
            Waiting,
        ),
        (
            {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]},
            Waiting,
        ),
        ({"conditions": "odd"}, Done),
    ],
)
def test_other_kinds(status: dict[str, Any], expected: type) -> None:
    assert isinstance(judge(other(status)), expected)


def test_objects_that_are_no_longer_the_one_applied() -> None:
    applied = workload("Deployment", DONE, replicas=2)
    made_anew = {**applied, "metadata": {**applied["metadata"], "uid": "other"}}
    going = {**applied, "metadata": {**applied["metadata"], "deletionTimestamp": "now"}}
    taken = workload("Deployment", DONE, replicas=2)
    taken["spec"]["template"] = {"spec": {"containers": [{"name": "main", "image": "theirs"}]}}
    for live in (None, made_anew, going, taken):
        assert isinstance(state(applied, live, (pod(), pod()), NONE), Failed)


def test_a_change_of_replicas_by_an_autoscaler_is_no_failure() -> None:
    applied = workload("Deployment", DONE, replicas=2)
    live = workload("Deployment", {**DONE, "observedGeneration": 3}, generation=3, replicas=2)
    assert isinstance(state(applied, live, (pod(), pod()), NONE), Done)


# The image


def test_a_container_that_has_not_started_is_waited_for() -> None:
    live = workload("Deployment", DONE, replicas=1)
    live["status"] = {**DONE, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    assert isinstance(judge(live, pod("")), Waiting)


def test_a_runtime_may_name_another_manifest_of_the_same_content() -> None:
    assert isinstance(judge(pod(OLD_ID)), Done)


def test_a_pod_changed_in_place_must_show_the_new_container() -> None:
    changed = pod(OLD_ID)
    changed["metadata"]["generation"] = 2
    assert isinstance(judge(changed), Waiting)


def test_a_pod_that_was_resized_in_place_runs_what_it_was_made_with() -> None:
    resized = pod(OLD_ID)
    resized["metadata"] |= {"generation": 3, "ownerReferences": [{"uid": "u", "controller": True}]}
    live = workload("Deployment", DONE, replicas=1)
    live["status"] = {**DONE, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    assert isinstance(judge(live, resized), Done)


def test_a_pod_of_before_is_not_told_of_as_one_with_an_old_tag() -> None:
    live = workload("Deployment", DONE, replicas=1)
    live["status"] = {**DONE, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    waiting = judge(live, pod(OLD_ID, image=OLD_ID))
    assert isinstance(waiting, Waiting)
    assert "imagePullPolicy" not in waiting.message


def test_by_tag_the_digest_must_be_the_pushed_one() -> None:
    digests = Digests(by_tag={"reg/app:v1": "sha256:" + "a" * 64})
    assert isinstance(judge(pod(NEW, image="reg/app:v1"), digests=digests), Done)
    stale = judge(pod(OLD_ID, image="reg/app:v1"), digests=digests)
    assert isinstance(stale, Waiting)
    assert "imagePullPolicy: Always" in stale.message


def test_by_tag_what_the_node_has_pulled_since_is_what_new_pods_run() -> None:
    image = "reg/app:v1"
    alias = pod(OLD_ID, image=image)
    alias["spec"]["nodeName"] = "n1"

    def judged(node: str, pulled: str, *old: str) -> State:
        digests = Digests(
            by_tag={image: "sha256:" + "a" * 64}, pulled={(node, pulled)}, old_pods={*old}
        )
        return judge(alias, digests=digests)

    assert isinstance(judged("n1", image), Done)
    assert isinstance(judged("n2", image), Waiting)
    assert isinstance(judged("n1", "reg/app:v2"), Waiting)
    assert isinstance(judged("n1", image, "p"), Waiting)


def test_images_that_are_not_ours_are_not_compared() -> None:
    assert isinstance(judge(pod("docker.io/nginx@sha256:" + "c" * 64, image="nginx:1")), Done)


@pytest.mark.parametrize(
    ("api_version", "kind", "expected"),
    [
        ("apps/v1", "Deployment", True),
        ("v1", "Pod", True),
        ("batch/v1", "CronJob", False),
        ("v1", "Secret", False),
        ("v1", "Service", False),
        ("networking.k8s.io/v1", "Ingress", False),
        ("serving.knative.dev/v1", "Service", True),
    ],
)
def test_only_kinds_that_can_be_unready_are_watched(
    api_version: str, kind: str, *, expected: bool
) -> None:
    assert watched(api_version, kind) is expected


@pytest.mark.parametrize(
    ("said", "expected"), [("2", Done), ("1", Waiting), ("7d9c", Done), (None, Done)]
)
def test_a_controller_may_write_the_generation_it_saw_as_text(
    said: str | None, expected: type
) -> None:
    ready = {"type": "Ready", "status": "True", "observedGeneration": said}
    rollout = other({"observedGeneration": said, "conditions": [ready]})
    assert isinstance(judge(rollout), expected)


def test_a_job_that_has_succeeded_may_be_cleared_away() -> None:
    """`ttlSecondsAfterFinished` deletes in the foreground: it bears the mark for a while."""
    complete = {"type": "Complete", "status": "True"}
    applied = workload("Job", {})
    for conditions, expected in (([complete], Done), ([], Failed)):
        live = workload("Job", {"succeeded": 1, "conditions": conditions})
        live["metadata"]["deletionTimestamp"] = "2026-11-22T20:00:00Z"
        assert isinstance(state(applied, live, (), NONE), expected)


def test_only_the_manifests_own_suspension_is_a_wish() -> None:
    """A job queue (Kueue) suspends each job that comes, until there is room."""
    held = workload("Job", {}, suspend=True)
    free = workload("Job", {})
    assert isinstance(state(held, held, (), NONE, asked=held), Done)
    assert isinstance(state(held, held, (), NONE, asked=free), Waiting)
