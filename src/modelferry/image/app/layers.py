"""The app's config and layers, ready to be composed with the model's and to be pushed.

What the registry has already is neither taken out of the engine nor compressed again. The rest
comes out of the engine's own store layer by layer, or, where that cannot be read, by `docker save`.
The classic store gives plain tars, which are compressed here; the containerd store gives blobs as
they are. An app that a BuildKit pushed is in the registry altogether.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelferry.artifacts import Descriptor, Layer
from modelferry.engine import Engine
from modelferry.image.app.archive import read_archive, save_image
from modelferry.image.app.content_store import StoredBlobs, read_content_store
from modelferry.image.app.layer_store import StoredLayers, read_layer_store
from modelferry.image.app.packing import Content, OnLayer, app_layer, pack_layers
from modelferry.image.blob_range import BlobRange, ReadRange
from modelferry.image.compose import (
    GZIP_LAYER_TYPE,
    LAYER_TYPE,
    AppImage,
    diff_ids_of,
    without_build_cache,
)
from modelferry.image.released import Released, ReleasedApp, ReleasedLayer
from modelferry.image.workers import Stop
from modelferry.values import Digest, format_bytes, format_duration

log = logging.getLogger("modelferry.image")

_OCI_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP_LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{LAYER_TYPE}+zstd",
}


def _nobody_waits(_: Layer) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedApp:
    image: AppImage
    stored: Mapping[Digest, Content]  # what the engine's loader takes, by diff id: gzip or plain


def app_in_engine(
    engine: Engine,
    image_id: str,
    folder: Path,
    *,
    released: Released,
    read_range: ReadRange | None,
    travels: bool,
    run_label: str,
    stop: Stop,
    on_new: OnLayer = _nobody_waits,
) -> SavedApp:
    """`folder` keeps what comes out of the engine for as long as it is read. `released` says what
    the registry has, and `read_range` (Registry.read_range) reads it; without a registry, an empty
    one and None. What does not travel is not compressed. `on_new` is told of each layer that the
    registry lacks, as soon as it can be sent."""
    started = time.monotonic()
    known = released.whole_app()
    if known and read_range and image_id in (known.image_id, known.config_digest):
        log.info("app: as it was released, and whole in the registry")
        return app_in_registry(known.config, known.layers, read_range)
    blobs = released.blobs() if read_range else {}
    there = {diff_id: layer for diff_id, layer in blobs.items() if is_readable(layer)}
    stored = _take(engine, image_id, folder, there, run_label, stop)
    saved = assemble(
        stored,
        there,
        read_range,
        compress_in=folder if travels else None,
        stop=stop,
        on_new=on_new,
    )
    if known and _is_alike(saved.image, known):
        saved = replace(saved, image=replace(saved.image, config=known.config))
    new = [layer for layer in saved.image.layers if layer.diff_id not in there]
    log.info(
        "app: %d layers, of which the registry lacks %d, %s, out of the engine in %s",
        len(saved.image.layers),
        len(new),
        format_bytes(sum(layer.descriptor.size_bytes for layer in new)),
        format_duration(time.monotonic() - started),
    )
    return saved


def is_readable(layer: ReleasedLayer) -> bool:
    """Whether the model can be placed by it, and every engine pull it: a base may come as zstd."""
    given = layer.descriptor.media_type
    return _OCI_TYPES.get(given, given) in (LAYER_TYPE, GZIP_LAYER_TYPE)


def _is_alike(app: AppImage, known: ReleasedApp) -> bool:
    """The same but for the builder's notes: then the released ones, too, need not be sent again."""
    blobs = [layer.descriptor.digest for layer in app.layers]
    return blobs == [layer.descriptor.digest for layer in known.layers] and (
        without_build_cache(app.config) == without_build_cache(known.config)
    )


def app_in_registry(
    config: bytes, layers: Iterable[ReleasedLayer], read_range: ReadRange
) -> SavedApp:
    """An app whose layers are all in the registry: pushed by a builder, or released before."""
    ranged = [(layer, _blob_range(layer, read_range)) for layer in layers]
    return SavedApp(
        image=AppImage(
            config=config, layers=tuple(_registry_layer(layer, blob) for layer, blob in ranged)
        ),
        stored={layer.diff_id: blob for layer, blob in ranged},
    )


def assemble(
    stored: StoredLayers | StoredBlobs,
    there: Mapping[Digest, ReleasedLayer],
    read_range: ReadRange | None,
    *,
    compress_in: Path | None,
    stop: Stop,
    on_new: OnLayer = _nobody_waits,
) -> SavedApp:
    """What came out of the engine, and `there` in the registry. `compress_in` takes the compressed
    layers; None leaves them as they are."""
    if isinstance(stored, StoredBlobs):
        return _from_blobs(stored, there, read_range, on_new)
    return _from_tars(stored, there, read_range, compress_in, stop, on_new)


