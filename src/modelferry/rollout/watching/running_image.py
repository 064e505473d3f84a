"""Does a pod run the very image that was meant? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.ownership import owner_uid

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What images written by tag must be, and how far nodes are known to have it so."""

    by_tag: Mapping[str, str] = field(default_factory=dict)
    pulled: AbstractSet[tuple[str, str]] = frozenset()  # (node, image) since the apply
    old_pods: AbstractSet[str] = frozenset()  # uids of those from before the apply

    def are_fresh(self, pod: Object, image: str | None) -> bool:
        node = pod["spec"].get("nodeName")
        return (node, image) in self.pulled and pod["metadata"]["uid"] not in self.old_pods


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProblem:
    text: str
    container: str
    is_final: bool  # False: it may only not have happened yet


def problem_of(
    pod: Object, wanted: Mapping[str, str | None], digests: Digests
) -> ImageProblem | None:
    """None when every container whose digest is known has been started from it.

    A runtime may call an image by another manifest of the same content, pulled earlier. So a
    digest that differs is no proof of another image, and what the node asked the registry for
    when the pod was made, by digest or by a tag that it has pulled since the apply, is what runs.
    """
    given = podspec.images(pod)
    statuses = {status["name"]: status for status in container_statuses(pod)}
    for name, image in wanted.items():
        intended = digests.by_tag.get(image or "") or _digest(image)
        if not intended:
            continue
        running = _digest(statuses.get(name, {}).get("imageID"))
        if not running:
            text = f"container {name} has not started"
            return ImageProblem(text=text, container=name, is_final=False)
        if running == intended or digests.are_fresh(pod, image):
            continue
        asked = given.get(name)
        as_meant = _digest(asked) == intended
        # a controller makes pods as they are to be; what changes of them later is no image
        if as_meant and (pod["metadata"].get("generation", 1) <= 1 or owner_uid(pod)):
            continue
        if as_meant or asked != image:  # not restarted yet, or a pod of before
            text = f"container {name} still runs {running}"
            return ImageProblem(text=text, container=name, is_final=False)
        return ImageProblem(
            text=f"container {name} runs {running}, not {intended} which {image} is now; the node"
            " had that tag already: set imagePullPolicy: Always, or deploy-by: digest",
            container=name,
            is_final=True,
        )
    return None


def container_statuses(pod: Object) -> Iterable[Mapping[str, Any]]:
    status = pod.get("status", {})
    for group in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(group) or ()


def _digest(reference: str | None) -> str:
    """Of `repository@sha256:…`, as written in specs and reported by runtimes; else empty."""
    _, at, digest = (reference or "").rpartition("@")
    return digest if at else ""
