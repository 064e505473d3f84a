"""Single blobs out of Docker's containerd store: an image's manifest and config, and of its layers
those that are needed, where `docker save` gives the whole image or nothing.

A blob is a file under its digest in containerd's content store. Whatever is not as expected is no
error: nothing is believed before its digest is right.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelferry.engine import Engine
from modelferry.image.app.engine_files import (
    UNEXPECTED,
    EngineFiles,
    check_digest,
    engine_files,
    hex_of,
)
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop

log = logging.getLogger("modelferry.image")

_STEP = 1 << 20
_BLOBS = "/modelferry/blobs"
_STORE = "io.containerd.content.v1.content/blobs/sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlobs:
    manifest: dict[str, Any]
    config: bytes
    layers: Mapping[str, FileRange]  # those that were wanted, by the blob's digest


def read_content_store(
    engine: Engine,
    image_id: str,
    wanted: Callable[[str], bool],
    folder: Path,
    *,
    run_label: str,
    stop: Stop,
) -> StoredBlobs | None:
    """`wanted`: which layers, by digest. None where this engine's store cannot be read so."""
    from docker.errors import DockerException

    if engine.facts.store != "containerd":
        return None
    ours = engine.facts.data_root / "containerd" / "daemon" / _STORE  # a containerd of dockerd's
    for place in (str(ours), f"/var/lib/containerd/{_STORE}"):
        try:
            with engine_files(engine, image_id, {place: _BLOBS}, run_label) as store:
                return _read(store, image_id, wanted, folder, stop)
        except (DockerException, *UNEXPECTED) as error:
            log.info("The engine's store is not read directly: %s", error)
    return None


def _read(
    store: EngineFiles, image_id: str, wanted: Callable[[str], bool], folder: Path, stop: Stop
) -> StoredBlobs:
    manifest = json.loads(_small(store, image_id))
    if "manifests" in manifest:
        raise ValueError(f"{image_id} is an index")
    digests = dict.fromkeys(layer["digest"] for layer in manifest["layers"] or ())
    return StoredBlobs(
        manifest=manifest,
        config=_small(store, manifest["config"]["digest"]),
        layers={d: _large(store, d, folder, stop) for d in digests if wanted(d)},
    )


def _small(store: EngineFiles, digest: str) -> bytes:
    data = store.read(f"{_BLOBS}/{hex_of(digest)}")
    check_digest(digest, hashlib.sha256(data).hexdigest())
    return data


def _large(store: EngineFiles, digest: str, folder: Path, stop: Stop) -> FileRange:
    packed = folder / f"{hex_of(digest)}.blob.tar"
    store.fetch(f"{_BLOBS}/{hex_of(digest)}", packed, stop)
    with tarfile.open(packed, mode="r:") as tar:
        member = tar.getmembers()[0]
    blob = FileRange(path=packed, start=member.offset_data, size_bytes=member.size)
    found = hashlib.sha256()
    for start in range(0, blob.size_bytes, _STEP):
        stop.check()
        found.update(blob.read(start, start + _STEP))
    check_digest(digest, found.hexdigest())
    return blob
