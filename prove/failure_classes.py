"""Sixteen ways in which a deploy fails, and what must be said of each."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from prove import kube_hazards, kube_lost
from prove import kube_workloads as w
from prove.kube_lost import IsLost
from prove.kube_workloads import CRASH, READY, Body
from prove.kube_yard import Yard

_EAT = "python3 -c 'x = [bytearray(1 << 26) for _ in range(64)]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    name: str
    bodies: tuple[Body, ...]
    cause: str  # a regular expression for the first annotation
    is_lost: IsLost  # asked of pods, their makers, jobs
    within_s: float = 20  # from then to the verdict
    label: str = "deployment/score"  # the object that the annotation must stand at; empty: none
    around: Callable[[Yard, str], AbstractContextManager[None]] = lambda _, __: nullcontext()
    orders: Mapping[str, Any] = field(default_factory=dict)


def _deployment(script: str = READY, **container: Any) -> Body:
    return w.workload("Deployment", w.pod_spec("$IMAGE", script, container=container))


def _with_volume(volume: Body) -> Body:
    body = _deployment(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", **volume}]
    return body


def _somewhere(**more: Any) -> Body:
    return w.workload("Deployment", w.pod_spec("$IMAGE", READY, **more))


_POD = r"^pod score\S* \(deployment/score\): "
_STATE = w.workload("StatefulSet", w.pod_spec("$IMAGE", CRASH), name="state", serviceName="state")
_AGENT = w.workload(
    "DaemonSet",
    w.pod_spec("$IMAGE", READY, tolerations=[{"operator": "Exists"}]),
    name="agent",
    updateStrategy={"rollingUpdate": {"maxUnavailable": "100%"}},
)
_LONE = w.pod(w.pod_spec("$IMAGE", CRASH, probe=False, restartPolicy="Never"), name="lone")

CLASSES = (
    FailureClass(
        name="image",
        bodies=(
            w.workload(
                "Deployment",
                w.pod_spec(
                    "$IMAGE",
                    READY,
                    initContainers=[{"name": "first", "image": "$ACR_DNS/prove-absent:1"}],
                ),
            ),
        ),
        cause=_POD + r"container first: the image .*prove-absent:1 cannot be pulled: .*not found",
        is_lost=kube_lost.waits("ErrImagePull"),
    ),
    FailureClass(
        name="crash loop",
        bodies=(_deployment(CRASH),),
        cause=_POD + r"container score crashed \(exit 1\) 3 times: ImportError",
        is_lost=kube_lost.exited(3),
    ),
    FailureClass(
        name="never ready",
        bodies=(_deployment("sleep inf"),),
        cause=_POD + r"not ready after 12\.0 s: Readiness probe failed",
        is_lost=kube_lost.runs,
        within_s=25,
        orders={"timeout_s": 12.0},
    ),
    FailureClass(
        name="memory",
        bodies=(_deployment(_EAT, resources={"limits": {"memory": "48Mi"}}),),
        cause=_POD + r"container score was killed for want of memory \(OOMKilled, limit 48Mi\)",
        is_lost=kube_lost.exited(3),
    ),
    FailureClass(
        name="quota",
        bodies=(_deployment(resources={"requests": {"cpu": "1m"}}),),
        cause=r"^deployment/score: its pods are refused: .*exceeded quota: none-with-requests",
        is_lost=kube_lost.has("ReplicaFailure"),
        around=kube_hazards.quota,
    ),
    FailureClass(
        name="admission",
        bodies=(_deployment(),),
        cause=r"^deployment/score: its pods are refused: .*this team run in another cluster",
        is_lost=kube_lost.has("ReplicaFailure"),
        around=kube_hazards.policy,
    ),
    FailureClass(
        name="secret",
        bodies=(_deployment(envFrom=[{"secretRef": {"name": "absent"}}]),),
        cause=_POD + r'container score cannot be created: secret "absent" not found',
        is_lost=kube_lost.waits("CreateContainerConfigError"),
    ),
    FailureClass(
        name="claim",
        bodies=(
            w.of(
                "v1",
                "PersistentVolumeClaim",
                "data",
                spec={
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Mi"}},
                },
            ),
            _with_volume({"persistentVolumeClaim": {"claimName": "data"}}),
        ),
        cause=_POD + r"claim data cannot be bound: no persistent volumes available",
        is_lost=kube_lost.has("PodScheduled", "False"),
        within_s=45,
    ),
    FailureClass(
        name="no node",
        bodies=(_somewhere(nodeSelector={"kind": "of-gold"}),),
        cause=_POD + r"it fits no node: .*didn't match Pod's node affinity/selector",
        is_lost=kube_lost.has("PodScheduled", "False"),
        within_s=45,
    ),
    FailureClass(
        name="job",
        bodies=(w.job(w.pod_spec("$IMAGE", CRASH, probe=False), backoffLimit=0),),
        cause=r"^job/score: the job failed: BackoffLimitExceeded.*: ImportError",
        is_lost=kube_lost.has("Failed"),
        label="job/score",
    ),
    FailureClass(
        name="bare pod",
        bodies=(_LONE,),
        cause=r"^pod/lone: it failed: container score ended with exit code 1.*: ImportError",
        is_lost=kube_lost.exited(1),
        label="pod/lone",
    ),
    FailureClass(
        name="stateful set that is stuck",
        bodies=(_STATE,),
        cause=r"^pod state-0 \(statefulset/state\): container score crashed \(exit 1\) 3 times",
        is_lost=kube_lost.exited(3),
        label="statefulset/state",
        around=kube_hazards.good_stateful_set,
    ),
    FailureClass(
        name="daemon set on some nodes",
        bodies=(_AGENT,),
        cause=r"^pod agent-\w+ \(daemonset/agent\): it fits no node: .*Too many pods",
        is_lost=kube_lost.has("PodScheduled", "False"),
        within_s=45,
        label="daemonset/agent",
        around=kube_hazards.dead_node,
    ),
    FailureClass(
        name="webhook that does not answer",
        bodies=(_deployment(),),
        cause=r"^deployment/score: its pods are refused: .*failed calling webhook",
        is_lost=kube_lost.has("ReplicaFailure"),
        around=kube_hazards.silent_webhook,
    ),
    FailureClass(
        name="field of another manager",
        bodies=(w.workload("Deployment", w.pod_spec("$IMAGE", READY), minReadySeconds=1),),
        cause=r"deployment/score: .*\.spec\.minReadySeconds is owned by argo-cd",
        is_lost=kube_lost.never,
        around=kube_hazards.other_manager,
    ),
    FailureClass(
        name="namespace that is not there",
        bodies=(_deployment(),),
        cause=r"has no namespace prove-nowhere",
        is_lost=kube_lost.never,
        label="",
        orders={"namespace": "prove-nowhere"},
    ),
)
