"""The base image that a build takes: which content its name means now, and which layers it has."""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.engine import Engine
from modelferry.image.blob_range import ReadRange
from modelferry.image.released import ReleasedLayer
from modelferry.values import Digest, ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    diff_ids: tuple[Digest, ...]  # bottom first
    layers: tuple[ReleasedLayer, ...] = ()  # as its registry has them; none where it does not tell
    host: str = ""  # that registry
    read_range: ReadRange | None = None  # of its blobs
    image_id: str | None = None  # in the engine, where it is there


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInEngine:
    image_id: str
    diff_ids: tuple[Digest, ...]  # bottom first
    digest: Digest | None  # under which its registry knows it; None for one that came from none


def image_in_engine(engine: Engine, image: ImageRef) -> ImageInEngine | None:
    found = engine.find_image(_familiar(image))
    if found is None:
        return None
    known = (ImageRef.parse(reference) for reference in found.get("RepoDigests") or ())
    return ImageInEngine(
        image_id=found["Id"],
        diff_ids=tuple(found["RootFS"].get("Layers") or ()),
        digest=next((each.digest for each in known if each.name == image.name), None),
    )


def _familiar(image: ImageRef) -> str:
    """Docker keeps its own registry's names short."""
    text = str(image)
    return text.removeprefix("docker.io/library/").removeprefix("docker.io/")
