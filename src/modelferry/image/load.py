"""Put a composed image into the engine: one archive of only what the engine lacks.

The model's layers come first, as they are read from the source, under names that need no digest;
what tells their digests (config, manifest, index) comes last, when they are known. The classic
store reads `manifest.json` and skips layers that it has in the same place of a stack; the
containerd store reads the OCI layout and skips blobs that it has. One archive carries both.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelferry.artifacts import Layer
from modelferry.engine import Engine, EngineLostError
from modelferry.errors import BuildError
from modelferry.image import tar
from modelferry.image.compose import Composition, canonical_json, descriptor_json
from modelferry.image.run_images import RunImages
from modelferry.image.seam import shared_layers
from modelferry.progress import Meter, metered
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.image")

_STEP = 1 << 20
_LOAD_S = 1800.0  # between two signs of life; the engine unpacks before it answers

_ENGINE_COPIES = 2  # dockerd unpacks the archive beside the layer it makes of it
_NO_ROOM = "no space left on device"
_NAME_ANNOTATION = "io.containerd.image.name"  # containerd, core/images/annotations.go

Read = Callable[[int, int], bytes]


class Content(Protocol):
    """A layer on its way; its digest is known when it is through."""

    @property
    def digest(self) -> Digest: ...
    @property
    def size_bytes(self) -> int: ...
    def read(self, start: int, stop: int, /) -> bytes: ...
    def leave(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str
    size_bytes: int
    read: Read


def load_image(
    images: RunImages, streamed: Sequence[Content], composed: Callable[[], Composition]
) -> Digest:
    """The engine's ID of the image, which is a digest of what will be pushed; the run holds it.

    `streamed`: layers that the engine lacks for certain; they are sent at once. `composed` waits
    for the image that they belong to.
    """
    if not streamed and _is_held(images, composed()):
        return _id(images, composed())
    size = sum(layer.size_bytes for layer in streamed)
    if not streamed:  # else it is not known yet
        size = sum(layer.descriptor.size_bytes for layer in _lacking(images, composed()))
    _check_room(images.engine, size)
    refusal = _send(images, _sparse(images, streamed, composed), size)
    for layer in streamed:
        layer.leave()
    if refusal and _NO_ROOM in refusal:
        raise _refused(images, refusal)  # no second try can help, and nobody need wait
    image = composed()
    if refusal is None and _has(images.engine, _id(images, image)):
        return _id(images, image)
    log.info("The engine did not take the layers it lacks alone (%s); sending all", refusal)
    size = sum(layer.descriptor.size_bytes for layer in image.layers)
    refusal = _send(images, _full(images, image), size)
    if refusal is None and _has(images.engine, _id(images, image)):
        return _id(images, image)
    raise _refused(images, refusal)


def _check_room(engine: Engine, size_bytes: int) -> None:
    """Before a byte of it is read."""
    wanted, free = _ENGINE_COPIES * size_bytes, engine.free_bytes()
    if free is not None and free < wanted:
        raise BuildError(
            f"not enough disk for the image below {engine.facts.data_root}",
            seen=f"loading it takes {format_bytes(wanted)}, {format_bytes(free)} are free",
            do="Remove images that nobody uses from this engine, or give it a larger disk.",
        )


def _refused(images: RunImages, refusal: str | None) -> BuildError:
    images.drop("image")  # what was kept of it cannot run
    return BuildError(
        f"Docker {images.engine.facts.version} did not load the image {images.name('image')}",
        seen=refusal or "",
        do=f"Its disk is full: free some below {images.engine.facts.data_root}."
        if refusal and _NO_ROOM in refusal
        else "Look at the engine's log.",
    )


def lacking(
    image: Composition, stacks: Iterable[Sequence[Digest]], *, classic: bool
) -> tuple[Layer, ...]:
    """What an engine must be sent that has images of these diff ids. Pure."""
    if classic:  # a layer counts only upon the very layers below it
        diff_ids = [layer.diff_id for layer in image.layers]
        known = max((shared_layers(diff_ids, stack) for stack in stacks), default=0)
        layers = image.layers[known:]
    else:
        there = {diff_id for stack in stacks for diff_id in stack}
        layers = tuple(layer for layer in image.layers if layer.diff_id not in there)
    return tuple({layer.diff_id: layer for layer in layers}.values())


def _lacking(images: RunImages, image: Composition) -> tuple[Layer, ...]:
    classic = images.engine.facts.store == "classic"
    return lacking(image, _stacks(images), classic=classic)


def _sparse(
    images: RunImages, streamed: Sequence[Content], composed: Callable[[], Composition]
) -> Iterator[Entry]:
    folder = secrets.token_hex(8)  # containerd goes on with what came before under the same name
    for number, layer in enumerate(streamed):
        yield Entry(name=f"{folder}/{number}", size_bytes=layer.size_bytes, read=layer.read)
    names = {layer.digest: f"{folder}/{number}" for number, layer in enumerate(streamed)}
    image = composed()
    for layer in _lacking(images, image):
        if layer.diff_id not in names:
            yield _entry(layer, folder)
    yield from index_entries(image, images.name("image"), folder, names)


def _full(images: RunImages, image: Composition) -> Iterator[Entry]:
    folder = secrets.token_hex(8)
    for layer in {layer.diff_id: layer for layer in image.layers}.values():
        yield _entry(layer, folder)
    yield from index_entries(image, images.name("image"), folder, {})


def _entry(layer: Layer, folder: str) -> Entry:
    size = layer.descriptor.size_bytes
    return Entry(name=_name(layer, folder), size_bytes=size, read=layer.read)


def _name(layer: Layer, folder: str) -> str:
    return f"{folder}/{layer.diff_id.removeprefix('sha256:')}"


def index_entries(
    image: Composition, name: str, folder: str, names: Mapping[Digest, str]
) -> Iterator[Entry]:
    """What says how the layers make the image; `names` of those that have one of their own.

    `name` comes with the image: an untagged one nobody would clean up, were this run to end
    before it has the answer.
    """
    listed = {
        "Config": f"{folder}/config.json",
        "RepoTags": [name],
        "Layers": [names.get(layer.diff_id) or _name(layer, folder) for layer in image.layers],
    }
    named = descriptor_json(image.manifest) | {"annotations": {_NAME_ANNOTATION: name}}
    index = {"schemaVersion": 2, "manifests": [named]}
    yield _computed(f"{folder}/config.json", image.config_bytes)
    yield _computed(f"{folder}/image.json", image.manifest_bytes)
    yield _computed("manifest.json", canonical_json([listed]))
    yield _computed("index.json", canonical_json(index))
    yield _computed("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}))


def archive(entries: Iterable[Entry], meter: Meter) -> Iterator[bytes]:
    for entry in entries:
        yield tar.file_header(entry.name, entry.size_bytes)
        for start in range(0, entry.size_bytes, _STEP):
            chunk = entry.read(start, min(start + _STEP, entry.size_bytes))
            yield chunk
            meter.add(len(chunk))
        if pad := tar.padding(entry.size_bytes):
            yield pad
    yield tar.END


def _send(images: RunImages, entries: Iterable[Entry], size_bytes: int) -> str | None:
    """What the engine said against it; None when it took the archive."""
    with metered("load", size_bytes or None) as meter:
        try:
            with images.engine.request(
                "POST",
                "/images/load",
                params={"quiet": "1"},
                data=archive(entries, meter),
                answer_s=_LOAD_S,
            ) as response:
                if response.status_code >= 400:
                    return response.text.strip()
                return read_refusal(response.text)
        except EngineLostError as error:
            return error.seen


def read_refusal(stream: str) -> str | None:
    """The containerd store keeps an image that it could not unpack, and says so in passing."""
    lines = [json.loads(line) for line in stream.splitlines() if line.strip()]
    told = [line["error"] for line in lines if "error" in line]
    passing = [line.get("stream", "") for line in lines]
    told += [text for text in passing if text.startswith("Error unpacking")]
    return "\n".join(told).strip() or None


def _stacks(images: RunImages) -> list[list[Digest]]:
    """The diff ids of what this app's runs have in the engine, the app as it was just built too."""
    engine = images.engine
    response = engine.request(
        "GET", "/images/json", params={"filters": json.dumps({"reference": [images.repository]})}
    )
    engine.check(response, f"list the images of {images.repository}")
    found = [engine.find_image(image["Id"]) for image in response.json()]
    return [image["RootFS"].get("Layers") or [] for image in found if image]


def _has(engine: Engine, image_id: Digest) -> bool:
    image = engine.find_image(image_id)
    return image is not None and image["Id"] == image_id


def _is_held(images: RunImages, image: Composition) -> bool:
    expected = _id(images, image)
    return _has(images.engine, expected) and images.hold(expected, "image")


def _id(images: RunImages, image: Composition) -> Digest:
    """What the store calls an image: its config's digest, or its manifest's."""
    classic = images.engine.facts.store == "classic"
    return image.config.digest if classic else image.manifest.digest


def _computed(name: str, data: bytes) -> Entry:
    return Entry(name=name, size_bytes=len(data), read=lambda start, stop: data[start:stop])
