"""The last release taken as it is: nothing is built, and no blob travels."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from modelferry.artifacts import FetchedFile, Model, PushedImage, ResolvedModel
from modelferry.image.compose import MANIFEST_TYPE
from modelferry.image.released import ReleasedImage
from modelferry.plan.spec import PushPlan
from modelferry.registry.manifests import StoredManifest
from modelferry.registry.tags import point_tags
from modelferry.values import Digest

if TYPE_CHECKING:
    from modelferry.registry.client import Registry


def take_release(
    image: ReleasedImage, push: PushPlan, *, registry: Registry, model_version: str
) -> PushedImage:
    """The released image under this run's tags: manifests travel, and no blob."""
    stored = StoredManifest(
        media_type=json.loads(image.manifest).get("mediaType") or MANIFEST_TYPE,
        digest=image.digest,
        data=image.manifest,
    )
    point_tags(registry, push.repository, push.tags, stored)
    return PushedImage(
        ref=push.name.pinned(image.digest),
        digest=image.digest,
        tags=push.tags,
        model_version=model_version,
        image_id=image.config.digest,
        reused=True,
    )


def released_model(image: ReleasedImage, resolved: ResolvedModel) -> Model | None:
    """The sums that the release remembers; None where one of the files is not among them."""
    sums = _sums(image)
    paths = [file.image_path for file in resolved.files]
    if not all(path in sums for path in paths):
        return None
    files = (FetchedFile(file=file, sha256=sums[file.image_path]) for file in resolved.files)
    return Model(resolved=resolved, files=tuple(files))


def model_changed(image: ReleasedImage | None, model: Model, layers: Collection[Digest]) -> bool:
    """By content: the same bytes at the same paths are the same model. `layers`: the model's, by
    diff id; they tell where a release does not remember all of its files' sums."""
    if image and not all(layer.model.files for layer in image.layers if layer.model):
        return image.model_layers != set(layers)
    return _sums(image) != {file.file.image_path: file.sha256 for file in model.files}


def _sums(image: ReleasedImage | None) -> dict[PurePosixPath, str]:
    """SHA-256 of each model file of a release, by its path in the image."""
    layers = image.layers if image else ()
    records = (layer.model for layer in layers if layer.model)
    return {file.path: file.sha256 for record in records for file in record.files}