def _take(
    engine: Engine,
    image_id: str,
    folder: Path,
    there: Mapping[Digest, ReleasedLayer],
    run_label: str,
    stop: Stop,
) -> StoredLayers | StoredBlobs:
    """Layer by layer, if the registry has some of them, or there is none at all, which old engines
    do not save; what it has none of, `docker save` gives faster as a whole."""
    diff_ids = diff_ids_in_engine(engine, image_id)
    stored: StoredLayers | StoredBlobs | None = None
    if not diff_ids or any(diff_id in there for diff_id in diff_ids):
        lacking = dict.fromkeys(diff_id for diff_id in diff_ids if diff_id not in there)
        have = {layer.descriptor.digest for layer in there.values()}
        stored = read_layer_store(
            engine, image_id, diff_ids, tuple(lacking), folder, run_label=run_label, stop=stop
        ) or read_content_store(
            engine,
            image_id,
            lambda digest: digest not in have,
            folder,
            run_label=run_label,
            stop=stop,
        )
    if stored is None:
        archive = save_image(engine, image_id, folder / "app.tar", stop)
        stored = read_archive(archive, engine.facts.store)
    return stored


def diff_ids_in_engine(engine: Engine, image_id: str) -> tuple[Digest, ...]:
    response = engine.request("GET", f"/images/{image_id}/json")
    engine.check(response, f"look at image {image_id}")
    return tuple(response.json()["RootFS"].get("Layers") or ())


def _from_tars(
    stored: StoredLayers,
    there: Mapping[Digest, ReleasedLayer],
    read_range: ReadRange | None,
    compress_in: Path | None,
    stop: Stop,
    on_new: OnLayer,
) -> SavedApp:
    diff_ids = diff_ids_of(stored.config)
    lacking = {diff_id: tar for diff_id, tar in stored.tars.items() if diff_id not in there}
    layers = pack_layers(lacking, compress_in, stop, on_new)
    contents: dict[Digest, Content] = dict(stored.tars)
    for diff_id in set(diff_ids) - set(layers):
        assert read_range is not None  # noqa: S101 - else the registry would have nothing
        blob = _blob_range(there[diff_id], read_range)
        layers[diff_id] = _registry_layer(there[diff_id], blob)
        contents.setdefault(diff_id, blob)
    image = AppImage(config=stored.config, layers=tuple(layers[diff_id] for diff_id in diff_ids))
    return SavedApp(image=image, stored=contents)


def _from_blobs(
    stored: StoredBlobs,
    there: Mapping[Digest, ReleasedLayer],
    read_range: ReadRange | None,
    on_new: OnLayer,
) -> SavedApp:
    """The engine's own blobs, also where the registry has another one of the same content: the
    engine knows the image by the manifest, and would have to be given the other one."""
    by_blob = {layer.descriptor.digest: layer for layer in there.values()}
    diff_ids = diff_ids_of(stored.config)
    contents: dict[Digest, Content] = {}
    layers: list[Layer] = []
    described: list[dict[str, Any]] = stored.manifest["layers"] or []
    for diff_id, given in zip(diff_ids, described, strict=True):
        digest: Digest = given["digest"]
        content: Content | None = stored.layers.get(digest)
        if content is None:
            assert read_range is not None  # noqa: S101 - else all were taken
            content = _blob_range(by_blob[digest], read_range)
        media_type: str = given["mediaType"]
        descriptor = Descriptor(
            media_type=_OCI_TYPES.get(media_type, media_type),
            digest=digest,
            size_bytes=given["size"],
        )
        contents[diff_id] = content
        layers.append(app_layer(descriptor, diff_id, content))
        if digest not in by_blob:
            on_new(layers[-1])
    image = AppImage(config=stored.config, layers=tuple(layers))
    return SavedApp(image=image, stored=contents)


def _registry_layer(layer: ReleasedLayer, blob: BlobRange) -> Layer:
    given = layer.descriptor
    descriptor = Descriptor(
        media_type=_OCI_TYPES.get(given.media_type, given.media_type),
        digest=given.digest,
        size_bytes=given.size_bytes,
    )
    return app_layer(descriptor, layer.diff_id, blob)


def _blob_range(layer: ReleasedLayer, read_range: ReadRange) -> BlobRange:
    blob = layer.descriptor
    return BlobRange(read_range, layer.repository, blob.digest, blob.size_bytes)
