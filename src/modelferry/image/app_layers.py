"""The app's config and layers, from the engine's `docker save`, ready to be pushed.

Docker's classic store gives plain tars, which are compressed here when the image will travel;
the containerd store gives the blobs of its manifest as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modelferry.artifacts import Descriptor, Layer
from modelferry.engine import Engine, Store
from modelferry.errors import BuildError
from modelferry.image.compose import GZIP_LAYER_TYPE, LAYER_TYPE, AppImage
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop, workers
from modelferry.values import Digest, format_bytes, format_duration

log = logging.getLogger("modelferry.image")

_STEP = 1 << 20
_SAVE_S = 1800.0  # the engine writes the whole image before its first byte comes
_LEVEL = 2  # of ISA-L's four: its usual one

_OCI_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP_LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{LAYER_TYPE}+zstd",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedApp:
    image: AppImage
    stored: Mapping[Digest, FileRange]  # what the engine's own loader reads, by diff id


def save_app(
    engine: Engine, image_id: str, folder: Path, *, compress: bool, stop: Stop
) -> SavedApp:
    """`folder` keeps the archive, and the compressed layers, for as long as they are read."""
    started = time.monotonic()
    archive = _save(engine, image_id, folder / "app.tar")
    saved = read_archive(
        archive, engine.facts.store, compress_in=folder if compress else None, stop=stop
    )
    size = sum(layer.descriptor.size_bytes for layer in saved.image.layers)
    log.info(
        "app: %d layers, %s, out of the engine in %s",
        len(saved.image.layers),
        format_bytes(size),
        format_duration(time.monotonic() - started),
    )
    return saved


def read_archive(archive: Path, store: Store, *, compress_in: Path | None, stop: Stop) -> SavedApp:
    """`compress_in` takes the compressed layers; None leaves the layers as they are."""
    entries = _index(archive)
    if store == "containerd":
        return _from_layout(entries)
    return _from_docker_archive(entries, compress_in, stop)


def _save(engine: Engine, image_id: str, target: Path) -> Path:
    with engine.request(
        "GET", f"/images/{image_id}/get", stream=True, answer_s=_SAVE_S
    ) as response:
        engine.check(response, f"save image {image_id}")
        with target.open("xb") as file:
            for chunk in response.iter_content(_STEP):
                file.write(chunk)
    return target


def _index(archive: Path) -> dict[str, FileRange]:
    """Every file of the archive by name; a link stands for the file it names."""
    entries: dict[str, FileRange] = {}
    links: dict[str, str] = {}
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            if member.isreg():
                entries[member.name] = FileRange(
                    path=archive, start=member.offset_data, size_bytes=member.size
                )
            elif member.issym():
                beside = PurePosixPath(member.name).parent / member.linkname
                links[member.name] = os.path.normpath(beside)
            elif member.islnk():
                links[member.name] = member.linkname
    return entries | {name: entries[target] for name, target in links.items()}


def _from_docker_archive(
    entries: Mapping[str, FileRange], folder: Path | None, stop: Stop
) -> SavedApp:
    listed = json.loads(entries["manifest.json"].read_all())[0]
    config = entries[listed["Config"]].read_all()
    diff_ids: list[Digest] = json.loads(config)["rootfs"]["diff_ids"]
    stored = {
        diff_id: entries[name] for diff_id, name in zip(diff_ids, listed["Layers"], strict=True)
    }
    if folder is None:
        layers = {diff_id: _plain(diff_id, tar) for diff_id, tar in stored.items()}
    else:
        target = folder
        with workers(os.cpu_count() or 1, "gzip", stop) as pool:
            done = pool.map(lambda item: _compress(item[0], item[1], target, stop), stored.items())
            layers = dict(zip(stored, done, strict=True))
    image = AppImage(config=config, layers=tuple(layers[diff_id] for diff_id in diff_ids))
    return SavedApp(image=image, stored=stored)


def _from_layout(entries: Mapping[str, FileRange]) -> SavedApp:
    """OCI image layout (image-spec, image-layout.md)."""
    manifest = _image_manifest(json.loads(entries["index.json"].read_all()), entries)
    config = entries[_blob_name(manifest["config"]["digest"])].read_all()
    diff_ids: list[Digest] = json.loads(config)["rootfs"]["diff_ids"]
    stored: dict[Digest, FileRange] = {}
    layers: list[Layer] = []
    for diff_id, given in zip(diff_ids, manifest["layers"], strict=True):
        media_type: str = given["mediaType"]
        stored[diff_id] = entries[_blob_name(given["digest"])]
        descriptor = Descriptor(
            media_type=_OCI_TYPES.get(media_type, media_type),
            digest=given["digest"],
            size_bytes=given["size"],
        )
        layers.append(_layer(descriptor, diff_id, stored[diff_id]))
    return SavedApp(image=AppImage(config=config, layers=tuple(layers)), stored=stored)


def _image_manifest(index: dict[str, Any], entries: Mapping[str, FileRange]) -> dict[str, Any]:
    """The one image of the index; attestations beside it have the platform `unknown`."""
    for given in index["manifests"]:
        if given.get("platform", {}).get("os") == "unknown":
            continue
        blob = entries.get(_blob_name(given["digest"]))
        if blob is None:
            continue  # another platform's, not in this store
        found = json.loads(blob.read_all())
        return _image_manifest(found, entries) if "manifests" in found else found
    raise BuildError("The engine's archive of the built image holds no image manifest")


def _plain(diff_id: Digest, tar: FileRange) -> Layer:
    descriptor = Descriptor(media_type=LAYER_TYPE, digest=diff_id, size_bytes=tar.size_bytes)
    return _layer(descriptor, diff_id, tar)


def _compress(diff_id: Digest, tar: FileRange, folder: Path, stop: Stop) -> Layer:
    """No name and no time in the gzip header, so the same tar gives the same blob."""
    from isal import isal_zlib

    target = folder / f"{diff_id.removeprefix('sha256:')}.tar.gz"
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)  # 31: a gzip header around it
    plain, packed = hashlib.sha256(), hashlib.sha256()
    with target.open("xb") as file:

        def write(data: bytes) -> None:
            packed.update(data)
            file.write(data)

        for start in range(0, tar.size_bytes, _STEP):
            stop.check()
            chunk = tar.read(start, start + _STEP)
            plain.update(chunk)
            write(packer.compress(chunk))
        write(packer.flush())
        size = file.tell()
    if plain.hexdigest() != diff_id.removeprefix("sha256:"):
        raise BuildError(
            f"The engine gave other bytes for layer {diff_id} than it built",
            seen=f"sha256:{plain.hexdigest()}",
            do="Its storage is damaged; build with `no-cache: true`, or clean it.",
        )
    descriptor = Descriptor(
        media_type=GZIP_LAYER_TYPE, digest=Digest(f"sha256:{packed.hexdigest()}"), size_bytes=size
    )
    return _layer(descriptor, diff_id, FileRange(path=target, start=0, size_bytes=size))


def _layer(descriptor: Descriptor, diff_id: Digest, content: FileRange) -> Layer:
    return Layer(descriptor=descriptor, diff_id=diff_id, origin="app", read=content.read)


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
