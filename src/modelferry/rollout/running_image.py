"""Does a pod run the very image that was meant? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelferry.rollout import podspec

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProblem:
    text: str
    is_final: bool  # False: it may only not have happened yet


def problem_of(
    pod: Object, wanted: Mapping[str, str | None], digests: Mapping[str, str]
) -> ImageProblem | None:
    """None when every container whose digest is known has been started from it."""
    given = podspec.images(pod)
    statuses = {status["name"]: status for status in container_statuses(pod)}
    for name, image in wanted.items():
        intended = digests.get(image or "") or _digest(image)
        if not intended:
            continue
        running = _digest(statuses.get(name, {}).get("imageID"))
        if not running:
            return ImageProblem(text=f"container {name} has not started", is_final=False)
        if running == intended:
            continue
        # A runtime may call an image by another manifest of the same content. What was asked for
        # by digest when the pod was made is what runs; only a later change may not be done yet.
        if _digest(given.get(name)) == intended:
            if pod["metadata"].get("generation", 1) <= 1:
                continue
            return ImageProblem(text=f"container {name} still runs {running}", is_final=False)
        return ImageProblem(
            text=f"pod {pod['metadata']['name']}: container {name} runs {running}, not"
            f" {intended} which {image} is now; the node had an older one: set imagePullPolicy:"
            " Always, or deploy-by: digest",
            is_final=True,
        )
    return None


def container_statuses(pod: Object) -> Iterable[Mapping[str, Any]]:
    status = pod.get("status", {})
    for field in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(field) or ()


def _digest(reference: str | None) -> str:
    """Of `repository@sha256:…`, as written in specs and reported by runtimes; else empty."""
    _, at, digest = (reference or "").rpartition("@")
    return digest if at else ""
