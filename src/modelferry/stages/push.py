"""push: the tested image into the registry. Blobs first, then the manifest by its digest; tags
come last, so that no tag ever names what is not there or was not tested."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelferry.artifacts import Image, PushedImage, TestedImage
from modelferry.errors import RegistryError
from modelferry.plan.spec import PushPlan
from modelferry.progress import metered
from modelferry.registry.client import Registry
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.push")

_UPLOADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One blob of the image, as the registry client takes it."""

    digest: Digest
    size_bytes: int
    read: Callable[[int, int], bytes]


def push_image(
    tested: TestedImage, push: PushPlan, *, registry: Registry, model_version: str = ""
) -> PushedImage:
    image, repository = tested.image, push.repository
    if image.engine_id not in (_digest(image.config), _digest(image.manifest)):
        raise AssertionError(f"image {image.engine_id} was tested and is not what would be pushed")
    uploaded = _push_blobs(registry, repository, contents(image))
    _push_manifest(registry, repository, image)
    for tag in push.tags:
        registry.put_manifest(repository, tag, image.manifest, image.manifest_media_type)
        log.info("tag %s", push.name.tagged(tag))
    return PushedImage(
        ref=push.name.pinned(image.digest),
        digest=image.digest,
        tags=push.tags,
        model_version=model_version,
        uploaded_bytes=uploaded,
    )


def contents(image: Image) -> tuple[Content, ...]:
    """Each blob once, the largest first, so that none is left to run alone at the end."""
    config = Content(
        digest=_digest(image.config),
        size_bytes=len(image.config),
        read=lambda start, stop: image.config[start:stop],
    )
    blobs = {config.digest: config} | {
        layer.descriptor.digest: Content(
            digest=layer.descriptor.digest,
            size_bytes=layer.descriptor.size_bytes,
            read=layer.read,
        )
        for layer in image.layers
    }
    return tuple(sorted(blobs.values(), key=lambda blob: -blob.size_bytes))


def _push_blobs(registry: Registry, repository: str, blobs: tuple[Content, ...]) -> int:
    """The bytes that went over the wire."""
    total = sum(blob.size_bytes for blob in blobs)
    counted, lock = [0], threading.Lock()
    with metered("push", total) as meter:

        def count(sent: int) -> None:
            meter.add(sent)
            with lock:
                counted[0] += sent

        def push_blob(blob: Content) -> None:
            if registry.has_blob(repository, blob.digest):
                meter.add(blob.size_bytes)
                log.info("%s %s is there", blob.digest, format_bytes(blob.size_bytes))
                return
            registry.upload_blob(repository, blob, count)
            log.info("%s %s pushed", blob.digest, format_bytes(blob.size_bytes))

        pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="push")
        try:
            for _ in pool.map(push_blob, blobs):
                pass
            pool.shutdown()
        except BaseException:
            registry.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return counted[0]


def _push_manifest(registry: Registry, repository: str, image: Image) -> None:
    registry.put_manifest(repository, image.digest, image.manifest, image.manifest_media_type)
    kept = registry.get_manifest(repository, image.digest)
    if kept is None or kept.data != image.manifest:
        raise RegistryError(
            f"{registry.host}/{repository} took manifest {image.digest} and does not have it",
            do="Look at the registry's log and storage, then run again.",
        )


def _digest(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
