"""Put a composed image into the engine: an archive of only what the engine lacks.

The classic store reads `manifest.json` and skips layers that it has in the same place of a stack;
the containerd store reads the OCI layout and skips blobs that it has. One archive carries both.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from modelferry.artifacts import Layer
from modelferry.engine import Engine
from modelferry.errors import BuildError
from modelferry.image import tar
from modelferry.image.compose import Composition, canonical_json, descriptor_json
from modelferry.image.file_range import FileRange
from modelferry.image.run_images import RunImages
from modelferry.progress import Meter, metered
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

_STEP = 1 << 20
_LOAD_S = 1800.0  # between two signs of life; the engine unpacks before it answers

_NAME_ANNOTATION = "io.containerd.image.name"  # containerd, core/images/annotations.go

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str
    size_bytes: int
    read: Read


def load_image(images: RunImages, image: Composition, stored: Mapping[Digest, FileRange]) -> str:
    """The engine's ID of the image, which is a digest of what will be pushed; the run holds it.

    `stored` holds the app's layers by diff id as the engine's store takes them; they are sent
    only when the engine does not take the archive without them.
    """
    engine, name = images.engine, images.name("image")
    classic = engine.facts.store == "classic"
    expected = image.config.digest if classic else image.manifest.digest
    if _has(engine, expected) and images.hold(expected, "image"):
        return expected
    lacking = tuple(layer for layer in image.layers if layer.origin == "model")
    refusal = _send(engine, entries(image, lacking, stored, name=name, classic=classic))
    if not refusal and _has(engine, expected):
        return expected
    log.info("The engine did not take the layers it lacks alone (%s); sending all", refusal)
    refusal = _send(engine, entries(image, image.layers, stored, name=name, classic=classic))
    if refusal or not _has(engine, expected):
        images.drop("image")  # what was kept of it cannot run
        raise BuildError(
            f"Docker {engine.facts.version} did not load the image {expected}",
            seen=refusal,
            do="Look at the engine's log; `no space left on device` means its disk is full.",
        )
    return expected


def entries(
    image: Composition,
    sent: tuple[Layer, ...],
    stored: Mapping[Digest, FileRange],
    *,
    name: str,
    classic: bool,
) -> tuple[Entry, ...]:
    """What the archive holds. The classic store knows a layer by its diff id, containerd's by
    the blob's digest. `name` comes with the image: an untagged one nobody would clean up, were
    this run to end before it has the answer."""

    def path(layer: Layer) -> str:
        return _blob_name(layer.diff_id if classic else layer.descriptor.digest)

    def content(layer: Layer) -> Entry:
        if layer.origin == "model":
            size, read = layer.descriptor.size_bytes, layer.read
        else:
            size, read = stored[layer.diff_id].size_bytes, stored[layer.diff_id].read
        return Entry(name=path(layer), size_bytes=size, read=read)

    listed = {
        "Config": _blob_name(image.config.digest),
        "RepoTags": [name],
        "Layers": [path(layer) for layer in image.layers],
    }
    named = descriptor_json(image.manifest) | {"annotations": {_NAME_ANNOTATION: name}}
    index = {"schemaVersion": 2, "manifests": [named]}
    unique = {layer.diff_id: layer for layer in sent}
    return (
        _computed("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"})),
        _computed("index.json", canonical_json(index)),
        _computed("manifest.json", canonical_json([listed])),
        _computed(_blob_name(image.manifest.digest), image.manifest_bytes),
        _computed(_blob_name(image.config.digest), image.config_bytes),
        *(content(layer) for layer in unique.values()),
    )


def archive(parts: tuple[Entry, ...], meter: Meter) -> Iterator[bytes]:
    for entry in parts:
        yield tar.file_header(entry.name, entry.size_bytes)
        for start in range(0, entry.size_bytes, _STEP):
            chunk = entry.read(start, min(start + _STEP, entry.size_bytes))
            yield chunk
            meter.add(len(chunk))
        if pad := tar.padding(entry.size_bytes):
            yield pad
    yield tar.END


def _send(engine: Engine, parts: tuple[Entry, ...]) -> str:
    """What the engine said against it; empty when it took the archive."""
    from requests import RequestException

    total = sum(entry.size_bytes for entry in parts)
    with metered("load into Docker", total) as meter:
        try:
            with engine.request(
                "POST",
                "/images/load",
                params={"quiet": "1"},
                data=archive(parts, meter),
                answer_s=_LOAD_S,
            ) as response:
                if response.status_code >= 400:
                    return response.text.strip()
                return read_refusal(response.text)
        except RequestException as error:
            return str(error)


def read_refusal(stream: str) -> str:
    """The containerd store keeps an image that it could not unpack, and says so in passing."""
    lines = [json.loads(line) for line in stream.splitlines() if line.strip()]
    told = [line["error"] for line in lines if "error" in line]
    passing = [line.get("stream", "") for line in lines]
    return "\n".join(
        (*told, *(text for text in passing if text.startswith("Error unpacking")))
    ).strip()


def _has(engine: Engine, image_id: Digest) -> bool:
    response = engine.request("GET", f"/images/{image_id}/json")
    if response.status_code == 404:
        return False
    engine.check(response, f"look for image {image_id}")
    return response.json()["Id"] == image_id


def _computed(name: str, data: bytes) -> Entry:
    return Entry(name=name, size_bytes=len(data), read=lambda start, stop: data[start:stop])


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
