from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.objects.ownership import current_pods

REVISION = {"deployment.kubernetes.io/revision": "2"}


def owner(kind: str) -> dict[str, Any]:
    status = {"updateRevision": "r2"}
    return {"kind": kind, "metadata": {"uid": "u", "annotations": REVISION}, "status": status}


def pod(name: str, phase: str, **metadata: Any) -> dict[str, Any]:
    owners = [{"uid": "u", "controller": True}]
    labels = {"controller-revision-hash": "r2"}
    own = {"name": name, "uid": name, "labels": labels, "ownerReferences": owners}
    return {"metadata": own | metadata, "status": {"phase": phase}}


def names(live: dict, *pods: dict) -> list[str]:
    if live["kind"] == "Deployment":
        replica_set = owner("ReplicaSet")
        replica_set["metadata"] |= {"ownerReferences": [{"uid": "u", "controller": True}]}
        return [found["metadata"]["name"] for found in current_pods(live, pods, [replica_set])]
    return [found["metadata"]["name"] for found in current_pods(live, pods, ())]


@pytest.mark.parametrize(
    "kind", ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"]
)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_what_lies_about_of_a_pod_that_was_replaced_does_not_count(kind: str, phase: str) -> None:
    """An evicted pod stays for weeks, and so does one of a node that was shut down."""
    assert names(owner(kind), pod("evicted", phase), pod("new", "Running")) == ["new"]
    assert names(owner(kind), pod("evicted", phase), pod("new", "Pending")) == ["new"]


def test_one_without_a_successor_says_what_is_wrong() -> None:
    evicted = pod("evicted", "Failed")
    assert names(owner("ReplicaSet"), evicted) == ["evicted"]
    going = pod("going", "Running", deletionTimestamp="2026-11-22T20:00:00Z")
    assert names(owner("ReplicaSet"), evicted, going) == ["evicted"]


def test_what_ran_to_its_end_is_what_a_job_is_for() -> None:
    found = names(owner("Job"), pod("first", "Failed"), pod("second", "Running"))
    assert found == ["first", "second"]
    assert names(owner("Pod"), pod("u", "Succeeded")) == ["u"]


@pytest.mark.parametrize(("image", "found"), [("app:1", ["pod"]), ("app:2", [])])
def test_a_paused_deployment_has_no_new_pods_of_a_template_that_was_changed(
    image: str, found: list[str]
) -> None:
    """The controller makes no ReplicaSet for it, and lets the revision stand for the old one."""
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"image": image}]}}
    live = owner("Deployment") | {"spec": {"paused": True, "template": template}}
    replica_set = owner("ReplicaSet")
    replica_set["metadata"] |= {"ownerReferences": [{"uid": "u", "controller": True}]}
    replica_set["spec"] = {
        "template": {
            "metadata": {"labels": {"app": "x", "pod-template-hash": "5f"}},
            "spec": {"containers": [{"image": "app:1"}]},
        }
    }
    pods = current_pods(live, [pod("pod", "Running")], [replica_set])
    assert [one["metadata"]["name"] for one in pods] == found
    running = owner("Deployment") | {"spec": {"template": template}}
    assert len(current_pods(running, [pod("pod", "Running")], [replica_set])) == 1
