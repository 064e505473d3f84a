"""What in a pod, its owner or their events will not heal by itself. Pure: object → Trouble.

`grace_s` is how long it must stand before it ends the wait: 0 where no time can mend it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelferry.rollout.podspec import containers
from modelferry.rollout.running_image import container_statuses

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    cause: str
    grace_s: float
    container: str | None = None
    crashed: bool = False  # its last log lines say why


_EXITS = 3  # first restarts are normal: something else may have started later
_PULL_GRACE_S = 32.0  # kubelet tries at 0, 10 and 30 s: three tries
_SCHEDULE_GRACE_S = 30.0
_CREATE_GRACE_S = 10.0  # a kubelet may see the ConfigMap of the same set a moment late

# What a registry says when another try will get the same answer.
_PULL_HOPELESS = re.compile(
    r"not found|manifest unknown|name unknown|denied|unauthorized|authorization failed|forbidden"
    r"|no match for platform|HTTP response to HTTPS client|x509|invalid reference",
    re.IGNORECASE,
)
_UNAUTHORIZED = re.compile(r"denied|unauthorized|authorization failed|forbidden", re.IGNORECASE)
_PULL = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed")
_AUTOSCALED = ("TriggeredScaleUp", "Nominated")  # cluster-autoscaler, Karpenter


def of_pod(pod: Object, *, restarts_are_counted_elsewhere: bool = False) -> Trouble | None:
    """`restarts_are_counted_elsewhere`: a Job has a backoffLimit of its own."""
    for status in container_statuses(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        if found := _waiting(pod, status, waiting, restarts_are_counted_elsewhere):
            return found
    return _unscheduled(pod)


def _waiting(
    pod: Object, status: Mapping[str, Any], waiting: Mapping[str, Any], is_job: bool
) -> Trouble | None:
    name = status["name"]
    reason, message = waiting.get("reason", ""), " ".join(waiting.get("message", "").split())
    if reason in _PULL:
        return _pull(name, status.get("image", ""), message)
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return Trouble(cause=f"container {name}: {reason}: {message}", grace_s=0, container=name)
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return Trouble(
            cause=f"container {name} cannot be created: {message or reason}",
            grace_s=_CREATE_GRACE_S,
            container=name,
        )
    exits = status.get("restartCount", 0) + 1  # it is between two runs now
    if reason == "CrashLoopBackOff" and exits >= _EXITS and not is_job:
        return _crash(pod, name, status.get("lastState", {}).get("terminated") or {}, exits)
    return None


def _pull(name: str, image: str, message: str) -> Trouble:
    hopeless = bool(_PULL_HOPELESS.search(message))
    hint = ""
    if _UNAUTHORIZED.search(message):
        hint = "; the nodes may not pull it: see `imagepullsecrets`"
    return Trouble(
        cause=f"container {name}: the image {image} cannot be pulled: {message}{hint}",
        grace_s=0 if hopeless else _PULL_GRACE_S,
        container=name,
    )


def _crash(pod: Object, name: str, ended: Mapping[str, Any], exits: int) -> Trouble:
    code, reason = ended.get("exitCode", "unknown"), ended.get("reason", "")
    if reason == "OOMKilled":
        limit = _memory_limit(pod, name)
        said = f"was killed for want of memory (OOMKilled{limit}) {exits} times"
    elif code == 0:
        said = f"ended (exit 0) {exits} times, though it should keep running"
    elif reason in ("StartError", "ContainerCannotRun"):
        said = f"cannot be started: {' '.join(ended.get('message', reason).split())}"
    else:
        said = f"crashed (exit {code}) {exits} times"
    return Trouble(cause=f"container {name} {said}", grace_s=0, container=name, crashed=True)


def _memory_limit(pod: Object, name: str) -> str:
    for container in containers(pod):
        if container.name == name:
            limits = (container.body.get("resources") or {}).get("limits") or {}
            return f", limit {limits['memory']}" if "memory" in limits else ""
    return ""


def _unscheduled(pod: Object) -> Trouble | None:
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            if status.get("nominatedNodeName"):
                return None  # it waits for pods that are being moved out of its way
            return Trouble(
                cause=f"it fits no node: {condition.get('message', '')}",
                grace_s=_SCHEDULE_GRACE_S,
            )
    return None


def of_owner(live: Object) -> Trouble | None:
    """A Deployment says so itself when its pods are refused; other kinds only by events."""
    for condition in live.get("status", {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return Trouble(
                cause=f"its pods are refused: {condition.get('message', '')}",
                grace_s=_CREATE_GRACE_S,
            )
    return None


def of_event(event: Object) -> Trouble | None:
    reason, message = event.get("reason", ""), " ".join(event.get("message", "").split())
    if reason == "FailedCreate" and event["involvedObject"].get("kind") != "Pod":
        return Trouble(cause=f"its pods are refused: {message}", grace_s=_CREATE_GRACE_S)
    if reason in ("FailedMount", "FailedAttachVolume") and "not found" in message:
        return Trouble(cause=f"a volume cannot be mounted: {message}", grace_s=_CREATE_GRACE_S)
    return None


def is_healed_by(event: Object) -> bool:
    """A later event that ends what `of_event` said of the same object."""
    return event.get("reason") in ("SuccessfulCreate", "SuccessfulMountVolume", "Started")


def is_autoscaled(event: Object) -> bool:
    """A node is on its way for this pod."""
    return event.get("reason") in _AUTOSCALED
