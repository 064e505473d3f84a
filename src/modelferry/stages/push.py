"""push: the tested image into the registry. Blobs first, then the manifest by its digest; tags
come last, so that no tag ever names what is not there or was not tested. The managed ones, by
which the next run finds this release, come after the user's and are no reason to fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelferry.artifacts import Image, PushedImage, TestedImage
from modelferry.errors import FerryError, RegistryError
from modelferry.image.released import Released
from modelferry.plan.spec import ManagedTags, PushPlan
from modelferry.progress import metered
from modelferry.registry.delivery import Delivery
from modelferry.registry.manifests import StoredManifest
from modelferry.registry.tags import point_tags
from modelferry.values import Digest, digest_of

if TYPE_CHECKING:
    from modelferry.registry.client import Registry

log = logging.getLogger("modelferry.push")

_UPLOADS = 4

_NOTHING_RELEASED = Released()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One blob of the image, as the registry client takes it."""

    digest: Digest
    size_bytes: int
    read: Callable[[int, int], bytes]


def push_image(
    tested: TestedImage,
    push: PushPlan,
    *,
    registry: Registry,
    released: Released = _NOTHING_RELEASED,
    model_version: str = "",
) -> PushedImage:
    """`released` tells which blobs are in another repository of the registry, to be mounted."""
    image, repository = tested.image, push.repository
    if image.engine_id not in (digest_of(image.config), digest_of(image.manifest)):
        raise AssertionError(f"image {image.engine_id} was tested and is not what would be pushed")
    delivery = Delivery(
        registry=registry, repository=repository, sources=released.elsewhere(repository)
    )
    uploaded = _send(delivery, contents(image, with_app=push.managed is not None))
    _push_manifest(registry, repository, image)
    point_tags(registry, repository, push.tags, _stored(image.manifest, image.manifest_media_type))
    if push.managed:
        _leave_word(registry, repository, image, push.managed)
    return PushedImage(
        ref=push.name.pinned(image.digest),
        digest=image.digest,
        tags=push.tags,
        model_version=model_version,
        uploaded_bytes=uploaded + image.uploaded_bytes,
    )


def contents(image: Image, *, with_app: bool = False) -> tuple[Content, ...]:
    """Each blob once, the largest first, so that none is left to run alone at the end."""
    configs = [image.config, *([image.app.config] if image.app and with_app else [])]
    blobs = [_bytes(config) for config in configs]
    blobs += [
        Content(
            digest=layer.descriptor.digest,
            size_bytes=layer.descriptor.size_bytes,
            read=layer.read,
        )
        for layer in image.layers
    ]
    once = {blob.digest: blob for blob in blobs}
    return tuple(sorted(once.values(), key=lambda blob: -blob.size_bytes))


def _send(delivery: Delivery, blobs: tuple[Content, ...]) -> int:
    """The bytes that went over the wire."""
    lock, sent_bytes = threading.Lock(), 0

    def send(blob: Content) -> None:
        def count(sent: int) -> None:
            nonlocal sent_bytes
            meter.add(sent)
            with lock:
                sent_bytes += sent

        if not delivery.send(blob, count):
            meter.add(blob.size_bytes)

    with metered("push", sum(blob.size_bytes for blob in blobs)) as meter:
        pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="push")
        try:
            for _ in pool.map(send, blobs):
                pass
            pool.shutdown()
        except BaseException:
            delivery.registry.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sent_bytes


def _push_manifest(registry: Registry, repository: str, image: Image) -> None:
    if registry.head_manifest(repository, image.digest) is None:  # a locked one takes no PUT
        registry.put_manifest(repository, image.digest, image.manifest, image.manifest_media_type)
    kept = registry.get_manifest(repository, image.digest)
    if kept is None or kept.data != image.manifest:
        raise RegistryError(
            f"{registry.host}/{repository} took manifest {image.digest} and does not have it",
            do="Look at the registry's log and storage, then run again.",
        )


def _leave_word(registry: Registry, repository: str, image: Image, tags: ManagedTags) -> None:
    """The app before the image: of two runs at once, a later one finds what belongs together, or
    takes it for strangers."""
    found = [(tags.app, image.app.manifest)] if image.app else []
    for tag, manifest in (*found, (tags.image, image.manifest)):
        try:
            stored = _stored(manifest, image.manifest_media_type)
            point_tags(registry, repository, (tag,), stored)
        except FerryError as error:
            log.warning("The next run will not find this release by the tag %s: %s", tag, error)


def _stored(manifest: bytes, media_type: str) -> StoredManifest:
    return StoredManifest(media_type=media_type, digest=digest_of(manifest), data=manifest)


def _bytes(data: bytes) -> Content:
    return Content(
        digest=digest_of(data), size_bytes=len(data), read=lambda start, stop: data[start:stop]
    )
