"""The archive of `docker save`, read: every layer of an image, the same on every engine."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from modelferry.engine import Engine, Store
from modelferry.errors import BuildError
from modelferry.image.app.content_store import StoredBlobs
from modelferry.image.app.layer_store import StoredLayers
from modelferry.image.compose import diff_ids_of
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop

_SAVE_S = 1800.0  # the engine writes the whole image before its first byte comes


def save_image(engine: Engine, image_id: str, target: Path, stop: Stop) -> Path:
    with engine.request(
        "GET", f"/images/{image_id}/get", stream=True, answer_s=_SAVE_S
    ) as response:
        engine.check(response, f"save image {image_id}")
        with target.open("xb") as file:
            for chunk in engine.body(response):
                stop.check()
                file.write(chunk)
    return target


def read_archive(archive: Path, store: Store) -> StoredLayers | StoredBlobs:
    entries = _index(archive)
    return _from_layout(entries) if store == "containerd" else _from_docker_archive(entries)


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


def _from_docker_archive(entries: Mapping[str, FileRange]) -> StoredLayers:
    listed = json.loads(entries["manifest.json"].read_all())[0]
    config = entries[listed["Config"]].read_all()
    named = zip(diff_ids_of(config), listed["Layers"] or (), strict=True)
    tars = {diff_id: entries[path] for diff_id, path in named}
    return StoredLayers(config=config, tars=tars)


def _from_layout(entries: Mapping[str, FileRange]) -> StoredBlobs:
    """OCI image layout (image-spec, image-layout.md)."""
    manifest = _image_manifest(json.loads(entries["index.json"].read_all()), entries)
    digests = [layer["digest"] for layer in manifest["layers"] or ()]
    return StoredBlobs(
        manifest=manifest,
        config=entries[_blob_name(manifest["config"]["digest"])].read_all(),
        layers={digest: entries[_blob_name(digest)] for digest in digests},
    )


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


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
