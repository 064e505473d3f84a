"""The base image that a build takes: which content its name means now, and which layers it has."""

from __future__ import annotations

from typing import Any

from modelferry.engine import Engine
from modelferry.values import Digest, ImageRef


def digest_in_engine(engine: Engine, image: ImageRef) -> str | None:
    """The digest under which its registry knows it; for an image that came from none, its ID."""
    found = _inspect(engine, image)
    if found is None:
        return None
    for known in found.get("RepoDigests") or ():
        if ImageRef.parse(known).name == image.name:
            return known.partition("@")[2]
    return found["Id"]


def diff_ids_in_engine(engine: Engine, image: ImageRef) -> tuple[Digest, ...] | None:
    """Of its layers, bottom first; None where the engine does not have it."""
    found = _inspect(engine, image)
    return None if found is None else tuple(found["RootFS"].get("Layers") or ())


def _inspect(engine: Engine, image: ImageRef) -> dict[str, Any] | None:
    response = engine.request("GET", f"/images/{_familiar(image)}/json")
    if response.status_code == 404:
        return None
    engine.check(response, f"look at image {image}")
    return response.json()


def _familiar(image: ImageRef) -> str:
    """Docker keeps its own registry's names short."""
    text = str(image)
    return text.removeprefix("docker.io/library/").removeprefix("docker.io/")
