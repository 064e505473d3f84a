from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.watching import trouble


def pod(state: dict[str, Any], *, spec: dict[str, Any] | None = None, **status: Any) -> dict:
    container = {"name": "main", "image": "reg/app", "state": state, **status}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "p"},
        "spec": {"containers": [{"name": "main"}], **(spec or {})},
        "status": {"phase": "Pending", "containerStatuses": [container]},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", **more: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


@pytest.mark.parametrize(
    ("state", "at_once"),
    [
        (waiting("ErrImagePull", "x509: certificate signed by unknown authority"), True),
        (waiting("ErrImagePull", "no match for platform in manifest"), True),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), False),
        (waiting("ImagePullBackOff", "Back-off pulling image"), False),
        (waiting("ErrImagePull", "no such host"), False),
        (waiting("InvalidImageName", "couldn't parse"), True),
        (waiting("ErrImageNeverPull", "not present"), True),
        (waiting("CreateContainerConfigError", 'configmap "x" not found'), False),
    ],
)
def test_what_no_time_can_mend_has_no_grace(state: dict[str, Any], *, at_once: bool) -> None:
    found = trouble.of_pod(pod(state))
    assert found
    assert (found.grace_s == 0) is at_once
    assert found.container == "main"


@pytest.mark.parametrize(
    "state", [waiting("ContainerCreating"), waiting("PodInitializing"), {"running": {}}, {}]
)
def test_what_is_normal_is_no_trouble(state: dict[str, Any]) -> None:
    assert trouble.of_pod(pod(state)) is None
    assert trouble.of_pod(pod(state, restartCount=7, lastState=ended(1))) is None or state != {
        "running": {}
    }


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("between", ["terminated", "CrashLoopBackOff"])
def test_the_third_exit_is_a_crash_loop(count: int, between: str) -> None:
    state = ended(1) if between == "terminated" else waiting(between)
    found = trouble.of_pod(pod(state, restartCount=count, lastState=ended(1)))
    assert found
    assert found.grace_s == (0 if count >= 2 else trouble.NEVER)
    times = "once" if count == 0 else f"{count + 1} times"
    assert found.cause == f"container main crashed (exit 1) {times}"
    assert found.crashed


def test_a_running_container_may_have_crashed_before() -> None:
    assert trouble.of_pod(pod({"running": {}}, restartCount=9, lastState=ended(1))) is None


def test_a_run_of_hours_is_no_part_of_a_crash_loop() -> None:
    long = ended(1, startedAt="2026-01-01T00:00:00Z", finishedAt="2026-01-01T05:00:00Z")
    found = trouble.of_pod(pod(long, restartCount=9))
    assert found
    assert found.grace_s == trouble.NEVER


def test_jobs_count_their_own_restarts() -> None:
    broken = pod(waiting("CrashLoopBackOff"), restartCount=5, lastState=ended(1))
    found = trouble.of_pod(broken, restarts_are_counted_elsewhere=True)
    assert found
    assert found.grace_s == trouble.NEVER
    image = pod(waiting("ErrImagePull", "not found"))
    assert trouble.of_pod(image, restarts_are_counted_elsewhere=True)


def test_memory_names_the_limit() -> None:
    container = {"name": "main", "resources": {"limits": {"memory": "64Mi"}}}
    found = trouble.of_pod(
        pod(ended(137, "OOMKilled"), restartCount=2, spec={"containers": [container]})
    )
    assert found
    assert "OOMKilled, limit 64Mi" in found.cause


def test_ending_well_is_trouble_only_for_what_should_stay() -> None:
    assert trouble.of_pod(pod(ended(0, "Completed"), restartCount=2))
    never = {"restartPolicy": "Never"}
    assert trouble.of_pod(pod(ended(0, "Completed"), restartCount=2, spec=never)) is None
    init = {"initContainers": [{"name": "main"}]}
    assert trouble.of_pod(pod(ended(0, "Completed"), restartCount=2, spec=init)) is None


def test_a_program_that_is_not_there_needs_no_third_try() -> None:
    message = 'exec: "/app": stat /app: no such file or directory'
    start = ended(
        128, "StartError", message=message, startedAt="1970-01-01T00:00:00Z",
        finishedAt="2026-01-01T00:00:00Z",
    )  # fmt: skip
    state = waiting("RunContainerError", message)
    found = trouble.of_pod(pod(state, restartCount=1, lastState=start))
    assert found
    assert "cannot be started" in found.cause
    assert found.grace_s == 0
    first = trouble.of_pod(pod(state, restartCount=0, lastState=start))
    assert first
    assert first.grace_s == trouble.NEVER


