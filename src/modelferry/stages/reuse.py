"""The last release taken as it is: nothing is built, and no blob travels."""

from __future__ import annotations

import json
import logging
from pathlib import PurePosixPath

from modelferry.artifacts import PushedImage
from modelferry.image.compose import MANIFEST_TYPE
from modelferry.image.released import ReleasedImage
from modelferry.plan.spec import PushPlan
from modelferry.registry.client import Registry

log = logging.getLogger("modelferry.reuse")


def take_release(
    image: ReleasedImage, push: PushPlan, *, registry: Registry, model_version: str
) -> PushedImage:
    """The released image under this run's tags: manifests travel, and no blob."""
    media_type = json.loads(image.manifest).get("mediaType") or MANIFEST_TYPE
    for tag in push.tags:
        registry.put_manifest(push.repository, tag, image.manifest, media_type)
        log.info("tag %s", push.name.tagged(tag))
    return PushedImage(
        ref=push.name.pinned(image.digest),
        digest=image.digest,
        tags=push.tags,
        model_version=model_version,
        image_id=image.config.digest,
        reused=True,
    )


def released_sums(image: ReleasedImage | None) -> dict[PurePosixPath, str]:
    """SHA-256 of each model file of a release, by its path in the image."""
    layers = image.layers if image else ()
    records = (layer.model for layer in layers if layer.model)
    return {file.path: file.sha256 for record in records for file in record.files}
