"""Is what was ready still so, after it has been asked? Probes may have seen a crash for a moment
only, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.watching import trouble
from modelferry.rollout.watching.findings import Applied, Finding
from modelferry.rollout.watching.running_image import container_statuses
from modelferry.rollout.watching.states import Done, Failed, State

Object = Mapping[str, Any]
Ends = Mapping[tuple[str, str], int]  # by the pod's uid and the container's name


def ends(pods: Iterable[Object]) -> Ends:
    """How often each container has ended so far."""
    return {
        (pod["metadata"]["uid"], status["name"]): trouble.exits(status)
        for pod in pods
        for status in container_statuses(pod)
    }


def lasts(
    before: Ends, found: State, pods: Iterable[Object], findings: Iterable[Finding] = ()
) -> bool:
    """That more pods are on their way, for an autoscaler answers the load, is no failure of those
    that were ready `before`; `findings` are its troubles."""
    if isinstance(found, Done | Failed):
        return isinstance(found, Done)
    known = {uid for uid, _ in before}
    if any(f.trouble.condemned and f.pod and f.pod["metadata"]["uid"] in known for f in findings):
        return False
    left = [pod for pod in pods if pod["metadata"]["uid"] in known]
    return bool(left) and all(is_true(pod, "Ready") for pod in left)


def since(before: Ends, target: Applied, pods: Iterable[Object]) -> Iterator[Finding]:
    """Of the pods that were there `before`; those that came later have their first starts."""
    for pod in pods:
        for status in container_statuses(pod):
            known = before.get((pod["metadata"]["uid"], status["name"]))
            times = trouble.exits(status)
            if known is not None and times > known:
                ended = trouble.of_end(pod, status, times - known)
                cause = f"{ended.cause} after it was ready, while it was checked"
                told = replace(ended, cause=cause)
                yield Finding(target=target, trouble=told, pod=pod, is_final=True)
