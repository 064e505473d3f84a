"""Containers that ended after their pod was ready: probes may have seen it for a moment only, or
not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modelferry.rollout.watching import trouble
from modelferry.rollout.watching.findings import Applied, Finding
from modelferry.rollout.watching.running_image import container_statuses

Object = Mapping[str, Any]
Ends = Mapping[tuple[str, str], int]  # by the pod's uid and the container's name


def ends(pods: Iterable[Object]) -> Ends:
    """How often each container has ended so far."""
    return {
        (pod["metadata"]["uid"], status["name"]): trouble.exits(status)
        for pod in pods
        for status in container_statuses(pod)
    }


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
