"""What in a pod, its owner or their events will not heal by itself. Pure: object → Trouble.

`grace_s` is how long it must stand before it ends the wait: 0 where no time can mend it, NEVER
where the cluster tries again by itself and only the person who reads along should know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from modelferry.rollout.objects.conditions import condition, is_true
from modelferry.rollout.objects.podspec import containers
from modelferry.rollout.watching.running_image import Digests, container_statuses, problem_of

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    cause: str
    grace_s: float
    container: str | None = None
    crashed: bool = False  # its last log lines say why
    condemned: bool = False  # by a probe; it still counts as running
    is_unscheduled: bool = False
    waits_for_room: bool = False  # which pods that go away would make


NEVER = math.inf
_EXITS = 3  # first restarts are normal: something else may have started later
_PULLS = 3  # a kubelet backs off for 10 s, then 20 s
_REFUSED_PULLS = 2
_SCHEDULE_GRACE_S = 30.0
_EVENT_GRACE_S = 5.0
_LONG_RUN = timedelta(minutes=10)
_CREATE_GRACE_S = 10.0
_CONFIG_GRACE_S = 17.0  # a kubelet looks again after ten to fifteen seconds

# What another try will not change, and what it may: a copy of the registry in another region, and
# rights that were given just now, come some seconds later.
_PULL_HOPELESS = re.compile(
    r"no match for platform|HTTP response to HTTPS client|x509|invalid reference", re.IGNORECASE
)
_PULL_REFUSED = re.compile(
    r"not found|manifest unknown|name unknown|denied|unauthorized|authorization failed|forbidden",
    re.IGNORECASE,
)
_UNAUTHORIZED = re.compile(r"denied|unauthorized|authorization failed|forbidden", re.IGNORECASE)
_PULL = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed")
_NOT_STARTED = ("StartError", "ContainerCannotRun")
_START_HOPELESS = re.compile(
    r"no such file|executable file not found|permission denied|not a directory|exec format error"
)
# What a person has to make; a CSI driver that is "not found" comes by itself, soon after its node.
_ABSENT = re.compile(
    r"(configmap|secret|persistentvolumeclaim|secretproviderclass)\S* \S+ not found", re.IGNORECASE
)
_NO_ROOM = re.compile(
    r"exceeded quota|Insufficient |Too many pods|free ports|anti-affinity|max volume count"
)
# A node under load, which goes on trying: it is late with the container, or with its view of the
# cluster, or has not yet let go of the name that it gave a try of before.
_BUSY = re.compile(r"deadline exceeded|timed out|is reserved for")
_PULLED = re.compile(r'Successfully pulled image "([^"]+)"')
_AUTOSCALED = ("TriggeredScaleUp", "Nominated")  # cluster-autoscaler, Karpenter


def of_pod(
    pod: Object,
    *,
    pulls: Mapping[str, int] = MappingProxyType({}),
    restarts_are_counted_elsewhere: bool = False,
) -> Trouble | None:
    """The gravest. `pulls`: how often each container's image was asked for and not given.
    `restarts_are_counted_elsewhere`: a Job has a backoffLimit of its own."""
    found = list(_of_containers(pod, pulls, may_restart=restarts_are_counted_elsewhere))
    found += filter(None, [_unscheduled(pod)])
    return min(found, key=lambda trouble: trouble.grace_s, default=None)


def _of_containers(
    pod: Object, pulls: Mapping[str, int], *, may_restart: bool
) -> Iterator[Trouble]:
    for status in container_statuses(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        if found := _waiting(status, waiting, pulls.get(status["name"], 0)):
            yield found
        elif found := _restarting(pod, status):
            yield replace(found, grace_s=NEVER) if may_restart else found


def asks_for_image(status: Mapping[str, Any]) -> bool:
    """The kubelet has just been refused; while it backs off, it says ImagePullBackOff."""
    waiting = status.get("state", {}).get("waiting") or {}
    return waiting.get("reason") == "ErrImagePull"


def _waiting(status: Mapping[str, Any], waiting: Mapping[str, Any], pulls: int) -> Trouble | None:
    name = status["name"]
    reason, message = waiting.get("reason", ""), " ".join(waiting.get("message", "").split())
    if reason in _PULL:
        return _pull(name, status.get("image", ""), message, pulls)
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return Trouble(cause=f"container {name}: {reason}: {message}", grace_s=0, container=name)
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return Trouble(
            cause=f"container {name} cannot be created: {message or reason}",
            grace_s=NEVER if _BUSY.search(message) else _CONFIG_GRACE_S,
            container=name,
        )
    return None


def _restarting(pod: Object, status: Mapping[str, Any]) -> Trouble | None:
    """A container between two runs: it has ended too often, or may do better the next time."""
    state = status.get("state", {})
    if "running" in state:
        return None
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated")
    if not ended or (ended["exitCode"] == 0 and not _should_stay(pod, status["name"])):
        return None
    never_starts = ended.get("reason") in _NOT_STARTED and _START_HOPELESS.search(
        ended.get("message", "")
    )
    is_loop = exits(status) >= (2 if never_starts else _EXITS) and not _ran_long(ended)
    return _crash(pod, status["name"], ended, exits(status), grace_s=0 if is_loop else NEVER)


def exits(status: Mapping[str, Any]) -> int:
    """How often it has ended so far, as far as the kubelet counts."""
    return status.get("restartCount", 0) + ("running" not in status.get("state", {}))


def of_end(pod: Object, status: Mapping[str, Any], times: int) -> Trouble:
    """It ended so often where it should have stayed."""
    ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get(
        "terminated", {}
    )
    return _crash(pod, status["name"], ended, times, grace_s=0)


def _should_stay(pod: Object, container: str) -> bool:
    spec = pod["spec"]
    ends_by_design = any(init["name"] == container for init in spec.get("initContainers") or ())
    return spec.get("restartPolicy", "Always") == "Always" and not ends_by_design


def _ran_long(ended: Mapping[str, Any]) -> bool:
    """So long a run is no part of a crash loop: the kubelet forgets its count after it, too."""
    started, finished = ended.get("startedAt"), ended.get("finishedAt")
    if not started or not finished or ended.get("reason") in _NOT_STARTED:
        return False  # what never ran is dated to 1970
    return datetime.fromisoformat(finished) - datetime.fromisoformat(started) > _LONG_RUN


def _pull(name: str, image: str, message: str, pulls: int) -> Trouble:
    refused = bool(_PULL_REFUSED.search(message))
    is_over = _PULL_HOPELESS.search(message) or pulls >= (_REFUSED_PULLS if refused else _PULLS)
    hint = ""
    if _UNAUTHORIZED.search(message):
        hint = "; the nodes may not pull it: see `imagepullsecrets`"
    return Trouble(
        cause=f"container {name}: the image {image} cannot be pulled: {message}{hint}",
        grace_s=0 if is_over else _CONFIG_GRACE_S if refused else NEVER,
        container=name,
    )


def _crash(
    pod: Object, name: str, ended: Mapping[str, Any], times: int, *, grace_s: float
) -> Trouble:
    code, reason = ended.get("exitCode", "unknown"), ended.get("reason", "")
    often = "once" if times == 1 else f"{times} times"
    if reason == "OOMKilled":
        limit = _memory_limit(pod, name)
        said = f"was killed for want of memory (OOMKilled{limit}) {often}"
    elif code == 0:
        said = f"ended (exit 0) {often}, though it should keep running"
    elif reason in _NOT_STARTED:
        said = f"cannot be started: {' '.join(ended.get('message', reason).split())}"
    else:
        said = f"crashed (exit {code}) {often}"
    cause = f"container {name} {said}"
    return Trouble(cause=cause, grace_s=grace_s, container=name, crashed=True)


def _memory_limit(pod: Object, name: str) -> str:
    for container in containers(pod):
        if container.name == name:
            limits = (container.body.get("resources") or {}).get("limits") or {}
            return f", limit {limits['memory']}" if "memory" in limits else ""
    return ""


def _unscheduled(pod: Object) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") != "Unschedulable" or pod["status"].get("nominatedNodeName"):
        return None  # nominated, it waits for pods that are being moved out of its way
    message = scheduled.get("message", "")
    absent = "persistentvolumeclaim" in message and "not found" in message
    return Trouble(
        cause=f"it fits no node: {message}",
        grace_s=_CREATE_GRACE_S if absent else _SCHEDULE_GRACE_S,
        is_unscheduled=True,
        waits_for_room=bool(_NO_ROOM.search(message)),
    )


def of_image(pod: Object, wanted: Mapping[str, str | None], digests: Digests) -> Trouble | None:
    problem = problem_of(pod, wanted, digests)
    if problem is None or not problem.is_final:
        return None
    # the event that says that the node has pulled it may come a moment after the container runs
    return Trouble(cause=problem.text, grace_s=_EVENT_GRACE_S, container=problem.container)


def of_stuck(pod: Object, own: Trouble | None) -> Trouble:
    """`pod` keeps its StatefulSet from going on; `own` is what ails it."""
    name, namespace = pod["metadata"]["name"], pod["metadata"].get("namespace", "default")
    ails = f" ({own.cause})" if own else ""
    return Trouble(
        cause=f"it is still of the template before and not ready{ails}, and its StatefulSet"
        f" replaces no pod before it is: kubectl --namespace {namespace} delete pod {name}",
        # without a trouble of its own it may only be slow
        grace_s=NEVER if own is None or own.grace_s == NEVER else max(own.grace_s, _CONFIG_GRACE_S),
        container=own.container if own else None,
    )


def of_owner(live: Object) -> Trouble | None:
    """A ReplicaSet says so itself when its pods are refused; other kinds only by events."""
    if not is_true(live, "ReplicaFailure"):
        return None
    return _refused(condition(live, "ReplicaFailure").get("message", ""))


def _refused(message: str) -> Trouble:
    return Trouble(
        cause=f"its pods are refused: {message}",
        grace_s=_CREATE_GRACE_S,
        waits_for_room=bool(_NO_ROOM.search(message)),
    )


def of_event(event: Object) -> Trouble | None:
    reason, message = event.get("reason", ""), " ".join(event.get("message", "").split())
    if reason == "FailedCreate" and event["involvedObject"].get("kind") != "Pod":
        return _refused(message)
    if reason in ("FailedMount", "FailedAttachVolume"):
        grace_s = _CONFIG_GRACE_S if _ABSENT.search(message) else NEVER
        return Trouble(cause=f"a volume cannot be mounted: {message}", grace_s=grace_s)
    if reason == "FailedCreatePodSandBox":
        return Trouble(cause=f"the node cannot make it: {message}", grace_s=NEVER)
    return None


def is_healed_by(event: Object) -> bool:
    """A later event that ends what `of_event` said of the same object. A node asks for a pod's
    images, which may take minutes, only once its volumes and its sandbox are there."""
    return event.get("reason") in (
        "SuccessfulCreate",
        "SuccessfulMountVolume",
        "Pulling",
        "Pulled",
        "Created",
        "Started",
    )


def pulled_image(event: Object) -> tuple[str, str] | None:
    """The node that has just asked the registry for an image, and the image as written."""
    match = _PULLED.match(event.get("message", "")) if event.get("reason") == "Pulled" else None
    node = event.get("reportingInstance") or (event.get("source") or {}).get("host")
    return (node, match[1]) if match and node else None


def is_autoscaled(event: Object) -> bool:
    """A node is on its way for this pod."""
    return event.get("reason") in _AUTOSCALED