def unschedulable(**status: Any) -> dict:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return {
        "metadata": {"name": "p"},
        "spec": {},
        "status": {"conditions": [{**condition, "message": "0/3 nodes"}], **status},
    }


def test_unschedulable_gets_its_grace() -> None:
    found = trouble.of_pod(unschedulable())
    assert found
    assert found.grace_s == 30
    assert trouble.of_pod(unschedulable(nominatedNodeName="n1")) is None


def test_events() -> None:
    def event(reason: str, message: str = "", kind: str = "StatefulSet") -> dict:
        return {"reason": reason, "message": message, "involvedObject": {"kind": kind}}

    assert trouble.of_event(event("FailedCreate", "exceeded quota"))
    assert trouble.of_event(event("FailedMount", 'secret "x" not found', "Pod"))
    assert trouble.of_event(event("FailedMount", "timed out", "Pod")) == trouble.Trouble(
        cause="a volume cannot be mounted: timed out", grace_s=trouble.NEVER
    )
    assert trouble.of_event(event("Unhealthy", "HTTP 500", "Pod")) is None
    assert trouble.is_healed_by(event("SuccessfulCreate"))
    assert not trouble.is_healed_by(event("BackOff", kind="Pod"))
    assert trouble.is_autoscaled(event("TriggeredScaleUp"))


@pytest.mark.parametrize(
    ("message", "grace_s"),
    [
        ('MountVolume.SetUp failed for volume "v" : configmap "settings" not found', 17),
        ('MountVolume.SetUp failed for volume "v" : secret "key" not found', 17),
        ('persistentvolumeclaim "data" not found', 17),
        ('rpc error: secretproviderclasses.secrets-store.csi.x-k8s.io "kv" not found', 17),
        # a node that has just come: its drivers and its view of the cluster are on their way
        (
            "driver name disk.csi.azure.com not found in the list of registered CSI drivers",
            trouble.NEVER,
        ),
        ('failed for volume "v" : object "n"/"settings" not registered', trouble.NEVER),
        ('volumeattachments.storage.k8s.io "csi-1" not found', trouble.NEVER),
    ],
)
def test_a_volume_that_cannot_be_mounted(message: str, grace_s: float) -> None:
    event = {"reason": "FailedMount", "message": message, "involvedObject": {"kind": "Pod"}}
    found = trouble.of_event(event)
    assert found
    assert found.grace_s == grace_s


@pytest.mark.parametrize(
    ("reason", "message", "grace_s"),
    [
        ("CreateContainerConfigError", 'configmap "settings" not found', 17),
        ("CreateContainerError", "no command specified", 17),
        # a node under load
        (
            "CreateContainerConfigError",
            "failed to sync secret cache: timed out waiting for the condition",
            trouble.NEVER,
        ),
        ("CreateContainerError", "context deadline exceeded", trouble.NEVER),
        (
            "CreateContainerError",
            'failed to reserve container name "a_b": name "a_b" is reserved for "4f2"',
            trouble.NEVER,
        ),
    ],
)
def test_a_container_that_cannot_be_created(reason: str, message: str, grace_s: float) -> None:
    found = trouble.of_pod(pod(waiting(reason, message)))
    assert found
    assert found.grace_s == grace_s


def test_a_pull_is_hopeless_after_three_tries() -> None:
    """However long each of them took: the kubelet says so of the last one while it tries anew."""
    image = pod(waiting("ImagePullBackOff", "dial tcp: i/o timeout"))
    for tries, grace_s in ((1, trouble.NEVER), (2, trouble.NEVER), (3, 0)):
        found = trouble.of_pod(image, pulls={"main": tries})
        assert found
        assert found.grace_s == grace_s


def test_the_gravest_trouble_of_a_pod_counts() -> None:
    both = pod(ended(1))
    refused = {"name": "beside", "image": "x", "state": waiting("InvalidImageName", "no")}
    both["status"]["containerStatuses"].append(refused)
    found = trouble.of_pod(both)
    assert found
    assert found.container == "beside"


@pytest.mark.parametrize(
    "message",
    ["reg/app: not found", "pull access denied, repository does not exist", "401 Unauthorized"],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_what_a_registry_refuses_is_asked_for_twice(reason: str, message: str) -> None:
    """A push may not have reached the registry of this region yet."""
    refused = pod(waiting(reason, message))
    graces = [
        found.grace_s
        for pulls in (0, 1, 2)
        if (found := trouble.of_pod(refused, pulls={"main": pulls}))
    ]
    assert graces == [17, 17, 0]
